//! Models made of noise, settings that fit them, and a way to run a pipeline.

use std::error::Error as StdError;

use luge_decoding::{
    ComputedExits, Decoder, Dola, Ensemble, Error, ExitLogits, Exits, LayerRange, LayerSelection,
    ModelShape, Pipeline, Purpose, Sled, Weights,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// A model's logits at one position, as a few numbers: cases stay readable in
/// a failure, and shrink by their sizes.
#[derive(Debug, Clone)]
pub struct Case {
    pub vocab: usize,
    pub exits: usize,
    /// How far logits lie apart.
    pub spread: f64,
    /// How far one token of every exit stands out.
    pub sureness: f64,
    pub seed: u64,
}

/// The logits themselves.
#[derive(Debug, Clone)]
pub struct Model {
    /// z_L, `[vocab]`.
    pub last: Vec<f32>,
    /// z_0 … z_{L−1}, `[L × vocab]`.
    pub exits: Vec<Vec<f32>>,
}

/// Vocabularies below and around the widths of vectors and blocks, and any
/// other size up to a few thousand.
fn vocabs() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => 1usize..16,
        2 => select(vec![16, 17, 31, 32, 33, 511, 512, 513, 4095, 4096, 4097]),
        4 => 16usize..300,
        2 => 300usize..3000,
    ]
}

pub fn cases() -> impl Strategy<Value = Case> {
    let sureness = prop_oneof![3 => Just(0.0), 1 => 5.0..30.0];
    (vocabs(), 1usize..=6, 0.5..4.0, sureness, any::<u64>()).prop_map(
        |(vocab, exits, spread, sureness, seed)| Case { vocab, exits, spread, sureness, seed },
    )
}

/// Pseudo-random numbers from a seed (splitmix64).
pub struct Noise(pub u64);

impl Noise {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// Roughly normal, of variance 1.
    fn normal(&mut self) -> f64 {
        let uniform = |bits: u64| (bits >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
        3f64.sqrt() * (0..4).map(|_| uniform(self.bits())).sum::<f64>()
    }

    /// A permutation of 0..`count`.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

impl Case {
    pub fn shape(&self) -> ModelShape {
        ModelShape { layers: self.exits, vocab: self.vocab, tied: false }
    }

    /// Layer n has noise of its own and a share n/L of an opinion common to all.
    /// Exits stand out at a token each, or at one that the last layer is even
    /// surer of.
    pub fn model(&self) -> Model {
        let mut noise = Noise(self.seed);
        let opinion: Vec<f64> = (0..self.vocab).map(|_| noise.normal()).collect();
        let mut layers: Vec<Vec<f32>> = (0..=self.exits)
            .map(|layer| {
                let share = layer as f64 / self.exits as f64;
                let logit = |common: &f64| self.spread * (share * common + noise.normal());
                opinion.iter().map(logit).map(|logit| logit as f32).collect()
            })
            .collect();
        let mut last = layers.pop().unwrap_or_default();
        let (agreed, common) = (noise.below(2) == 0, noise.below(self.vocab));
        for exit in &mut layers {
            let token = if agreed { common } else { noise.below(self.vocab) };
            exit[token] += self.sureness as f32;
        }
        if agreed {
            last[common] += 1.25 * self.sureness as f32;
        }
        Model { last, exits: layers }
    }
}

impl Model {
    pub fn shape(&self) -> ModelShape {
        ModelShape { layers: self.exits.len(), vocab: self.last.len(), tied: false }
    }

    /// The model after a change of every layer's logits; the final layer has
    /// the index L.
    #[must_use]
    pub fn map(&self, change: impl Fn(usize, &[f32]) -> Vec<f32>) -> Self {
        Model {
            last: change(self.exits.len(), &self.last),
            exits: self.exits.iter().enumerate().map(|(n, exit)| change(n, exit)).collect(),
        }
    }

    /// The model with logits in steps of 1/1024, to which whole numbers can be
    /// added without rounding.
    #[must_use]
    pub fn rounded(&self) -> Self {
        self.map(|_, z| z.iter().map(|z| (z * 1024.0).round() / 1024.0).collect())
    }

    pub fn has_ties(&self) -> bool {
        let mut sorted = self.last.clone();
        sorted.sort_by(f32::total_cmp);
        sorted.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The exits of a decoder's plan, which count how often they are asked for.
    pub fn serve(&self, decoder: &Decoder) -> CountedExits {
        let layers = decoder.plan().layers.clone();
        let rows: Vec<_> = layers.iter().map(|&layer| self.exits[layer].clone()).collect();
        CountedExits { exits: ComputedExits::new(layers, &rows), calls: 0 }
    }

    /// A pipeline's result at this position, and how often it asked for exits.
    pub fn run_counting(
        &self,
        pipeline: &Pipeline,
        purpose: Purpose,
    ) -> (Result<Vec<f32>, Error>, usize) {
        let decoder = match pipeline.bind(&self.shape()) {
            Ok(decoder) => decoder,
            Err(error) => return (Err(error), 0),
        };
        let mut exits = self.serve(&decoder);
        let mut current = self.last.clone();
        let result = decoder.apply(&self.last, &mut exits, purpose, &mut current);
        (result.map(|()| current), exits.calls)
    }

    pub fn run(&self, pipeline: &Pipeline, purpose: Purpose) -> Result<Vec<f32>, Error> {
        self.run_counting(pipeline, purpose).0
    }
}

pub struct CountedExits {
    exits: ComputedExits,
    pub calls: usize,
}

impl Exits for CountedExits {
    fn logits(&mut self) -> Result<ExitLogits<'_>, Box<dyn StdError + Send + Sync>> {
        self.calls += 1;
        self.exits.logits()
    }
}

/// The selection of just these layers.
pub fn these(layers: &[usize]) -> LayerSelection {
    let single = |&layer: &usize| LayerRange {
        start: Some(layer as i64),
        end: Some(layer as i64 + 1),
        step: 1,
    };
    LayerSelection::List(layers.iter().map(single).collect())
}

fn layers_below(end: usize) -> impl Strategy<Value = Vec<usize>> {
    subsequence((0..end).collect::<Vec<_>>(), 1..=end)
}

pub fn purposes() -> impl Strategy<Value = Purpose> {
    select(vec![Purpose::Generate, Purpose::Score])
}

/// SLED's settings with α ≤ 4τ². The map of a step, z − (α/τ) softmax(z/τ), has
/// its slopes between 1 − α/(2τ²) and 1, so that rounding does not grow from
/// step to step.
pub fn sleds(case: &Case) -> impl Strategy<Value = Sled> + use<> {
    let scale = 1..=case.vocab.min(100);
    let steps = prop_oneof![Just(1usize), 1usize..=10];
    let temperature = prop_oneof![Just(1.0f32), 0.5f32..2.0];
    let bound = select(vec![-1000.0f32, -100.0, -2500.0, 0.5]);
    (scale, steps, temperature, 0.01f32..1.0, bound, layers_below(case.exits)).prop_map(
        |(scale, steps, temperature, share, lower_bound, layers)| Sled {
            rate: share * 4.0 * temperature * temperature,
            scale,
            steps,
            temperature,
            lower_bound,
            layers: these(&layers),
            ..Sled::default()
        },
    )
}

pub fn dolas(case: &Case) -> impl Strategy<Value = Dola> + use<> {
    let exits = case.exits;
    let mature = prop_oneof![3 => Just(exits), 1 => 1..=exits];
    let relative_top = prop_oneof![Just(0.0f32), Just(0.1), Just(1.0), 0.001f32..1.0];
    (mature.prop_flat_map(|mature| (Just(mature), layers_below(mature))), relative_top).prop_map(
        move |((mature, layers), relative_top)| Dola {
            layers: these(&layers),
            mature: (mature < exits).then_some(mature),
            relative_top,
            ..Dola::default()
        },
    )
}

pub fn ensembles(case: &Case) -> impl Strategy<Value = Ensemble> + use<> {
    let weights = |layers: Vec<usize>| {
        let weight = prop_oneof![1 => Just(0.0f32), 3 => 0.01f32..10.0];
        let given = proptest::collection::vec(weight, layers.len() + 1)
            .prop_filter("not all 0", |weights| weights.iter().any(|&weight| weight > 0.0));
        let weights = prop_oneof![
            Just(Weights::Uniform),
            Just(Weights::Linear),
            given.prop_map(Weights::Given)
        ];
        (Just(layers), weights)
    };
    layers_below(case.exits).prop_flat_map(weights).prop_map(|(layers, weights)| Ensemble {
        layers: these(&layers),
        weights,
        ..Ensemble::default()
    })
}

/// A case and settings that fit it.
pub fn with<S: Strategy>(settings: fn(&Case) -> S) -> impl Strategy<Value = (Case, S::Value)>
where
    S::Value: Clone,
{
    cases().prop_flat_map(move |case| {
        let settings = settings(&case);
        (Just(case), settings)
    })
}
