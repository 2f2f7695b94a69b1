//! The environment variable that chooses the exit head's kernel. A process of its
//! own, as the environment is the process's.

use std::path::Path;

use luge_llama::{Batch, Context, ContextParams, ExitSpec, Model, ModelParams};

#[test]
fn ggmls_product_can_be_asked_for_and_others_only_where_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/atlas/atlas.gguf");
    let model = Model::load(&path, &ModelParams::default()).unwrap();
    let params = ContextParams { n_ctx: 64, threads: 1, ..ContextParams::default() };
    let spec = ExitSpec { layers: (0..model.n_layers()).collect(), ..ExitSpec::default() };
    let exits = |kernel: Option<&str>| {
        match kernel {
            // SAFETY: this process has no other test, and no thread that reads it.
            Some(kernel) => unsafe { std::env::set_var("LUGE_EXIT_KERNEL", kernel) },
            // SAFETY: as above.
            None => unsafe { std::env::remove_var("LUGE_EXIT_KERNEL") },
        }
        let mut context = Context::new(&model, &params).unwrap();
        context.set_exits(&spec).map_err(|error| error.to_string())?;
        context.decode(&Batch::run(&[5, 6, 7], 0, 0, |index| index == 2)).unwrap();
        Ok::<_, String>(context.exit_logits(2).unwrap().to_vec())
    };
    let (best, ggml) = (exits(None).unwrap(), exits(Some("ggml")).unwrap());
    let largest = ggml.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
    let worst = best.iter().zip(&ggml).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // ggml rounds hidden states to 8 bits, which shows.
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        assert_ne!(best, ggml);
    }
    assert!(worst <= 0.02 * largest, "off by {worst} of {largest}");
    let error = exits(Some("abacus")).unwrap_err();
    assert!(error.contains("'abacus'") && error.ends_with("ggml"), "{error}");
}
