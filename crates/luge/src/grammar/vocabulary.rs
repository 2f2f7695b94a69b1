//! A model's vocabulary as grammars see it.

use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};
use luge_llama::Model;

use super::{Constraint, Grammar, limits, report};
use crate::Error;

/// The longest text of a token that a grammar may use, in bytes: the trie has no room
/// for longer ones, and no vocabulary for many.
const LONGEST: usize = 1000;

/// The byte that marks a control token's name in the trie. It is in no UTF-8.
const MARK: u8 = TokTrie::SPECIAL_TOKEN_MARKER;

/// The trie of a vocabulary, and what is computed from it for all grammars.
pub(crate) struct Vocabulary {
    factory: ParserFactory,
    /// How many tokens there are.
    size: usize,
}

impl Vocabulary {
    /// Reads a model's vocabulary.
    ///
    /// # Errors
    /// [`Error::GrammarVocabulary`].
    pub(crate) fn new(model: &Model) -> Result<Self, Error> {
        let size = model.n_vocab();
        let ids = 0..size as u32;
        let words = ids.clone().map(|token| word(model, token)).collect::<Result<Vec<_>, _>>()?;
        let ends: Vec<u32> = ids.filter(|&token| model.is_end(token)).collect();
        let factory = report::caught(|| factory(&words, &ends))
            .map_err(|report| Error::GrammarVocabulary(report::plain(&report)))?;
        Ok(Vocabulary { factory, size })
    }

    /// Where the trie lies: the same place for the same trie.
    #[cfg(test)]
    pub(crate) fn trie(&self) -> *const TokTrie {
        self.factory.tok_env().tok_trie()
    }

    /// A grammar at the beginning of a text.
    ///
    /// # Errors
    /// [`Error::Grammar`].
    pub(crate) fn constraint(&self, grammar: &Grammar) -> Result<Constraint, Error> {
        let source = &grammar.source;
        match report::caught(|| self.factory.create_parser(source.top_level())) {
            Ok(parser) => Ok(Constraint::new(parser, self.size)),
            Err(report) => Err(source.error(&report)),
        }
    }
}

/// What a token adds to a text. Control tokens, and all that end a text, stand for
/// themselves: by a name behind a mark, so that no text of a grammar is made of them.
/// Nothing for a token that no grammar may use.
fn word(model: &Model, token: u32) -> Result<Vec<u8>, Error> {
    let text = model.piece(token)?;
    let word = if text.is_empty() || model.is_end(token) {
        let name = model.label(token)?;
        if name.is_empty() { name } else { [&[MARK], &name[..]].concat() }
    } else if text.contains(&MARK) {
        Vec::new()
    } else {
        text
    };
    Ok(if word.len() > LONGEST { Vec::new() } else { word })
}

/// The trie of these words, some of which end a text.
pub(super) fn factory(words: &[Vec<u8>], ends: &[u32]) -> anyhow::Result<ParserFactory> {
    let end = ends.first().copied().unwrap_or(INVALID_TOKEN);
    let mut trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, end), words);
    if !ends.is_empty() {
        trie = trie.with_eos_tokens(ends);
    }
    // Not canonical: the model chooses how it cuts a text into tokens, as without a
    // grammar.
    let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
    let mut factory = ParserFactory::new_simple(&tokens)?;
    // What it has to say comes back as errors.
    factory.quiet();
    *factory.limits_mut() = limits();
    Ok(factory)
}

/// The size of [`bytes`].
pub(super) const BYTES: usize = 256;

/// A vocabulary of single bytes and an end, for checking grammars.
pub(super) fn bytes() -> anyhow::Result<ParserFactory> {
    let end = [&[MARK], &b"<end>"[..]].concat();
    let words: Vec<Vec<u8>> = (0..MARK).map(|byte| vec![byte]).chain([end]).collect();
    factory(&words, &[BYTES as u32 - 1])
}
