//! What is shown to people who look: entropies, divergences, and how methods came to
//! their results.

use luge_decoding::{Decoder, Trace, Votes, argmax, entropy, jensen_shannon, log_sum_exp, top_k};

use super::models::Model;
use super::*;

/// How the norms' rounding to `f32` and sums in `f32` show in nats.
const NATS: f64 = 2e-5;

fn norm(logits: &[f32]) -> f32 {
    log_sum_exp(logits) as f32
}

/// Where to cut a vocabulary.
fn cuts(vocab: usize, places: &[Index]) -> Vec<usize> {
    let mut cuts: Vec<usize> = places.iter().map(|place| place.index(vocab + 1)).collect();
    cuts.extend([0, vocab]);
    cuts.sort_unstable();
    cuts
}

fn traces(model: &Model, pipeline: &Pipeline) -> Result<Vec<Trace>, Error> {
    let decoder: Decoder = pipeline.bind(&model.shape())?;
    decoder.traces(&model.last, &mut model.serve(&decoder))
}

fn votes(model: &Model, sled: &Sled) -> Result<Votes, Error> {
    match &traces(model, &Pipeline::single(sled.clone()))?[..] {
        [Trace::Votes(votes)] => Ok(votes.clone()),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn entropy_is_the_literal_one_whatever_the_pieces(
        case in cases(), places in vec(any::<Index>(), 0..5),
    ) {
        let logits = &case.model().exits[0];
        let log_p = literal::log_softmax(&literal::wide(logits));
        let wanted: f64 = log_p.iter().map(|log_p| -log_p.exp() * log_p).sum();
        let pieces = cuts(case.vocab, &places);
        let ours: f64 =
            pieces.windows(2).map(|cut| entropy(&logits[cut[0]..cut[1]], norm(logits))).sum();
        prop_assert!((ours - wanted).abs() < NATS, "{ours}, not {wanted}");
        prop_assert!(ours > -NATS && ours < (case.vocab as f64).ln() + NATS);
    }

    #[test]
    fn divergence_is_the_literal_one_whatever_the_pieces_and_the_order(
        case in cases(), places in vec(any::<Index>(), 0..5),
    ) {
        let model = case.model();
        let (p, q) = (&model.last, &model.exits[0]);
        let [log_p, log_q] = [p, q].map(|z| literal::log_softmax(&literal::wide(z)));
        let wanted = literal::jensen_shannon(&log_p, &log_q);
        let pieces = cuts(case.vocab, &places);
        let ours = |p: &[f32], q: &[f32]| -> f64 {
            let (p_norm, q_norm) = (norm(p), norm(q));
            let piece = |cut: &[usize]| {
                jensen_shannon(&p[cut[0]..cut[1]], p_norm, &q[cut[0]..cut[1]], q_norm)
            };
            pieces.windows(2).map(piece).sum()
        };
        for ours in [ours(p, q), ours(q, p)] {
            prop_assert!((ours - wanted).abs() < NATS * (1.0 + wanted), "{ours}, not {wanted}");
        }
        prop_assert!(ours(p, p).abs() < NATS);
    }

    /// Tokens that the model rules out take no part in an entropy.
    #[test]
    fn ruled_out_tokens_have_no_entropy(case in cases(), places in vec(any::<Index>(), 0..20)) {
        let logits = &case.model().exits[0];
        let mut with = logits.clone();
        for place in places {
            with.insert(place.index(with.len() + 1), f32::NEG_INFINITY);
        }
        let [without, with] = [logits, &with].map(|logits| entropy(logits, norm(logits)));
        prop_assert!((without - with).abs() < NATS);
    }

    #[test]
    fn votes_are_shares_of_the_literal_votes((case, sled) in with(sleds)) {
        let model = case.model();
        let votes = votes(&model, &sled)?;
        let layers = sled.layers.resolve(case.exits, false)?;
        prop_assert_eq!(&votes.layers, &layers);
        prop_assert_eq!(&votes.tokens, &top_k(&model.last, sled.scale));
        let last = literal::wide(&model.last);
        let literal: Vec<Vec<f64>> = layers
            .iter()
            .map(|&layer| {
                let exit = literal::wide(&model.exits[layer]);
                let vote = |&token: &u32| literal::vote(&exit, &last, token as usize);
                votes.tokens.iter().map(vote).collect()
            })
            .collect();
        let mass: f64 = literal.iter().flatten().sum();
        let total: f64 = votes.shares.iter().flatten().sum();
        prop_assert!((total - 1.0).abs() < 1e-9 || total == 0.0, "{}", total);
        let squares = (layers.len() * votes.tokens.len()) as f64;
        prop_assert!(total > 0.0 || mass < 1e-10 * squares, "{} of {}", total, mass);
        let of_layers = votes.of_layers();
        prop_assert_eq!(of_layers.len(), layers.len());
        for (row, (shares, literal)) in votes.shares.iter().zip(&literal).enumerate() {
            prop_assert_eq!(shares.len(), votes.tokens.len());
            prop_assert!((of_layers[row] - shares.iter().sum::<f64>()).abs() < 1e-12);
            for (share, literal) in shares.iter().zip(literal) {
                prop_assert!((0.0..=1.0).contains(share));
                // Where there is hardly a vote, rounding is all of it.
                if mass > 1e-3 * squares {
                    prop_assert!((share - literal / mass).abs() < 1e-4);
                }
            }
        }
    }

    /// The shares of all layers together are the w of SLED's steps.
    #[test]
    fn votes_lead_to_what_sled_makes((case, sled) in with(sleds)) {
        let model = case.model();
        let votes = votes(&model, &sled)?;
        let mut w = vec![0.0; case.vocab];
        for shares in &votes.shares {
            for (&token, share) in votes.tokens.iter().zip(shares) {
                w[token as usize] += share;
            }
        }
        let temperature = f64::from(sled.temperature);
        let mut z = literal::wide(&model.last);
        for t in 0..sled.steps {
            let step = f64::from(sled.rate) / temperature * (1.0 - t as f64 / sled.steps as f64);
            let p = literal::softmax(&z.iter().map(|z| z / temperature).collect::<Vec<_>>());
            for (z, (p, w)) in z.iter_mut().zip(p.iter().zip(&w)) {
                *z -= step * (p - w);
            }
        }
        let ours = model.run(&Pipeline::single(sled), Purpose::Generate)?;
        for &token in &votes.tokens {
            let (ours, wanted) = (f64::from(ours[token as usize]), z[token as usize]);
            let slack = 2e-4 * (1.0 + wanted.abs());
            prop_assert!((ours - wanted).abs() < slack, "token {token} has {ours}, not {wanted}");
        }
    }

    /// A change between two tokens is carried by the layers that gave more to the
    /// new one, and by all of them as much as it has gained.
    #[test]
    fn what_carries_a_change_and_what_speaks_against_it_make_up_the_gain(
        (case, sled) in with(sleds), from in any::<Index>(), to in any::<Index>(),
    ) {
        let votes = votes(&case.model(), &sled)?;
        let (from, to) = (from.index(case.vocab) as u32, to.index(case.vocab) as u32);
        let (carried, against) = (votes.carried(from, to), votes.carried(to, from));
        for list in [&carried, &against] {
            prop_assert!(list.iter().all(|(layer, by)| *by > 0.0 && votes.layers.contains(layer)));
            prop_assert!(list.is_sorted_by(|a, b| a.1 >= b.1));
        }
        prop_assert!(carried.iter().all(|(own, _)| against.iter().all(|(other, _)| own != other)));
        let won = |token: u32| -> f64 {
            let place = votes.tokens.iter().position(|&own| own == token);
            place.map_or(0.0, |place| votes.shares.iter().map(|shares| shares[place]).sum())
        };
        let sum = |list: &[(usize, f64)]| list.iter().map(|(_, by)| by).sum::<f64>();
        prop_assert!((sum(&carried) - sum(&against) - (won(to) - won(from))).abs() < 1e-9);
        prop_assert!(votes.carried(to, to).is_empty());
    }

    #[test]
    fn the_contrast_is_with_the_layer_that_dola_chooses((case, dola) in with(dolas)) {
        let model = case.model();
        let pipeline = Pipeline::single(dola.clone());
        let [Trace::Contrast { layer }] = traces(&model, &pipeline)?[..] else {
            panic!("there is one trace, of a contrast")
        };
        let at = At::new(&model, Purpose::Generate);
        if let Some(wanted) = literal::most_different(&at, &dola) {
            prop_assert_eq!(layer, wanted);
        }
        // With no other to choose from it comes to the same.
        let alone = Pipeline::single(Dola { layers: these(&[layer]), ..dola });
        prop_assert_eq!(
            model.run(&pipeline, Purpose::Generate)?,
            model.run(&alone, Purpose::Generate)?
        );
    }

    /// Votes and choices are the model's own, whatever stages stand in front. Votes add
    /// nothing where a later stage starts anew: the ensemble from all layers, DoLa from an
    /// early mature layer.
    #[test]
    fn traces_of_a_pipeline_are_those_of_its_stages(
        (case, stages) in cases().prop_flat_map(|case| {
            let stages = vec(any_stage(&case), 1..=4);
            (Just(case), stages)
        }),
    ) {
        let model = case.model();
        let mut wanted = Vec::new();
        for stage in &stages {
            let own = traces(&model, &literal::built(std::slice::from_ref(stage)))?;
            let kinds = match stage {
                Settings::Sled(_) => matches!(own[..], [Trace::Votes(_)]),
                Settings::Dola(_) => matches!(own[..], [Trace::Contrast { .. }]),
                Settings::Ensemble(_) => own.is_empty(),
            };
            prop_assert!(kinds, "{:?}: {:?}", stage, own);
            let starts_anew = match stage {
                Settings::Sled(_) => false,
                Settings::Dola(dola) => dola.mature.is_some(),
                Settings::Ensemble(_) => true,
            };
            for trace in wanted.iter_mut().filter(|_| starts_anew) {
                if let Trace::Votes(votes) = trace {
                    votes.weight = 0.0;
                }
            }
            wanted.extend(own);
        }
        prop_assert_eq!(traces(&model, &literal::built(&stages))?, wanted);
    }

    /// Looking asks for no exit where there is nothing to tell.
    #[test]
    fn a_method_that_reads_nothing_of_the_layers_has_nothing_to_tell((case, sled) in with(sleds)) {
        let model = case.model();
        for pipeline in [parse("greedy"), Pipeline::single(Sled { rate: 0.0, ..sled })] {
            let decoder = pipeline.bind(&model.shape())?;
            let mut exits = model.serve(&decoder);
            prop_assert_eq!(decoder.traces(&model.last, &mut exits)?, []);
            prop_assert_eq!(exits.calls, 0);
        }
    }

    /// A damaged exit is an error, as it is for the method, and named.
    #[test]
    fn damage_is_noticed(
        case in cases(), layer in any::<Index>(), token in any::<Index>(),
        damage in select(vec![f32::NAN, f32::INFINITY]),
    ) {
        let mut model = case.model();
        let layer = layer.index(case.exits);
        model.exits[layer][token.index(case.vocab)] = damage;
        for method in ["sled(evolution-scale=1)", "dola(layers=all)"] {
            match traces(&model, &parse(method)) {
                Err(Error::NotANumber { whose }) => {
                    prop_assert_eq!(whose, format!("exit {layer}"));
                }
                other => prop_assert!(false, "{}: {:?}", method, other),
            }
        }
    }
}

#[test]
fn where_no_layer_votes_all_shares_are_0() {
    // The exits are the final layer itself.
    let last = vec![0.3f32, 2.0, -1.0, 0.0, 0.7];
    let model = Model { last: last.clone(), exits: vec![last; 3] };
    let sled = Sled { scale: 4, ..Sled::default() };
    let votes = votes(&model, &sled).unwrap();
    assert_eq!(votes.tokens[0] as usize, argmax(&model.last));
    assert_eq!(votes.shares, [[0.0; 4]; 3]);
    assert_eq!(votes.of_layers(), [0.0; 3]);
    assert_eq!(votes.carried(0, 1), []);
}
