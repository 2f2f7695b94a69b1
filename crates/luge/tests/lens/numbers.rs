//! What is shown, against its definition.

use super::*;

#[test]
fn every_number_is_that_of_its_definition() {
    let mut worst = 0.0f64;
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 9);
        for form in FORMS {
            let wanted = layer_logits(&model, form, &text);
            let options = LensOptions { form, top: 7, ..everything() };
            let mut session = session_of(&model, 128);
            let seen = look(&mut session, "greedy", &options, &text, 0..9);
            assert_eq!(seen.len(), 9);
            for (number, (seen, wanted)) in seen.iter().zip(&wanted).enumerate() {
                let what = format!("{name}, {form:?}, position {number}");
                assert_eq!(seen.position, number, "{what}");
                worst = worst.max(check(seen, wanted, &options, &what));
            }
        }
    }
    println!("off by {worst:.1e} at most");
}

/// Holds a position to the layers' logits `[layers + 1][vocab]`; returns how far
/// off the worst number is.
fn check(seen: &LensPosition, logits: &[Vec<f32>], options: &LensOptions, what: &str) -> f64 {
    let log_probs: Vec<Vec<f64>> = logits.iter().map(|logits| log_softmax(logits)).collect();
    let own = log_probs.last().unwrap();
    assert_eq!(seen.layers.len(), logits.len(), "{what}");
    let mut worst = 0.0f64;
    let mut near = |ours: f64, wanted: f64, what: &str| {
        worst = worst.max((ours - wanted).abs());
        assert_near(ours, wanted, 2e-5 * (1.0 + wanted.abs()), what);
    };
    for (layer, row) in seen.layers.iter().enumerate() {
        let what = format!("{what}, layer {layer}");
        let (log_p, order) = (&log_probs[layer], ranked(&logits[layer]));
        assert_eq!(row.layer, layer, "{what}");
        near(row.entropy, entropy(log_p), &format!("{what}: entropy"));
        near(row.jsd_to_final, divergence(own, log_p), &format!("{what}: divergence"));
        let top: Vec<u32> = row.top.iter().map(|candidate| candidate.token.id).collect();
        assert_eq!(top, order[..options.top], "{what}");
        let pinned: Vec<u32> = row.pinned.iter().map(|pinned| pinned.candidate.token.id).collect();
        assert_eq!(pinned, options.pinned, "{what}");
        let pinned = row.pinned.iter().map(|pinned| &pinned.candidate);
        for candidate in row.top.iter().chain(pinned) {
            near(candidate.prob.ln(), log_p[candidate.token.id as usize], &what);
            assert!((0.0..=1.0).contains(&candidate.prob), "{what}: {candidate:?}");
        }
        for pinned in &row.pinned {
            let place = order.iter().position(|&token| token == pinned.candidate.token.id);
            assert_eq!(pinned.rank, place.unwrap() + 1, "{what}: {pinned:?}");
        }
    }
    assert_eq!(final_row(seen).jsd_to_final, 0.0);
    let firsts: Vec<u32> = logits.iter().map(|logits| ranked(logits)[0]).collect();
    let settled = firsts.iter().rposition(|first| Some(first) != firsts.last());
    assert_eq!(seen.settling_depth, settled.map_or(0, |layer| layer + 1), "{what}");
    assert_eq!(seen.before.token, final_row(seen).top[0].token, "{what}");
    near(seen.before.prob.ln(), own[seen.before.token.id as usize], what);
    assert_eq!(seen.after, seen.before, "{what}");
    for path in &seen.paths {
        assert_eq!(path.probs.len(), logits.len(), "{what}");
        for (&prob, log_p) in path.probs.iter().zip(&log_probs) {
            // The smallest are below what an f32 has digits for.
            let wanted = log_p[path.token.id as usize].exp();
            let slack = 2e-4 * wanted + f64::from(f32::MIN_POSITIVE);
            assert_near(f64::from(prob), wanted, slack, what);
        }
    }
    worst
}

#[test]
fn the_final_rows_probabilities_are_those_of_a_greedy_score() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 40);
        let mut session = session_of(&model, 128);
        let greedy = decoder(&session, "greedy");
        let score = session.score(&greedy, &text[..1], &text[1..]).unwrap();
        let options = LensOptions { pinned: text.clone(), ..LensOptions::default() };
        let seen = look(&mut session, "sled", &options, &text, 0..39);
        for (seen, scored) in seen.iter().zip(&score.tokens) {
            let what = format!("{name}, position {}", seen.position);
            let next = seen.next.as_ref().unwrap();
            assert_eq!(next.id, scored.id, "{what}");
            let mut pinned = final_row(seen).pinned.iter();
            let pinned = pinned.find(|pinned| pinned.candidate.token.id == scored.id).unwrap();
            assert_near(pinned.candidate.prob.ln(), scored.logprob, 1e-5, &what);
        }
    }
}

#[test]
fn a_layers_probabilities_are_those_of_an_ensemble_of_it_alone() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 8);
        let mut session = session_of(&model, 128);
        let options = LensOptions { pinned: text.clone(), ..LensOptions::default() };
        let seen = look(&mut session, "greedy", &options, &text, 0..7);
        for layer in 0..model.n_layers() {
            let alone = format!("ensemble(layers={layer},ensemble-weights=1,0)");
            let alone = decoder(&session, &alone);
            let score = session.score(&alone, &text[..1], &text[1..]).unwrap();
            for (index, (seen, scored)) in seen.iter().zip(&score.tokens).enumerate() {
                let pinned = &seen.layers[layer].pinned[index + 1];
                let what = format!("{name}, position {index}, layer {layer}");
                assert_eq!(pinned.candidate.token.id, scored.id, "{what}");
                assert_near(pinned.candidate.prob.ln(), scored.logprob, 1e-4, &what);
            }
        }
    }
}

#[test]
fn the_choices_are_the_best_of_the_final_layer_and_of_the_method() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 12);
        let mut session = session_of(&model, 128);
        for method in METHODS {
            for seen in look_at_all(&mut session, method, &text) {
                let what = format!("{name}, {method}, position {}", seen.position);
                let mut chance = |method: &str, token: u32| {
                    let decoder = decoder(&session, method);
                    let so_far = &text[..=seen.position];
                    let score = session.score(&decoder, so_far, &[token]).unwrap();
                    score.tokens[0].logprob.exp()
                };
                let (before, after) = (&seen.before, &seen.after);
                let tolerance = 1e-3;
                assert_near(before.prob, chance("greedy", before.token.id), tolerance, &what);
                assert_near(after.prob, chance(method, after.token.id), tolerance, &what);
                // No other that is shown is more probable to the method.
                for path in &seen.paths {
                    let other = chance(method, path.token.id);
                    assert!(other <= after.prob + tolerance, "{what}: {path:?}, {other}");
                }
                assert_eq!(seen.changed(), before.token != after.token, "{what}");
                assert!(method != "greedy" || !seen.changed(), "{what}");
            }
        }
    }
}

#[test]
fn tokens_are_told_by_number_and_text_with_the_one_that_follows() {
    let mut session = session("llama");
    // " w5", the beginning of the text, a half of 'é', " w17".
    let text = [8, 1, 160, 20];
    let seen = look(&mut session, "sled", &LensOptions::default(), &text, 0..4);
    let token = |id: u32, text: &str| luge::lens::Token { id, text: text.to_owned() };
    let wanted = [token(8, " w5"), token(1, "<s>"), token(160, "\u{fffd}"), token(20, " w17")];
    for (position, seen) in seen.iter().enumerate() {
        assert_eq!((seen.position, seen.generated), (position, false));
        assert_eq!(seen.token, wanted[position]);
        assert_eq!(seen.next.as_ref(), wanted.get(position + 1));
        assert!(seen.paths.is_empty() && seen.layers.iter().all(|row| row.pinned.is_empty()));
    }
}

#[test]
fn a_layer_shows_as_many_tokens_as_asked_for_and_there_are() {
    for name in ["llama", "atlas"] {
        let model = model(name);
        let text = noise(&model, 3);
        let mut session = session_of(&model, 128);
        let mut shown = |top: usize| {
            let options = LensOptions { top, ..LensOptions::default() };
            look(&mut session, "sled", &options, &text, 2..3).remove(0).layers
        };
        let all = shown(usize::MAX);
        for row in &all {
            let ids: BTreeSet<u32> = row.top.iter().map(|own| own.token.id).collect();
            assert_eq!((row.top.len(), ids.len()), (model.n_vocab(), model.n_vocab()));
            assert_near(row.top.iter().map(|own| own.prob).sum(), 1.0, 1e-5, name);
        }
        for top in [0, 1, 5, 600] {
            for (row, all) in shown(top).iter().zip(&all) {
                let top = top.min(model.n_vocab());
                assert_eq!(row.top, all.top[..top], "{name}, layer {}", row.layer);
            }
        }
    }
}

#[test]
fn an_opinion_is_written_as_flat_json() {
    let mut session = session("llama");
    let options = LensOptions { pinned: vec![20], top: 1, ..LensOptions::default() };
    let seen = look(&mut session, "greedy", &options, &A, 5..6).remove(0);
    let written = serde_json::to_value(&seen.layers[2]).unwrap();
    let row = &seen.layers[2];
    let wanted = serde_json::json!({
        "layer": 2,
        "top": [{
            "id": first(row), "text": row.top[0].token.text, "prob": row.top[0].prob
        }],
        "entropy": row.entropy,
        "jsd_to_final": row.jsd_to_final,
        "pinned": [{
            "id": 20,
            "text": " w17",
            "prob": row.pinned[0].candidate.prob,
            "rank": row.pinned[0].rank,
        }],
    });
    assert_eq!(written, wanted);
}
