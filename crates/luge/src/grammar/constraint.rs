//! A grammar at work on a text.

use llguidance::{Matcher, TokenParser};
use luge_decoding::TokenMask;

use super::report;
use crate::Error;

/// Where a text stands in its grammar.
pub(crate) struct Constraint {
    matcher: Matcher,
    /// The size of the vocabulary, in tokens.
    vocab: usize,
}

impl Constraint {
    pub(super) fn new(parser: TokenParser, vocab: usize) -> Self {
        Constraint { matcher: Matcher::new(Ok(parser)), vocab }
    }

    /// Whether there is a way to begin a text, or to end it at once.
    pub(super) fn can_begin(&mut self) -> bool {
        // What else there is to complain about shows where it comes up.
        !matches!(self.allowed(), Err(Error::GrammarStuck))
    }

    /// The tokens that may come next, those that end a text among them where it may
    /// end; `None` where nothing may come.
    ///
    /// # Errors
    /// [`Error::GrammarStuck`] where the vocabulary cannot write what must come, and
    /// [`Error::GrammarTooComplex`].
    pub(crate) fn allowed(&mut self) -> Result<Option<TokenMask>, Error> {
        if self.matcher.is_stopped() {
            return Ok(None);
        }
        let may_end = self.may_end()?;
        match self.matcher.compute_mask() {
            Ok(mask) => Ok(Some(TokenMask::new(mask.into(), self.vocab))),
            Err(error) if report::is_dead_end(&error) && may_end => Ok(None),
            Err(error) if report::is_dead_end(&error) => Err(Error::GrammarStuck),
            Err(error) => Err(too_complex(&error)),
        }
    }

    /// Whether the text so far is one that the grammar describes.
    ///
    /// # Errors
    /// [`Error::GrammarTooComplex`].
    pub(crate) fn may_end(&mut self) -> Result<bool, Error> {
        self.matcher.is_accepting().map_err(|error| too_complex(&error))
    }

    /// Takes a token that was allowed; tells whether the text must end behind it.
    ///
    /// # Errors
    /// [`Error::GrammarTooComplex`].
    pub(crate) fn accept(&mut self, token: u32) -> Result<bool, Error> {
        self.matcher.consume_token(token).map_err(|error| too_complex(&error))?;
        Ok(self.matcher.is_stopped())
    }
}

fn too_complex(error: &anyhow::Error) -> Error {
    Error::GrammarTooComplex(report::plain(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use llguidance::api::TopLevelGrammar;

    use super::super::vocabulary;
    use super::*;

    /// A regular expression at work on the tokens a, b and c, of which those of `ends`
    /// end a text.
    fn constraint(regex: &str, ends: &[u32]) -> Constraint {
        let words = [&b"a"[..], b"b", b"c"].map(<[u8]>::to_vec);
        let factory = vocabulary::factory(&words, ends).unwrap();
        let parser = factory.create_parser(TopLevelGrammar::from_regex(regex)).unwrap();
        Constraint::new(parser, words.len())
    }

    fn tokens(constraint: &mut Constraint) -> Option<Vec<u32>> {
        let mask = constraint.allowed().unwrap()?;
        Some((0..3).filter(|&token| mask.allows(token)).collect())
    }

    #[test]
    fn a_vocabulary_without_an_end_comes_to_the_end_of_a_grammar() {
        let mut whole = constraint("ab?", &[]);
        assert_eq!(tokens(&mut whole), Some(vec![0]));
        assert!(!whole.accept(0).unwrap());
        assert!(whole.may_end().unwrap());
        assert_eq!(tokens(&mut whole), Some(vec![1]));
        assert!(whole.accept(1).unwrap());
        assert_eq!(tokens(&mut whole), None);
    }

    #[test]
    fn what_cannot_be_written_is_the_end_where_there_may_be_one() {
        for ends in [&[][..], &[2]] {
            let mut optional = constraint("a(x)?", ends);
            assert!(!optional.accept(0).unwrap());
            // With an end token, that; without one, nothing.
            assert_eq!(tokens(&mut optional), ends.first().map(|&end| vec![end]));
            let mut needed = constraint("ax", ends);
            assert!(!needed.accept(0).unwrap());
            assert!(matches!(needed.allowed(), Err(Error::GrammarStuck)));
        }
    }

    /// A token that ends a text is no text, whatever it says.
    #[test]
    fn ends_are_allowed_where_the_text_may_end() {
        let mut some = constraint("a{1,2}", &[1, 2]);
        assert_eq!(tokens(&mut some), Some(vec![0]));
        some.accept(0).unwrap();
        assert_eq!(tokens(&mut some), Some(vec![0, 1, 2]));
        assert!(some.accept(0).unwrap());
    }
}
