//! The profile: a chosen setting as a table for the configuration file.

use std::io::Write;
use std::path::Path;

use luge::Params;
use luge_eval::Results;
use luge_eval::report::{tuning_notes, with_interval};
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;
use crate::locate::Source;
use crate::output::{ASIDE, HEADING};
use crate::resolve::TuneJob;

/// How many characters a comment has at most.
const WIDTH: usize = 88;

/// A table for the model, with the method and these of its parameters, and how they came
/// to be.
pub fn text(job: &TuneJob, results: &Results, params: &Params) -> String {
    let mut text = String::new();
    for sentence in remarks(results) {
        for line in wrapped(&sentence) {
            text += &format!("# {line}\n");
        }
    }
    text += &format!("[models.{}]\n", quoted(&pattern(&job.eval.model.source)));
    text += &format!("method = {}\n", quoted(job.method.name));
    for param in job.method.params {
        if let Some(own) = params.get(param.name) {
            text += &format!("{} = {}\n", param.name, value(own.trim()));
        }
    }
    text
}

/// Shows where it goes.
pub fn print(profile: &str, path: &Path) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "\n{HEADING}For luge's configuration file{HEADING:#}")?;
    write!(out, "{profile}")?;
    writeln!(
        out,
        "{ASIDE}'{}' has it too; luge config --path says where it goes{ASIDE:#}",
        path.display()
    )?;
    out.flush()?;
    Ok(())
}

/// What it was tuned on, when, from how much, and what came of it.
fn remarks(results: &Results) -> Vec<String> {
    let setup = &results.setup;
    let Some((tuning, task)) = results.tuning.as_ref().zip(results.tasks.first()) else {
        return Vec::new();
    };
    let title = setup.tasks.first().map_or("", |task| task.title.as_str());
    let mut remarks = vec![format!(
        "{} tuned for {} on {title} by luge {}, {}: the best of {} settings on {} documents.",
        tuning.method,
        setup.model.name,
        setup.luge,
        results.times.finished,
        tuning.settings,
        tuning.documents,
    )];
    if let Some(metric) = task.metrics.first().filter(|_| task.documents > 0) {
        let controls = setup.methods.iter().zip(&metric.methods);
        let means = controls
            .filter(|(method, _)| method.role != luge_eval::results::Role::Control)
            .map(|(_, own)| format!("{} {}", own.method, with_interval(own.mean, own.interval)));
        let means: Vec<String> = means.collect();
        remarks.push(format!(
            "Percent by {} on the {} that were held out, with 95% intervals: {}.",
            metric.name,
            task.documents,
            means.join(", ")
        ));
    }
    remarks.extend(tuning_notes(results).into_iter().take(2));
    remarks
}

/// The name under which a configuration file knows a model wherever it lies.
fn pattern(source: &Source) -> String {
    let name = source.name();
    match source {
        Source::File(path) => path
            .file_name()
            .map_or_else(|| name.clone().into_owned(), |name| name.to_string_lossy().into_owned()),
        _ => name.into_owned(),
    }
}

/// A text as TOML has it, where quotes and marks are written as in JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A value as one would write it: numbers without quotes.
fn value(text: &str) -> String {
    let line = format!("x = {text}");
    let table = DeTable::parse(&line).ok();
    let read = table.as_ref().and_then(|table| table.get_ref().get("x"));
    match read.map(|value| value.get_ref()) {
        Some(DeValue::Integer(_) | DeValue::Float(_)) => text.to_owned(),
        _ => quoted(text),
    }
}

/// A sentence in lines that fit. Marks that a comment must not have become blanks.
fn wrapped(sentence: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in sentence.replace(char::is_control, " ").split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_one_would() {
        let written = ["0.5", "10", "-1", "all", "0,2,4", "-4..", "05", "raw", "1\n[x]"].map(value);
        let wanted = [
            "0.5",
            "10",
            "-1",
            "\"all\"",
            "\"0,2,4\"",
            "\"-4..\"",
            "\"05\"",
            "\"raw\"",
            "\"1\\n[x]\"",
        ];
        assert_eq!(written, wanted);
    }

    #[test]
    fn names_of_models_are_read_as_they_were() {
        for name in ["a\"b\\c\n\u{7f}é", "org/name:Q4_K_M", "C:\\models\\m.gguf"] {
            let line = format!("[models.{}]\nx = 1\n", quoted(name));
            let table = DeTable::parse(&line).unwrap();
            let models = table.get_ref().get("models").unwrap().get_ref().as_table().unwrap();
            assert!(models.get(name).is_some(), "{line}");
        }
    }

    #[test]
    fn comments_are_lines_that_fit() {
        let lines = wrapped(&"one two\nthree ".repeat(20));
        assert!(lines.len() > 2);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH && !line.contains('\n')));
        assert_eq!(lines.join(" ").split(' ').count(), 60);
    }
}
