//! An output of a batch, as methods see it: the final logits, and exits that are computed
//! when one asks for them.

use luge_decoding::{Bounds, Decoder, ExitPlan, Purpose, all_numbers};
use luge_llama::{Context, Model};

use crate::Error;
use crate::exits::{PositionExits, Source, TakenSums};
use crate::session::ExitCounts;

/// A token of a context's last batch whose logits were asked for.
pub(crate) struct Output<'a> {
    pub context: &'a mut Context,
    /// Sums over the exits here or at another output of the batch.
    pub taken: &'a mut Option<TakenSums>,
    /// Room for the final logits, while a decoder works on a copy.
    pub room: &'a mut Vec<f32>,
    /// The exits that may be asked for.
    pub plan: &'a ExitPlan,
    /// Where they come from.
    pub source: Source<'a>,
    /// The token's place in the batch.
    pub index: usize,
}

impl Output<'_> {
    /// The model.
    pub(crate) fn model(&self) -> &Model {
        self.context.model()
    }

    /// The model's own logits: `[vocab]`.
    ///
    /// # Errors
    /// [`luge_decoding::Error::NotANumber`].
    pub(crate) fn final_logits(&self) -> Result<&[f32], Error> {
        let logits = self.context.logits(self.index);
        if all_numbers(logits) {
            return Ok(logits);
        }
        Err(luge_decoding::Error::NotANumber { whose: "the final layer".to_owned() }.into())
    }

    /// Limits of the decoder's logits, whatever the exits are; `None` where there are none
    /// to tell.
    pub(crate) fn bounds(&self, decoder: &Decoder) -> Option<Bounds> {
        decoder.bounds(self.context.logits(self.index))
    }

    /// The exits.
    pub(crate) fn exits(&mut self) -> PositionExits<'_> {
        let source = self.source.reborrow();
        PositionExits::new(self.context, self.taken, self.plan, self.index, source)
    }

    /// The decoder's logits into `current`. The plan is the decoder's own, or has more
    /// exits.
    pub(crate) fn decoded(
        &mut self,
        decoder: &Decoder,
        purpose: Purpose,
        counts: &mut ExitCounts,
        current: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let Output { context, taken, room, plan, source, index } = self;
        for copy in [&mut **room, &mut *current] {
            copy.clear();
            copy.extend_from_slice(context.logits(*index));
        }
        let mut exits = PositionExits::new(context, taken, plan, *index, source.reborrow());
        decoder.apply(room, &mut exits, purpose, current)?;
        let count = if exits.asked() { &mut counts.evaluated } else { &mut counts.skipped };
        *count += decoder.plan().layers.len() as u64;
        Ok(())
    }
}
