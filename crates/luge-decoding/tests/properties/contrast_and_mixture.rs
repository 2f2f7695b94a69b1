//! DoLa and the ensemble.

use super::*;

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
