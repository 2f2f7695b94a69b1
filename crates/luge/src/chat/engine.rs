//! Templates in minijinja, set up as Hugging Face's transformers sets up Jinja.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind};

use super::json;
use crate::Error;

/// Instructions that a rendering may take: thousands of messages, and no endless loop.
const FUEL: u64 = 20_000_000;

/// Whether a template can be read.
pub(super) fn check(source: &str) -> Result<(), Error> {
    let source = without_marks(source);
    environment(None).template_from_str(&source).map(|_| ()).map_err(syntax_error)
}

/// A template with the values of its variables.
pub(super) fn render(
    source: &str,
    variables: Value,
    time: Option<DateTime>,
) -> Result<String, Error> {
    let source = without_marks(source);
    let environment = environment(time);
    let template = environment.template_from_str(&source).map_err(syntax_error)?;
    template.render(variables).map_err(failure)
}

fn environment<'a>(time: Option<DateTime>) -> Environment<'a> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    // The delimiters are the usual ones, which are always valid.
    environment.set_syntax(syntax.unwrap_or_default());
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", json::tojson);
    environment.add_function("raise_exception", |message: String| -> Result<Value, _> {
        let error = minijinja::Error::new(ErrorKind::InvalidOperation, "raised");
        Err(error.with_source(Raised(message)))
    });
    environment.add_function("strftime_now", move |format: &str| {
        let time = time.unwrap_or_else(|| jiff::Zoned::now().datetime());
        jiff::fmt::strtime::format(format, time).map_err(|error| {
            let reason = format!("the time cannot be written as {format:?} ({error})");
            minijinja::Error::new(ErrorKind::InvalidOperation, reason)
        })
    });
    environment
}

/// The template without the blocks in which transformers encloses what the model
/// generates: they change no text, and Jinja itself does not know them.
fn without_marks(source: &str) -> Cow<'_, str> {
    if !source.contains("generation") {
        return Cow::Borrowed(source);
    }
    let mut result = String::new();
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let inside = &rest[start + 2..start + length];
        let bare = inside.trim_matches(['-', '+']);
        let replaced = match bare.trim() {
            "generation" => inside.replace("generation", "if true"),
            "endgeneration" => inside.replace("endgeneration", "endif"),
            _ => inside.to_owned(),
        };
        result.push_str(&rest[..start]);
        result.push_str(&format!("{{%{replaced}%}}"));
        rest = &rest[start + length + 2..];
    }
    result.push_str(rest);
    Cow::Owned(result)
}

/// What a template said with `raise_exception`.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn syntax_error(error: minijinja::Error) -> Error {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Error::TemplateSyntax { line: error.line().unwrap_or(1), reason: one_line(&reason) }
}

/// What went wrong while a template ran.
fn failure(error: minijinja::Error) -> Error {
    // The innermost error knows best.
    let (mut inner, mut line) = (&error, error.line());
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if let Some(Raised(message)) = cause.downcast_ref() {
            return Error::TemplateRefuses { message: one_line(message) };
        }
        if let Some(cause) = cause.downcast_ref::<minijinja::Error>() {
            (inner, line) = (cause, cause.line().or(line));
        }
        source = cause.source();
    }
    let reason = match (inner.kind(), inner.detail()) {
        (ErrorKind::OutOfFuel, _) => "it goes on for too long".to_owned(),
        (ErrorKind::UndefinedError, _) => "it uses something that is not there".to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    };
    Error::TemplateFails { line, reason: one_line(&reason) }
}

/// A text as part of a sentence: its first few hundred characters, on one line, and without
/// the control characters that a terminal would obey.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|c| !c.is_control()).take(500).collect();
    match line.strip_suffix('.') {
        Some(sentence) if !sentence.ends_with('.') => sentence.to_owned(),
        _ => line,
    }
}
