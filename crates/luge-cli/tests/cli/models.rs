//! The models on this machine: `luge list`, `luge show`, and names that are none.

use std::fs;

use serde_json::Value;

use crate::gguf::Gguf;
use crate::ollama::store;
use crate::pull::{REPO, Setting};
use crate::support::{bare_luge, model};

/// A machine with a model of each kind, and some that are no good.
fn setting() -> Setting {
    let setting = Setting::new();
    setting.server.repo(
        "org/split-GGUF",
        &[("s-00001-of-00002.gguf", b"1"), ("s-00002-of-00002.gguf", b"2")],
    );
    let pulled = setting.luge("pull org/tiny-GGUF:F16 org/tiny-GGUF:Q8_0 org/split-GGUF").outcome();
    assert!(pulled.status.success(), "{pulled:#?}");
    let gemma = fs::read(model("gemma2")).unwrap();
    store(setting.home.path(), "registry.ollama.ai/library/gemma2/tiny", &[("model", &gemma)]);
    store(setting.home.path(), "registry.ollama.ai/library/cloud/latest", &[]);
    setting
}

/// A text with the home of the test by that name.
fn without_home(setting: &Setting, text: &str) -> String {
    text.replace(setting.home.path().to_str().unwrap(), "~")
}

// The list begins with what is built in.
#[cfg(feature = "atlas")]
#[test]
fn the_list_has_every_model_and_what_is_wrong_with_it() {
    let setting = setting();
    let text = setting.luge("list").stdout();
    insta::assert_snapshot!(without_home(&setting, &text));
    assert_eq!(setting.luge("ls").stdout(), text);
}

#[test]
fn a_split_model_is_one_row_and_a_part_that_is_lost_is_told() {
    let setting = setting();
    let repo = setting.cache().join("models--org--split-GGUF/snapshots");
    let snapshot = fs::read_dir(repo).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(snapshot.join("s-00002-of-00002.gguf")).unwrap();
    let text = setting.luge("list").stdout();
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("org/split-GGUF")).collect();
    assert_eq!(rows.len(), 2, "{text}");
    assert!(rows[0].contains("unusable"), "{text}");
    assert!(rows[1].contains("1 of 2 parts are there; luge pull fetches the others"), "{text}");
}

#[test]
fn the_list_as_data() {
    let setting = setting();
    let list = setting.luge("list").json();
    let models = list["models"].as_array().unwrap();
    let named = |name: &str| models.iter().find(|model| model["name"] == name).unwrap();
    let tiny = named("org/tiny-GGUF:Q8_0");
    assert_eq!(tiny["from"], "hugging_face");
    assert_eq!(tiny["architecture"], "llama");
    assert_eq!((tiny["layers"].as_u64(), tiny["vocab"].as_u64()), (Some(4), Some(169)));
    assert_eq!(tiny["bytes"].as_u64(), Some(fs::metadata(model("llama")).unwrap().len()));
    let path = tiny["path"].as_str().unwrap();
    assert_eq!(fs::read(path).unwrap(), fs::read(model("llama")).unwrap());
    assert_eq!(named("ollama:gemma2:tiny")["architecture"], "gemma2");
    assert!(named("ollama:cloud")["error"].as_str().unwrap().contains("no weights"));
    assert_eq!(named("ollama:cloud")["path"], Value::Null);
}

/// Every name in the list is one that -m takes.
#[test]
fn what_is_listed_can_be_named() {
    let setting = setting();
    let list = setting.luge("list").json();
    for model in list["models"].as_array().unwrap() {
        if model["error"].is_null() {
            let shown = setting.luge("show").arg(model["name"].as_str().unwrap()).json();
            assert_eq!(shown["architecture"], model["architecture"]);
            assert_eq!(shown["parameters"], model["parameters"]);
        }
    }
}

#[test]
fn a_model_is_described() {
    let setting = setting();
    let text = setting.luge("show").arg(REPO).flags("--offline").stdout();
    insta::assert_snapshot!("show", without_home(&setting, &text));
    let text = bare_luge().flags("show --metadata").arg(model("llama")).stdout();
    insta::assert_snapshot!("show_metadata", text);
}

#[test]
fn a_description_as_data() {
    let show = bare_luge().flags("show --metadata").arg(model("gemma2")).json();
    let shape = show["head"]["shape"].as_array().unwrap();
    let product: u64 = shape.iter().map(|axis| axis.as_u64().unwrap()).product();
    assert_eq!(show["exits"]["multiply_adds"].as_u64(), Some(product));
    assert_eq!(show["exits"]["count"], show["layers"]);
    assert_eq!(show["head"]["tied"], true);
    assert_eq!(show["metadata"]["general.architecture"], "gemma2");
    assert_eq!(show["metadata"]["tokenizer.ggml.tokens"]["type"], "str");
    assert_eq!(show["metadata"]["tokenizer.ggml.tokens"]["length"], show["vocab"]);
}

#[cfg(feature = "atlas")]
#[test]
fn what_was_published_for_a_model_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Llama-2-7b-hf.Q8_0.gguf");
    fs::copy(model("llama"), &file).unwrap();
    let text = bare_luge().flags("show").arg(&file).stdout();
    let (_, section) = text.split_once("Published settings of SLED\n").unwrap();
    assert!(
        section.lines().any(|line| {
            line.starts_with("truthfulqa ") && line.contains("evolution-rate 2.5, evolution-scale")
        }),
        "{text}"
    );
    let object = bare_luge().flags("show").arg(&file).json();
    let presets = object["presets"].as_array().unwrap();
    let row = presets.iter().find(|row| row["task"] == "truthfulqa").unwrap();
    assert_eq!(row["evolution_rate"], 2.5);
    // Of a model that no one published anything for, there is no word.
    let text = bare_luge().flags("show").arg(model("llama")).stdout();
    assert!(!text.contains("Published settings"), "{text}");
}

#[test]
fn a_chat_template_is_printed_whole() {
    let template = bare_luge().flags("show atlas --template").stdout();
    assert_eq!(
        template,
        format!("{}\n", bare_luge().flags("show atlas").json()["chat_template"].as_str().unwrap())
    );
    assert!(template.contains("{%"));
    let none = bare_luge().flags("show --template").arg(model("llama")).failure(1);
    assert!(none.contains("has no chat template"));
    bare_luge().flags("show atlas --template --metadata").failure(2);
}

#[test]
fn a_damaged_file_is_not_described() {
    let (bytes, parts) = Gguf::parity("llama").to_bytes();
    let file = crate::gguf::file(&bytes[..parts.metadata - 9]);
    assert!(bare_luge().flags("show").arg(file.path()).failure(1).contains("damaged"));
}

#[test]
fn names_that_are_none_bring_up_the_nearest() {
    let setting = setting();
    let said = |name: &str| setting.luge("run -m").arg(name).arg("x").failure(1);
    let message = said("tiny");
    assert!(message.contains("there is no model 'tiny'"), "{message}");
    for part in ["org/tiny-GGUF:F16", "org/tiny-GGUF:Q8_0", "org/name on Hugging Face", "luge list"]
    {
        assert!(message.contains(part), "{message}");
    }
    assert!(said("gemma2").contains("ollama:gemma2:tiny"));
    // A file's neighbours are other files.
    let folder = setting.home.path().join("models");
    fs::create_dir(&folder).unwrap();
    fs::copy(model("llama"), folder.join("llama.gguf")).unwrap();
    let message = said(folder.join("lama.gguf").to_str().unwrap());
    assert!(
        message.contains("lama.gguf'; there is ") && message.contains("llama.gguf"),
        "{message}"
    );
}
