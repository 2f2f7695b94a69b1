//! How the methods came to their results.

use super::*;

#[test]
fn there_is_one_for_each_stage_that_has_something_to_tell() {
    let mut session = session("llama");
    let mut kinds = |method: &str| -> Vec<char> {
        let seen = look(&mut session, method, &LensOptions::default(), &A, 5..6).remove(0);
        let kind = |trace: &Trace| match trace {
            Trace::Votes(_) => 'v',
            Trace::Contrast { .. } => 'c',
        };
        seen.traces.iter().map(kind).collect()
    };
    for method in ["greedy", "ensemble", "sled(evolution-rate=0)", "greedy+ensemble"] {
        assert!(kinds(method).is_empty(), "{method}");
    }
    assert_eq!(kinds("sled"), ['v']);
    assert_eq!(kinds("dola"), ['c']);
    assert_eq!(kinds("sled+dola"), ['v', 'c']);
    assert_eq!(kinds("dola+ensemble+sled"), ['c', 'v']);
    assert_eq!(kinds("sled(evolution-rate=0)+dola"), ['c']);
    assert_eq!(kinds("sled+sled(evolution-rate=0)+sled(evolution-scale=3)"), ['v', 'v']);
}

#[test]
fn votes_are_shares_of_each_layers_vote() {
    let methods = [
        ("sled", ExitForm::default(), 10),
        ("sled(evolution-scale=3,layers=1..)", ExitForm::default(), 3),
        ("sled(layers=2)", ExitForm::default(), 10),
        ("sled(exit-softcap=off)", FORMS[1], 10),
        ("sled(exit-norm=final,evolution-scale=30)", FORMS[2], 30),
        // All logits are wanted then, not only sums.
        ("sled+ensemble", ExitForm::default(), 10),
    ];
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 7);
        let mut session = session_of(&model, 128);
        for (method, form, scale) in methods {
            let logits = layer_logits(&model, form, &text);
            // The lens shows other layers than those that vote.
            let options = LensOptions { layers: layers("0"), ..LensOptions::default() };
            let seen = look(&mut session, method, &options, &text, 0..7);
            for (seen, logits) in seen.iter().zip(&logits) {
                let what = format!("{name}, {method}, position {}", seen.position);
                let votes = votes(seen);
                let last = logits.last().unwrap();
                assert_eq!(votes.tokens, ranked(last)[..scale], "{what}");
                let voting = session.decoder(&method.parse().unwrap()).unwrap();
                let voting = voting.stages().next().unwrap().layers().to_vec();
                assert_eq!(votes.layers, voting, "{what}");
                let literal: Vec<Vec<f64>> = votes
                    .layers
                    .iter()
                    .map(|&n| votes.tokens.iter().map(|&i| vote(&logits[n], last, i)).collect())
                    .collect();
                let library: Vec<Vec<f64>> = votes
                    .layers
                    .iter()
                    .map(|&n| luge_decoding::layer_vote(&logits[n], last, &votes.tokens))
                    .collect::<Option<_>>()
                    .unwrap();
                check(&votes.shares, &literal, 1e-4, &what);
                check(&votes.shares, &library, 1e-5, &what);
            }
        }
    }
}

/// That shares are those of a vote.
fn check(shares: &[Vec<f64>], votes: &[Vec<f64>], tolerance: f64, what: &str) {
    let mass: f64 = votes.iter().flatten().sum();
    let total: f64 = shares.iter().flatten().sum();
    assert!((total - 1.0).abs() < 1e-9 || (total == 0.0 && mass < 1e-9), "{what}: {total}");
    assert_eq!(shares.len(), votes.len(), "{what}");
    for (shares, votes) in shares.iter().zip(votes) {
        assert_eq!(shares.len(), votes.len(), "{what}");
        for (share, vote) in shares.iter().zip(votes) {
            assert!((0.0..=1.0).contains(share), "{what}: {share}");
            let wanted = if total > 0.0 { vote / mass } else { 0.0 };
            assert_near(*share, wanted, tolerance, what);
        }
    }
}

#[test]
fn votes_lead_to_what_sled_makes_of_the_final_logits() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 10);
        let mut session = session_of(&model, 128);
        let logits = layer_logits(&model, ExitForm::default(), &text);
        let mut changed = 0;
        for (rate, bound) in [(2.0f64, -1000.0), (8.0, -5.0)] {
            let method = format!("sled(evolution-rate={rate},evolution-lower-bound={bound})");
            let seen = look(&mut session, &method, &LensOptions::default(), &text, 0..10);
            for (seen, logits) in seen.iter().zip(&logits) {
                let (votes, last) = (votes(seen), logits.last().unwrap());
                let log_p = log_softmax(last);
                let mut out = vec![bound as f32; last.len()];
                for (place, &token) in votes.tokens.iter().enumerate() {
                    let w: f64 = votes.shares.iter().map(|shares| shares[place]).sum();
                    let p = log_p[token as usize].exp();
                    out[token as usize] = (f64::from(last[token as usize]) - rate * (p - w)) as f32;
                }
                let what = format!("{name}, {method}, position {}", seen.position);
                let best = ranked(&out)[0];
                assert_eq!(seen.after.token.id, best, "{what}");
                let prob = log_softmax(&out)[best as usize].exp();
                assert_near(seen.after.prob, prob, 1e-5, &what);
                changed += usize::from(seen.changed());
            }
        }
        assert!(changed > 0, "{name}: nothing has changed");
    }
}

#[test]
fn dola_contrasts_with_the_candidate_that_is_farthest_away() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 20);
        let mut session = session_of(&model, 128);
        let mut chosen = BTreeSet::new();
        for method in ["dola", "dola(layers=all)", "dola(layers=1..)", "sled+dola(layers=0,3)"] {
            let candidates = decoder(&session, method);
            let candidates = candidates.stages().last().unwrap().layers().to_vec();
            for seen in look_at_all(&mut session, method, &text) {
                let Some(&Trace::Contrast { layer }) = seen.traces.last() else {
                    panic!("{:?}", seen.traces)
                };
                let what = format!("{name}, {method}, position {}", seen.position);
                let away = |layer: usize| seen.layers[layer].jsd_to_final;
                let farthest = candidates.iter().copied().map(away).fold(0.0, f64::max);
                assert!(candidates.contains(&layer), "{what}");
                assert_eq!(away(layer), farthest, "{what}: {layer} of {candidates:?}");
                chosen.insert(layer);
            }
        }
        assert!(chosen.len() > 1, "{name}: always {chosen:?}");
    }
}

#[test]
fn with_an_early_mature_layer_dola_contrasts_with_what_is_farthest_from_that() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 20);
        let logits = layer_logits(&model, ExitForm::default(), &text);
        let mut session = session_of(&model, 128);
        let method = "dola(layers=all,mature-layer=3)";
        let seen = look(&mut session, method, &LensOptions::default(), &text, 0..20);
        for (seen, logits) in seen.iter().zip(&logits) {
            let log_probs: Vec<_> = logits.iter().map(|logits| log_softmax(logits)).collect();
            let away = |&layer: &usize| divergence(&log_probs[3], &log_probs[layer]);
            let farthest = (0..3).max_by(|a, b| away(a).total_cmp(&away(b))).unwrap();
            assert_eq!(seen.traces, [Trace::Contrast { layer: farthest }], "{name}");
        }
    }
}

#[test]
fn a_change_is_carried_by_the_layers_that_voted_for_it() {
    let mut changes = 0;
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 40);
        let mut session = session_of(&model, 128);
        let logits = layer_logits(&model, ExitForm::default(), &text);
        for method in ["sled", "sled(evolution-rate=9)", "dola", "greedy"] {
            for seen in look(&mut session, method, &LensOptions::default(), &text, 0..40) {
                let what = format!("{name}, {method}, position {}", seen.position);
                let carried = seen.carried();
                if seen.traces.is_empty() || method == "dola" || !seen.changed() {
                    assert!(carried.is_empty(), "{what}: {carried:?}");
                    continue;
                }
                changes += 1;
                let votes = votes(&seen);
                let (before, after) = (seen.before.token.id, seen.after.token.id);
                let place = |id: u32| votes.tokens.iter().position(|&own| own == id).unwrap();
                let (before, after) = (place(before), place(after));
                let gain = |layer: usize| {
                    let row = votes.layers.iter().position(|&own| own == layer).unwrap();
                    votes.weight * (votes.shares[row][after] - votes.shares[row][before])
                };
                // The last step of SLED's mathematics, for these two tokens.
                let margins = seen.margins.unwrap();
                let all: f64 = votes.layers.iter().map(|&layer| gain(layer)).sum();
                assert_near(margins.votes, all, 1e-9, &what);
                assert_near(votes.weight, if method == "sled" { 2.0 } else { 9.0 }, 1e-6, &what);
                let p = |id: u32| final_prob(&logits[seen.position], id);
                let own = votes.weight * (p(seen.before.token.id) - p(seen.after.token.id));
                let moved = margins.method - margins.final_layer;
                assert_near(moved, margins.votes + own, 1e-4, &what);
                assert!(margins.final_layer <= 0.0 && margins.method >= 0.0, "{what}: {margins:?}");
                assert!(carried.is_sorted_by(|a, b| a.1 >= b.1), "{what}: {carried:?}");
                assert!(carried.iter().all(|&(layer, by)| by == gain(layer)), "{what}");
                let carrying: BTreeSet<usize> = carried.iter().map(|own| own.0).collect();
                let wanted = votes.layers.iter().copied().filter(|&layer| gain(layer) > 0.0);
                assert_eq!(carrying, wanted.collect(), "{what}");
            }
        }
    }
    assert!(changes > 20, "only {changes}");
}

/// A token's probability in the final layer, from all layers' logits.
fn final_prob(layers: &[Vec<f32>], id: u32) -> f64 {
    log_softmax(layers.last().unwrap())[id as usize].exp()
}
