//! The environment variable that chooses the exit head's kernel. A process of its
//! own, as the environment is the process's.

use std::path::Path;
use std::sync::Mutex;

use luge_llama::{
    Batch, Context, ContextParams, ExitSpec, ExitTile, ExitsAt, HeadForm, Model, ModelParams,
};

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

    // The exits of several tokens in ggml's products, more than go into one, and those
    // of each token alone.
    // SAFETY: as above.
    unsafe { std::env::set_var("LUGE_EXIT_KERNEL", "ggml") };
    let mut context = Context::new(&model, &params).unwrap();
    context.set_exit_layers(&spec.layers).unwrap();
    context.decode(&Batch::run(&[5, 6, 7, 8, 9, 10, 11, 12], 0, 0, |_| true)).unwrap();
    let mut wanted: Vec<_> =
        (0..8).map(|index| ExitsAt { index, layers: &spec.layers[index % 2..] }).collect();
    wanted.reverse();
    let mut at = |wanted: &[ExitsAt<'_>]| {
        let mut logits = Vec::new();
        context.exit_logits_at(HeadForm::default(), wanted, &mut logits).unwrap();
        logits
    };
    let together = at(&wanted);
    let alone: Vec<f32> = wanted.chunks(1).flat_map(at).collect();
    let worst = together.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert_eq!(together.len(), alone.len());
    assert!(worst <= 1e-4 * largest, "off by {worst} of {largest}");
    let vocab = model.n_vocab();
    let shown = Mutex::new(vec![f32::NAN; together.len()]);
    let keep = |tile: ExitTile<'_>| {
        for exit in tile.exits() {
            let to = exit * vocab + tile.start();
            shown.lock().unwrap()[to..to + tile.len()].copy_from_slice(tile.exit(exit));
        }
    };
    context.visit_exits_at(HeadForm::default(), &wanted, &keep).unwrap();
    assert_eq!(shown.into_inner().unwrap(), together);

    let error = exits(Some("abacus")).unwrap_err();
    assert!(error.contains("'abacus'") && error.ends_with("ggml"), "{error}");
}
