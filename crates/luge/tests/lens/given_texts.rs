//! What a position of a given text may depend on, and what not.

use super::*;

#[test]
fn positions_do_not_depend_on_how_a_text_is_cut() {
    for name in ALL_MODELS {
        let model = model(name);
        // Three pieces, the last of them not whole.
        let text = noise(&model, 2 * CHUNK as u32 + 11);
        for method in ["greedy", "sled+dola"] {
            let mut session = session_of(&model, 128);
            let whole = look_at_all(&mut session, method, &text);
            assert_eq!(whole.len(), text.len());
            let what = format!("{name}, {method}");
            for position in 0..text.len() {
                let alone =
                    look(&mut session, method, &everything(), &text, position..position + 1);
                assert_close(&alone, &whole[position..=position], tolerance(name), &what);
            }
            // In a session of their own, from the middle of a piece on.
            let mut fresh = session_of(&model, 128);
            let end = look(&mut fresh, method, &everything(), &text, 40..text.len());
            assert_close(&end, &whole[40..], tolerance(name), &what);
        }
    }
}

#[test]
fn positions_do_not_depend_on_what_follows_them() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 70);
        let look = |text: &[u32], positions: Range<usize>| {
            look(&mut session_of(&model, 128), "sled", &everything(), text, positions)
        };
        let mut cut = look(&text[..50], 0..50);
        let whole = look(&text, 0..50);
        let last = cut.last_mut().unwrap();
        assert_eq!(last.next, None);
        last.next.clone_from(&whole[49].next);
        let (cut_paths, paths) = (last.paths.len(), whole[49].paths.len());
        assert!(cut_paths == paths || cut_paths + 1 == paths, "{name}");
        last.paths.clone_from(&whole[49].paths);
        assert_eq!(cut, whole, "{name}");
    }
}

#[test]
fn positions_do_not_depend_on_threads() {
    // A vocabulary of one tile, and one of several. Few positions: threads wait by
    // spinning, and other tests run beside this one.
    for name in ["llama", "atlas"] {
        let model = model(name);
        let text = noise(&model, 8);
        let on =
            |threads: u32| look_at_all(&mut session_on(&model, 64, threads), "sled+dola", &text);
        assert!(on(1) == on(2), "{name}");
    }
}

#[test]
fn the_same_look_twice_is_the_same_to_the_bit() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 50);
        let mut session = session_of(&model, 128);
        let once = look(&mut session, "sled+dola", &everything(), &text, 10..50);
        for clear in [false, true] {
            if clear {
                session.clear();
            }
            let again = look(&mut session, "sled+dola", &everything(), &text, 10..50);
            assert!(again == once, "{name}");
        }
    }
}

#[test]
fn positions_do_not_depend_on_what_was_in_the_cache() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 45);
        let fresh = look_at_all(&mut session_of(&model, 128), "sled", &text);
        let mut used = session_of(&model, 128);
        let uses: [&dyn Fn(&mut Session); 5] = [
            &|used| drop(generate(used, "sled", &text)),
            &|used| drop(generate(used, "dola", &text[..20])),
            &|used| drop(generate(used, "greedy", &[&text[..7], &text[..30]].concat())),
            &|used| {
                let greedy = decoder(used, "greedy");
                used.score(&greedy, &text[..3], &text[3..]).unwrap();
            },
            &|used| drop(look_at_all(used, "ensemble", &text[2..])),
        ];
        for used_before in uses {
            used_before(&mut used);
            let from_the_start = look_at_all(&mut used, "sled", &text);
            assert_close(&from_the_start, &fresh, tolerance(name), name);
            used_before(&mut used);
            let end = look(&mut used, "sled", &everything(), &text, 21..45);
            assert_close(&end, &fresh[21..], tolerance(name), name);
        }
    }
}

#[test]
fn rows_of_some_layers_are_the_rows_of_all() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 10);
        let mut session = session_of(&model, 128);
        let last = model.n_layers();
        for form in FORMS {
            let all = LensOptions { form, ..everything() };
            let all = look(&mut session, "greedy", &all, &text, 0..10);
            for shown in ["0", "2", "1,3", "0,2..", "-1", "all"] {
                let options = LensOptions { form, layers: layers(shown), ..everything() };
                let greedy = decoder(&session, "greedy");
                let lens = session.lens(&greedy, &options).unwrap();
                assert_eq!(lens.form(), form);
                let wanted = lens.layers();
                assert_eq!(wanted.last(), Some(&last));
                let some = look(&mut session, "greedy", &options, &text, 0..10);
                for (some, all) in some.iter().zip(&all) {
                    let what = format!("{name}, layers {shown}, position {}", some.position);
                    let rows = all.layers.iter().filter(|row| wanted.contains(&row.layer));
                    let rows: Vec<Opinion> = rows.cloned().collect();
                    assert_eq!(rows.len(), wanted.len(), "{what}");
                    assert_rows(&some.layers, &rows, 1e-4, &what);
                }
            }
        }
    }
}

#[test]
fn rows_do_not_depend_on_the_method() {
    let methods = ["sled(layers=2)", "dola(layers=0)", "sled(layers=1)+dola(layers=3)"];
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 10);
        for shown in ["all", "1,3"] {
            let options = LensOptions { layers: layers(shown), ..everything() };
            let rows = |method: &str| {
                let mut session = session_of(&model, 128);
                look(&mut session, method, &options, &text, 0..10)
            };
            let greedy = rows("greedy");
            for method in METHODS.iter().chain(&methods) {
                for (own, greedy) in rows(method).iter().zip(&greedy) {
                    let what = format!("{name}, {method}, position {}", own.position);
                    assert_rows(&own.layers, &greedy.layers, 1e-4, &what);
                    assert_eq!(own.settling_depth, greedy.settling_depth, "{what}");
                    assert_eq!(own.before, greedy.before, "{what}");
                }
            }
        }
    }
}

#[test]
fn the_exits_are_shown_as_the_method_reads_them() {
    let mut session = session("gemma2");
    let options = |form: ExitForm| LensOptions { form, ..everything() };
    let mut rows = |method: &str, form: ExitForm| -> Vec<Vec<Opinion>> {
        let seen = look(&mut session, method, &options(form), &A, 0..6);
        seen.into_iter().map(|seen| seen.layers).collect()
    };
    let wanted = FORMS.map(|form| rows("greedy", form));
    assert!(wanted[0] != wanted[1] && wanted[0] != wanted[2]);
    let own = ["sled", "sled(exit-softcap=off)", "greedy+dola(exit-norm=final)"];
    for (method, wanted) in own.iter().zip(&wanted) {
        for form in FORMS {
            assert_eq!(&rows(method, form), wanted, "{method}, {form:?}");
        }
    }
}

#[test]
fn positions_come_in_their_order_and_none_if_none_is_asked_for() {
    let mut session = session("llama");
    let text = noise(&model("llama"), 100);
    let mut positions = |positions: Range<usize>| -> Vec<usize> {
        let seen = look(&mut session, "sled", &LensOptions::default(), &text, positions);
        seen.iter().map(|seen| seen.position).collect()
    };
    for range in [0..100, 99..100, 31..33, 32..64, 0..1] {
        assert_eq!(positions(range.clone()), range.collect::<Vec<_>>());
    }
    for none in [0..0, 50..50, 100..100, Range { start: 60, end: 20 }] {
        assert!(positions(none).is_empty());
    }
}

#[test]
fn a_text_may_fill_the_context_and_its_beginning_may_be_of_a_longer_one() {
    let model = model("llama");
    let text = noise(&model, 40);
    let whole = look_at_all(&mut session_of(&model, 64), "sled", &text);
    let mut session = session_of(&model, 32);
    let full = look(&mut session, "sled", &everything(), &text, 0..32);
    assert_close(&full, &whole[..32], 1e-4, "a full context");
    let last = look(&mut session, "sled", &everything(), &text, 31..32);
    assert_close(&last, &whole[31..32], 1e-4, "the last position");
}

#[test]
fn a_look_into_a_full_cache_finds_room_for_finding_out_the_graph() {
    let model = model("llama");
    let text = noise(&model, 256);
    for positions in [255..256, 0..1, 0..256] {
        let mut session = session_of(&model, 256);
        let greedy = decoder(&session, "greedy");
        session.score(&greedy, &text[..255], &[text[255], 5]).unwrap();
        let seen = look(&mut session, "sled", &everything(), &text, positions.clone());
        assert_eq!(seen.len(), positions.len());
    }
}

#[test]
fn a_look_at_nothing_needs_no_room() {
    let model = model("llama");
    let text = noise(&model, 300);
    let mut session = session_of(&model, 256);
    let greedy = decoder(&session, "greedy");
    session.score(&greedy, &text[..255], &[text[255], 5]).unwrap();
    for nothing in [256..256, 0..0, Range { start: 300, end: 1 }] {
        assert!(look(&mut session, "sled", &everything(), &text, nothing).is_empty());
    }
}

#[test]
fn the_exits_of_one_position_are_held_however_many_are_looked_at() {
    /// Room for the hidden states and the engine's own notes.
    const LITTLE: usize = 64 << 10;
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 70);
        for (shown, method, layers) in
            [("all", "greedy", model.n_layers()), ("1", "sled(layers=1,2)", 2), ("0", "greedy", 1)]
        {
            let mut session = session_of(&model, 128);
            let options = LensOptions { layers: self::layers(shown), ..everything() };
            let logits = layers * model.n_vocab() * size_of::<f32>();
            for positions in [0..1, 0..70] {
                look(&mut session, method, &options, &text, positions);
                let held = session.exit_memory();
                assert!((logits..=logits + LITTLE).contains(&held), "{name}: {held} bytes");
            }
        }
    }
}

#[test]
fn what_comes_after_a_look_is_as_if_there_had_been_none() {
    for name in MODELS {
        for method in METHODS {
            let wanted = told(generate(&mut session(name), method, &A));
            let mut used = session(name);
            look_at_all(&mut used, "sled", &[&A[..], &A].concat());
            assert_eq!(told(generate(&mut used, method, &A)), wanted, "{name}, {method}");
        }
        let mut used = session(name);
        look_at_all(&mut used, "sled", &A);
        generate(&mut used, "greedy", &A);
        assert_eq!(used.exit_memory(), 0, "{name}");
    }
}
