//! SLED: votes, steps and the cut.

use super::*;

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
