//! Text to tokens and back.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};
use std::thread;

use llama_cpp_sys_2 as sys;

use crate::{Error, Model, guard};

/// Many vocabularies cut a text into words by regular expressions, which llama.cpp leaves to
/// the C++ library: it calls itself for each character of a word. This much of the stack, in
/// bytes, is enough for one.
const STACK_PER_CHARACTER: usize = 2 << 10;

/// The longest word, in characters, for which any thread's stack is large enough.
const SHORT_WORD: usize = 256;

/// The longest word that there is a stack for.
const LONGEST_WORD: usize = 1 << 18;

/// Of stacks larger than this, in bytes, there is one at a time.
const LARGE_STACK: usize = 16 << 20;

impl Model {
    /// The tokens of a text. `add_special` puts in front and behind what the
    /// model expects there (such as its beginning-of-text token);
    /// `parse_special` reads control tokens written in the text, such as
    /// `<|im_start|>`, as tokens instead of characters.
    ///
    /// # Errors
    /// [`Error::Tokenize`] if the model has no tokenizer, or the text is longer than 2 GiB
    /// or has a word of more than 262,144 characters: a stretch without a blank.
    pub fn tokenize(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>, Error> {
        let longest = longest_word(text);
        if longest <= SHORT_WORD {
            return self.tokenize_here(text, add_special, parse_special);
        }
        if longest > LONGEST_WORD {
            return Err(Error::Tokenize(
                "the text has more than 262,144 characters without a blank between them: put some in",
            ));
        }
        let stack = (1 << 20) + longest * STACK_PER_CHARACTER;
        static LARGE: Mutex<()> = Mutex::new(());
        let _large =
            (stack > LARGE_STACK).then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner));
        thread::scope(|scope| {
            let work = || self.tokenize_here(text, add_special, parse_special);
            let thread = thread::Builder::new().stack_size(stack).spawn_scoped(scope, work);
            let thread = thread.map_err(|_| Error::Tokenize("there is no memory for its stack"))?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn tokenize_here(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
    ) -> Result<Vec<u32>, Error> {
        let vocab = self.vocab();
        // SAFETY: the vocabulary is live.
        if unsafe { sys::llama_vocab_type(vocab) } == sys::LLAMA_VOCAB_TYPE_NONE {
            return Err(Error::Tokenize("the model has no tokenizer; give token ids"));
        }
        let length =
            i32::try_from(text.len()).map_err(|_| Error::Tokenize("the text is too long"))?;
        let mut tokens: Vec<i32> = vec![0; text.len() + 8];
        loop {
            // SAFETY: the text is `length` bytes long, and at most
            // `tokens.len()` ids are written; a negative result says how many
            // there would have been.
            let count = unsafe {
                guard::luge_tokenize(
                    vocab,
                    text.as_ptr().cast::<c_char>(),
                    length,
                    tokens.as_mut_ptr(),
                    tokens.len() as i32,
                    add_special,
                    parse_special,
                )
            };
            match usize::try_from(count) {
                Ok(count) => {
                    tokens.truncate(count);
                    return Ok(tokens.into_iter().map(|token| token as u32).collect());
                }
                Err(_) if count == guard::THROWN => {
                    return Err(Error::Tokenize("the model's vocabulary cannot write this text"));
                }
                Err(_) if count == i32::MIN => return Err(Error::Tokenize("the text is too long")),
                Err(_) => tokens.resize(count.unsigned_abs() as usize, 0),
            }
        }
    }

    /// The tokens of a text that is to be continued: with what the model expects
    /// in front, and control tokens read as such, but without the end-of-text
    /// token that some models put behind.
    ///
    /// # Errors
    /// As [`Model::tokenize`].
    pub fn tokenize_prompt(&self, text: &str) -> Result<Vec<u32>, Error> {
        let mut tokens = self.tokenize(text, true, true)?;
        // SAFETY: the vocabulary is live.
        let adds_end = unsafe { sys::llama_vocab_get_add_eos(self.vocab()) };
        if adds_end && tokens.last().is_some_and(|&last| self.is_end(last)) {
            tokens.pop();
        }
        Ok(tokens)
    }

    /// The bytes of a token's text: not always whole UTF-8 characters. Control
    /// tokens have none.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`].
    pub fn piece(&self, token: u32) -> Result<Vec<u8>, Error> {
        self.piece_of(token, false)
    }

    /// The bytes of a token as they are shown to people: control tokens by their
    /// name, such as `<s>`, others by their text.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`].
    pub fn label(&self, token: u32) -> Result<Vec<u8>, Error> {
        self.piece_of(token, true)
    }

    fn piece_of(&self, token: u32, special: bool) -> Result<Vec<u8>, Error> {
        self.check_token(token)?;
        let mut piece = vec![0u8; 32];
        loop {
            // SAFETY: the id is in range, and at most `piece.len()` bytes are
            // written; a negative result says how many there would have been.
            let length = unsafe {
                sys::llama_token_to_piece(
                    self.vocab(),
                    token as i32,
                    piece.as_mut_ptr().cast::<c_char>(),
                    piece.len() as i32,
                    0,
                    special,
                )
            };
            match usize::try_from(length) {
                Ok(length) => {
                    piece.truncate(length);
                    return Ok(piece);
                }
                Err(_) => piece.resize(length.unsigned_abs() as usize, 0),
            }
        }
    }

    /// Whether a token stands for a byte, such as SentencePiece's `<0x41>`, which is used
    /// where no token has the character.
    pub fn is_byte(&self, token: u32) -> bool {
        // SAFETY: the vocabulary is live; ids in range are looked up, others
        // are never asked for.
        self.check_token(token).is_ok()
            && unsafe { sys::llama_vocab_get_attr(self.vocab(), token as i32) }
                & sys::LLAMA_TOKEN_ATTR_BYTE
                != 0
    }

    /// Whether a token ends a text or a turn.
    pub fn is_end(&self, token: u32) -> bool {
        // SAFETY: the vocabulary is live; ids in range are looked up, others
        // are never asked for.
        self.check_token(token).is_ok()
            && unsafe { sys::llama_vocab_is_eog(self.vocab(), token as i32) }
    }

    /// The beginning-of-text token, if there is one.
    pub fn bos(&self) -> Option<u32> {
        // SAFETY: the vocabulary is live; −1 means none.
        u32::try_from(unsafe { sys::llama_vocab_bos(self.vocab()) }).ok()
    }

    /// Whether the model expects the beginning-of-text token in front of a text.
    pub fn adds_bos(&self) -> bool {
        // SAFETY: the vocabulary is live.
        unsafe { sys::llama_vocab_get_add_bos(self.vocab()) }
    }

    /// The end-of-text token, if there is one.
    pub fn eos(&self) -> Option<u32> {
        // SAFETY: the vocabulary is live; −1 means none.
        u32::try_from(unsafe { sys::llama_vocab_eos(self.vocab()) }).ok()
    }

    /// Whether an id is in the vocabulary.
    ///
    /// # Errors
    /// [`Error::TokenOutOfRange`].
    pub fn check_token(&self, token: u32) -> Result<(), Error> {
        let vocab = self.n_vocab();
        if (token as usize) < vocab { Ok(()) } else { Err(Error::TokenOutOfRange { token, vocab }) }
    }
}

/// The most characters of a word, the blanks in front of it counted as part of it.
fn longest_word(text: &str) -> usize {
    let (mut longest, mut own, mut in_word) = (0, 0, false);
    for c in text.chars() {
        let is_blank = c.is_whitespace();
        if in_word && is_blank {
            own = 0;
        }
        in_word = !is_blank;
        own += 1;
        longest = longest.max(own);
    }
    longest
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ModelParams;

    #[test]
    fn words_are_told_by_blanks() {
        for (text, longest) in
            [("", 0), ("abc", 3), ("ab c", 2), ("a  bcd e", 5), ("äöü\n\n\n\n", 4), ("   ", 3)]
        {
            assert_eq!(longest_word(text), longest, "{text:?}");
        }
    }

    /// Ten thousand letters in a row ended the program once: its stack was too small.
    #[test]
    fn a_word_may_be_as_long_as_it_likes_up_to_a_limit() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity/gpt2.gguf");
        let model = Model::load(&file, &ModelParams::default()).unwrap();
        for word in ["a", " ", "\n", "0", "."] {
            for count in [SHORT_WORD, SHORT_WORD + 1, 10_000, LONGEST_WORD] {
                let text = word.repeat(count);
                let tokens = model.tokenize(&text, false, false).unwrap();
                assert!(!tokens.is_empty() && tokens.len() <= count, "{word:?} {count}");
            }
        }
        let error = model.tokenize(&"a".repeat(LONGEST_WORD + 1), false, false).unwrap_err();
        assert!(error.to_string().contains("without a blank"), "{error}");
    }
}
