//! Texts that begin alike, as a tree: what several share is there once.

use std::ops::Range;

use luge_llama::{Batch, BatchToken};

/// A text, of which the tokens from `scored` on are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<'a> {
    pub tokens: &'a [u32],
    /// At least 1.
    pub scored: usize,
    /// Its number among all texts.
    pub number: usize,
}

impl Text<'_> {
    /// Whether the token behind `position` is wanted.
    pub fn wants_behind(&self, position: usize) -> bool {
        position + 1 >= self.scored && position + 1 < self.tokens.len()
    }
}

/// A token that has to be computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub token: u32,
    /// Where it is in its texts.
    pub position: usize,
    /// The texts that it is in, by their places in the order of the tree.
    pub texts: Range<usize>,
    /// Whether any of them wants the token behind it.
    pub output: bool,
}

/// The tokens to compute for some texts, in an order in which each follows the ones
/// before it in its texts.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// In the order of their tokens, so that each node's are next to each other.
    pub texts: Vec<Text<'a>>,
    pub nodes: Vec<Node>,
}

impl<'a> Tree<'a> {
    /// The tree of texts behind their first `shared` tokens, which all have and which are
    /// computed already.
    pub fn new(mut texts: Vec<Text<'a>>, shared: usize) -> Self {
        texts.sort_unstable();
        let mut nodes: Vec<Node> = Vec::new();
        // The nodes of the last text, from `shared` on.
        let mut path: Vec<usize> = Vec::new();
        let mut last: &[u32] = &[];
        for (place, text) in texts.iter().enumerate() {
            // The last token is wanted, never computed.
            let end = text.tokens.len().saturating_sub(1).max(shared);
            let alike = last.iter().zip(text.tokens).take_while(|(a, b)| a == b).count();
            let common = alike.clamp(shared, end) - shared;
            path.truncate(common);
            for &node in &path {
                nodes[node].texts.end = place + 1;
                nodes[node].output |= text.wants_behind(nodes[node].position);
            }
            for position in shared + path.len()..end {
                path.push(nodes.len());
                nodes.push(Node {
                    token: text.tokens[position],
                    position,
                    texts: place..place + 1,
                    output: text.wants_behind(position),
                });
            }
            last = text.tokens;
        }
        Tree { texts, nodes }
    }

    /// The nodes in batches of at most `tokens` tokens, of which at most `outputs` are
    /// outputs; both at least 1. Text `n` of the tree is sequence `n + 1`.
    pub fn batches(&self, tokens: usize, outputs: usize) -> Vec<(&[Node], Batch)> {
        let mut batches = Vec::new();
        let mut rest = &self.nodes[..];
        while !rest.is_empty() {
            let mut wanted = 0;
            let fits = |node: &&Node| {
                wanted += usize::from(node.output);
                wanted <= outputs
            };
            let count = rest.iter().take(tokens).take_while(fits).count();
            let (nodes, behind) = rest.split_at(count);
            let mut batch = Batch::new();
            for node in nodes {
                batch.push(BatchToken {
                    token: node.token,
                    position: node.position as u32,
                    sequences: node.texts.start as u32 + 1..node.texts.end as u32 + 1,
                    output: node.output,
                });
            }
            batches.push((nodes, batch));
            rest = behind;
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree<'a>(texts: &[(&'a [u32], usize)], shared: usize) -> Tree<'a> {
        let texts = texts.iter().enumerate();
        let text = |(number, &(tokens, scored)): (usize, &(&'a [u32], usize))| Text {
            tokens,
            scored,
            number,
        };
        Tree::new(texts.map(text).collect(), shared)
    }

    fn nodes(tree: &Tree<'_>) -> Vec<(u32, usize, Range<usize>, bool)> {
        let node = |node: &Node| (node.token, node.position, node.texts.clone(), node.output);
        tree.nodes.iter().map(node).collect()
    }

    #[test]
    fn what_texts_share_is_there_once() {
        // The prompt is 1 2; its last token is computed with the rest.
        let tree = tree(&[(&[1, 2, 5, 6, 9], 2), (&[1, 2, 4], 2), (&[1, 2, 5, 7, 8], 2)], 1);
        let order: Vec<usize> = tree.texts.iter().map(|text| text.number).collect();
        assert_eq!(order, [1, 0, 2]);
        assert_eq!(
            nodes(&tree),
            [(2, 1, 0..3, true), (5, 2, 1..3, true), (6, 3, 1..2, true), (7, 3, 2..3, true)]
        );
    }

    #[test]
    fn a_text_that_another_begins_with_needs_no_more() {
        let tree = tree(&[(&[1, 2, 3], 1), (&[1, 2], 1), (&[1, 2, 3], 1)], 0);
        assert_eq!(nodes(&tree), [(1, 0, 0..3, true), (2, 1, 1..3, true)]);
        assert_eq!(tree.texts[0].number, 1);
    }

    #[test]
    fn only_what_someone_wants_is_an_output() {
        // The prompts end at different places, as a token may span the border.
        let tree = tree(&[(&[1, 2, 3, 4], 3), (&[1, 2, 3, 5], 2)], 0);
        let outputs: Vec<bool> = tree.nodes.iter().map(|node| node.output).collect();
        assert_eq!(outputs, [false, true, true]);
    }

    #[test]
    fn batches_are_of_a_size_and_hold_every_node_once() {
        let texts: Vec<Vec<u32>> = (0..7).map(|n| vec![1, 2, 3 + n / 3, 4, n, n, n]).collect();
        let texts: Vec<(&[u32], usize)> = texts.iter().map(|text| (&text[..], 2)).collect();
        let tree = tree(&texts, 1);
        for (tokens, outputs) in [(1, 1), (4, 2), (100, 3), (100, 100)] {
            let batches = tree.batches(tokens, outputs);
            let all: Vec<Node> =
                batches.iter().flat_map(|(nodes, _)| nodes.iter().cloned()).collect();
            assert_eq!(all, tree.nodes);
            for (nodes, batch) in batches {
                assert!(!nodes.is_empty() && nodes.len() <= tokens);
                assert!(nodes.iter().filter(|node| node.output).count() <= outputs);
                assert_eq!(batch.tokens().len(), nodes.len());
                assert_eq!(batch.tokens()[0].sequences.start, nodes[0].texts.start as u32 + 1);
            }
        }
    }
}
