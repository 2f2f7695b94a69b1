//! What is known without the exits: limits of the logits, and the token where it
//! follows from them.

use luge_decoding::Greedy;

use super::models::Model;
use super::sampling::sampling;
use super::*;

/// A case, and how far one token of the final layer stands out: far enough, and no
/// exit changes the choice.
#[derive(Debug, Clone)]
pub struct Sure {
    case: Case,
    lead: f32,
    token: usize,
}

impl Sure {
    /// The model, in steps of 1/1024.
    pub fn model(&self) -> Model {
        let mut model = self.case.model();
        let most = model.last.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        model.last[self.token] = most + self.lead;
        model.rounded()
    }
}

fn sures() -> impl Strategy<Value = Sure> {
    let lead = prop_oneof![Just(0.0f32), 0.0f32..12.0];
    (cases(), lead, any::<Index>()).prop_map(|(case, lead, token)| {
        let token = token.index(case.vocab);
        Sure { case, lead, token }
    })
}

/// A case, a pipeline of bounded methods that fits it, and whether the pipeline is
/// one SLED of one step.
pub fn bounded() -> impl Strategy<Value = (Sure, Vec<Sled>)> {
    let steps = |sled: Sled| {
        let (once, twice) = (Sled { steps: 1, ..sled.clone() }, Sled { steps: 2, ..sled.clone() });
        let plain = Sled { steps: 1, temperature: 1.0, ..sled.clone() };
        let cut = Sled { rate: 0.0, ..sled.clone() };
        prop_oneof![Just(plain), Just(once), Just(twice), Just(sled), Just(cut)]
    };
    sures().prop_flat_map(move |sure| {
        let stages = vec(sleds(&sure.case).prop_flat_map(steps), 1..=2);
        (Just(sure), stages)
    })
}

pub fn pipeline(stages: &[Sled]) -> Pipeline {
    let stages: Vec<_> = stages.iter().cloned().map(Settings::Sled).collect();
    literal::built(&stages)
}

/// Exits that give the whole vote to one token: they raise all others alike.
fn unanimous(model: &Model, token: u32) -> Model {
    let raised = |(other, &z): (usize, &f32)| z + if other == token as usize { 0.0 } else { 64.0 };
    let exit: Vec<f32> = model.last.iter().enumerate().map(raised).collect();
    model.map(|n, z| if n < model.exits.len() { exit.clone() } else { z.to_vec() })
}

/// The model itself, and the same final layer below exits that are all for one of
/// its best tokens.
pub fn opposed(model: &Model) -> Vec<Model> {
    let best = luge_decoding::top_k(&model.last, 6);
    let opposed = best.into_iter().map(|token| unanimous(model, token));
    std::iter::once(model.clone()).chain(opposed).collect()
}

pub fn bounds(model: &Model, pipeline: &Pipeline) -> Result<Option<Bounds>, Error> {
    Ok(pipeline.bind(&model.shape())?.bounds(&model.last))
}

/// Every logit lies within its limits, to the bit.
fn check_within(logits: &[f32], bounds: &Bounds) -> Checked {
    prop_assert_eq!(bounds.vocab, logits.len());
    prop_assert!(bounds.tokens.is_sorted_by(|(a, _), (b, _)| a < b));
    for (token, &logit) in (0..).zip(logits) {
        let Limits { low, high } = bounds.of(token);
        prop_assert!(low <= logit && logit <= high, "{token}: {logit} is not in {low}..={high}");
    }
    Ok(())
}

/// Any sampling, and the best token.
pub fn choices() -> impl Strategy<Value = SamplerOptions> {
    let temperature = prop_oneof![4 => Just(0.0f32), 3 => 0.01f32..2.0, 1 => 2.0f32..50.0];
    let far = (0u32..400, prop_oneof![-2000.0f32..2000.0, Just(f32::NEG_INFINITY)]);
    // Half of all have the filters off, which leaves most to the noise.
    (sampling(), temperature, vec(far, 0..3), any::<bool>()).prop_map(
        |(options, temperature, far, all)| {
            let mut options = SamplerOptions { temperature, ..options };
            options.logit_bias.extend(far);
            if all {
                options = SamplerOptions { top_k: 0, top_p: 1.0, min_p: 0.0, ..options };
            }
            options
        },
    )
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn logits_lie_within_their_limits((sure, stages) in bounded(), purpose in purposes()) {
        let (model, pipeline) = (sure.model(), pipeline(&stages));
        let bounds = bounds(&model, &pipeline)?.expect("nothing overflows");
        for model in opposed(&model) {
            check_within(&model.run(&pipeline, purpose)?, &bounds)?;
        }
    }

    /// Parameters and logits of any size: where there are limits, the method does
    /// not fail.
    #[test]
    fn limits_promise_a_result(
        (sure, stages) in bounded(),
        temperature in prop::num::f32::POSITIVE | prop::num::f32::SUBNORMAL,
        rate in prop::num::f32::POSITIVE | prop::num::f32::SUBNORMAL,
        size in prop_oneof![Just(1.0f32), (0.0f32..38.0).prop_map(|power| 10f32.powf(power))],
        ruled_out in vec(any::<Index>(), 0..4),
    ) {
        let mut model = sure.model().map(|_, z| z.iter().map(|z| z * size).collect());
        for token in ruled_out {
            model.last[token.index(sure.case.vocab)] = f32::NEG_INFINITY;
        }
        let stages: Vec<Sled> =
            stages.into_iter().map(|sled| Sled { temperature, rate, ..sled }).collect();
        let pipeline = pipeline(&stages);
        if let Some(bounds) = bounds(&model, &pipeline)? {
            // Exits of the same size overflow by themselves.
            let exits = model.map(|_, z| z.iter().map(|z| z / size).collect());
            let model = Model { last: model.last, exits: exits.exits };
            for model in [unanimous(&model, 0), model] {
                match model.run(&pipeline, Purpose::Generate) {
                    Ok(logits) => check_within(&logits, &bounds)?,
                    Err(Error::NotANumber { .. }) => {}
                    Err(error) => prop_assert!(false, "{error}"),
                }
            }
        }
    }

    /// The limits of one step are reached, each of them, to the bit.
    #[test]
    fn limits_are_no_wider_than_they_must_be((sure, stages) in bounded()) {
        let model = sure.model();
        let pipeline = pipeline(&[Sled { steps: 1, ..stages[0].clone() }]);
        let bounds = bounds(&model, &pipeline)?.expect("nothing overflows");
        for &(token, limits) in &bounds.tokens[..bounds.tokens.len().min(6)] {
            // Of one token no direction is left, and no exit votes.
            prop_assume!(sure.case.vocab > 1);
            let logits = unanimous(&model, token).run(&pipeline, Purpose::Generate)?;
            prop_assert_eq!(logits[token as usize], limits.high);
            for (other, &logit) in (0..).zip(&logits).filter(|(other, _)| *other != token) {
                prop_assert_eq!(logit, bounds.of(other).low);
            }
        }
    }

    /// The one that matters: a token said without the exits is the one chosen with
    /// them, whatever they are.
    #[test]
    fn a_decided_token_is_the_token(
        (sure, stages) in bounded(), options in choices(), history in vec(0u32..420, 0..60),
        step in any::<u64>(),
    ) {
        let (model, pipeline) = (sure.model(), pipeline(&stages));
        let bounds = bounds(&model, &pipeline)?.expect("nothing overflows");
        let sampler = Sampler::new(options);
        if let Some(token) = sampler.decided(&bounds, &history, step) {
            for model in opposed(&model) {
                let mut logits = model.run(&pipeline, Purpose::Generate)?;
                prop_assert_eq!(sampler.choose(&mut logits, &history, step), token);
            }
        }
    }

    /// Where the best token of one step is not said, the exits decide: there are
    /// such that lead to different tokens.
    #[test]
    fn what_is_not_decided_depends_on_the_exits((sure, stages) in bounded()) {
        prop_assume!(sure.case.vocab > 1);
        let model = sure.model();
        // A token beyond the k best must not win by its lower bound.
        let sled = Sled { steps: 1, lower_bound: -1000.0, ..stages[0].clone() };
        let pipeline = pipeline(&[sled]);
        let bounds = bounds(&model, &pipeline)?.expect("nothing overflows");
        let best = Sampler::new(SamplerOptions::default());
        if best.decided(&bounds, &[], 0).is_none() {
            let chosen = |token| -> Result<u32, Error> {
                let mut logits = unanimous(&model, token).run(&pipeline, Purpose::Generate)?;
                Ok(best.choose(&mut logits, &[], 0))
            };
            let tokens = bounds.tokens.iter().map(|&(token, _)| chosen(token));
            let tokens = tokens.collect::<Result<Vec<u32>, Error>>()?;
            prop_assert!(tokens.iter().any(|token| *token != tokens[0]), "always {}", tokens[0]);
        }
    }

    /// A stage that changes nothing changes nothing about the limits.
    #[test]
    fn greedy_leaves_the_limits((sure, stages) in bounded()) {
        let model = sure.model();
        let sled = stages[0].clone();
        let wanted = bounds(&model, &Pipeline::single(sled.clone()))?;
        prop_assert!(wanted.is_some());
        let behind = Pipeline::single(Greedy).then(sled.clone());
        prop_assert_eq!(&bounds(&model, &behind)?, &wanted);
        let before = Pipeline::single(sled).then(Greedy);
        prop_assert_eq!(&bounds(&model, &before)?, &wanted);
    }

    /// Without a step no logit depends on the exits.
    #[test]
    fn without_a_step_the_limits_are_the_logits((sure, stages) in bounded()) {
        let model = sure.model();
        let pipeline = Pipeline::single(Sled { rate: 0.0, ..stages[0].clone() });
        let bounds = bounds(&model, &pipeline)?.expect("nothing overflows");
        prop_assert!(bounds.tokens.iter().all(|(_, limits)| limits.low == limits.high));
        check_within(&model.run(&pipeline, Purpose::Generate)?, &bounds)?;
    }

    #[test]
    fn methods_that_are_not_bounded_have_no_limits(case in cases()) {
        let model = case.model();
        for text in ["greedy", "greedy+greedy", "dola", "ensemble"] {
            prop_assert_eq!(bounds(&model, &parse(text))?, None, "{}", text);
        }
        for other in ["dola", "ensemble"] {
            for text in [
                format!("sled(evolution-scale=1)+{other}"),
                format!("{other}+sled(evolution-scale=1)"),
                format!("greedy+{other}"),
            ] {
                prop_assert_eq!(bounds(&model, &parse(&text))?, None, "{}", text);
            }
        }
    }

    #[test]
    fn damaged_final_logits_have_no_limits(
        case in cases(), token in any::<Index>(), value in select(vec![f32::NAN, f32::INFINITY]),
    ) {
        let mut model = case.model();
        model.last[token.index(case.vocab)] = value;
        for text in ["sled(evolution-scale=1)", "sled(evolution-scale=1,evolution-rate=0)"] {
            prop_assert_eq!(bounds(&model, &parse(text))?, None);
        }
        model.last.fill(f32::NEG_INFINITY);
        prop_assert_eq!(bounds(&model, &parse("sled(evolution-scale=1)"))?, None);
    }
}

/// Limits that no method need make: wide, narrow or none, beside a rest that may be
/// far below or in between.
#[derive(Debug, Clone)]
pub struct Region {
    pub bounds: Bounds,
    seed: u64,
}

pub fn regions() -> impl Strategy<Value = Region> {
    // Halves, so that limits meet and logits tie.
    let logit = || (-20i32..20).prop_map(|halves| halves as f32 / 2.0);
    let low = prop_oneof![
        12 => logit(),
        1 => Just(f32::NEG_INFINITY),
        1 => (-30.0f32..30.0).prop_map(|power| power.signum() * 10f32.powf(power.abs())),
    ];
    let width = prop_oneof![2 => Just(0.0f32), 2 => Just(0.5), 2 => 0.0f32..3.0, 1 => Just(1e-6)];
    let tokens = prop::collection::btree_map(0u32..40, (low, width), 1..12);
    let rest = prop_oneof![3 => Just(-1000.0f32), 1 => logit()];
    (tokens, 0usize..20, rest, any::<u64>()).prop_map(|(tokens, more, rest, seed)| {
        let vocab = tokens.keys().max().map_or(1, |&last| last as usize + 1) + more;
        let limits = |(low, width): (f32, f32)| Limits { low, high: low + width };
        let tokens = tokens.into_iter().map(|(token, pair)| (token, limits(pair))).collect();
        Region { bounds: Bounds { vocab, tokens, rest }, seed }
    })
}

impl Region {
    /// Logits within the limits: corners of the region, and points anywhere in it.
    pub fn logits(&self) -> Vec<Vec<f32>> {
        let mut noise = Noise(self.seed);
        let count = self.bounds.tokens.len();
        let mut points = Vec::new();
        for turn in 0..count + 12 {
            let mut logits = vec![self.bounds.rest; self.bounds.vocab];
            for (place, &(token, Limits { low, high })) in self.bounds.tokens.iter().enumerate() {
                logits[token as usize] = if turn < count {
                    // One token at its best, the others at their worst.
                    if place == turn { high } else { low }
                } else {
                    match noise.below(3) {
                        0 => low,
                        1 => high,
                        _ if low == high => low,
                        _ => (low + (high - low) * 0.37).clamp(low, high),
                    }
                };
            }
            points.push(logits);
        }
        points
    }
}

proptest! {
    #![proptest_config(config(2000))]

    /// The sampler's part alone, with temperatures, biases and penalties of any size.
    #[test]
    fn a_token_decided_by_limits_is_chosen_from_all_logits_within_them(
        limits in regions(), options in choices(),
        temperature in prop_oneof![
            4 => Just(None),
            2 => (0.1f32..2.0).prop_map(Some),
            1 => prop::num::f32::POSITIVE.prop_map(Some),
            1 => select(vec![1e-44, 1e-38, 1e-30, 1e-6, 1e6, 1e30, f32::MAX]).prop_map(Some),
        ],
        bias in vec((0u32..60, prop_oneof![-4.0f32..4.0, -1e38f32..1e38]), 0..3),
        history in vec(0u32..60, 0..20),
        step in any::<u64>(),
    ) {
        let mut options = options;
        options.temperature = temperature.unwrap_or(options.temperature);
        options.logit_bias.extend(bias);
        let sampler = Sampler::new(options);
        if let Some(token) = sampler.decided(&limits.bounds, &history, step) {
            for mut logits in limits.logits() {
                prop_assert_eq!(sampler.choose(&mut logits, &history, step), token);
            }
        }
    }

    /// Two tokens that are as good as each other with their noise, so that rounding
    /// decides, and a third that moves the best logit, and with it the rounding.
    #[test]
    fn what_rounding_decides_is_not_decided(
        seed in any::<u64>(), temperature in 0.01f32..3.0, base in -20.0f32..20.0,
        nudge in -3i32..=3, width in 0.0f32..20.0,
    ) {
        let noise = |token| gumbel(seed, 0, token);
        let like = |token, less: f64| {
            let scaled = noise(0) - noise(token) - less;
            (f64::from(base) + scaled * f64::from(temperature)) as f32
        };
        let (second, high) = (like(1, 0.0), like(2, 0.5));
        let second = f32::from_bits(second.to_bits().saturating_add_signed(nudge));
        let third = Limits { low: high - width, high };
        let tokens = vec![(0, Limits::exactly(base)), (1, Limits::exactly(second)), (2, third)];
        let limits = Region { bounds: Bounds { vocab: 3, tokens, rest: -1000.0 }, seed };
        let options = SamplerOptions { temperature, seed, ..SamplerOptions::default() };
        let sampler =
            Sampler::new(SamplerOptions { top_k: 0, top_p: 1.0, min_p: 0.0, ..options });
        if let Some(token) = sampler.decided(&limits.bounds, &[], 0) {
            for mut logits in limits.logits() {
                prop_assert_eq!(sampler.choose(&mut logits, &[], 0), token);
            }
        }
    }

    /// What lies above another does so in all logits within the limits.
    #[test]
    fn above_another_is_above_the_least(limits in regions(), token in any::<Index>()) {
        let token = token.index(limits.bounds.vocab) as u32;
        if limits.bounds.is_above_another(token) {
            for logits in limits.logits() {
                prop_assert!(logits.iter().any(|&other| other < logits[token as usize]));
            }
        }
    }
}

/// Both happen, often: otherwise the properties above would say little.
#[test]
fn some_tokens_are_decided_and_some_are_not() {
    let share = |temperature: f32, all: bool| {
        let mut options = SamplerOptions { temperature, seed: 3, ..SamplerOptions::default() };
        if all {
            options = SamplerOptions { top_k: 0, top_p: 1.0, min_p: 0.0, ..options };
        }
        let sampler = Sampler::new(options);
        let pipeline = Pipeline::single(Sled { scale: 5, ..Sled::default() });
        let decided = (0..200u64).filter(|&seed| {
            let case = Case { vocab: 50, exits: 3, spread: 1.0, sureness: 0.0, seed };
            let model = Sure { case, lead: seed as f32 / 40.0, token: 7 }.model();
            let bounds = bounds(&model, &pipeline).expect("a pipeline that fits");
            sampler.decided(&bounds.expect("nothing overflows"), &[], seed).is_some()
        });
        decided.count()
    };
    for (temperature, all) in [(0.0, true), (0.3, false), (1.0, false), (1.0, true)] {
        let decided = share(temperature, all);
        assert!((20..180).contains(&decided), "{decided} of 200 at temperature {temperature}");
    }
}

/// A lead just above α holds against all exits, and one just below does not.
#[test]
fn the_lead_that_decides_is_the_evolution_rate() {
    let pipeline = Pipeline::single(Sled { rate: 2.0, scale: 2, ..Sled::default() });
    let sampler = Sampler::new(SamplerOptions::default());
    let decided = |lead: f32| {
        // Two tokens among many, so that p and with it αp is next to nothing.
        let mut last = vec![0.0f32; 4000];
        (last[7], last[5]) = (lead, 0.0);
        let bounds = bounds(&Model { last, exits: vec![vec![0.0; 4000]] }, &pipeline);
        sampler.decided(&bounds.expect("it fits").expect("nothing overflows"), &[], 0)
    };
    assert_eq!(decided(2.01), Some(7));
    assert_eq!(decided(1.99), None);

    let mut last = vec![0.0f32; 4000];
    last[7] = 1.99;
    let model = unanimous(&Model { last, exits: vec![vec![0.0; 4000]] }, 0);
    let mut logits = model.run(&pipeline, Purpose::Generate).expect("it runs");
    assert_eq!(sampler.choose(&mut logits, &[], 0), 0);
}

/// A token beyond the limits' own that a bias raises competes with them.
#[test]
fn a_bias_brings_in_a_token_of_the_rest() {
    let limits = Limits { low: 1.0, high: 2.0 };
    let bounds = Bounds { vocab: 9, tokens: vec![(3, limits)], rest: -1000.0 };
    let decided = |bias: f32, vocab: usize| {
        let logit_bias = vec![(8, bias)];
        let options = SamplerOptions { logit_bias, ..SamplerOptions::default() };
        Sampler::new(options).decided(&Bounds { vocab, ..bounds.clone() }, &[], 0)
    };
    assert_eq!(decided(1000.5, 9), Some(3));
    assert_eq!(decided(1001.5, 9), None);
    assert_eq!(decided(1002.5, 9), Some(8));
    // Ties go to the lower token, and it may be of the rest.
    assert_eq!(decided(1001.0, 9), Some(3));
    assert_eq!(decided(1002.5, 8), Some(3));
    assert!(bounds.is_above_another(3) && !bounds.is_above_another(8));
}

/// Of a single token nothing is above another.
#[test]
fn a_rest_that_is_empty_does_not_count() {
    let limits = Limits { low: 1.0, high: 2.0 };
    let bounds = Bounds { vocab: 1, tokens: vec![(0, limits)], rest: -1000.0 };
    assert!(!bounds.is_above_another(0));
    assert_eq!(Sampler::new(SamplerOptions::default()).decided(&bounds, &[], 0), Some(0));
}

/// Options out of range, or logits as large as they come, take back a decision but
/// make no wrong one.
#[test]
fn what_turns_limits_round_is_not_decided() {
    let decided = |options: SamplerOptions, [low, high]: [f32; 2]| {
        let tokens = vec![(0, Limits { low, high }), (1, Limits::exactly(-high))];
        let bounds = Bounds { vocab: 2, tokens, rest: -1000.0 };
        Sampler::new(options).decided(&bounds, &[0], 0)
    };
    let penalty = |repeat_penalty| SamplerOptions { repeat_penalty, ..SamplerOptions::default() };
    assert_eq!(decided(penalty(1.5), [1.0, 2.0]), Some(0));
    assert_eq!(decided(penalty(-1.0), [-1.0, 2.0]), None);
    assert_eq!(decided(penalty(f32::NAN), [1.0, 2.0]), None);
    let all = |temperature| {
        // With this seed the noise of the first token is larger by 4.
        let options = SamplerOptions { temperature, seed: 35, ..SamplerOptions::default() };
        SamplerOptions { top_k: 0, top_p: 1.0, min_p: 0.0, ..options }
    };
    assert_eq!(decided(all(1.0), [50.0, 60.0]), Some(0));
    assert_eq!(decided(all(-1.0), [50.0, 60.0]), None);
    assert_eq!(decided(all(f32::NAN), [50.0, 60.0]), None);
    // The noise makes up for the distance, 3.3 temperatures, but f32 has no number for it.
    assert_eq!(decided(all(1.5e38), [-2.5e38; 2]), None);
    let mut logits = [-2.5e38, 2.5e38];
    assert_eq!(Sampler::new(all(1.5e38)).choose(&mut logits, &[], 0), 1);
}
