//! Pipelines, and what holds of every method.

use super::*;

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
