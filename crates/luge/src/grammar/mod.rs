//! Text that keeps to a grammar: what may be generated, said as a JSON schema, as a
//! grammar in Lark's notation or as a regular expression.
//!
//! A grammar says at every position which tokens may come next. All others count as
//! ruled out, for the method and for the final layer alike: see
//! [`GenerateOptions::grammar`](crate::GenerateOptions::grammar).
//!
//! ```no_run
//! use luge::{GenerateOptions, Grammar, Model, ModelParams, Pipeline, Session, SessionOptions};
//!
//! let schema = r#"{
//!     "type": "object",
//!     "properties": {
//!         "city": {"type": "string", "maxLength": 30},
//!         "size": {"enum": ["small", "large"]}
//!     },
//!     "required": ["city", "size"],
//!     "additionalProperties": false
//! }"#;
//! let options =
//!     GenerateOptions { grammar: Some(Grammar::json_schema(schema)?), ..Default::default() };
//!
//! let model = Model::load("model.gguf".as_ref(), &ModelParams::default())?;
//! let mut session = Session::new(&model, &SessionOptions::default())?;
//! let sled = session.decoder(&"sled".parse::<Pipeline>()?)?;
//! let prompt = model.tokenize_prompt("Describe the capital of British Columbia as JSON: ")?;
//! let answer = session.generate(&sled, &prompt, &options)?.finish()?;
//! println!("{}", answer.text);
//! # Ok::<(), luge::Error>(())
//! ```
//!
//! The work is done by the crate [llguidance]: a lexer of derivatives and an Earley
//! parser, which walk over all tokens at once in a trie. The trie is made when a session
//! meets its first grammar, and kept; a session that meets none never makes it.
//!
//! [llguidance]: https://docs.rs/llguidance

mod constraint;
mod report;
mod vocabulary;

use std::sync::Arc;

use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use serde_json::{Map, Value, json};

use crate::Error;
pub(crate) use constraint::Constraint;
pub(crate) use vocabulary::Vocabulary;

/// The key under which a schema may carry options for llguidance.
const OPTIONS: &str = "x-guidance";

/// What llguidance remarks where a grammar names tokens and there is no vocabulary.
const NO_TOKENS: &str = "no tokenizer";

/// The white space that JSON may have between its parts: none, a blank, or a line break
/// with up to 20 blanks. A model that likes them could otherwise go on for ever.
const WHITE_SPACE: &str = r"\x20|\x0A\x20{0,20}";

/// What may be generated. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Grammar {
    source: Arc<Source>,
}

#[derive(Debug, PartialEq)]
enum Source {
    JsonSchema(Value),
    Lark(String),
    Regex(String),
}

impl Source {
    /// What it is called in a sentence.
    fn name(&self) -> &'static str {
        match self {
            Source::JsonSchema(_) => "JSON schema",
            Source::Lark(_) => "grammar",
            Source::Regex(_) => "regular expression",
        }
    }

    /// The longest that it may be, in bytes. What it takes to compile one may grow faster
    /// than its length.
    fn longest(&self) -> usize {
        match self {
            Source::JsonSchema(_) => 4 << 20,
            Source::Lark(_) => 256 << 10,
            Source::Regex(_) => 16 << 10,
        }
    }

    fn top_level(&self) -> TopLevelGrammar {
        match self {
            Source::JsonSchema(schema) => TopLevelGrammar::from_json_schema(schema.clone()),
            Source::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
            Source::Regex(text) => TopLevelGrammar::from_regex(text),
        }
    }

    /// Why it cannot be used, from llguidance's report.
    fn error(&self, report: &str) -> Error {
        Error::Grammar { what: self.name(), reason: report::reason(report, self) }
    }
}

impl Grammar {
    /// JSON that a [JSON schema](https://json-schema.org) describes, given as text: an
    /// object, with its properties in the schema's order.
    ///
    /// # Errors
    /// [`Error::Grammar`] for a text that is not JSON, a schema that nothing satisfies,
    /// one with keywords that cannot be followed, and one that is too large.
    pub fn json_schema(text: &str) -> Result<Self, Error> {
        let bad = |reason| Error::Grammar { what: "JSON schema", reason };
        let schema = match serde_json::from_str(text) {
            Ok(Value::Bool(true)) => json!({}),
            Ok(schema) => schema,
            Err(error) => return Err(bad(format!("it is not JSON ({error})"))),
        };
        Grammar::checked(Source::JsonSchema(with_white_space(schema)), text.len())
    }

    /// Text that a grammar describes, in llguidance's variant of Lark's notation:
    /// `start: "yes" | "no"`.
    ///
    /// # Errors
    /// [`Error::Grammar`] for a text that is no such grammar, with the place where it
    /// is at fault; for one in GBNF, llama.cpp's notation; for one that is too large.
    pub fn lark(text: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Grammar { what: "grammar", reason: reason.to_owned() };
        if is_gbnf(text) {
            return Err(bad(
                "it is in GBNF, llama.cpp's notation, which luge does not read: write it in \
                 Lark's, as in start: \"yes\" | \"no\", or give a JSON schema",
            ));
        }
        Grammar::checked(Source::Lark(text.to_owned()), text.len())
    }

    /// Text that a regular expression matches as a whole, in the syntax of the crate
    /// `regex`.
    ///
    /// # Errors
    /// [`Error::Grammar`] for a text that is no regular expression, and for one that is
    /// too large.
    pub fn regex(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            let reason = "it is empty, and so would every text be".to_owned();
            return Err(Error::Grammar { what: "regular expression", reason });
        }
        Grammar::checked(Source::Regex(text.to_owned()), text.len())
    }

    /// The grammar, if it can be followed: found out with a vocabulary of single bytes,
    /// as no model is needed for that. Only the names of control tokens are left to be
    /// looked up in a model's own.
    fn checked(source: Source, length: usize) -> Result<Self, Error> {
        let most = source.longest();
        if length > most {
            let reason = format!("it has {length} bytes, and {most} are the most");
            return Err(Error::Grammar { what: source.name(), reason });
        }
        let check = || {
            let grammar = GrammarInit::Serialized(source.top_level());
            let (grammar, lexer) = grammar.to_internal(None, limits())?;
            let names_tokens = lexer.render_warnings().iter().any(|text| text.contains(NO_TOKENS));
            let grammar = GrammarInit::Internal(grammar, lexer);
            let parser = vocabulary::bytes()?.create_parser_from_init_default(grammar)?;
            Ok(names_tokens || Constraint::new(parser, vocabulary::BYTES).can_begin())
        };
        match report::caught(check) {
            Ok(true) => Ok(Grammar { source: Arc::new(source) }),
            Ok(false) => Err(source.error("no text keeps to it")),
            Err(report) => Err(source.error(&report)),
        }
    }
}

/// A schema whose texts have white space that comes to an end.
pub(crate) fn with_white_space(mut schema: Value) -> Value {
    // Who gives options of their own knows what white space they want.
    if let Some(schema) = schema.as_object_mut()
        && !schema.contains_key(OPTIONS)
    {
        let options = Map::from_iter([("whitespace_pattern".to_owned(), WHITE_SPACE.into())]);
        schema.insert(OPTIONS.to_owned(), options.into());
    }
    schema
}

/// How much work a grammar may take, so that none makes a program hang: compiling it
/// some seconds at most, a token some tenths of one. The parser may work longer on a
/// token than llguidance grants by itself, which is made for servers with deadlines.
fn limits() -> ParserLimits {
    let default = ParserLimits::default();
    ParserLimits {
        max_items_in_row: 10 * default.max_items_in_row,
        step_max_items: 10 * default.step_max_items,
        verbose_errors: false,
        ..default
    }
}

/// Whether a grammar is in llama.cpp's notation, whose rules are written with `::=`.
fn is_gbnf(text: &str) -> bool {
    let is_rule = |line: &str| {
        let name = line.trim_start().split_once("::=").map(|(name, _)| name.trim_end());
        name.is_some_and(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        })
    };
    text.lines().any(is_rule)
}
