//! Scoring a given continuation.

use luge_decoding::{Decoder, Purpose, log_sum_exp};
use serde::Serialize;

use crate::session::ExitCounts;
use crate::{Error, Session};

/// Tokens whose logits are held at a time: `[POSITIONS × vocab]` floats.
const POSITIONS: usize = 32;

/// One token of a scored continuation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenScore {
    /// The token.
    pub id: u32,
    /// Its text; U+FFFD where a character is split across tokens.
    pub text: String,
    /// The method's output for the token.
    pub logit: f32,
    /// The same, normalised: log-softmax over the vocabulary, in nats.
    pub logprob: f64,
}

/// A scored continuation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// Its tokens, each scored at the position before it.
    pub tokens: Vec<TokenScore>,
    /// The sum of the logits: what the reference codes of SLED and DoLa compare
    /// for multiple choice.
    pub sum_logit: f64,
    /// The sum of the logprobs.
    pub sum_logprob: f64,
    /// How many exits were computed.
    #[serde(skip)]
    pub exits: ExitCounts,
}

impl Session {
    /// Scores a continuation of a prompt under a method.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::EmptyContinuation`],
    /// [`Error::TooLong`], [`Error::OtherModel`], and what the engine reports.
    pub fn score(
        &mut self,
        decoder: &Decoder,
        prompt: &[u32],
        continuation: &[u32],
    ) -> Result<Score, Error> {
        let (&last, before) = prompt.split_last().ok_or(Error::EmptyPrompt)?;
        // The last token is scored, never computed.
        let (_, all_but_last) = continuation.split_last().ok_or(Error::EmptyContinuation)?;
        let computed = prompt.len() + all_but_last.len();
        self.check_room("prompt and continuation", computed)?;
        prompt.iter().chain(continuation).try_for_each(|&token| self.model().check_token(token))?;
        // First, as finding out the graph takes room in the cache.
        self.rewind(before);
        self.prepare(decoder)?;
        self.fill(before)?;

        let inputs: Vec<u32> = std::iter::once(last).chain(all_but_last.iter().copied()).collect();
        let mut score = Score {
            tokens: Vec::with_capacity(continuation.len()),
            sum_logit: 0.0,
            sum_logprob: 0.0,
            exits: ExitCounts::default(),
        };
        let mut logits = Vec::new();
        for (inputs, targets) in inputs.chunks(POSITIONS).zip(continuation.chunks(POSITIONS)) {
            self.extend(inputs, true)?;
            for (index, &id) in targets.iter().enumerate() {
                let exits = &mut score.exits;
                let (mut output, _) = self.output(decoder.plan(), index);
                output.decoded(decoder, Purpose::Score, exits, &mut logits)?;
                let logit = logits[id as usize];
                let logprob = f64::from(logit) - log_sum_exp(&logits);
                let text = String::from_utf8_lossy(&self.model().piece(id)?).into_owned();
                score.sum_logit += f64::from(logit);
                score.sum_logprob += logprob;
                score.tokens.push(TokenScore { id, text, logit, logprob });
            }
        }
        Ok(score)
    }

    /// The tokens of a prompt and of its continuation, given as texts.
    ///
    /// The two are tokenized together, as a token may span the border; the
    /// continuation begins with the first token that differs from the prompt's
    /// own, so that no text of it is left unscored.
    ///
    /// # Errors
    /// [`luge_llama::Error::Tokenize`], and [`Error::Merged`] where not even the
    /// prompt's first token is left.
    pub fn tokenize_pair(
        &self,
        prompt: &str,
        continuation: &str,
    ) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let own = self.model().tokenize_prompt(prompt)?;
        let mut whole = self.model().tokenize_prompt(&format!("{prompt}{continuation}"))?;
        let shared = own.iter().zip(&whole).take_while(|(a, b)| a == b).count();
        if shared == 0 && !own.is_empty() {
            return Err(Error::Merged);
        }
        let continuation = whole.split_off(shared);
        Ok((whole, continuation))
    }
}
