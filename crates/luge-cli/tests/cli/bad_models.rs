//! Files at fault: one line that says why, and exit code 1. llama.cpp aborts on
//! some of these, so they must not get that far.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use crate::gguf::{self, Gguf, Value};
use crate::support::{PROMPT, compare, luge, model, run, score};

/// What `luge` says about a model.
#[track_caller]
fn message(path: impl AsRef<Path>) -> String {
    run(path).flags("-n 2").arg(PROMPT).failure(1)
}

/// That it is refused for this reason, and named.
#[track_caller]
fn refused(gguf: &Gguf, reason: &str) {
    refused_bytes(&gguf.to_bytes().0, reason);
}

#[track_caller]
fn refused_bytes(bytes: &[u8], reason: &str) {
    let file = gguf::file(bytes);
    let message = message(file.path());
    assert!(message.contains(reason), "{message:?} does not say {reason:?}");
    let name = file.path().file_name().unwrap().to_str().unwrap();
    assert!(message.contains(name), "{message:?} does not name the file");
}

/// The file of a model with a number written over.
fn patched(start: usize, number: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = fs::read(model("llama")).unwrap();
    bytes[start..start + number.as_ref().len()].copy_from_slice(number.as_ref());
    bytes
}

#[test]
fn a_missing_file_and_a_directory() {
    let folder = tempdir().unwrap();
    let missing = folder.path().join("missing.gguf");
    assert!(message(&missing).contains("missing.gguf': No such file"));
    assert!(message(folder.path()).contains("directory"));
    score(&missing).flags("a b").failure(1);
    compare(&missing).flags("a").failure(1);
}

#[test]
fn other_files() {
    refused_bytes(b"", "empty");
    refused_bytes(b"GG", "not a GGUF file");
    refused_bytes(b"PK\x03\x04 some archive", "not a GGUF file");
    refused_bytes(b"# A text\n\nof several lines.\n", "not a GGUF file");
}

#[test]
fn a_file_cut_short_anywhere() {
    let (bytes, parts) = Gguf::parity("llama").to_bytes();
    let header = (4..parts.metadata).step_by(97);
    let table = (parts.metadata..parts.tensor_table).step_by(151);
    let data = (parts.data..bytes.len()).step_by(9973);
    for length in header.chain(table).chain(data).chain([bytes.len() - 1]) {
        let message = message(gguf::file(&bytes[..length]).path());
        let reason = if length < parts.data { "damaged" } else { "cut short" };
        assert!(message.contains(reason), "{length} bytes: {message:?}");
    }
}

#[test]
fn versions_that_nobody_knows() {
    for version in [0u32, 1, 4, 3 << 24] {
        refused_bytes(&patched(4, version.to_le_bytes()), "version");
    }
}

#[test]
fn counts_beyond_the_file() {
    for count in [1_000_000u64, 1 << 40, u64::MAX] {
        refused_bytes(&patched(8, count.to_le_bytes()), "damaged");
        refused_bytes(&patched(16, count.to_le_bytes()), "damaged");
    }
}

#[test]
fn tensors_beyond_the_file() {
    let end = Gguf::parity("llama").to_bytes().1.tensor_table;
    for offset in [32u64, 1 << 20, 1 << 40, u64::MAX - 31] {
        // The last entry of the table ends with its offset.
        let file = gguf::file(&patched(end - 8, offset.to_le_bytes()));
        message(file.path());
    }
}

#[test]
fn metadata_that_llama_cpp_aborts_on() {
    let llama = || Gguf::parity("llama");
    refused(llama().rename("general.name", ""), "empty metadata key");
    refused(llama().set("llama.block_count", Value::u32(0)), "block_count is 0");
    refused(llama().set("llama.block_count", Value::u32(100_000)), "100000 blocks");
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    refused(llama().set(epsilon, Value::f32(-1e-5)), "layer_norm_rms_epsilon is negative");
    refused(llama().set("llama.rope.dimension_count", Value::u32(64)), "64");
    refused(llama().replace_token("Ġw10", "Ġw11"), "twice");
}

#[test]
fn models_that_llama_cpp_refuses() {
    let llama = || Gguf::parity("llama");
    refused(llama().set("general.architecture", Value::string("nonesuch")), "nonesuch");
    refused(llama().rename("general.architecture", "general.arch"), "architecture");
    refused(llama().remove_tensor("blk.2.attn_q.weight"), "blk.2.attn_q.weight");
    refused(llama().set("llama.embedding_length", Value::u32(64)), "");
    refused(llama().set("llama.attention.head_count", Value::u32(0)), "wrong shape");
}

#[test]
fn models_that_are_no_causal_language_models() {
    let mut bert = Gguf::default();
    bert.set("general.architecture", Value::string("bert"))
        .set("bert.attention.causal", Value::bool(false));
    refused(&bert, "no causal LM head");

    let llama = || Gguf::parity("llama");
    refused(llama().set("llama.attention.causal", Value::bool(false)), "no causal LM head");
    refused(llama().set("llama.pooling_type", Value::u32(3)), "embedding model");
    refused(llama().set("general.type", Value::string("adapter")), "'adapter'");
    let headless =
        llama().remove_tensor("output.weight").remove_tensor("token_embd.weight").clone();
    refused(&headless, "no causal LM head");
}

#[test]
fn architectures_without_layer_taps_are_named_and_decode_greedily() {
    for architecture in ["gemma3n", "plamo3", "chameleon"] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/architectures");
        let path = Path::new(folder).join(format!("{architecture}.gguf"));
        let run = || run(&path).flags("-n 2 --prompt-ids 5,6,7");
        assert!(run().failure(1).contains(&format!("'{architecture}'")));
        run().flags("--method greedy").stdout();
        // Several micro-batches: chameleon's graph needs an output in each.
        let long = vec!["5"; 600].join(",");
        let run = luge("run").model(&path).flags("-n 1 -c 1024 --method greedy --prompt-ids");
        run.arg(long).stdout();
    }
}

#[test]
fn a_vocabulary_that_cannot_write_a_text() {
    // llama.cpp throws where a byte has no token; that once ended the process.
    let file = Gguf::parity("gemma2").replace_token("<0xE2>", "<0xZZ>").file();
    assert!(run(file.path()).arg("\u{2603}").failure(1).contains("cannot write this text"));
    run(file.path()).flags("-n 1").arg(PROMPT).stdout();
}

#[test]
fn a_pipe_in_place_of_a_model_is_not_waited_for() {
    let folder = tempdir().unwrap();
    let pipe = folder.path().join("pipe.gguf");
    if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|made| made.success()) {
        assert!(message(&pipe).contains("not an ordinary file"));
    }
}

#[test]
fn split_models_in_part() {
    let folder = tempdir().unwrap();
    let part = |number: u16| {
        let mut llama = Gguf::parity("llama");
        llama.set("split.no", Value::u16(number - 1)).set("split.count", Value::u16(2));
        let path = folder.path().join(format!("m-{number:05}-of-00002.gguf"));
        fs::write(&path, llama.to_bytes().0).unwrap();
        path
    };
    assert!(message(part(1)).contains("m-00002-of-00002.gguf': No such file"));
    let second = message(part(2));
    assert!(second.contains("name its first part") && second.contains("m-00001-of-00002.gguf"));
}

#[test]
fn weights_that_are_not_numbers() {
    for (tensor, number) in [
        ("output_norm.weight", f32::NAN),
        ("output.weight", f32::NAN),
        ("output.weight", f32::INFINITY),
        ("blk.2.ffn_down.weight", f32::NAN),
    ] {
        let file = Gguf::parity("llama").fill(tensor, number).file();
        for method in ["greedy", "sled", "dola", "ensemble"] {
            let outcome = run(file.path()).flags("-n 2 --method").arg(method).arg(PROMPT).outcome();
            assert_eq!(outcome.status.code(), Some(1), "{tensor}, {method}: {outcome:?}");
            assert!(outcome.stderr.contains("NaN"), "{tensor}, {method}: {outcome:?}");
            let message = score(file.path()).flags("--method").arg(method).arg(PROMPT).arg(" w4");
            assert!(message.failure(1).contains("NaN"), "{tensor}, {method}");
        }
    }
}
