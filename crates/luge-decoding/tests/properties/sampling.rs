//! Sampling.

use super::*;

/// Options that sample, with every filter off or on.
pub fn sampling() -> impl Strategy<Value = SamplerOptions> {
    let top_k = prop_oneof![Just(0usize), 1usize..50, Just(10_000)];
    let top_p = prop_oneof![Just(1.0f32), Just(0.0), 0.0f32..1.0];
    let min_p = prop_oneof![Just(0.0f32), Just(1.0), 0.0f32..1.0, 0.0f32..0.01];
    let repeat = prop_oneof![Just(1.0f32), 0.5f32..2.0];
    let penalty = || prop_oneof![Just(0.0f32), -2.0f32..2.0];
    let bias = vec((0u32..400, prop_oneof![Just(f32::NEG_INFINITY), -5.0f32..5.0]), 0..4);
    (
        (0.1f32..3.0, top_k, top_p, min_p),
        (repeat, 0usize..40, penalty(), penalty()),
        (bias, any::<u64>()),
    )
        .prop_map(|(filters, penalties, (logit_bias, seed))| SamplerOptions {
            temperature: filters.0,
            top_k: filters.1,
            top_p: filters.2,
            min_p: filters.3,
            repeat_penalty: penalties.0,
            repeat_last_n: penalties.1,
            frequency_penalty: penalties.2,
            presence_penalty: penalties.3,
            logit_bias,
            seed,
        })
}

/// Penalties and biases as [`SamplerOptions`] describes them.
fn penalised(logits: &[f32], history: &[u32], options: &SamplerOptions) -> Vec<f64> {
    let recent = &history[history.len().saturating_sub(options.repeat_last_n)..];
    let wide = |(token, &logit): (usize, &f32)| {
        let (token, mut logit) = (token as u32, f64::from(logit));
        let count = recent.iter().filter(|&&other| other == token).count() as f64;
        if count > 0.0 {
            let repeat = f64::from(options.repeat_penalty);
            logit = if logit > 0.0 { logit / repeat } else { logit * repeat };
            logit -= count * f64::from(options.frequency_penalty);
            logit -= f64::from(options.presence_penalty);
        }
        let biases = options.logit_bias.iter().filter(|(other, _)| *other == token);
        logit + biases.map(|&(_, bias)| f64::from(bias)).sum::<f64>()
    };
    logits.iter().enumerate().map(wide).collect()
}

/// The tokens that stay after top-k, top-p and min-p, the shares of the last
/// two moved by `slack`: up to keep no token wrongly, down to drop none.
fn kept(logits: &[f64], options: &SamplerOptions, slack: f64) -> Vec<usize> {
    let k = if options.top_k == 0 { logits.len() } else { options.top_k };
    let best: Vec<usize> = literal::best(logits, k)
        .into_iter()
        .filter(|&token| logits[token] > f64::NEG_INFINITY)
        .collect();
    let scaled = |&token: &usize| logits[token] / f64::from(options.temperature);
    let p = literal::softmax(&best.iter().map(scaled).collect::<Vec<_>>());
    let enough = f64::from(options.top_p) - slack;
    let least = f64::from(options.min_p) * (1.0 + slack) * p.first().unwrap_or(&0.0);
    let mut before = 0.0;
    let stays = |(place, &p): (usize, &f64)| {
        let by_top_p = place == 0 || options.top_p >= 1.0 || before < enough;
        before += p;
        by_top_p && (place == 0 || p >= least)
    };
    let count = p.iter().enumerate().map(stays).take_while(|&stays| stays).count();
    best[..count].to_vec()
}

proptest! {
    #![proptest_config(config(300))]

    /// The choice is one of the tokens kept, the one with the largest sum of
    /// logit/temperature and noise; the same seed makes the same one.
    #[test]
    fn the_best_of_the_kept_tokens_after_noise_is_chosen(
        seed in any::<u64>(), vocab in 1usize..400, options in sampling(),
        history in vec(0u32..420, 0..60), step in any::<u64>(),
    ) {
        let model = Case { vocab, exits: 1, spread: 3.0, sureness: 0.0, seed }.model();
        let sampler = Sampler::new(options.clone());
        let mut logits = model.last.clone();
        let chosen = sampler.choose(&mut logits, &history, step);
        prop_assert_eq!(sampler.choose(&mut model.last.clone(), &history, step), chosen);

        let wanted = penalised(&model.last, &history, &options);
        check(&logits, &Expected { logits: wanted, slack: 1e-5 })?;
        let logits = literal::wide(&logits);
        let (surely, perhaps) = (kept(&logits, &options, 1e-3), kept(&logits, &options, -1e-3));
        if perhaps.is_empty() {
            // Every token is ruled out: the lowest is as good as any.
            prop_assert_eq!(chosen, 0);
            return Ok(());
        }
        prop_assert!(perhaps.contains(&(chosen as usize)), "{chosen} is not in {perhaps:?}");
        let score = |token: usize| {
            let noise = gumbel(options.seed, step, token as u32);
            logits[token] / f64::from(options.temperature) + noise
        };
        for token in surely {
            prop_assert!(score(token) <= score(chosen as usize) + 1e-3, "{token} beats {chosen}");
        }
    }

    /// The only token that is possible is chosen, whatever the options say.
    #[test]
    fn the_only_possible_token_is_chosen(
        vocab in 1usize..200, token in any::<Index>(), logit in -50.0f32..50.0,
        options in sampling(), greedy: bool, history in vec(0u32..200, 0..60), step in any::<u64>(),
    ) {
        let mut logits = vec![f32::NEG_INFINITY; vocab];
        let token = token.index(vocab);
        logits[token] = logit;
        let temperature = if greedy { 0.0 } else { options.temperature };
        let options = SamplerOptions { temperature, logit_bias: Vec::new(), ..options };
        let chosen = Sampler::new(options).choose(&mut logits, &history, step);
        prop_assert_eq!(chosen as usize, token);
    }

    /// Without noise the best token is taken; with it and one token to choose
    /// from, too.
    #[test]
    fn one_token_to_choose_from_is_the_best(
        seed in any::<u64>(), vocab in 1usize..400, options in sampling(), step in any::<u64>(),
    ) {
        let model = Case { vocab, exits: 1, spread: 3.0, sureness: 0.0, seed }.model();
        prop_assume!(!model.has_ties());
        let options = SamplerOptions { logit_bias: Vec::new(), ..options };
        let best = literal::best(&literal::wide(&model.last), 1)[0];
        for options in [
            SamplerOptions { temperature: 0.0, ..options.clone() },
            SamplerOptions { top_k: 1, ..options.clone() },
            SamplerOptions { top_p: 0.0, ..options.clone() },
            SamplerOptions { min_p: 1.0, ..options },
        ] {
            let chosen = Sampler::new(options).choose(&mut model.last.clone(), &[], step);
            prop_assert_eq!(chosen as usize, best);
        }
    }

    /// No options in range and no numbers make it panic.
    #[test]
    fn sampling_never_panics(
        logits in vec(
            prop_oneof![
                4 => -30.0f32..30.0,
                2 => Just(f32::NEG_INFINITY),
                1 => prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO
                    | prop::num::f32::NEGATIVE | prop::num::f32::POSITIVE,
            ],
            1..200,
        ),
        options in sampling(),
        temperature in prop_oneof![0.0f32..5.0, select(vec![0.0, f32::MIN_POSITIVE, f32::MAX])],
        repeat_penalty in prop_oneof![0.1f32..10.0, select(vec![f32::MIN_POSITIVE, f32::MAX])],
        penalty in -1e38f32..1e38,
        history in vec(prop_oneof![0u32..200, any::<u32>()], 0..60),
        repeat_last_n in prop_oneof![0usize..60, Just(usize::MAX)],
        logit_bias in vec((prop_oneof![0u32..200, any::<u32>()], -1e38f32..1e38), 0..4),
        step in any::<u64>(),
    ) {
        let options = SamplerOptions {
            temperature,
            repeat_penalty,
            frequency_penalty: penalty,
            presence_penalty: penalty,
            repeat_last_n,
            logit_bias,
            ..options
        };
        let chosen = Sampler::new(options).choose(&mut logits.clone(), &history, step);
        prop_assert!((chosen as usize) < logits.len());
    }

    /// top-k may be any number, and beyond the vocabulary it keeps everything.
    #[test]
    fn top_k_beyond_the_vocabulary_is_no_filter(
        seed in any::<u64>(), vocab in 1usize..400, options in sampling(),
        top_k in prop_oneof![400usize..1000, 400..=usize::MAX, Just(usize::MAX)],
    ) {
        let model = Case { vocab, exits: 1, spread: 3.0, sureness: 0.0, seed }.model();
        let choose = |top_k| {
            let sampler = Sampler::new(SamplerOptions { top_k, ..options.clone() });
            sampler.choose(&mut model.last.clone(), &[], 0)
        };
        prop_assert_eq!(choose(top_k), choose(0));
    }
}
