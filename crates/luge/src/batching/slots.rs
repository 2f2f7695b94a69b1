//! Where texts lie in the cache: a slot is one of llama.cpp's sequences.

use luge_llama::Context;

/// How much more of a prompt must be shared with one that is being computed for it to be
/// worth the wait, in tokens.
const WORTH_WAITING: usize = 8;

/// A sequence of the cache, and the text that is written there.
pub(super) struct Slot<T> {
    /// The tokens in the cache.
    pub cached: Vec<u32>,
    /// The text at work; `None` where only what it left is there.
    pub text: Option<(super::TextId, T)>,
    /// The step in which a token was last computed here.
    pub last_step: u64,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot { cached: Vec::new(), text: None, last_step: 0 }
    }
}

impl<T> Slot<T> {
    /// Cuts what is cached in this slot, number `slot`, back to its first `length` tokens,
    /// or to nothing where the model's state cannot be cut; returns what is left.
    pub(super) fn cut(&mut self, context: &mut Context, slot: usize, length: usize) -> usize {
        let is_cut =
            length >= self.cached.len() || length > 0 && context.remove(slot as u32, length as u32);
        if is_cut {
            self.cached.truncate(length);
        } else {
            context.remove(slot as u32, 0);
            self.cached.clear();
        }
        self.cached.len()
    }
}

/// What a slot is to a prompt that looks for a place.
pub(super) trait Resident {
    /// The prompt of the text that is at work.
    fn prompt(&self) -> &[u32];
}

/// Where a text goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// Every slot is at work.
    Full,
    /// A prompt that is being computed begins alike: wait until it is there.
    Later,
    /// Into a slot that keeps so many of its tokens.
    Keep { slot: usize, tokens: usize },
    /// Into a slot that takes so many tokens from another one.
    Copy { slot: usize, from: usize, tokens: usize },
}

/// Finds a place for a text that may go on from the cache with `target`. Where a model's
/// state is `whole_only`, it cannot be cut or shared: only a whole one is of use.
pub(super) fn place<T: Resident>(slots: &[Slot<T>], target: &[u32], whole_only: bool) -> Placement {
    let shared = |slot: &Slot<T>| common(&slot.cached, target);
    let free = || slots.iter().enumerate().filter(|(_, slot)| slot.text.is_none());
    if whole_only {
        let of_use = |slot: &Slot<T>| {
            if shared(slot) == slot.cached.len() { slot.cached.len() } else { 0 }
        };
        let best = free().max_by_key(|(_, slot)| {
            (of_use(slot), slot.cached.is_empty(), std::cmp::Reverse(slot.last_step))
        });
        return match best {
            None => Placement::Full,
            Some((slot, own)) => Placement::Keep { slot, tokens: of_use(own) },
        };
    }
    // First a slot that loses nothing, of these the one that has most of the prompt; then
    // the one that was used longest ago.
    let Some((slot, own)) = free().max_by_key(|(_, slot)| {
        let loses = shared(slot) < slot.cached.len();
        (!loses, if loses { 0 } else { shared(slot) }, std::cmp::Reverse(slot.last_step))
    }) else {
        return Placement::Full;
    };
    let kept = shared(own);
    let (from, most) = slots
        .iter()
        .map(shared)
        .enumerate()
        .max_by_key(|&(number, tokens)| (tokens, number == slot))
        .unwrap_or((slot, kept));
    let coming =
        slots.iter().filter_map(|slot| Some(common(slot.text.as_ref()?.1.prompt(), target)));
    if coming.max().is_some_and(|coming| coming >= most + WORTH_WAITING) {
        return Placement::Later;
    }
    if most > kept {
        Placement::Copy { slot, from, tokens: most }
    } else {
        Placement::Keep { slot, tokens: kept }
    }
}

/// How many tokens two texts begin with in common.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batching::TextId;

    struct Prompt(Vec<u32>);

    impl Resident for Prompt {
        fn prompt(&self) -> &[u32] {
            &self.0
        }
    }

    fn free(cached: &[u32], last_step: u64) -> Slot<Prompt> {
        Slot { cached: cached.to_vec(), text: None, last_step }
    }

    fn busy(cached: &[u32], prompt: &[u32]) -> Slot<Prompt> {
        Slot { text: Some((TextId(0), Prompt(prompt.to_vec()))), ..free(cached, 0) }
    }

    #[test]
    fn a_chat_goes_on_in_its_slot_and_others_leave_it_alone() {
        let slots = [free(&[1, 2, 3], 5), free(&[], 0), free(&[1, 2, 9, 9], 1)];
        let place = |target: &[u32]| place(&slots, target, false);
        assert_eq!(place(&[1, 2, 3, 4]), Placement::Keep { slot: 0, tokens: 3 });
        // The empty slot has nothing to lose, and takes what it can.
        assert_eq!(place(&[1, 2, 9, 5]), Placement::Copy { slot: 1, from: 2, tokens: 3 });
        assert_eq!(place(&[7]), Placement::Keep { slot: 1, tokens: 0 });
    }

    #[test]
    fn without_an_empty_slot_the_one_used_longest_ago_is_taken() {
        let slots = [free(&[1, 2, 3], 5), free(&[4, 5], 2)];
        assert_eq!(place(&slots, &[7], false), Placement::Keep { slot: 1, tokens: 0 });
        assert_eq!(
            place(&slots, &[1, 2, 8], false),
            Placement::Copy { slot: 1, from: 0, tokens: 2 }
        );
        assert_eq!(place(&slots, &[4, 6], false), Placement::Keep { slot: 1, tokens: 1 });
        let slots = [busy(&[1, 2], &[1, 2]), busy(&[], &[3])];
        assert_eq!(place(&slots, &[1, 2, 3], false), Placement::Full);
    }

    #[test]
    fn a_prompt_waits_for_one_that_begins_alike_while_that_is_computed() {
        let long: Vec<u32> = (0..100).collect();
        let target: Vec<u32> = long.iter().copied().chain([500]).collect();
        let place = |computed: usize| {
            place(&[busy(&long[..computed], &long), free(&[], 0)], &target, false)
        };
        assert_eq!(place(0), Placement::Later);
        assert_eq!(place(92), Placement::Later);
        assert_eq!(place(93), Placement::Copy { slot: 1, from: 0, tokens: 93 });
        assert_eq!(place(100), Placement::Copy { slot: 1, from: 0, tokens: 100 });
    }

    #[test]
    fn a_state_that_cannot_be_cut_serves_whole_or_not_at_all() {
        let slots = [free(&[1, 2, 3], 5), free(&[1, 2], 2), busy(&[1, 2, 3, 4], &[1])];
        let place = |target: &[u32]| place(&slots, target, true);
        assert_eq!(place(&[1, 2, 3, 4]), Placement::Keep { slot: 0, tokens: 3 });
        assert_eq!(place(&[1, 2, 9]), Placement::Keep { slot: 1, tokens: 2 });
        assert_eq!(place(&[1, 9]), Placement::Keep { slot: 1, tokens: 0 });
    }
}
