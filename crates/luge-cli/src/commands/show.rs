//! `luge show`: what a model's file says about it, and what reading its layers costs.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use luge::presets::{self, PARAMS, Preset};
use luge::{Description, Gguf, MetadataValue};
use luge_hub::human_bytes;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::args::{Format, ShowArgs};
use crate::commands::cells::shown;
use crate::failure::Failure;
use crate::locate::{self, Source};
use crate::output::{ASIDE, HEADING, page, print_json};

#[derive(Serialize)]
struct ShowObject<'a> {
    model: &'a str,
    #[serde(flatten)]
    about: &'a Description,
    /// SLED's settings as published for the model.
    presets: Vec<PresetObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Serialize)]
struct PresetObject {
    task: &'static str,
    evolution_rate: f32,
    evolution_scale: usize,
    evolution_steps: usize,
    evolution_lower_bound: f32,
    source: &'static str,
}

impl PresetObject {
    fn new(preset: &Preset) -> Self {
        PresetObject {
            task: preset.task,
            evolution_rate: preset.evolution_rate,
            evolution_scale: preset.evolution_scale,
            evolution_steps: preset.evolution_steps,
            evolution_lower_bound: preset.evolution_lower_bound,
            source: preset.source,
        }
    }
}

pub fn run(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let source = locate::source(Some(&args.model), args.fetch)?;
    // Its file lies in a cache or is temporary, and is there as long as this is.
    #[cfg(feature = "atlas")]
    let built_in;
    let path: PathBuf = match &source {
        Source::File(path) => path.clone(),
        Source::Stored(stored) => stored.path()?,
        #[cfg(feature = "atlas")]
        Source::BuiltIn { .. } => {
            built_in = luge::builtin::unpack()?;
            built_in.to_path_buf()
        }
    };
    let about = Description::read(&path)?;
    if args.template {
        let template = about.chat_template.as_deref().ok_or_else(|| {
            Failure::Run(format!("the model '{}' has no chat template", source.name()))
        })?;
        let mut out = io::stdout().lock();
        match out.is_terminal() {
            true => writeln!(out, "{}", harmless(template))?,
            false => writeln!(out, "{template}")?,
        }
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let published = presets::for_file(&path)?;
    let metadata = match args.metadata {
        true => Some(metadata(&path)?),
        false => None,
    };
    match (args.format, metadata) {
        (Format::Json, metadata) => {
            let json = |metadata: Vec<(String, MetadataValue)>| {
                metadata.into_iter().map(|(key, value)| (key, json(value))).collect()
            };
            let metadata = metadata.map(json);
            let presets = published.into_iter().map(PresetObject::new).collect();
            print_json(&ShowObject { model: &source.name(), about: &about, presets, metadata })?;
        }
        (Format::Text, Some(metadata)) => {
            let lines = metadata.into_iter().map(|(key, value)| (shown(&key), text(value)));
            page(&aligned(&lines.collect::<Vec<_>>()))?;
        }
        (Format::Text, None) => page(&description(&source.name(), &about, &published))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// All there is to read, a section after the other.
fn description(name: &str, about: &Description, published: &[&Preset]) -> String {
    let sections = [
        ("Model", model_lines(name, about)),
        ("LM head and exits", head_lines(about)),
        ("Published settings of SLED", preset_lines(published)),
        ("Text", text_lines(about)),
        ("Files", file_lines(about)),
    ];
    let section = |(title, lines): &(&str, Vec<(String, String)>)| {
        format!("{HEADING}{title}{HEADING:#}\n{}", aligned(lines))
    };
    let sections: Vec<String> =
        sections.iter().filter(|(_, lines)| !lines.is_empty()).map(section).collect();
    sections.join("\n")
}

/// What is there, under its name.
fn lines<const N: usize>(lines: [(&str, Option<String>); N]) -> Vec<(String, String)> {
    lines.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?))).collect()
}

fn number(number: Option<u64>) -> Option<String> {
    number.map(|number| number.to_string())
}

fn model_lines(name: &str, about: &Description) -> Vec<(String, String)> {
    let heads = about.heads.map(|heads| match about.kv_heads {
        Some(kv) if kv != heads => format!("{heads}, {kv} of keys and values"),
        _ => heads.to_string(),
    });
    let experts =
        about.experts.map(|experts| format!("{}, {} of them a token", experts.count, experts.used));
    lines([
        ("model", Some(name.to_owned())),
        ("name", about.name.as_deref().map(shown)),
        ("architecture", Some(shown(&about.architecture))),
        ("parameters", Some(human_count(about.parameters))),
        ("quantisation", Some(about.quantisation.clone())),
        ("size", Some(human_bytes(about.bytes))),
        ("context", about.context.map(|context| format!("{context} tokens"))),
        ("layers", number(about.layers)),
        ("width", number(about.width)),
        ("heads", heads),
        ("experts", experts),
        ("licence", about.license.as_deref().map(shown)),
    ])
}

fn head_lines(about: &Description) -> Vec<(String, String)> {
    let Some(head) = &about.head else { return Vec::new() };
    let [width, vocab] = head.shape;
    let tied = if head.tied { "tied to the embedding" } else { "its own" };
    let exits = about.exits;
    lines([
        (
            "head",
            Some(format!("{width} × {vocab}, {}, {}, {tied}", head.kind, human_bytes(head.bytes))),
        ),
        (
            "one exit",
            exits
                .map(|exits| format!("{} multiply-adds a token", human_count(exits.multiply_adds))),
        ),
        (
            "all exits",
            exits.map(|exits| {
                let all = exits.multiply_adds.saturating_mul(exits.count);
                format!(
                    "{}, {} multiply-adds a token: what SLED reads",
                    exits.count,
                    human_count(all)
                )
            }),
        ),
        (
            "reads",
            exits.map(|exits| {
                let share = 100.0 * exits.head_bytes as f64 / exits.token_bytes.max(1) as f64;
                format!(
                    "{} of the head once for all exits: {share:.0}% more than the {} of an \
                     ordinary token",
                    human_bytes(exits.head_bytes),
                    human_bytes(exits.token_bytes),
                )
            }),
        ),
    ])
}

/// A line a task, for `--preset`.
fn preset_lines(published: &[&Preset]) -> Vec<(String, String)> {
    let line = |preset: &&Preset| {
        let params = preset.params();
        let value = |name: &str| params.get(name).unwrap_or_default().to_owned();
        let values = PARAMS.map(|name| format!("{name} {}", value(name))).join(", ");
        (preset.task.to_owned(), format!("{values} ({})", preset.source))
    };
    published.iter().map(line).collect()
}

fn text_lines(about: &Description) -> Vec<(String, String)> {
    let mut all = lines([
        ("vocabulary", about.vocab.map(|vocab| format!("{vocab} tokens"))),
        ("tokenizer", about.tokenizer.as_deref().map(shown)),
    ]);
    all.extend(about.special_tokens.iter().map(|token| {
        let text =
            token.text.as_deref().map_or_else(String::new, |text| format!(" {}", shown(text)));
        (token.role.clone(), format!("{}{text}", token.id))
    }));
    let template = match &about.chat_template {
        Some(template) => format!("{} characters (--template)", template.chars().count()),
        None => "none".to_owned(),
    };
    all.push(("chat template".to_owned(), template));
    all
}

fn file_lines(about: &Description) -> Vec<(String, String)> {
    let tensors = about.tensors.iter().map(|kind| {
        let what = format!("{} {}", kind.count, if kind.count == 1 { "tensor" } else { "tensors" });
        (kind.kind.clone(), format!("{what}, {}", human_bytes(kind.bytes)))
    });
    let paths = about.paths.iter().map(|path| ("path".to_owned(), path.display().to_string()));
    tensors.chain(paths).collect()
}

/// Lines of names and texts, the texts below each other.
fn aligned(lines: &[(String, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let line = |(name, text): &(String, String)| {
        let blanks = " ".repeat(width - name.width());
        format!("{ASIDE}{name}{ASIDE:#}{blanks}  {text}\n")
    };
    lines.iter().map(line).collect()
}

fn metadata(path: &Path) -> Result<Vec<(String, MetadataValue)>, Failure> {
    Ok(Gguf::open(path)?.metadata().collect())
}

/// A text in its lines, without what a terminal would take for orders.
fn harmless(text: &str) -> String {
    let is_order = |c: char| luge_page::is_unprintable(c) && !matches!(c, '\n' | '\t');
    text.replace(is_order, "\u{fffd}")
}

/// A value on one line, cut where it is long.
fn text(value: MetadataValue) -> String {
    const LONGEST: usize = 200;
    match value {
        MetadataValue::Unsigned(number) => number.to_string(),
        MetadataValue::Signed(number) => number.to_string(),
        MetadataValue::F32(number) => number.to_string(),
        MetadataValue::F64(number) => number.to_string(),
        MetadataValue::Bool(truth) => truth.to_string(),
        MetadataValue::Array { kind, length } => format!("{length} of {kind}"),
        MetadataValue::Text(text) => {
            let begin: String = shown(&text).chars().take(LONGEST).collect();
            let length = text.chars().count();
            if length > LONGEST { format!("{begin}… ({length} characters)") } else { begin }
        }
        _ => "of a type that luge does not know".to_owned(),
    }
}

fn json(value: MetadataValue) -> serde_json::Value {
    match value {
        MetadataValue::Unsigned(number) => number.into(),
        MetadataValue::Signed(number) => number.into(),
        // JSON has no infinite numbers: they become null.
        MetadataValue::F32(number) => f64::from(number).into(),
        MetadataValue::F64(number) => number.into(),
        MetadataValue::Bool(truth) => truth.into(),
        MetadataValue::Text(text) => text.into(),
        MetadataValue::Array { kind, length } => {
            serde_json::json!({ "type": kind, "length": length })
        }
        _ => serde_json::Value::Null,
    }
}

/// A large number in three digits: "1.24 B".
pub fn human_count(count: u64) -> String {
    const UNITS: [&str; 5] = ["", " k", " M", " B", " T"];
    let mut number = count as f64;
    let mut unit = 0;
    // What would be shown as 1000 is one of the next unit.
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = match number {
        _ if unit == 0 => 0,
        number if number < 9.995 => 2,
        number if number < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.digits$}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_gives_a_terminal_no_orders() {
        assert_eq!(
            harmless("{% if a %}\n\té\u{1b}]0;x\u{7}"),
            "{% if a %}\n\té\u{fffd}]0;x\u{fffd}"
        );
    }

    #[test]
    fn counts_are_written_in_three_digits() {
        let shown = [0, 999, 1000, 33_520, 999_499, 999_500, 1_235_814_432, 70_553_706_496]
            .map(human_count);
        let wanted = ["0", "999", "1.00 k", "33.5 k", "999 k", "1.00 M", "1.24 B", "70.6 B"];
        assert_eq!(shown, wanted);
    }
}
