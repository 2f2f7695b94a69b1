//! Several methods on the same forward passes.
//!
//! Methods differ in what they make of a position's logits and exits, and in nothing
//! before that. So where they look at the same text, it is computed once: the hidden
//! states by the transformer, the exits by the head, and then every method is applied to
//! the same numbers.
//!
//! * [`Session::score_together`] scores several continuations of a prompt. They are
//!   computed as a tree: what they begin with in common goes through the model once.
//! * [`Session::generate_together`] writes a text with each method. The methods stay
//!   together as long as they choose the same tokens, and part where they do not.
//!
//! The numbers are those that each method gives alone, but for the rounding of batches of
//! another shape in `score_together`. They do not depend on what the session did before.

mod generate;
mod score;
mod tree;

use std::cmp::Reverse;
use std::ops::AddAssign;

use luge_decoding::{Decoder, ExitDetail, ExitPlan};

use crate::{Error, Session};
pub use score::ScoreSums;

/// Methods to be applied together.
#[derive(Debug)]
pub struct Together<'a> {
    decoders: Vec<&'a Decoder>,
    groups: Vec<Group>,
}

/// Methods that read their exits in one form, and so from the same pass.
#[derive(Debug)]
struct Group {
    /// Their numbers: those that read the most of an exit first, as that serves the others.
    members: Vec<usize>,
    /// The exits of all of them.
    plan: ExitPlan,
}

/// What was computed, and what would have been with each method, and each continuation,
/// on its own, from the first token of the prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Tokens that went through the transformer, but for a header's.
    pub tokens: u64,
    /// Tokens of the header that did: none where the cache had them from the call before.
    pub header: u64,
    /// Tokens that would have.
    pub tokens_alone: u64,
    /// Exits that were computed: layers, summed over positions, and once more where a
    /// method wants something else of them than those before it.
    pub exits: u64,
    /// Exits that would have been.
    pub exits_alone: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.header += other.header;
        self.tokens_alone += other.tokens_alone;
        self.exits += other.exits;
        self.exits_alone += other.exits_alone;
    }
}

impl<'a> Together<'a> {
    /// Puts methods together. Those that read exits in another form, as with and without
    /// the final norm, need a pass of their own.
    pub fn new(decoders: impl IntoIterator<Item = &'a Decoder>) -> Self {
        let decoders: Vec<&Decoder> = decoders.into_iter().collect();
        let reads = |decoder: &Decoder| !decoder.plan().layers.is_empty();
        let mut groups: Vec<Group> = Vec::new();
        for (number, decoder) in decoders.iter().enumerate().filter(|(_, own)| reads(own)) {
            let plan = decoder.plan();
            match groups.iter_mut().find(|group| group.plan.form == plan.form) {
                Some(group) => {
                    group.members.push(number);
                    add(&mut group.plan, plan);
                }
                None => groups.push(Group { members: vec![number], plan: plan.clone() }),
            }
        }
        // What reads no exits goes with the first.
        let others = decoders.iter().enumerate().filter(|(_, own)| !reads(own));
        for (number, decoder) in others {
            match groups.first_mut() {
                Some(group) => group.members.push(number),
                None => {
                    groups.push(Group { members: vec![number], plan: decoder.plan().clone() });
                }
            }
        }
        for group in &mut groups {
            // Sums over an exit that were taken with the logits of the 100 best tokens have
            // those of the 10 best in them, and not the other way round.
            group.members.sort_by_key(|&member| (Reverse(most_tokens(decoders[member])), member));
        }
        Together { decoders, groups }
    }

    /// The methods, in the order in which they were given.
    pub fn decoders(&self) -> &[&'a Decoder] {
        &self.decoders
    }

    /// The exits of some of the methods, which are of one group.
    fn plan(&self, members: &[usize]) -> ExitPlan {
        let mut plans = members.iter().map(|&member| self.decoders[member].plan());
        // What reads no exits has no form of its own.
        let first = plans.clone().find(|plan| !plan.layers.is_empty()).or_else(|| plans.next());
        let mut all = first.cloned().unwrap_or_default();
        plans.filter(|plan| !plan.layers.is_empty()).for_each(|plan| add(&mut all, plan));
        all
    }

    /// How often a text goes through the model: once for each form in which the methods
    /// read exits.
    pub fn passes(&self) -> usize {
        self.groups.len()
    }
}

/// How many tokens' logits a method wants with the sums over an exit.
fn most_tokens(decoder: &Decoder) -> usize {
    let params = decoder.stages().flat_map(|stage| stage.params());
    let scales = params.filter(|(name, _)| *name == "evolution-scale");
    scales.filter_map(|(_, scale)| scale.to_string().parse().ok()).max().unwrap_or(0)
}

/// Adds the exits of another plan of the same form.
fn add(plan: &mut ExitPlan, other: &ExitPlan) {
    plan.layers.extend(&other.layers);
    plan.layers.sort_unstable();
    plan.layers.dedup();
    if other.detail == ExitDetail::Logits {
        plan.detail = ExitDetail::Logits;
    }
}

impl Session {
    /// Checks methods against the model, and that the model lets their exits be read.
    ///
    /// # Errors
    /// As [`Session::prepare`] for each of them.
    pub fn prepare_together(&mut self, methods: &Together<'_>) -> Result<(), Error> {
        methods.decoders.iter().try_for_each(|decoder| self.check_decoder(decoder))?;
        methods.groups.iter().rev().try_for_each(|group| self.set_exits(&group.plan))
    }
}
