//! Continuations of a prompt, scored under several methods at once.

use luge_decoding::{Decoder, ExitPlan, Purpose, log_sum_exp};

use super::tree::{Text, Tree};
use super::{Cost, Group, Together};
use crate::session::ExitCounts;
use crate::{Error, Session};

/// Bytes of final logits that are held at a time.
const LOGITS: usize = 32 << 20;

/// A continuation's score under a method, summed over its tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ScoreSums {
    /// Of the method's output for each token.
    pub logit: f64,
    /// Of the same, normalised: log-softmax over the vocabulary, in nats.
    pub logprob: f64,
}

/// The methods of a group at work.
struct Scorer<'a> {
    decoders: Vec<(usize, &'a Decoder)>,
    plan: &'a ExitPlan,
    /// Room for a position's logits.
    logits: Vec<f32>,
    exits_alone: u64,
}

impl Session {
    /// Scores continuations of prompts that have as much in common as there is, under
    /// each of several methods: `[continuations][methods]`. A pair is a prompt and its
    /// continuation, as from [`Session::tokenize_pair`].
    ///
    /// `header` is kept in the KV cache for the next call: the tokens that this prompt
    /// and others begin with, or none. Up to [`SessionOptions::branches`] continuations
    /// are computed in one batch.
    ///
    /// [`SessionOptions::branches`]: crate::SessionOptions::branches
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`] and [`Error::EmptyContinuation`] for any of the pairs,
    /// [`Error::TooLong`], [`Error::OtherModel`], and what the engine reports.
    pub fn score_together(
        &mut self,
        methods: &Together<'_>,
        header: &[u32],
        pairs: &[(Vec<u32>, Vec<u32>)],
    ) -> Result<(Vec<Vec<ScoreSums>>, Cost), Error> {
        let mut wholes = Vec::new();
        for (prompt, continuation) in pairs {
            if prompt.is_empty() {
                return Err(Error::EmptyPrompt);
            }
            if continuation.is_empty() {
                return Err(Error::EmptyContinuation);
            }
            let whole = [&prompt[..], continuation].concat();
            self.check_room("prompt and continuation", whole.len() - 1)?;
            whole.iter().try_for_each(|&token| self.model().check_token(token))?;
            wholes.push(whole);
        }
        methods.decoders.iter().try_for_each(|decoder| self.check_decoder(decoder))?;
        let mut sums = vec![vec![ScoreSums::default(); methods.decoders.len()]; pairs.len()];
        let mut cost = Cost::default();
        let texts: Vec<Text<'_>> = wholes
            .iter()
            .zip(pairs)
            .enumerate()
            .map(|(number, (tokens, (prompt, _)))| Text { tokens, scored: prompt.len(), number })
            .collect();
        let Some(shared) = shared(&texts) else { return Ok((sums, cost)) };
        for group in &methods.groups {
            let mut scorer = Scorer::new(methods, group);
            // First, as finding out the graph takes room in the cache.
            cost.header += self.begin_behind(header, shared)? as u64;
            self.set_exits(&group.plan)?;
            let exits_before = self.exits_computed();
            for tree in trees(&texts, shared.len(), self.branches(), self.ctx_size()) {
                cost.tokens += self.fill(shared)? as u64;
                cost.tokens += tree.nodes.len() as u64;
                self.score_tree(&tree, &mut scorer, &mut sums)?;
            }
            cost.exits += self.exits_computed() - exits_before;
            cost.exits_alone += scorer.exits_alone;
        }
        let tokens: u64 = wholes.iter().map(|whole| whole.len() as u64 - 1).sum();
        cost.tokens_alone = tokens * methods.decoders.len() as u64;
        Ok((sums, cost))
    }

    /// Computes a tree of texts behind the one in the KV cache, which stays there.
    fn score_tree(
        &mut self,
        tree: &Tree<'_>,
        scorer: &mut Scorer<'_>,
        sums: &mut [Vec<ScoreSums>],
    ) -> Result<(), Error> {
        let outputs = (LOGITS / (4 * self.model().n_vocab())).clamp(8, 512);
        if let [text] = &tree.texts[..] {
            // It needs no sequence of its own.
            for nodes in tree.nodes.chunks(outputs) {
                let tokens: Vec<u32> = nodes.iter().map(|node| node.token).collect();
                self.extend(&tokens, true)?;
                for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.output) {
                    scorer.read(self, index, node.position, &[*text], sums)?;
                }
            }
            return Ok(());
        }
        let limit = self.batch_size();
        self.begin_branches(tree.texts.len());
        let mut result = Ok(());
        for (nodes, batch) in tree.batches(limit, outputs) {
            result = self.extend_branches(&batch).and_then(|()| {
                nodes.iter().enumerate().filter(|(_, node)| node.output).try_for_each(
                    |(index, node)| {
                        let texts = &tree.texts[node.texts.clone()];
                        scorer.read(self, index, node.position, texts, sums)
                    },
                )
            });
            if result.is_err() {
                break;
            }
        }
        self.drop_branches(tree.texts.len());
        result
    }
}

/// What all texts begin with, less what any of them is to be scored behind.
fn shared<'a>(texts: &[Text<'a>]) -> Option<&'a [u32]> {
    let (first, others) = texts.split_first()?;
    let most = texts.iter().map(|text| text.scored - 1).min()?;
    let alike =
        |text: &Text<'_>| first.tokens.iter().zip(text.tokens).take_while(|(a, b)| a == b).count();
    let common = others.iter().map(alike).min().unwrap_or(most);
    Some(&first.tokens[..common.min(most)])
}

/// The texts in as few trees as fit: of so many texts, and of so many tokens with those
/// that are shared.
fn trees<'a>(texts: &[Text<'a>], shared: usize, most: usize, room: usize) -> Vec<Tree<'a>> {
    let mut texts = texts.to_vec();
    texts.sort_unstable();
    let mut trees = Vec::new();
    let mut taken: Vec<Text<'a>> = Vec::new();
    for text in texts {
        let with = [&taken[..], &[text]].concat();
        let fits = with.len() <= most && {
            let nodes = Tree::new(with.clone(), shared).nodes.len();
            shared + nodes <= room
        };
        if fits || taken.is_empty() {
            taken = with;
        } else {
            trees.push(Tree::new(std::mem::replace(&mut taken, vec![text]), shared));
        }
    }
    if !taken.is_empty() {
        trees.push(Tree::new(taken, shared));
    }
    trees
}

impl<'a> Scorer<'a> {
    fn new(methods: &Together<'a>, group: &'a Group) -> Self {
        let decoder = |&number: &usize| (number, methods.decoders[number]);
        Scorer {
            decoders: group.members.iter().map(decoder).collect(),
            plan: &group.plan,
            logits: Vec::new(),
            exits_alone: 0,
        }
    }

    /// Scores the tokens behind a position under each method: the last batch's token
    /// `index`, which is at `position` of `texts`.
    fn read(
        &mut self,
        session: &mut Session,
        index: usize,
        position: usize,
        texts: &[Text<'_>],
        sums: &mut [Vec<ScoreSums>],
    ) -> Result<(), Error> {
        if session.is_interrupted() {
            return Err(luge_llama::Error::Interrupted.into());
        }
        let wanting = || texts.iter().filter(|text| text.wants_behind(position));
        let mut counts = ExitCounts::default();
        for &(number, decoder) in &self.decoders {
            let (mut output, _) = session.output(self.plan, index);
            output.decoded(decoder, Purpose::Score, &mut counts, &mut self.logits)?;
            let norm = log_sum_exp(&self.logits);
            for text in wanting() {
                let logit = f64::from(self.logits[text.tokens[position + 1] as usize]);
                let sums = &mut sums[text.number][number];
                sums.logit += logit;
                sums.logprob += logit - norm;
            }
        }
        self.exits_alone += counts.evaluated * wanting().count() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'a>(tokens: &'a [Vec<u32>], scored: &[usize]) -> Vec<Text<'a>> {
        let texts = tokens.iter().zip(scored).enumerate();
        texts.map(|(number, (tokens, &scored))| Text { tokens, scored, number }).collect()
    }

    #[test]
    fn what_is_shared_ends_before_what_is_scored() {
        let tokens = [vec![1, 2, 3, 4], vec![1, 2, 3, 5]];
        assert_eq!(shared(&texts(&tokens, &[2, 2])), Some(&[1][..]));
        assert_eq!(shared(&texts(&tokens, &[3, 2])), Some(&[1][..]));
        assert_eq!(shared(&texts(&tokens, &[3, 3])), Some(&[1, 2][..]));
        let tokens = [vec![1, 2, 3, 4], vec![1, 9, 3, 5]];
        assert_eq!(shared(&texts(&tokens, &[3, 3])), Some(&[1][..]));
        assert_eq!(shared(&[]), None);
    }

    #[test]
    fn trees_are_no_larger_than_the_context_and_hold_every_text_once() {
        let tokens: Vec<Vec<u32>> =
            (0..10).map(|n| (0..12).map(|at| if at < 5 { at } else { n }).collect()).collect();
        let texts = texts(&tokens, &[5; 10]);
        for (most, room) in [(1, 100), (3, 100), (100, 100), (100, 25), (100, 11)] {
            let trees = trees(&texts, 4, most, room);
            let mut numbers: Vec<usize> =
                trees.iter().flat_map(|tree| &tree.texts).map(|text| text.number).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..10).collect::<Vec<_>>());
            for tree in trees {
                assert!(tree.texts.len() <= most);
                assert!(4 + tree.nodes.len() <= room.max(11));
            }
        }
    }
}
