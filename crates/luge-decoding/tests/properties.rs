//! Properties of the decoding methods, most of them against the literal
//! reference in `common/reference.rs`.

mod common;

use common::models::{Case, Noise, cases, dolas, ensembles, purposes, sleds, these, with};
use common::reference::{self as literal, At, Expected, Settings};
use luge_decoding::{
    Dola, Ensemble, Error, ExitLogits, Exits, LayerRange, LayerSelection, Method, ModelShape,
    Params, Pipeline, Position, Purpose, Sampler, SamplerOptions, Sled, gumbel, layer_vote,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseError;

type Checked = Result<(), TestCaseError>;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Every logit lies within the slack of the reference's, and 2e-6 of its size.
fn check(got: &[f32], expected: &Expected) -> Checked {
    prop_assert_eq!(got.len(), expected.logits.len());
    for (token, (&got, &wanted)) in got.iter().zip(&expected.logits).enumerate() {
        let got = f64::from(got);
        let slack = expected.slack + 2e-6 * wanted.abs();
        prop_assert!(
            got == wanted || (got - wanted).abs() <= slack,
            "token {token} has {got}, not {wanted} to within {slack:e}"
        );
    }
    Ok(())
}

/// The pipeline of these stages gives what the reference says.
fn check_pipeline(case: &Case, stages: &[Settings], purpose: Purpose) -> Checked {
    let model = case.model();
    let Some(expected) = literal::pipeline(&At::new(&model, purpose), stages) else {
        return Err(TestCaseError::reject("rounding decides"));
    };
    check(&model.run(&literal::built(stages), purpose)?, &expected)
}

/// As [`check_pipeline`], but where rounding decides there is nothing to check.
/// For tests of several pipelines a case.
fn check_pipeline_if_clear(case: &Case, stages: &[Settings], purpose: Purpose) -> Checked {
    match check_pipeline(case, stages, purpose) {
        Err(TestCaseError::Reject(_)) => Ok(()),
        checked => checked,
    }
}

fn parse(text: &str) -> Pipeline {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// One stage with the settings of any method.
fn any_stage(case: &Case) -> impl Strategy<Value = Settings> + use<> {
    prop_oneof![
        sleds(case).prop_map(Settings::Sled),
        dolas(case).prop_map(Settings::Dola),
        ensembles(case).prop_map(Settings::Ensemble),
    ]
}

// SLED

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn sled_is_the_literal_sled((case, sled) in with(sleds), purpose in purposes()) {
        check_pipeline(&case, &[Settings::Sled(sled)], purpose)?;
    }

    /// The closed form of the cosine, exits almost sure of a token included.
    #[test]
    fn a_vote_is_the_literal_squared_cosine(case in cases(), k in 1usize..20) {
        let model = case.model();
        let last = literal::wide(&model.last);
        let exit = literal::wide(&model.exits[0]);
        let mut candidates = literal::best(&last, k);
        candidates.extend(literal::best(&exit, 2));
        let tokens: Vec<u32> = candidates.iter().map(|&token| token as u32).collect();
        let votes = layer_vote(&model.exits[0], &model.last, &tokens).expect("finite logits");
        for (&token, vote) in candidates.iter().zip(votes) {
            let wanted = literal::vote(&exit, &last, token);
            // Absolute: the error of a cosine does not shrink with the cosine.
            prop_assert!((vote - wanted).abs() < 2e-6, "token {token} has {vote}, not {wanted}");
        }
    }

    #[test]
    fn a_vote_lies_between_0_and_1(case in cases()) {
        let model = case.model();
        let tokens: Vec<u32> = (0..case.vocab as u32).collect();
        for exit in &model.exits {
            for vote in layer_vote(exit, &model.last, &tokens).expect("finite logits") {
                prop_assert!((0.0..=1.0).contains(&vote), "{vote}");
            }
        }
    }

    /// Where the final layer is the exit after a step of gradient descent
    /// towards token i, z_L = z_n − η(p_n − e_i), the layer's vote for i is 1.
    #[test]
    fn a_step_towards_a_token_is_a_full_vote_for_it(
        case in cases(), token in any::<Index>(), rate in 1.0..10.0,
    ) {
        prop_assume!(case.vocab > 1 && case.sureness == 0.0);
        let exit = &case.model().exits[0];
        let token = token.index(case.vocab);
        let p = literal::softmax(&literal::wide(exit));
        let step = literal::towards(&p, token);
        // Logits must be able to show the step.
        prop_assume!(literal::norm(&step) > 0.05);
        let last: Vec<f32> =
            exit.iter().zip(&step).map(|(&z, step)| (f64::from(z) - rate * step) as f32).collect();
        let vote = layer_vote(exit, &last, &[token as u32]).expect("finite logits")[0];
        prop_assert!((vote - 1.0).abs() < 1e-3, "{vote}");
        prop_assert!(vote <= 1.0, "{vote} is more than 1");
    }

    /// α = 0: the k best keep their logits to the bit, the others get the lower
    /// bound, and no exit is computed.
    #[test]
    fn sled_without_a_step_only_cuts((case, sled) in with(sleds), purpose in purposes()) {
        let model = case.model();
        let still = Pipeline::single(Sled { rate: 0.0, ..sled.clone() });
        let (result, calls) = model.run_counting(&still, purpose);
        let mut wanted = vec![sled.lower_bound; case.vocab];
        for token in literal::best(&literal::wide(&model.last), sled.scale) {
            wanted[token] = model.last[token];
        }
        prop_assert_eq!(result?, wanted);
        prop_assert_eq!(calls, 0);
    }

    /// A constant c added to one layer leaves ⟨d, p − e_i⟩ as it is and changes
    /// only ‖d‖: that layer's votes all change by (‖d‖ / ‖d + c‖)².
    #[test]
    fn a_constant_rescales_a_layers_votes(case in cases(), constant in -50i8..50) {
        // Of one token no direction is left, and ‖d‖ may be 0.
        prop_assume!(case.vocab > 1);
        let model = case.model().rounded();
        let (exit, constant) = (&model.exits[0], f32::from(constant));
        let shifted: Vec<f32> = exit.iter().map(|z| z + constant).collect();
        let tokens: Vec<u32> = (0..case.vocab.min(200) as u32).collect();
        let votes = |exit| layer_vote(exit, &model.last, &tokens).expect("finite logits");
        let length = |exit: &[f32]| {
            literal::norm(&literal::difference(&literal::wide(exit), &literal::wide(&model.last)))
        };
        let factor = (length(exit) / length(&shifted)).powi(2);
        for (before, after) in votes(exit).into_iter().zip(votes(&shifted)) {
            prop_assert!((after - factor * before).abs() < 1e-5 * factor);
        }
    }

    /// With a single layer that factor cancels.
    #[test]
    fn a_constant_does_not_change_sled_of_one_layer(
        (case, sled) in with(sleds), layer in any::<Index>(), constant in -50i8..50,
    ) {
        let model = case.model().rounded();
        let layer = layer.index(case.exits);
        let stages = [Settings::Sled(Sled { layers: these(&[layer]), ..sled })];
        let shifted = model.map(|n, z| match n == layer {
            true => z.iter().map(|z| z + f32::from(constant)).collect(),
            false => z.to_vec(),
        });
        let expected = |model| literal::pipeline(&At::new(model, Purpose::Generate), &stages);
        let (Some(before), Some(after)) = (expected(&model), expected(&shifted)) else {
            return Err(TestCaseError::reject("rounding decides"));
        };
        let slack = before.slack.max(after.slack);
        check(
            &shifted.run(&literal::built(&stages), Purpose::Generate)?,
            &Expected { slack, ..before },
        )?;
    }
}

// DoLa and the ensemble

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn dola_is_the_literal_dola((case, dola) in with(dolas), purpose in purposes()) {
        check_pipeline(&case, &[Settings::Dola(dola)], purpose)?;
    }

    #[test]
    fn dola_contrasts_the_layer_that_differs_most(
        (case, dola) in with(dolas), purpose in purposes(),
    ) {
        let model = case.model();
        let Some(chosen) = literal::most_different(&At::new(&model, purpose), &dola) else {
            return Err(TestCaseError::reject("rounding decides"));
        };
        let fixed = Dola { layers: these(&[chosen]), ..dola.clone() };
        let run = |dola| model.run(&Pipeline::single(dola), purpose);
        prop_assert_eq!(run(dola)?, run(fixed)?);
    }

    /// The floor is −1000 in a score and −∞ in generation, and without the
    /// threshold no token gets it.
    #[test]
    fn implausible_tokens_get_the_floor((case, dola) in with(dolas)) {
        let model = case.model();
        let run = |relative_top, purpose| {
            model.run(&Pipeline::single(Dola { relative_top, ..dola.clone() }), purpose)
        };
        let generated = run(dola.relative_top, Purpose::Generate)?;
        let floored: Vec<f32> =
            generated.iter().map(|&z| if z == f32::NEG_INFINITY { -1000.0 } else { z }).collect();
        prop_assert_eq!(run(dola.relative_top, Purpose::Score)?, floored);
        prop_assert!(run(0.0, Purpose::Generate)?.iter().all(|z| z.is_finite()));
        // At 1 only the best is plausible, or the several that tie for it.
        let mature = dola.mature.map_or(&model.last, |layer| &model.exits[layer]);
        let most = mature.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for (left, logit) in run(1.0, Purpose::Generate)?.iter().zip(mature) {
            prop_assert_eq!(left.is_finite(), *logit == most);
        }
    }

    #[test]
    fn the_ensemble_is_the_literal_ensemble(
        (case, ensemble) in with(ensembles), purpose in purposes(),
    ) {
        check_pipeline(&case, &[Settings::Ensemble(ensemble)], purpose)?;
    }

    #[test]
    fn the_ensemble_is_a_distribution((case, ensemble) in with(ensembles)) {
        let mixed = case.model().run(&Pipeline::single(ensemble), Purpose::Generate)?;
        let total = literal::log_sum_exp(&literal::wide(&mixed));
        prop_assert!(total.abs() < 2.0 * literal::NORM_ROUNDING, "{total}");
    }

    /// softmax(z + c) = softmax(z), the final layer's included.
    #[test]
    fn constants_do_not_change_dola_or_the_ensemble(
        (case, dola) in with(dolas), constants in vec(-50i8..50, 7), purpose in purposes(),
    ) {
        let model = case.model().rounded();
        let shifted =
            model.map(|n, z| z.iter().map(|z| z + f32::from(constants[n])).collect());
        let at = At::new(&model, purpose);
        for settings in [Settings::Dola(dola), Settings::Ensemble(Ensemble::default())] {
            let stages = [settings];
            let Some(expected) = literal::pipeline(&at, &stages) else { continue };
            let expected = Expected { slack: expected.slack + 5e-5, ..expected };
            check(&shifted.run(&literal::built(&stages), purpose)?, &expected)?;
        }
    }
}

// Pipelines and what holds of every method

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn a_pipeline_of_one_stage_is_the_stage(
        (case, settings) in with(any_stage), purpose in purposes(),
    ) {
        let model = case.model();
        let method: &dyn Method = match &settings {
            Settings::Sled(sled) => sled,
            Settings::Dola(dola) => dola,
            Settings::Ensemble(ensemble) => ensemble,
        };
        let stages = [settings.clone()];
        let pipeline = literal::built(&stages);
        let mut exits = model.serve(&pipeline.bind(&model.shape())?);
        let mut position = Position { final_logits: &model.last, exits: &mut exits, purpose };
        let mut current = model.last.clone();
        method.bind(&model.shape())?.apply(&mut position, &mut current)?;
        prop_assert_eq!(model.run(&pipeline, purpose)?, current);
    }

    #[test]
    fn greedy_changes_nothing_before_or_behind((case, sled) in with(sleds)) {
        let model = case.model();
        let alone = Pipeline::single(sled.clone());
        let behind = Pipeline::single(luge_decoding::Greedy).then(sled.clone());
        let before = Pipeline::single(sled).then(luge_decoding::Greedy);
        let wanted = model.run(&alone, Purpose::Generate)?;
        prop_assert_eq!(&model.run(&behind, Purpose::Generate)?, &wanted);
        prop_assert_eq!(&model.run(&before, Purpose::Generate)?, &wanted);
    }

    /// Each stage's own rule for what it takes from z_L, from the exits, and from
    /// the stage before it.
    #[test]
    fn pipelines_compose_as_defined(
        (case, ((sled, dola), ensemble)) in
            with(|case| ((sleds(case), dolas(case)), ensembles(case))),
        purpose in purposes(),
    ) {
        let (sled, dola) = (Settings::Sled(sled), Settings::Dola(dola));
        let ensemble = Settings::Ensemble(ensemble);
        for stages in [
            vec![sled.clone(), dola.clone()],
            vec![dola.clone(), sled.clone()],
            vec![sled.clone(), ensemble.clone()],
            vec![ensemble.clone(), sled.clone()],
            vec![dola.clone(), ensemble.clone()],
            vec![sled.clone(), sled.clone()],
            vec![ensemble, dola, sled],
        ] {
            check_pipeline_if_clear(&case, &stages, purpose)?;
        }
    }

    #[test]
    fn permuting_the_vocabulary_permutes_the_result(
        (case, settings) in with(any_stage), purpose in purposes(), seed in any::<u64>(),
    ) {
        let model = case.model();
        // Ties go to the lower token, and that is another one afterwards.
        prop_assume!(!model.has_ties());
        let place = Noise(seed).permutation(case.vocab);
        let permuted = |z: &[f32]| {
            let mut moved = vec![0.0; z.len()];
            place.iter().zip(z).for_each(|(&to, &logit)| moved[to] = logit);
            moved
        };
        let stages = [settings];
        let Some(expected) = literal::pipeline(&At::new(&model, purpose), &stages) else {
            return Err(TestCaseError::reject("rounding decides"));
        };
        let moved = model.map(|_, z| permuted(z)).run(&literal::built(&stages), purpose)?;
        let back: Vec<f32> = place.iter().map(|&to| moved[to]).collect();
        check(&back, &expected)?;
    }

    /// A token that every layer rules out might as well not be there.
    #[test]
    fn tokens_ruled_out_everywhere_take_no_part(
        (case, settings) in with(any_stage), extra in 1usize..40, seed in any::<u64>(),
    ) {
        let model = case.model();
        // The places that the model's own tokens take, in their old order.
        let mut places = Noise(seed).permutation(case.vocab + extra);
        places.truncate(case.vocab);
        places.sort_unstable();
        let widened = model.map(|_, z| {
            let mut wide = vec![f32::NEG_INFINITY; case.vocab + extra];
            places.iter().zip(z).for_each(|(&to, &logit)| wide[to] = logit);
            wide
        });
        let stages = [settings];
        let Some(expected) = literal::pipeline(&At::new(&model, Purpose::Generate), &stages) else {
            return Err(TestCaseError::reject("rounding decides"));
        };
        let ruled_out = match &stages[0] {
            Settings::Sled(sled) => f64::from(sled.lower_bound),
            _ => f64::NEG_INFINITY,
        };
        let mut wanted = Expected { logits: vec![ruled_out; case.vocab + extra], ..expected };
        places.iter().zip(&expected.logits).for_each(|(&to, &logit)| wanted.logits[to] = logit);
        check(&widened.run(&literal::built(&stages), Purpose::Generate)?, &wanted)?;
    }

    /// Exits are asked for by the methods that read them, and by no other.
    #[test]
    fn exits_are_lazy(case in cases(), purpose in purposes()) {
        let model = case.model();
        for (text, asks) in [
            ("greedy", false),
            ("greedy+greedy", false),
            ("sled(evolution-scale=1,evolution-rate=0)", false),
            ("greedy+sled(evolution-scale=1,evolution-rate=0)+greedy", false),
            ("sled(evolution-scale=1)", true),
            ("dola(layers=0)", true),
            ("dola(layers=all)", true),
            ("ensemble", true),
        ] {
            let (result, calls) = model.run_counting(&parse(text), purpose);
            prop_assert!(result.is_ok(), "{text}: {result:?}");
            prop_assert_eq!(calls > 0, asks, "{}", text);
        }
    }

    /// NaN or +∞ in the final logits is an error before anything is computed.
    #[test]
    fn damaged_final_logits_are_refused(
        case in cases(), token in any::<Index>(), value in select(vec![f32::NAN, f32::INFINITY]),
    ) {
        let mut model = case.model();
        model.last[token.index(case.vocab)] = value;
        for text in ["greedy", "sled(evolution-scale=1)", "dola", "ensemble", "ensemble+dola"] {
            let (result, calls) = model.run_counting(&parse(text), Purpose::Generate);
            prop_assert!(matches!(result, Err(Error::NotANumber { .. })), "{text}: {result:?}");
            prop_assert_eq!(calls, 0);
        }
    }

    #[test]
    fn damaged_exits_are_refused_by_sled_and_the_ensemble(damage in damages()) {
        damage.check_refused("sled(evolution-scale=1)")?;
        damage.check_refused("ensemble")?;
        damage.check_refused("sled(evolution-scale=1)+ensemble")?;
    }

    #[test]
    fn damaged_candidates_are_refused_by_dola(damage in damages()) {
        prop_assume!(damage.case.exits > 1);
        damage.check_refused("dola(layers=all)")?;
        damage.check_refused("dola(layers=all,relative-top=0)")?;
    }

    #[test]
    fn a_damaged_exit_is_refused_by_static_dola(damage in damages()) {
        damage.check_refused(&format!("dola(relative-top=0,layers={})", damage.layer))?;
        damage.check_refused(&format!("dola(layers={})", damage.layer))?;
    }

    #[test]
    fn a_damaged_mature_layer_is_refused_by_dola(damage in damages()) {
        prop_assume!(damage.layer > 0);
        let mature = damage.layer;
        damage.check_refused(&format!("dola(layers=0,mature-layer={mature})"))?;
        damage.check_refused(&format!("dola(layers=all,mature-layer={mature})"))?;
    }
}

/// One value of one exit replaced by NaN or +∞.
#[derive(Debug, Clone)]
struct Damage {
    case: Case,
    layer: usize,
    token: usize,
    value: f32,
}

fn damages() -> impl Strategy<Value = Damage> {
    let value = select(vec![f32::NAN, f32::INFINITY]);
    (cases(), any::<Index>(), any::<Index>(), value).prop_map(|(case, layer, token, value)| {
        let (layer, token) = (layer.index(case.exits), token.index(case.vocab));
        Damage { case, layer, token, value }
    })
}

impl Damage {
    fn check_refused(&self, text: &str) -> Checked {
        let mut model = self.case.model();
        model.exits[self.layer][self.token] = self.value;
        let result = model.run(&parse(text), Purpose::Generate);
        let wanted = format!("exit {}", self.layer);
        prop_assert!(
            matches!(&result, Err(Error::NotANumber { whose }) if *whose == wanted),
            "{text} gives {:?}",
            result.map(|logits| logits.into_iter().take(8).collect::<Vec<_>>()),
        );
        Ok(())
    }
}

/// What an engine says when it cannot compute exits.
struct Broken;

impl Exits for Broken {
    fn logits(&mut self) -> Result<ExitLogits<'_>, Box<dyn std::error::Error + Send + Sync>> {
        Err("out of memory".into())
    }
}

#[test]
fn an_engines_failure_is_passed_on() {
    let logits = [1.0f32, 0.5, -0.25];
    let shape = ModelShape { layers: 2, vocab: logits.len(), tied: false };
    for text in ["sled(evolution-scale=2)", "dola", "ensemble"] {
        let decoder = parse(text).bind(&shape).unwrap_or_else(|error| panic!("{text}: {error}"));
        let result = decoder.apply(&logits, &mut Broken, Purpose::Score, &mut logits.to_vec());
        assert!(matches!(result, Err(Error::Exits(_))), "{text}: {result:?}");
    }
}

// Text

/// Pieces of pipelines, in an order that makes sense only by chance.
fn fragments() -> impl Strategy<Value = String> {
    let pieces = vec![
        "sled",
        "dola",
        "ensemble",
        "greedy",
        "(",
        ")",
        ",",
        "=",
        "+",
        " ",
        "layers",
        "..",
        ":",
        "evolution-rate",
        "evolution-scale",
        "relative-top",
        "mature-layer",
        "exit-norm",
        "all",
        "low",
        "final",
        "linear",
        "0",
        "2",
        "-1",
        "nan",
        "inf",
        "1e39",
        "é",
        "99999999999999999999",
    ];
    vec(select(pieces), 0..14).prop_map(|pieces| pieces.concat())
}

/// Pipelines of the right form, with values that may not be.
fn plausible() -> impl Strategy<Value = String> {
    let names = vec![
        "layers",
        "evolution-rate",
        "evolution-scale",
        "evolution-steps",
        "evolution-temperature",
        "evolution-lower-bound",
        "relative-top",
        "mature-layer",
        "ensemble-weights",
        "exit-norm",
        "exit-softcap",
    ];
    let values = vec![
        "0",
        "1",
        "2",
        "0.5",
        "-1",
        "1e38",
        "1e-38",
        "-0",
        "inf",
        "nan",
        "all",
        "low",
        "high",
        "0,1",
        "0..",
        "..2:2",
        "-2..",
        "3..1",
        "final",
        "raw",
        "on",
        "linear",
        "1,1,1",
        "0,0,1",
        "18446744073709551615",
        "9223372036854775807",
        "-9223372036854775808",
    ];
    let param = (select(names), select(values)).prop_map(|(name, value)| format!("{name}={value}"));
    let params = vec(param, 0..4).prop_map(|params| params.join(","));
    let name = select(vec!["sled", "dola", "ensemble", "greedy", "slde"]);
    let stage = (name, params).prop_map(|(name, params)| format!("{name}({params})"));
    vec(stage, 1..4).prop_map(|stages| stages.join("+"))
}

proptest! {
    #![proptest_config(config(2000))]

    /// Any text is a pipeline or an error, and any pipeline fits a model, gives
    /// an error, or decodes.
    #[test]
    fn no_text_is_too_strange(
        text in prop_oneof![".*", fragments(), plausible()],
        defaults in vec((fragments(), fragments()), 0..3),
        layers in 0usize..6, vocab in 0usize..20, tied: bool, purpose in purposes(),
    ) {
        let mut params = Params::default();
        defaults.into_iter().for_each(|(name, value)| params.set(name, value));
        let _ = Pipeline::split_list(&text);
        let named = Pipeline::methods(&text);
        prop_assert!(named.is_ok() || text.parse::<Pipeline>().is_err());
        let Ok(pipeline) = Pipeline::parse(&text, &params) else { return Ok(()) };
        let Ok(decoder) = pipeline.bind(&ModelShape { layers, vocab, tied }) else { return Ok(()) };
        prop_assert_eq!(decoder.stages().len(), named.map_or(0, |named| named.len()));
        let (exits, sizes) = (layers.max(1), vocab.max(1));
        let case = Case { vocab: sizes, exits, spread: 2.0, sureness: 0.0, seed: 0 };
        let mut model = case.model();
        model.last.truncate(vocab);
        let mut current = model.last.clone();
        let _ = decoder.apply(&model.last, &mut model.serve(&decoder), purpose, &mut current);
    }
}

/// An index into a model of up to `exits` exits, often one out of its range.
fn bounds() -> impl Strategy<Value = Option<i64>> {
    let index = prop_oneof![
        8 => -12i64..12,
        1 => select(vec![i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]),
        1 => any::<i64>(),
    ];
    proptest::option::weighted(0.8, index)
}

fn ranges() -> impl Strategy<Value = LayerRange> {
    let step = prop_oneof![4 => 1usize..4, 1 => 1..=usize::MAX, 1 => Just(usize::MAX)];
    (bounds(), bounds(), step).prop_map(|(start, end, step)| LayerRange { start, end, step })
}

fn selections() -> impl Strategy<Value = LayerSelection> {
    let simple = select(vec![LayerSelection::All, LayerSelection::Low, LayerSelection::High]);
    prop_oneof![1 => simple, 4 => vec(ranges(), 1..4).prop_map(LayerSelection::List)]
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn a_selections_text_reads_as_the_selection(selection in selections()) {
        prop_assert_eq!(selection.to_string().parse::<LayerSelection>()?, selection);
    }

    #[test]
    fn selections_resolve_in_order_and_in_range(
        selection in selections(), exits in prop_oneof![0usize..3, 0usize..100], tied: bool,
    ) {
        if let Ok(layers) = selection.resolve(exits, tied) {
            prop_assert!(!layers.is_empty());
            prop_assert!(layers.windows(2).all(|pair| pair[0] < pair[1]), "{layers:?}");
            prop_assert!(layers.iter().all(|&layer| layer < exits), "{layers:?}");
        } else {
            prop_assert!(exits == 0 || matches!(selection, LayerSelection::List(_)));
        }
    }

    /// A range holds start, start + step, … below its end, counted from the end
    /// where negative, and nothing else.
    #[test]
    fn a_range_holds_every_step_from_its_start(range in ranges(), exits in 1usize..12) {
        let from_end = |index: i64| index as i128 + if index < 0 { exits as i128 } else { 0 };
        let start = from_end(range.start.unwrap_or(0));
        let end = range.end.map_or(exits as i128, from_end);
        let inside = (0..exits as i128).contains(&start) && (0..=exits as i128).contains(&end);
        let member = |&layer: &usize| {
            let layer = layer as i128;
            inside && start <= layer && layer < end && (layer - start) % range.step as i128 == 0
        };
        let wanted: Vec<usize> = (0..exits).filter(member).collect();
        let resolved = LayerSelection::List(vec![range]).resolve(exits, false);
        prop_assert_eq!(resolved.unwrap_or_default(), wanted);
    }

    #[test]
    fn settings_as_text_are_the_settings(
        (case, sled) in with(sleds), relative_top in 0.0f32..=1.0,
    ) {
        let text = format!(
            "sled(evolution-rate={},evolution-scale={}, evolution-steps={},\
             evolution-temperature={},evolution-lower-bound={},layers={}) \
             + dola(layers=all,relative-top={relative_top})",
            sled.rate, sled.scale, sled.steps, sled.temperature, sled.lower_bound, sled.layers,
        );
        let dola = Dola { layers: LayerSelection::All, relative_top, ..Dola::default() };
        let built = Pipeline::single(sled).then(dola);
        let bound = |pipeline: Pipeline| pipeline.bind(&case.shape());
        prop_assert_eq!(
            format!("{:?}", bound(parse(&text))?),
            format!("{:?}", bound(built)?)
        );
    }
}

// Ground

proptest! {
    #![proptest_config(config(300))]

    /// Values from a few, so that many tie, both zeros among them.
    #[test]
    fn top_k_is_a_stable_sort(
        values in vec(select(vec![-1.0f32, -0.0, 0.0, 1.0, 2.0, f32::NEG_INFINITY]), 0..300),
        k in 0usize..320,
    ) {
        let wanted: Vec<u32> =
            literal::best(&literal::wide(&values), k).iter().map(|&index| index as u32).collect();
        prop_assert_eq!(luge_decoding::top_k(&values, k), wanted);
    }

    #[test]
    fn log_sum_exp_is_the_literal_one(case in cases(), constant in -1e4f32..1e4) {
        let values: Vec<f32> = case.model().last.iter().map(|z| z + constant).collect();
        let wanted = literal::log_sum_exp(&literal::wide(&values));
        prop_assert!((luge_decoding::log_sum_exp(&values) - wanted).abs() < literal::NORM_ROUNDING);
    }
}

#[test]
fn top_k_of_any_k_is_everything() {
    assert_eq!(luge_decoding::top_k(&[1.0, 3.0, 2.0], usize::MAX), [1, 2, 0]);
}

// Sampling

/// Options that sample, with every filter off or on.
fn sampling() -> impl Strategy<Value = SamplerOptions> {
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
