//! Settings of SLED that were published for a model and a task.
//!
//! How far SLED's steps should go, and among how many tokens, differs from model to
//! model and from task to task; the method's authors chose both for each, and how many
//! steps there are, and what other tokens get, for each task. Their
//! choices are here, with where they stand, and nothing else: what no one has
//! published has no row. [`matching`] finds the rows of a model by its names,
//! [`for_model`]
//! those of a loaded one, [`for_file`] those of a file, [`choose`] the one for a task.
//!
//! Whether a setting helps on a text that is not the task's own is another question:
//! each was chosen for the score in one benchmark.

mod table;

use std::collections::BTreeSet;
use std::path::Path;

use luge_decoding::Params;
use luge_llama::{Error, Gguf, Model};

pub use table::PRESETS;

/// What SLED was set to for a model on a task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// The model, as its makers call it, without what is said of its file.
    pub model: &'static str,
    /// The architecture that its GGUF file names.
    pub architecture: &'static str,
    /// The name of one of the [`TASKS`].
    pub task: &'static str,
    /// SLED's α.
    pub evolution_rate: f32,
    /// SLED's k, in tokens.
    pub evolution_scale: usize,
    /// SLED's T.
    pub evolution_steps: usize,
    /// SLED's η, a logit.
    pub evolution_lower_bound: f32,
    /// Where it was published.
    pub source: &'static str,
}

/// The parameters that a row sets.
pub const PARAMS: [&str; 4] =
    ["evolution-rate", "evolution-scale", "evolution-steps", "evolution-lower-bound"];

impl Preset {
    /// The settings as parameters of the method: each of [`PARAMS`].
    pub fn params(&self) -> Params {
        let values = [
            self.evolution_rate.to_string(),
            self.evolution_scale.to_string(),
            self.evolution_steps.to_string(),
            self.evolution_lower_bound.to_string(),
        ];
        let mut params = Params::default();
        for (name, value) in PARAMS.into_iter().zip(values) {
            params.set(name, value);
        }
        params
    }
}

/// A benchmark that settings were chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// The name, as in `--preset NAME`.
    pub name: &'static str,
    /// What has to be done in it.
    pub about: &'static str,
}

/// The tasks, those first that are most like continuing a text: the first one with a
/// row is taken for a model where no task is named.
pub const TASKS: [Task; 4] = [
    Task { name: "strategyqa", about: "questions answered in writing, in several steps" },
    Task { name: "gsm8k", about: "arithmetic in words, answered in writing" },
    Task { name: "factor", about: "the true one of several continuations of a text" },
    Task { name: "truthfulqa", about: "the true ones of several answers to a question" },
];

/// The rows for a model with this architecture and any of these names: its
/// `general.name`, its file's name, or another. Upper and lower case, separators, the
/// quantisation and the publisher make no difference; every other word does, as a
/// model that was trained further is another one.
pub fn matching<'a>(
    architecture: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<&'static Preset> {
    let names: Vec<_> = names.into_iter().map(words).filter(|words| !words.is_empty()).collect();
    let is_named = |preset: &Preset| names.contains(&words(preset.model));
    let of_model = |preset: &&Preset| preset.architecture == architecture && is_named(preset);
    PRESETS.iter().filter(of_model).collect()
}

/// The rows for a loaded model, by its metadata and its file's name.
pub fn for_model(model: &Model) -> Vec<&'static Preset> {
    of_file(model.architecture(), model.path(), |key| model.metadata(key))
}

/// The rows for the model in a GGUF file, of which only the header is read.
///
/// # Errors
/// What [`Gguf::open`] reports.
pub fn for_file(path: &Path) -> Result<Vec<&'static Preset>, Error> {
    let gguf = Gguf::open(path)?;
    let architecture = gguf.string("general.architecture").unwrap_or_default();
    Ok(of_file(&architecture, path, |key| gguf.string(key)))
}

fn of_file(
    architecture: &str,
    path: &Path,
    metadata: impl Fn(&str) -> Option<String>,
) -> Vec<&'static Preset> {
    let mut names = Vec::from_iter(metadata("general.name"));
    let part = |key: &str| metadata(key).unwrap_or_default();
    // What converters take a name apart into.
    names.push(format!(
        "{} {} {}",
        part("general.basename"),
        part("general.size_label"),
        part("general.finetune"),
    ));
    names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
    matching(architecture, names.iter().map(String::as_str))
}

/// The row of a model for a task; without one, for the first of [`TASKS`] that has a
/// row.
pub fn choose(rows: &[&'static Preset], task: Option<&str>) -> Option<&'static Preset> {
    let of_task = |task: &str| rows.iter().copied().find(|row| row.task == task);
    match task {
        Some(task) => of_task(task),
        None => TASKS.iter().find_map(|task| of_task(task.name)),
    }
}

/// What distinguishes a model's name from others.
fn words(name: &str) -> BTreeSet<String> {
    let name = name.to_lowercase();
    let name = name.strip_suffix(".gguf").unwrap_or(&name);
    let mut words = BTreeSet::new();
    let mut parts =
        name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = parts.next() {
        if is_encoding(word) {
            break;
        }
        match word {
            // The publisher, and the format that the weights were in.
            "meta" | "mistralai" | "hf" => {}
            // The only version that there is.
            "v0" if parts.next_if_eq(&"1").is_some() => {}
            _ => match word.strip_prefix("llama") {
                Some(version) if !version.is_empty() && is_number(version) => {
                    words.extend(["llama".to_owned(), version.to_owned()]);
                }
                _ => {
                    words.insert(word.to_owned());
                }
            },
        }
    }
    words
}

/// Whether a word says how weights are stored: what follows is about that too.
fn is_encoding(word: &str) -> bool {
    let quantised = word.trim_start_matches('i').strip_prefix('q');
    matches!(word, "f16" | "f32" | "bf16" | "fp16" | "mxfp4" | "gguf" | "ggml")
        || quantised.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        // The first part of a split model: 00001-of-00002.
        || word.len() == 5 && is_number(word)
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(name: &str) -> Vec<&'static str> {
        matching("llama", [name]).iter().map(|row| row.task).collect()
    }

    #[test]
    fn a_model_is_known_by_the_names_that_files_give_it() {
        let names = [
            "Llama-2-7b-chat-hf",
            "llama-2-7b-chat.Q4_K_M.gguf",
            "Llama 2 7b Chat Hf",
            "meta-llama_Llama-2-7b-chat-hf-f16.gguf",
            "llama2-7b-chat.IQ3_XS-00001-of-00003.gguf",
        ];
        for name in names {
            assert_eq!(tasks(name), ["truthfulqa", "factor", "strategyqa", "gsm8k"], "{name}");
        }
        for name in ["Meta-Llama-3-8B-Instruct-Q4_K_M.gguf", "mixtral-8x7b-v0.1.Q5_0.gguf"] {
            assert_eq!(tasks(name), ["truthfulqa", "factor"], "{name}");
        }
    }

    #[test]
    fn a_relative_is_another_model() {
        let names = [
            "Llama-3.1-8B",
            "Llama-2-7b-32K-instruct",
            "CodeLlama-7b",
            "TinyLlama-2-7b",
            "Mixtral-8x22B-v0.1",
            "llama-2",
            "Q4_K_M.gguf",
            "",
        ];
        for name in names {
            assert_eq!(tasks(name), [""; 0], "{name}");
        }
        assert!(matching("gpt2", ["Llama-2-7b-hf"]).is_empty());
    }

    #[test]
    fn without_a_task_the_one_most_like_continuing_is_taken() {
        let rows = |name: &'static str| matching("llama", [name]);
        assert_eq!(choose(&rows("Llama-2-7b"), None).unwrap().task, "strategyqa");
        assert_eq!(choose(&rows("Llama-3-8B"), None).unwrap().task, "factor");
        assert_eq!(choose(&rows("Llama-3-8B"), Some("gsm8k")), None);
        assert_eq!(choose(&[], None), None);
    }

    #[test]
    fn the_docs_have_every_row() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let docs = std::fs::read_to_string(file).unwrap();
        let has = |name: &str, cell: &dyn Fn(&Preset) -> String, model: Option<&str>| {
            let cells = TASKS.map(|task| {
                let is_meant = |row: &&Preset| {
                    row.task == task.name && model.is_none_or(|model| row.model == model)
                };
                PRESETS.iter().find(is_meant).map(cell).unwrap_or_default()
            });
            let line = format!("\n| {name} | {} |\n", cells.join(" | "));
            assert!(docs.contains(&line), "docs/configuration.md lacks {line}");
        };
        for model in PRESETS.iter().map(|row| row.model) {
            let cell = |row: &Preset| format!("{}, {}", row.evolution_rate, row.evolution_scale);
            has(model, &cell, Some(model));
        }
        has("*steps*", &|row| row.evolution_steps.to_string(), None);
        has("*lower bound*", &|row| row.evolution_lower_bound.to_string(), None);
    }

    #[test]
    fn every_row_can_be_asked_for_and_is_there_once() {
        for row in PRESETS {
            assert!(TASKS.iter().any(|task| task.name == row.task), "{row:?}");
            let rows = matching(row.architecture, [row.model]);
            assert_eq!(rows.iter().filter(|other| other.task == row.task).count(), 1, "{row:?}");
            // They are such as the method takes.
            let sled = luge_decoding::Pipeline::parse("sled", &row.params());
            assert!(sled.is_ok() && row.evolution_rate > 0.0, "{row:?}");
            assert!(row.source.starts_with("https://"), "{row:?}");
        }
    }
}
