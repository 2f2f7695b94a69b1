//! Grammars: read, and checked as far as that goes without a model.

use std::fs;

use luge::{Error, Grammar};

use crate::args::GrammarArgs;
use crate::failure::Failure;

/// What the text must keep to, if anything.
pub fn grammar(args: GrammarArgs) -> Result<Option<Grammar>, Failure> {
    match (args.json_schema, args.grammar, args.regex) {
        (Some(schema), ..) if schema.trim_start().starts_with('{') => {
            Ok(Some(Grammar::json_schema(&schema)?))
        }
        (Some(file), ..) => from_file("JSON schema", &file, "", Grammar::json_schema).map(Some),
        (_, Some(grammar), _) if is_grammar(&grammar) => Ok(Some(Grammar::lark(&grammar)?)),
        (_, Some(file), _) => {
            let hint = "; a grammar itself begins with start:";
            from_file("grammar", &file, hint, Grammar::lark).map(Some)
        }
        (.., Some(regex)) => Ok(Some(Grammar::regex(&regex)?)),
        (None, None, None) => Ok(None),
    }
}

/// Whether this is a grammar, and no name of a file.
fn is_grammar(text: &str) -> bool {
    let begins = text.split_once(':').map(|(name, _)| name.trim());
    let is_start = |name: &str| name == "start" || name.starts_with("start[");
    text.contains(['\n', '\r']) || text.contains("::=") || begins.is_some_and(is_start)
}

fn from_file(
    what: &str,
    file: &str,
    hint: &str,
    read: impl FnOnce(&str) -> Result<Grammar, Error>,
) -> Result<Grammar, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::Run(format!("cannot read the {what} from '{file}': {error}{hint}"))
    })?;
    // Some editors put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    read(text).map_err(|error| Failure::Run(format!("in '{file}', {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars_are_told_from_files() {
        for text in [
            "start: \"a\"",
            " start :/a/",
            "start[temperature=1]: A",
            "A: \"a\"\nstart: A",
            "a ::= b",
        ] {
            assert!(is_grammar(text), "{text:?}");
        }
        for text in ["a.lark", "C:\\start.lark", "start", "starter: a", "./start:1", "/tmp/a:b"] {
            assert!(!is_grammar(text), "{text:?}");
        }
    }
}
