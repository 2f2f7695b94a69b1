//! One token, as a method decides: from the final logits alone where they tell, and
//! otherwise from the exits.

use luge_decoding::{Decoder, Purpose, Sampler, TokenMask, argmax};
use luge_llama::Model;

use crate::output::Output;
use crate::session::ExitCounts;
use crate::{Error, ExitPolicy, GenerateOptions};

/// Chooses tokens.
pub(crate) struct Chooser {
    sampler: Sampler,
    policy: ExitPolicy,
    /// Room for a position's logits.
    logits: Vec<f32>,
    /// Where wanted, the method's logits at the last position.
    pub kept: Option<Vec<f32>>,
}

/// Where a token is to be chosen.
pub(crate) struct Step<'a> {
    /// The tokens to choose among; `None` for all.
    pub allowed: Option<&'a TokenMask>,
    /// The text before it.
    pub history: &'a [u32],
    /// Its number in the completion, from 0.
    pub number: u64,
}

impl Chooser {
    pub(crate) fn new(model: &Model, options: &GenerateOptions) -> Self {
        let mut sampler = options.sampler.clone();
        if options.ignore_eos {
            let all = 0..model.n_vocab() as u32;
            let ends = all.filter(|&token| model.is_end(token));
            sampler.logit_bias.extend(ends.map(|token| (token, f32::NEG_INFINITY)));
        }
        Chooser {
            sampler: Sampler::new(sampler),
            policy: options.exits,
            logits: Vec::new(),
            kept: None,
        }
    }

    /// The token that the final layer alone would choose; `None` where bans, or the
    /// model itself, leave none of those allowed.
    pub(crate) fn own(&mut self, output: &Output<'_>, at: &Step<'_>) -> Result<Option<u32>, Error> {
        let own = output.final_logits()?;
        if at.allowed.is_none() && self.sampler.is_argmax() {
            return Ok(Some(argmax(own) as u32));
        }
        self.logits.clear();
        self.logits.extend_from_slice(own);
        let Step { allowed, history, number } = *at;
        let token = self.sampler.choose_among(allowed, &mut self.logits, history, number);
        let is_left = allowed.is_none() || self.logits[token as usize] > f32::NEG_INFINITY;
        Ok(is_left.then_some(token))
    }

    /// The token that a method chooses, where the final layer alone would choose `own`.
    pub(crate) fn choose(
        &mut self,
        output: &mut Output<'_>,
        decoder: &Decoder,
        own: u32,
        at: &Step<'_>,
        exits: &mut ExitCounts,
    ) -> Result<u32, Error> {
        match self.decided(output, decoder, own, at, exits) {
            Some(token) => Ok(token),
            None => self.decode(output, decoder, own, at, exits),
        }
    }

    /// The same, where it is the same whatever the exits are.
    pub(crate) fn decided(
        &mut self,
        output: &Output<'_>,
        decoder: &Decoder,
        own: u32,
        at: &Step<'_>,
        exits: &mut ExitCounts,
    ) -> Option<u32> {
        if decoder.is_identity() {
            if let Some(kept) = &mut self.kept {
                kept.clear();
                kept.extend_from_slice(output.final_logits().ok()?);
            }
            return Some(own);
        }
        if self.kept.is_some() {
            return None;
        }
        let token = self.without_exits(output, decoder, own, at)?;
        exits.skipped += decoder.plan().layers.len() as u64;
        Some(token)
    }

    /// The same, from the exits.
    pub(crate) fn decode(
        &mut self,
        output: &mut Output<'_>,
        decoder: &Decoder,
        own: u32,
        at: &Step<'_>,
        exits: &mut ExitCounts,
    ) -> Result<u32, Error> {
        let Chooser { sampler, logits, kept, .. } = self;
        output.decoded(decoder, Purpose::Generate, exits, logits)?;
        if let Some(kept) = kept {
            kept.clone_from(logits);
        }
        let Step { allowed, history, number } = *at;
        // Only a ban or a mask can rule out all that the method kept; others pay nothing.
        let before = (sampler.has_bans() || allowed.is_some()).then(|| logits.clone());
        let token = sampler.choose_among(allowed, logits, history, number);
        let none_left = before.is_some_and(|before| all_ruled_out(&before, logits));
        Ok(if none_left { own } else { token })
    }

    /// The next token, where the final logits decide it.
    fn without_exits(
        &self,
        output: &Output<'_>,
        decoder: &Decoder,
        own: u32,
        at: &Step<'_>,
    ) -> Option<u32> {
        let Step { allowed, history, number } = *at;
        if self.policy == ExitPolicy::Always {
            return None;
        }
        if allowed.is_some_and(|mask| mask.only().is_some()) {
            return Some(own);
        }
        let bounds = output.bounds(decoder)?;
        if allowed.is_some_and(|mask| bounds.is_spent(mask)) {
            return Some(own);
        }
        let token = self.sampler.decided_among(allowed, &bounds, history, number)?;
        // A token that is not ruled out and that the method kept is left: this one.
        let rules_out = self.sampler.has_bans() || allowed.is_some();
        (!rules_out || bounds.is_above_another(token)).then_some(token)
    }
}

/// Whether every token that a method kept, above its floor, has since been ruled
/// out by a bias or a mask. Its logits then say nothing about those left, and the final
/// layer decides.
fn all_ruled_out(kept: &[f32], now: &[f32]) -> bool {
    let floor = kept.iter().copied().fold(f32::INFINITY, f32::min);
    !kept.iter().zip(now).any(|(&kept, &now)| kept > floor && now > f32::NEG_INFINITY)
}
