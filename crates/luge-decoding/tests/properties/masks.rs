//! Choosing among the tokens that a mask allows.

use super::sampling::sampling;
use super::skipping::{bounded, bounds, choices, opposed, pipeline, regions};
use super::*;

/// The tokens of a vocabulary that a mask allows, one of so many, never none.
fn allowed(vocab: usize, seed: u64, one_of: usize) -> Vec<u32> {
    let mut noise = Noise(seed);
    let first = noise.below(vocab) as u32;
    (0..vocab as u32).filter(|&token| token == first || noise.below(one_of) == 0).collect()
}

/// How many of a vocabulary's tokens a mask allows, from all to hardly any.
fn shares() -> impl Strategy<Value = usize> {
    select(vec![1, 2, 4, 16, 1000])
}

proptest! {
    #![proptest_config(config(500))]

    /// What a mask does not allow is ruled out as by a ban.
    #[test]
    fn a_mask_is_a_ban_of_all_others(
        seed in any::<u64>(), vocab in 1usize..400, options in sampling(), best: bool,
        one_of in shares(), history in vec(0u32..420, 0..60), step in any::<u64>(),
    ) {
        let model = Case { vocab, exits: 1, spread: 3.0, sureness: 0.0, seed }.model();
        let temperature = if best { 0.0 } else { options.temperature };
        let options = SamplerOptions { temperature, ..options };
        let tokens = allowed(vocab, seed, one_of);
        let mask = TokenMask::of(&tokens, vocab);
        prop_assert_eq!(mask.count(), tokens.len());

        let mut logits = model.last.clone();
        let sampler = Sampler::new(options.clone());
        let token = sampler.choose_among(Some(&mask), &mut logits, &history, step);

        let mut banned = options;
        let others = (0..vocab as u32).filter(|token| !tokens.contains(token));
        banned.logit_bias.extend(others.map(|token| (token, f32::NEG_INFINITY)));
        let mut wanted = model.last.clone();
        prop_assert_eq!(Sampler::new(banned).choose(&mut wanted, &history, step), token);
        prop_assert_eq!(&logits, &wanted);
        let some_left = logits.iter().any(|&logit| logit > f32::NEG_INFINITY);
        prop_assert!(!some_left || mask.allows(token));
    }

    /// No penalty, bias or temperature brings back what a mask does not allow.
    #[test]
    fn nothing_outside_a_mask_is_chosen(
        seed in any::<u64>(), vocab in 1usize..100, options in sampling(), one_of in shares(),
        penalty in -1e38f32..1e38, repeat_penalty in 0.0f32..10.0,
        bias in vec((0u32..100, prop_oneof![-1e38f32..1e38, Just(f32::INFINITY)]), 0..4),
        history in vec(0u32..100, 0..60), step in any::<u64>(),
    ) {
        let model = Case { vocab, exits: 1, spread: 3.0, sureness: 0.0, seed }.model();
        let mask = TokenMask::of(&allowed(vocab, seed, one_of), vocab);
        let options = SamplerOptions {
            frequency_penalty: penalty, presence_penalty: penalty, repeat_penalty,
            logit_bias: bias, ..options
        };
        let mut logits = model.last;
        let sampler = Sampler::new(options);
        let token = sampler.choose_among(Some(&mask), &mut logits, &history, step);
        if logits[token as usize] > f32::NEG_INFINITY {
            prop_assert!(mask.allows(token));
        }
    }

    /// The one that matters: a token said without the exits is the one chosen with them,
    /// whatever they are.
    #[test]
    fn a_token_decided_among_the_allowed_is_the_token(
        (sure, stages) in bounded(), options in choices(), history in vec(0u32..420, 0..60),
        one_of in shares(), step in any::<u64>(),
    ) {
        let (model, pipeline) = (sure.model(), pipeline(&stages));
        let bounds = bounds(&model, &pipeline)?.expect("nothing overflows");
        let mask = TokenMask::of(&allowed(model.last.len(), step, one_of), model.last.len());
        let sampler = Sampler::new(options);
        if let Some(token) = sampler.decided_among(Some(&mask), &bounds, &history, step) {
            for model in opposed(&model) {
                let mut logits = model.run(&pipeline, Purpose::Generate)?;
                let chosen = sampler.choose_among(Some(&mask), &mut logits, &history, step);
                prop_assert_eq!(chosen, token);
            }
        }
    }

    /// Where a mask leaves nothing of what a method kept, that shows in all its logits.
    #[test]
    fn what_is_spent_is_spent_whatever_the_exits_are(
        (sure, stages) in bounded(), one_of in shares(), seed in any::<u64>(),
    ) {
        let (model, pipeline) = (sure.model(), pipeline(&stages));
        let bounds = bounds(&model, &pipeline)?.expect("nothing overflows");
        let mask = TokenMask::of(&allowed(model.last.len(), seed, one_of), model.last.len());
        if bounds.is_spent(&mask) {
            for model in opposed(&model) {
                let logits = model.run(&pipeline, Purpose::Generate)?;
                check_spent(&mask, &logits)?;
            }
        }
    }
}

proptest! {
    #![proptest_config(config(2000))]

    /// The same with limits that no method need make.
    #[test]
    fn masks_of_any_limits(
        limits in regions(), options in choices(), one_of in shares(), seed in any::<u64>(),
        history in vec(0u32..60, 0..20), step in any::<u64>(),
    ) {
        let vocab = limits.bounds.vocab;
        let mask = TokenMask::of(&allowed(vocab, seed, one_of), vocab);
        let sampler = Sampler::new(options);
        let decided = sampler.decided_among(Some(&mask), &limits.bounds, &history, step);
        let is_spent = limits.bounds.is_spent(&mask);
        for logits in limits.logits() {
            if is_spent {
                check_spent(&mask, &logits)?;
            }
            if let Some(token) = decided {
                let mut logits = logits;
                let chosen = sampler.choose_among(Some(&mask), &mut logits, &history, step);
                prop_assert_eq!(chosen, token);
            }
        }
    }
}

/// No token that a mask allows is above the least of all logits.
fn check_spent(mask: &TokenMask, logits: &[f32]) -> Checked {
    let least = logits.iter().copied().fold(f32::INFINITY, f32::min);
    for (token, &logit) in (0u32..).zip(logits) {
        prop_assert!(logit == least || !mask.allows(token), "{token} is left");
    }
    Ok(())
}

/// A mask decides more: it takes the rivals away, and what is spent.
#[test]
fn masks_decide_tokens() {
    let pipeline = Pipeline::single(Sled { scale: 5, ..Sled::default() });
    let sampler = Sampler::new(SamplerOptions::default());
    let (mut without, mut with, mut spent) = (0, 0, 0);
    for seed in 0..200u64 {
        let model = Case { vocab: 50, exits: 3, spread: 1.0, sureness: 0.0, seed }.model();
        let bounds = bounds(&model, &pipeline).expect("it fits").expect("nothing overflows");
        let mask = TokenMask::of(&allowed(50, seed, 8), 50);
        without += usize::from(sampler.decided(&bounds, &[], 0).is_some());
        with += usize::from(sampler.decided_among(Some(&mask), &bounds, &[], 0).is_some());
        spent += usize::from(bounds.is_spent(&mask));
    }
    assert!(with > without + 20 && spent > 50, "{without} without, {with} with, {spent} spent");
}

/// Where the rest has tokens that may come, they are not at the floor unless that is the
/// least of all.
#[test]
fn a_rest_above_a_token_is_not_spent() {
    let tokens = vec![(0, Limits::exactly(-5.0)), (1, Limits::exactly(3.0))];
    let bounds = Bounds { vocab: 4, tokens: tokens.clone(), rest: 0.0 };
    assert!(!bounds.is_spent(&TokenMask::of(&[2, 3], 4)));
    let bounds = Bounds { rest: -6.0, ..bounds };
    assert!(bounds.is_spent(&TokenMask::of(&[2, 3], 4)));
    assert!(!bounds.is_spent(&TokenMask::of(&[0, 2], 4)));
    // Without a rest, the least is one of the tokens'.
    assert!(!Bounds { vocab: 2, ..bounds }.is_spent(&TokenMask::of(&[], 2)));
}
