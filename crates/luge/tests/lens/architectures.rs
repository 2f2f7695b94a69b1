//! Models of many architectures, recurrent ones among them.

use super::*;

/// Those whose exits can be read.
fn models() -> Vec<(String, Model)> {
    let folder = root().join("testdata/architectures");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gguf"))
        .filter(|path| Gguf::open(path).unwrap().string("luge.exit_0").is_some())
        .collect();
    paths.sort();
    assert!(paths.len() >= 26, "{paths:?}");
    paths
        .iter()
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), load(path)))
        .collect()
}

/// A session as people have it, on one thread.
fn session_of(model: &Model) -> Session {
    let (ctx_size, threads) = (Some(64), Some(1));
    let options = SessionOptions { ctx_size, threads, ..SessionOptions::default() };
    Session::new(model, &options).unwrap()
}

#[test]
fn the_final_rows_first_choice_is_greedys_next_token() {
    for (name, model) in models() {
        let text = noise(&model, 9);
        let mut session = session_of(&model);
        let next = generate(&mut session, "greedy", &text);
        for form in FORMS {
            let options = LensOptions { form, ..everything() };
            let options = LensOptions { pinned: vec![5], ..options };
            let seen = look(&mut session, "greedy", &options, &text, 8..9).remove(0);
            assert_eq!(seen.layers.len(), model.n_layers() + 1, "{name}");
            assert_eq!(first(final_row(&seen)), next.tokens[0], "{name}");
            assert_eq!(seen.before.token, final_row(&seen).top[0].token, "{name}");
            assert_eq!(seen.after, seen.before, "{name}");
        }
        let seen = look(&mut session, "sled", &LensOptions::default(), &text, 8..9).remove(0);
        assert_eq!(seen.after.token.id, generate(&mut session, "sled", &text).tokens[0]);
    }
}

#[test]
fn every_number_of_every_architecture_is_a_number() {
    for (name, model) in models() {
        let text = noise(&model, 9);
        let mut session = session_of(&model);
        let nats = (model.n_vocab() as f64).ln() + 1e-4;
        for form in FORMS {
            let options = LensOptions { form, pinned: vec![5], ..everything() };
            for seen in look(&mut session, "greedy", &options, &text, 0..9) {
                for row in &seen.layers {
                    let what = format!("{name}, {form:?}, layer {}: {row:?}", row.layer);
                    assert!((0.0..=nats).contains(&row.entropy), "{what}");
                    assert!(row.jsd_to_final >= 0.0 && row.jsd_to_final.is_finite(), "{what}");
                    let shown: f64 = row.top.iter().map(|own| own.prob).sum();
                    assert!(shown > 0.0 && shown <= 1.0 + 1e-6, "{what}");
                    assert!((1..=model.n_vocab()).contains(&row.pinned[0].rank), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_position_alone_is_that_of_the_whole_text() {
    for (name, model) in models() {
        let text = noise(&model, 9);
        let mut session = session_of(&model);
        let options = LensOptions { pinned: vec![5], ..everything() };
        let whole = look(&mut session, "sled", &options, &text, 0..9);
        // Backwards too: recurrent states cannot be cut back.
        for position in [8, 3, 5, 0] {
            let alone = look(&mut session, "sled", &options, &text, position..position + 1);
            assert_close(&alone, &whole[position..=position], 0.1, &name);
        }
    }
}

#[test]
fn a_text_is_the_same_whether_it_is_looked_at_or_not() {
    for (name, model) in models() {
        let text = noise(&model, 5);
        let mut session = session_of(&model);
        for method in ["greedy", "sled", "dola"] {
            let wanted = told(generate(&mut session, method, &text));
            let decoder = decoder(&session, method);
            let lens = session.lens(&decoder, &LensOptions::default()).unwrap();
            let mut generation = session.generate_through(&lens, &text, &tokens(12)).unwrap();
            let mut position = 4;
            while generation.next().transpose().unwrap().is_some() {
                let seen = generation.look().unwrap().unwrap();
                assert!(seen.position == position || seen.position == position - 1, "{name}");
                position = seen.position + 1;
            }
            assert_eq!(told(generation.finish().unwrap()), wanted, "{name}, {method}");
        }
    }
}
