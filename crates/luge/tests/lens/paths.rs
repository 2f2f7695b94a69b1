//! Tokens followed through the layers.

use super::*;

#[test]
fn they_are_of_the_tokens_that_matter_each_once() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 12);
        let mut session = session_of(&model, 128);
        for method in METHODS {
            for seen in look_at_all(&mut session, method, &text) {
                let what = format!("{name}, {method}, position {}", seen.position);
                let mut wanted: BTreeSet<u32> = seen.layers.iter().map(first).collect();
                wanted.extend(final_row(&seen).top.iter().map(|own| own.token.id));
                wanted.extend([seen.before.token.id, seen.after.token.id]);
                wanted.extend(seen.next.as_ref().map(|next| next.id));
                wanted.extend(everything().pinned);
                let ids = seen.paths.iter().map(|path| path.token.id);
                assert_eq!(ids.clone().collect::<BTreeSet<_>>(), wanted, "{what}");
                assert_eq!(ids.count(), wanted.len(), "{what}");
            }
        }
    }
}

#[test]
fn their_probabilities_are_those_of_the_layers() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 6);
        let mut session = session_of(&model, 128);
        for shown in ["all", "1,3"] {
            let options = LensOptions { layers: layers(shown), ..everything() };
            for seen in look(&mut session, "sled", &options, &text, 0..6) {
                for (place, row) in seen.layers.iter().enumerate() {
                    let pinned = row.pinned.iter().map(|pinned| &pinned.candidate);
                    for own in row.top.iter().chain(pinned) {
                        let mut paths = seen.paths.iter();
                        if let Some(path) = paths.find(|path| path.token == own.token) {
                            let what = format!("{name}, layer {}, {own:?}", row.layer);
                            assert_eq!(path.probs.len(), seen.layers.len(), "{what}");
                            assert_eq!(path.probs[place], own.prob as f32, "{what}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn they_are_there_only_where_asked_for() {
    let mut session = session("llama");
    let options = LensOptions { paths: false, ..everything() };
    let seen = look(&mut session, "sled", &options, &A, 0..6);
    assert!(seen.iter().all(|seen| seen.paths.is_empty()));
}

#[test]
fn each_layers_first_choice_is_followed_even_if_none_is_shown() {
    let mut session = session("llama");
    let mut followed = |top: usize| -> BTreeSet<u32> {
        let options = LensOptions { top, paths: true, ..LensOptions::default() };
        let seen = look(&mut session, "greedy", &options, &A, 5..6).remove(0);
        seen.paths.iter().map(|path| path.token.id).collect()
    };
    assert_eq!(followed(0), followed(1));
}
