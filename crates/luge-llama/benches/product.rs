//! The exit head's product on the CPU: ours, ggml's, and reading the matrix.
//!
//! ```text
//! cargo bench -p luge-llama --features bench --bench product
//! cargo bench -p luge-llama --features bench --bench product -- 1b/q8_0
//! ```

use std::cell::{LazyCell, RefCell};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use luge_llama::bench::HeadProduct;

/// A head's shape: name, vocabulary, width, exits.
const SHAPES: [(&str, usize, usize, usize); 3] =
    [("1b", 128_256, 2048, 16), ("135m", 49_152, 576, 30), ("atlas", 4096, 192, 12)];

fn products(criterion: &mut Criterion) {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32);
    for (shape, vocab, width, exits) in SHAPES {
        for (format, kind) in HeadProduct::FORMATS {
            if !HeadProduct::fits(kind, width) {
                continue;
            }
            let mut group = criterion.benchmark_group(format!("{shape}/{format}"));
            // Made when the first benchmark of the group is not filtered out.
            let product = LazyCell::new(|| {
                let made = HeadProduct::new(kind, vocab, width, exits, threads);
                RefCell::new(made.expect("there is memory"))
            });
            group.bench_function("read", |bencher| {
                let mut product = product.borrow_mut();
                bencher.iter(|| product.read());
            });
            group.bench_function("ggml", |bencher| {
                let mut product = product.borrow_mut();
                bencher.iter(|| product.ggml());
            });
            for kernel in HeadProduct::kernels(kind) {
                group.bench_function(format!("luge-{kernel}"), |bencher| {
                    let mut product = product.borrow_mut();
                    bencher.iter(|| product.luge(kernel));
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = products
}
criterion_main!(benches);
