//! Which tokens may be chosen at all.

/// The tokens that may be chosen at a position: a bit for each token of the
/// vocabulary. Whoever decides that, such as a grammar, fills one in; all other
/// tokens count as ruled out, for a method's logits and for the final layer's alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMask {
    /// Token t is bit t mod 32 of word t div 32; bits beyond the vocabulary are 0.
    words: Vec<u32>,
}

impl TokenMask {
    /// A mask over `vocab` tokens from words of 32 tokens each, the lowest bit first.
    /// Tokens that the words do not reach are ruled out; bits beyond the vocabulary do
    /// not count.
    pub fn new(mut words: Vec<u32>, vocab: usize) -> Self {
        words.resize(vocab.div_ceil(32), 0);
        if let (Some(last), used @ 1..) = (words.last_mut(), vocab % 32) {
            *last &= (1 << used) - 1;
        }
        TokenMask { words }
    }

    /// Whether a token may be chosen.
    pub fn allows(&self, token: u32) -> bool {
        let word = self.words.get(token as usize / 32).copied().unwrap_or_default();
        word >> (token % 32) & 1 == 1
    }

    /// How many tokens may be chosen.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The token that may be chosen, where there is one alone.
    pub fn only(&self) -> Option<u32> {
        let mut places = (0u32..).zip(&self.words).filter(|(_, word)| **word != 0);
        let (place, word) = places.next()?;
        let is_alone = word.is_power_of_two() && places.next().is_none();
        is_alone.then(|| 32 * place + word.trailing_zeros())
    }

    /// Gives every token that may not be chosen the logit −∞. `logits` are over the
    /// vocabulary, `[vocab]`.
    pub fn apply(&self, logits: &mut [f32]) {
        let words = self.words.iter().copied().chain(std::iter::repeat(0));
        for (logits, word) in logits.chunks_mut(32).zip(words) {
            if word == 0 {
                logits.fill(f32::NEG_INFINITY);
            } else if word != u32::MAX {
                for (bit, logit) in logits.iter_mut().enumerate() {
                    if word >> bit & 1 == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }

    /// A mask over `vocab` tokens that allows these; ids beyond it do not count.
    pub fn of(tokens: &[u32], vocab: usize) -> Self {
        let mut words = vec![0u32; vocab.div_ceil(32)];
        for &token in tokens {
            if let Some(word) = words.get_mut(token as usize / 32) {
                *word |= 1 << (token % 32);
            }
        }
        TokenMask::new(words, vocab)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_tokens_and_none_lies_beyond_the_vocabulary() {
        let mask = TokenMask::new(vec![0b1010, u32::MAX, u32::MAX], 34);
        let allowed: Vec<u32> = (0..200).filter(|&token| mask.allows(token)).collect();
        assert_eq!(allowed, [1, 3, 32, 33]);
        assert_eq!(mask.count(), 4);
        assert_eq!(mask, TokenMask::of(&[33, 3, 1, 32, 34, 99], 34));
        // Words that are missing allow nothing.
        assert_eq!(TokenMask::new(vec![1], 100), TokenMask::of(&[0], 100));
        assert_eq!(TokenMask::new(vec![u32::MAX; 2], 64).count(), 64);
    }

    #[test]
    fn one_token_alone_is_told() {
        for token in [0, 31, 32, 63, 69] {
            assert_eq!(TokenMask::of(&[token], 70).only(), Some(token));
        }
        assert_eq!(TokenMask::of(&[3, 4], 70).only(), None);
        assert_eq!(TokenMask::of(&[3, 67], 70).only(), None);
        assert_eq!(TokenMask::of(&[], 70).only(), None);
    }

    #[test]
    fn what_is_not_allowed_becomes_minus_infinity() {
        let mut logits: Vec<f32> = (0..100).map(|token| token as f32).collect();
        let tokens: Vec<u32> = [0, 5].into_iter().chain(32..64).collect();
        TokenMask::of(&tokens, 100).apply(&mut logits);
        for (token, logit) in (0u32..).zip(logits) {
            let wanted = if tokens.contains(&token) { token as f32 } else { f32::NEG_INFINITY };
            assert_eq!(logit, wanted, "{token}");
        }
    }
}
