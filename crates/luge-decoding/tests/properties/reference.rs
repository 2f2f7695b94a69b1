//! The methods as they are defined, term by term and in `f64`: softmaxes,
//! cosines and divergences over the whole vocabulary, nothing rearranged.
//!
//! The crate computes in `f32`, so every result comes with its slack. Where
//! rounding could decide between two quite different results, such as which of
//! two equally distant layers DoLa chooses, a stage gives `None`: the case has
//! no one answer.

use luge_decoding::{Dola, Ensemble, Pipeline, Purpose, Sled, Weights};

use super::models::Model;

/// The rounding error of a cosine.
const ROUNDING: f64 = 2e-6;

/// The rounding error of a log-sum-exp.
pub const NORM_ROUNDING: f64 = 2e-6;

/// Logits, and how far from them a result may lie, beside 2e-6 of its size.
#[derive(Debug, Clone)]
pub struct Expected {
    pub logits: Vec<f64>,
    pub slack: f64,
}

/// What all stages see.
pub struct At {
    /// z_L.
    last: Vec<f64>,
    /// z_0 … z_{L−1}.
    exits: Vec<Vec<f64>>,
    purpose: Purpose,
}

impl At {
    pub fn new(model: &Model, purpose: Purpose) -> Self {
        let exits = model.exits.iter().map(|exit| wide(exit)).collect();
        At { last: wide(&model.last), exits, purpose }
    }

    /// z_L as the current vector of the first stage.
    pub fn start(&self) -> Expected {
        Expected { logits: self.last.clone(), slack: 0.0 }
    }
}

/// A stage's settings.
#[derive(Debug, Clone)]
pub enum Settings {
    Sled(Sled),
    Dola(Dola),
    Ensemble(Ensemble),
}

/// Stages in a row: each replaces the current vector, and all see the same
/// exits and the same z_L.
pub fn pipeline(at: &At, stages: &[Settings]) -> Option<Expected> {
    stages.iter().try_fold(at.start(), |current, stage| match stage {
        Settings::Sled(settings) => sled(at, settings, &current),
        Settings::Dola(settings) => dola(at, settings, &current),
        Settings::Ensemble(settings) => ensemble(at, settings, &current),
    })
}

/// The crate's own pipeline of these stages.
pub fn built(stages: &[Settings]) -> Pipeline {
    let mut stages = stages.iter().cloned();
    let first = match stages.next() {
        None => Pipeline::single(luge_decoding::Greedy),
        Some(Settings::Sled(settings)) => Pipeline::single(settings),
        Some(Settings::Dola(settings)) => Pipeline::single(settings),
        Some(Settings::Ensemble(settings)) => Pipeline::single(settings),
    };
    stages.fold(first, |pipeline, stage| match stage {
        Settings::Sled(settings) => pipeline.then(settings),
        Settings::Dola(settings) => pipeline.then(settings),
        Settings::Ensemble(settings) => pipeline.then(settings),
    })
}

pub fn wide(logits: &[f32]) -> Vec<f64> {
    logits.iter().map(|&logit| f64::from(logit)).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// ln Σ e^v.
pub fn log_sum_exp(values: &[f64]) -> f64 {
    let most = largest(values);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + values.iter().map(|value| (value - most).exp()).sum::<f64>().ln()
}

pub fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let norm = log_sum_exp(logits);
    logits.iter().map(|logit| logit - norm).collect()
}

pub fn softmax(logits: &[f64]) -> Vec<f64> {
    log_softmax(logits).into_iter().map(f64::exp).collect()
}

/// The k largest, largest first; of equal ones the lower index first.
pub fn best(values: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    // Stable: equal values stay in the order of their indices.
    order.sort_by(|&a, &b| values[b].partial_cmp(&values[a]).expect("no NaN among the logits"));
    order.truncate(k);
    order
}

/// z_n − z_L.
pub fn difference(exit: &[f64], last: &[f64]) -> Vec<f64> {
    exit.iter().zip(last).map(|(exit, last)| exit - last).collect()
}

/// p − e_i.
pub fn towards(p: &[f64], token: usize) -> Vec<f64> {
    let mut direction = p.to_vec();
    direction[token] -= 1.0;
    direction
}

pub fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// cos(z_n − z_L, p_n − e_i), each norm at least 1e-8.
///
/// Good to about 1e-8 even where p_n is almost one-hot: p_i − 1 is then wrong
/// by 1e-16 at most, against a norm that counts as 1e-8 at least.
pub fn cosine(exit: &[f64], last: &[f64], token: usize) -> f64 {
    let d = difference(exit, last);
    let direction = towards(&softmax(exit), token);
    let dot: f64 = d.iter().zip(&direction).map(|(a, b)| a * b).sum();
    dot / (norm(&d).max(1e-8) * norm(&direction).max(1e-8))
}

/// m(n,i) = max(0, cos(z_n − z_L, p_n − e_i))².
pub fn vote(exit: &[f64], last: &[f64], token: usize) -> f64 {
    cosine(exit, last, token).max(0.0).powi(2)
}

/// w_i = Σ_n m(n,i) / Σ_n Σ_j m(n,j), `[vocab]`, and its slack.
///
/// With every cosine wrong by ε, the total of N·k squares is wrong by
/// 2ε Σ cos ≤ 2ε √(N·k·total) (Cauchy–Schwarz), so w by twice that share.
fn target(at: &At, layers: &[usize], top: &[usize]) -> Option<(Vec<f64>, f64)> {
    let mut w = vec![0.0; at.last.len()];
    let mut undecided = false;
    for &layer in layers {
        for &token in top {
            let cosine = cosine(&at.exits[layer], &at.last, token);
            undecided |= cosine > -ROUNDING && cosine != 0.0;
            w[token] += cosine.max(0.0).powi(2);
        }
    }
    let total: f64 = w.iter().sum();
    if !undecided {
        return Some((w, 0.0));
    }
    let squares = (layers.len() * top.len()) as f64;
    let slack = 4.0 * ROUNDING * (squares / total).sqrt();
    w.iter_mut().for_each(|share| *share /= total);
    (slack < 0.02).then_some((w, slack))
}

/// z ← z − (α/τ)(1 − t/T)(softmax(z/τ) − w) for t = 0..T−1 from the current
/// vector, then η outside I; I and w are the model's own.
pub fn sled(at: &At, s: &Sled, current: &Expected) -> Option<Expected> {
    let (rate, temperature) = (f64::from(s.rate), f64::from(s.temperature));
    let layers = s.layers.resolve(at.exits.len(), false).ok()?;
    let top = best(&at.last, s.scale);
    let (w, w_slack) = target(at, &layers, &top)?;
    let mut z = current.logits.clone();
    let mut way = 0.0;
    for t in 0..s.steps {
        let step = rate / temperature * (1.0 - t as f64 / s.steps as f64);
        let p = softmax(&z.iter().map(|z| z / temperature).collect::<Vec<_>>());
        for ((z, p), w) in z.iter_mut().zip(&p).zip(&w) {
            *z -= step * (p - w);
        }
        way += step;
    }
    let mut logits = vec![f64::from(s.lower_bound); z.len()];
    for token in top {
        logits[token] = z[token];
    }
    Some(Expected {
        logits,
        slack: 4.0 * current.slack + way * (w_slack + NORM_ROUNDING) + ROUNDING,
    })
}

/// JSD = ½[KL(M‖p) + KL(M‖q)], M = (p + q)/2, of two log-distributions.
pub fn jensen_shannon(log_p: &[f64], log_q: &[f64]) -> f64 {
    let mixture: Vec<f64> =
        log_p.iter().zip(log_q).map(|(p, q)| (p.exp() + q.exp()) / 2.0).collect();
    let divergence = |log_p: &[f64]| -> f64 {
        let term = |(&m, &log_p): (&f64, &f64)| if m > 0.0 { m * (m.ln() - log_p) } else { 0.0 };
        mixture.iter().zip(log_p).map(term).sum()
    };
    (divergence(log_p) + divergence(log_q)) / 2.0
}

/// The candidate whose distribution differs most from the mature layer's own.
pub fn most_different(at: &At, s: &Dola) -> Option<usize> {
    let mature = s.mature.map_or(&at.last, |layer| &at.exits[layer]);
    let candidates = s.layers.resolve(s.mature.unwrap_or(at.exits.len()), false).ok()?;
    let divergence =
        |layer: &usize| jensen_shannon(&log_softmax(mature), &log_softmax(&at.exits[*layer]));
    let divergences: Vec<f64> = candidates.iter().map(divergence).collect();
    let order = best(&divergences, 2);
    if let [first, second] = order[..]
        && divergences[first] - divergences[second] < NORM_ROUNDING * (1.0 + divergences[first])
    {
        return None;
    }
    Some(candidates[order[0]])
}

/// log p_L − log p_l where log p_L ≥ max log p_L + ln(relative_top), else the
/// floor; p_L from the current vector, unless the mature layer is an exit.
pub fn dola(at: &At, s: &Dola, current: &Expected) -> Option<Expected> {
    let premature = log_softmax(&at.exits[most_different(at, s)?]);
    let (mature, slack) = match s.mature {
        None => (log_softmax(&current.logits), 2.0 * (current.slack + NORM_ROUNDING)),
        Some(layer) => (log_softmax(&at.exits[layer]), 2.0 * NORM_ROUNDING),
    };
    let floor = match at.purpose {
        Purpose::Score => -1000.0,
        Purpose::Generate => f64::NEG_INFINITY,
    };
    let most = largest(&mature);
    let threshold = most + f64::from(s.relative_top).ln();
    if mature.iter().any(|&p| p < most && (p - threshold).abs() <= slack) {
        return None;
    }
    let contrast = |(&mature, &premature): (&f64, &f64)| {
        let plausible = mature >= threshold && mature > f64::NEG_INFINITY;
        if plausible { mature - premature } else { floor }
    };
    Some(Expected { logits: mature.iter().zip(&premature).map(contrast).collect(), slack })
}

/// ln Σ a_i p_i over the chosen exits and the current vector, Σ a = 1.
pub fn ensemble(at: &At, s: &Ensemble, current: &Expected) -> Option<Expected> {
    let last = at.exits.len();
    let layers = s.layers.resolve(last, false).ok()?;
    let weights: Vec<f64> = match &s.weights {
        Weights::Uniform => vec![1.0; layers.len() + 1],
        Weights::Linear => layers.iter().chain([&last]).map(|&layer| layer as f64 + 1.0).collect(),
        Weights::Given(weights) => wide(weights),
    };
    let total: f64 = weights.iter().sum();
    let members: Vec<Vec<f64>> = layers
        .iter()
        .map(|&layer| &at.exits[layer])
        .chain([&current.logits])
        .map(|logits| log_softmax(logits))
        .collect();
    let mixed = |token: usize| {
        let share = |(weight, p): (&f64, &Vec<f64>)| (weight / total).ln() + p[token];
        log_sum_exp(&weights.iter().zip(&members).map(share).collect::<Vec<_>>())
    };
    let logits = (0..at.last.len()).map(mixed).collect();
    Some(Expected { logits, slack: 2.0 * (current.slack + NORM_ROUNDING) })
}
