//! Models that ollama has stored.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::hub::checksum;
use crate::support::{Luge, PROMPT, luge, model, run};

/// Stores a model as ollama does: layers by their checksums, and a manifest.
pub fn store(home: &Path, name: &str, layers: &[(&str, &[u8])]) {
    let models = home.join(".ollama/models");
    let layer = |(kind, content): &(&str, &[u8])| {
        let digest = checksum(content);
        let blob = models.join("blobs").join(format!("sha256-{digest}"));
        fs::create_dir_all(blob.parent().unwrap()).unwrap();
        fs::write(blob, content).unwrap();
        serde_json::json!({
            "mediaType": format!("application/vnd.ollama.image.{kind}"),
            "digest": format!("sha256:{digest}"),
            "size": content.len(),
        })
    };
    let layers: Vec<_> = layers.iter().map(layer).collect();
    let manifest = models.join("manifests").join(name);
    fs::create_dir_all(manifest.parent().unwrap()).unwrap();
    fs::write(manifest, serde_json::json!({ "schemaVersion": 2, "layers": layers }).to_string())
        .unwrap();
}

/// A store with a model, one of an adapter, two from elsewhere, and three that are no
/// good.
fn setting() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let llama = fs::read(model("llama")).unwrap();
    let store = |name: &str, layers: &[(&str, &[u8])]| store(home.path(), name, layers);
    let weights = ("model", &llama[..]);
    store("registry.ollama.ai/library/tiny/latest", &[weights, ("template", b"{{ .Prompt }}")]);
    store("registry.ollama.ai/me/tuned/1b", &[weights, ("adapter", b"x"), ("projector", b"y")]);
    store("hf.co/org/tiny-GGUF/Q8_0", &[weights]);
    store("huggingface.co/org/other-GGUF/Q8_0", &[weights]);
    fs::write(home.path().join(".ollama/models/manifests/hf.co/org/tiny-GGUF/a b"), "x").unwrap();
    store("registry.ollama.ai/library/cloud/latest", &[("template", b"x")]);
    store("registry.ollama.ai/library/two/latest", &[weights, ("model", b"more")]);
    let lost = home.path().join(".ollama/models/manifests/registry.ollama.ai/library/lost/latest");
    fs::create_dir_all(lost.parent().unwrap()).unwrap();
    fs::write(lost, "{").unwrap();
    home
}

fn asked(home: &TempDir, name: &str) -> Luge {
    luge("run").arg("-m").arg(name).flags("-n 8").arg(PROMPT).home(home.path())
}

#[test]
fn ollamas_models_are_used_where_they_lie() {
    let home = setting();
    let answer = run(model("llama")).flags("-n 8").arg(PROMPT).stdout();
    for name in [
        "ollama:tiny",
        "ollama:Tiny:latest",
        "ollama:hf.co/org/tiny-GGUF:q8_0",
        "ollama:huggingface.co/org/other-GGUF:Q8_0",
    ] {
        assert_eq!(asked(&home, name).stdout(), answer, "{name}");
    }
    let outcome = asked(&home, "ollama:me/tuned:1b").outcome();
    assert_eq!(outcome.stdout, answer);
    assert_eq!(
        outcome.stderr,
        "luge: the adapter and projector of ollama:me/tuned:1b will not be used\n"
    );
}

#[test]
fn a_model_that_ollama_does_not_have() {
    let home = setting();
    let message = asked(&home, "ollama:tinny").failure(1);
    assert!(message.starts_with("ollama has no model 'tinny'; it has ollama:tiny, "), "{message}");
    let empty = tempfile::tempdir().unwrap();
    assert!(asked(&empty, "ollama:tiny").failure(1).ends_with("ollama pull tiny fetches it"));
}

#[test]
fn a_model_that_ollama_has_and_luge_cannot_use() {
    let home = setting();
    for (name, reason) in [("cloud", "no weights"), ("two", "several files"), ("lost", "damaged")] {
        let message = asked(&home, &format!("ollama:{name}")).failure(1);
        assert!(message.contains(name) && message.contains(reason), "{message}");
    }
    #[cfg(unix)]
    {
        let library = home.path().join(".ollama/models/manifests/registry.ollama.ai/library");
        std::os::unix::fs::symlink("/dev/zero", library.join("lost/endless")).unwrap();
        assert!(asked(&home, "ollama:lost:endless").failure(1).contains("is no manifest"));
    }
    let blobs = home.path().join(".ollama/models/blobs");
    fs::remove_dir_all(blobs).unwrap();
    assert!(asked(&home, "ollama:tiny").failure(1).contains("weights are missing"));
}
