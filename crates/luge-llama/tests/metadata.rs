//! What a loaded model says of itself.

use std::path::Path;

use luge_llama::{Model, ModelParams};

#[test]
fn metadata_is_found_by_its_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/parity/llama.gguf");
    let model = Model::load(Path::new(path), &ModelParams::default()).unwrap();
    assert_eq!(model.metadata("general.architecture").as_deref(), Some("llama"));
    let blocks = model.metadata("llama.block_count").unwrap();
    assert_eq!(blocks, model.n_layers().to_string());
    // A list, a key that is not there, and one that no file can have.
    for key in ["tokenizer.ggml.tokens", "general.nothing", "general\0name", ""] {
        assert_eq!(model.metadata(key), None, "{key:?}");
    }
}
