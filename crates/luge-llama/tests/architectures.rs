//! Tiny models of many architectures: what is found in their graphs, and what is refused.

use std::path::{Path, PathBuf};

use luge_llama::{
    Batch, CacheType, Context, ContextParams, Error, ExitSpec, FlashAttention, Gguf, Model,
    ModelParams,
};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../testdata/architectures/{name}.gguf"))
}

fn params() -> ContextParams {
    ContextParams {
        n_ctx: 128,
        threads: 1,
        type_k: CacheType::F32,
        type_v: CacheType::F32,
        flash_attention: FlashAttention::Off,
        ..ContextParams::default()
    }
}

/// The models' files hold the exit of hidden state 0 for token 5, computed by
/// the script that made them: the model's embedding of that token as it enters
/// block 0, times the head.
#[test]
fn hidden_state_0_is_what_enters_block_0() {
    let mut seen = 0;
    for entry in path("").parent().unwrap().read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "gguf") {
            continue;
        }
        let Some(text) = Gguf::open(&path).unwrap().string("luge.exit_0") else { continue };
        let expected: Vec<f32> = text.split(' ').map(|number| number.parse().unwrap()).collect();
        let model = Model::load(&path, &ModelParams::default()).unwrap();
        let mut context = Context::new(&model, &params()).unwrap();
        let spec = ExitSpec { layers: vec![0], final_norm: false, softcap: true };
        context.set_exits(&spec).unwrap();
        context.decode(&Batch::run(&[9, 5, 7, 5], 0, 0, |index| index % 2 == 1)).unwrap();
        let quantised = ["minicpm", "qwen3moe", "phi2", "gemma4"];
        let quantised = quantised.map(|name| path.ends_with(format!("{name}.gguf")));
        let tolerance = if quantised.contains(&true) { 1e-2 } else { 1e-6 };
        let largest = expected.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
        for index in [1, 3] {
            let exit = context.exit_logits(index).unwrap();
            assert_eq!(exit.len(), expected.len(), "{path:?}");
            let worst = exit.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= tolerance * largest, "{path:?}: off by {worst} of {largest}");
        }
        seen += 1;
    }
    assert_eq!(seen, 26, "models with exits in testdata/architectures");
}

#[test]
fn what_cannot_be_tapped_is_refused_with_the_reason() {
    for (name, reason) in [
        ("gemma3n", "l_out-0 is not one vector a token"),
        ("plamo3", "no node result_output"),
        ("chameleon", "computed by SET"),
    ] {
        let model = Model::load(&path(name), &ModelParams::default()).unwrap();
        let mut context = Context::new(&model, &params()).unwrap();
        let spec = ExitSpec { layers: vec![0], final_norm: false, softcap: true };
        let error = context.set_exits(&spec).unwrap_err();
        assert!(matches!(error, Error::NoTaps { .. } | Error::UnknownHead { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        // Ordinary decoding goes on.
        context.decode(&Batch::run(&[5, 6, 7], 0, 0, |_| false)).unwrap();
        context.decode(&Batch::run(&[8], 3, 0, |_| true)).unwrap();
        assert_eq!(context.logits(0).len(), model.n_vocab());
    }
    for name in ["bert", "t5"] {
        let error = Model::load(&path(name), &ModelParams::default()).err().unwrap();
        assert!(matches!(error, Error::NoLmHead { .. }), "{error}");
    }
}
