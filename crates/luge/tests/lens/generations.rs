//! Texts looked at while they are generated.

use super::*;

/// Generates through a lens. Looks after every step if so wanted: what was seen,
/// each position once.
fn through(
    session: &mut Session,
    lens: &Lens<'_>,
    prompt: &[u32],
    options: &GenerateOptions,
    looking: bool,
) -> (Completion, Vec<LensPosition>) {
    let mut seen: Vec<LensPosition> = Vec::new();
    let mut generation = session.generate_through(lens, prompt, options).unwrap();
    assert!(generation.look().unwrap().is_none());
    let mut at_the_end = !looking;
    while !at_the_end {
        at_the_end = generation.next().transpose().unwrap().is_none();
        match (generation.look().unwrap(), seen.last()) {
            (Some(now), Some(last)) if now.position == last.position => assert_eq!(now, *last),
            (Some(now), _) => seen.push(now),
            (None, last) => assert!(last.is_none()),
        }
    }
    (generation.finish().unwrap(), seen)
}

/// That what was seen is what was generated.
#[track_caller]
fn check(model: &Model, prompt: &[u32], completion: &Completion, seen: &[LensPosition]) {
    let ended = completion.finish_reason == FinishReason::Eos;
    assert_eq!(seen.len(), completion.tokens.len() + usize::from(ended));
    let text = [prompt, &completion.tokens].concat();
    let mut changed = Vec::new();
    for (index, seen) in seen.iter().enumerate() {
        let position = prompt.len() - 1 + index;
        assert!(seen.generated);
        assert_eq!((seen.position, seen.token.id), (position, text[position]));
        let next = seen.next.as_ref().map(|next| next.id);
        assert_eq!(next, completion.tokens.get(index).copied());
        match next {
            Some(next) => {
                assert_eq!(seen.after.token.id, next);
                changed.extend(seen.changed().then_some(index));
            }
            None => assert!(model.is_end(seen.after.token.id)),
        }
    }
    assert_eq!(changed, completion.changed);
}

fn samplers(banned: u32) -> Vec<SamplerOptions> {
    let sampled = SamplerOptions { temperature: 1.0, seed: 5, ..SamplerOptions::default() };
    vec![
        SamplerOptions::default(),
        sampled.clone(),
        SamplerOptions { top_k: 0, top_p: 1.0, min_p: 0.0, seed: 6, ..sampled.clone() },
        SamplerOptions { repeat_penalty: 1.3, frequency_penalty: 0.2, ..SamplerOptions::default() },
        SamplerOptions {
            presence_penalty: 0.5,
            logit_bias: vec![(A[0], 1.5), (banned, f32::NEG_INFINITY), (9, 1001.0)],
            ..sampled
        },
        SamplerOptions {
            logit_bias: vec![(banned, f32::NEG_INFINITY)],
            ..SamplerOptions::default()
        },
    ]
}

#[test]
fn a_text_is_the_same_whether_it_is_looked_at_or_not() {
    let methods = [
        "greedy",
        "sled",
        "dola",
        "ensemble",
        "sled+dola",
        "sled(evolution-rate=0.1)",
        "sled(evolution-rate=0)",
        // A ban can rule out all that these keep.
        "sled(evolution-scale=1)",
        "dola(relative-top=1)",
    ];
    for name in ALL_MODELS {
        let model = model(name);
        let mut session = session_of(&model, 128);
        let prompt = noise(&model, 6);
        let banned = generate(&mut session, "greedy", &prompt).tokens[0];
        let count = if name == "atlas" { 5 } else { 12 };
        for method in methods {
            let decoder = decoder(&session, method);
            let lens = session.lens(&decoder, &everything()).unwrap();
            let samplers = samplers(banned);
            let with = |sampler: &SamplerOptions| GenerateOptions {
                sampler: sampler.clone(),
                ..tokens(count)
            };
            let mut all: Vec<GenerateOptions> = samplers.iter().map(with).collect();
            all.push(GenerateOptions { exits: ExitPolicy::Always, ..tokens(count) });
            for options in all {
                let generation = session.generate(&decoder, &prompt, &options).unwrap();
                let wanted = generation.finish().unwrap();
                let what = format!("{name}, {method}, {options:?}");
                for looking in [false, true] {
                    let (completion, seen) =
                        through(&mut session, &lens, &prompt, &options, looking);
                    assert_eq!(completion.exits, wanted.exits, "{what}");
                    if looking {
                        check(&model, &prompt, &completion, &seen);
                    }
                    assert_eq!(told(completion), told(wanted.clone()), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_lens_may_show_other_layers_than_the_method_reads() {
    for name in ALL_MODELS {
        let model = model(name);
        let mut session = session_of(&model, 128);
        let prompt = noise(&model, 6);
        for method in ["sled(layers=0,2)", "dola(layers=1,3)", "ensemble(layers=2)", "greedy"] {
            let decoder = decoder(&session, method);
            let wanted = session.generate(&decoder, &prompt, &tokens(14)).unwrap();
            let wanted = told(wanted.finish().unwrap());
            for shown in ["1", "0,2", "3", "all"] {
                let options = LensOptions { layers: layers(shown), ..everything() };
                let lens = session.lens(&decoder, &options).unwrap();
                let (completion, seen) = through(&mut session, &lens, &prompt, &tokens(14), true);
                check(&model, &prompt, &completion, &seen);
                for seen in seen {
                    let rows: Vec<usize> = seen.layers.iter().map(|row| row.layer).collect();
                    assert_eq!(rows, lens.layers(), "{name}, {method}");
                }
                assert_eq!(told(completion), wanted, "{name}, {method}, layers {shown}");
            }
        }
    }
}

#[test]
fn a_look_on_the_way_sees_what_a_look_at_the_text_sees() {
    for name in ALL_MODELS {
        let model = model(name);
        let mut session = session_of(&model, 128);
        let prompt = noise(&model, 6);
        for method in METHODS {
            let decoder = decoder(&session, method);
            let lens = session.lens(&decoder, &everything()).unwrap();
            // Nothing is banned, so that the choices are the best tokens.
            let options = GenerateOptions { ignore_eos: false, ..tokens(10) };
            let (completion, seen) = through(&mut session, &lens, &prompt, &options, true);
            let text = [&prompt[..], &completion.tokens].concat();
            let end = prompt.len() - 1..prompt.len() - 1 + seen.len();
            let mut given = look(&mut session, method, &everything(), &text, end);
            given.iter_mut().for_each(|given| given.generated = true);
            assert_close(&given, &seen, tolerance(name), &format!("{name}, {method}"));
        }
    }
}

#[test]
fn chances_are_those_of_the_method_and_of_the_final_layer_whatever_the_luck() {
    for name in MODELS {
        let mut session = session(name);
        let sampler = SamplerOptions {
            temperature: 1.5,
            presence_penalty: 1.0,
            seed: 3,
            ..SamplerOptions::default()
        };
        let options = GenerateOptions { sampler, ..tokens(10) };
        for method in METHODS {
            let decoder = decoder(&session, method);
            let greedy = self::decoder(&session, "greedy");
            let lens = session.lens(&decoder, &LensOptions::default()).unwrap();
            let (completion, seen) = through(&mut session, &lens, &A, &options, true);
            for (index, seen) in seen.iter().enumerate() {
                let so_far = [&A, &completion.tokens[..index]].concat();
                let mut chance = |decoder: &Decoder, token: u32| {
                    session.score(decoder, &so_far, &[token]).unwrap().sum_logprob.exp()
                };
                let what = format!("{name}, {method}, token {index}");
                let (before, after) = (&seen.before, &seen.after);
                assert_near(before.prob, chance(&greedy, before.token.id), 1e-3, &what);
                assert_near(after.prob, chance(&decoder, after.token.id), 1e-3, &what);
            }
        }
    }
}

#[test]
fn an_end_of_text_is_seen_though_it_is_not_in_the_text() {
    let mut ends = 0;
    for name in MODELS {
        let model = model(name);
        let end = (0..model.n_vocab() as u32).find(|&token| model.is_end(token)).unwrap();
        let mut session = session_of(&model, 128);
        for method in METHODS {
            let decoder = decoder(&session, method);
            let lens = session.lens(&decoder, &everything()).unwrap();
            for seed in 0..8 {
                let sampler = SamplerOptions {
                    temperature: 1.0,
                    top_k: 0,
                    top_p: 1.0,
                    min_p: 0.0,
                    logit_bias: vec![(end, 3.0)],
                    seed,
                    ..SamplerOptions::default()
                };
                let options = GenerateOptions { sampler, ..GenerateOptions::default() };
                let options = GenerateOptions { max_tokens: Some(30), ..options };
                let generation = session.generate(&decoder, &A, &options).unwrap();
                let wanted = told(generation.finish().unwrap());
                let (completion, seen) = through(&mut session, &lens, &A, &options, true);
                check(&model, &A, &completion, &seen);
                if completion.finish_reason == FinishReason::Eos {
                    let last = seen.last().unwrap();
                    assert_eq!((last.next.clone(), last.after.token.id), (None, end));
                    assert!(last.paths.iter().any(|path| path.token.id == end));
                    ends += usize::from(!completion.tokens.is_empty());
                }
                assert_eq!(told(completion), wanted, "{name}, {method}, seed {seed}");
            }
        }
    }
    assert!(ends > 10, "{ends} texts ended");
}

#[test]
fn an_end_of_text_as_the_first_token_is_seen() {
    let mut session = session("llama");
    let sled = decoder(&session, "sled");
    let lens = session.lens(&sled, &LensOptions::default()).unwrap();
    let sampler = SamplerOptions { logit_bias: vec![(2, 5000.0)], ..SamplerOptions::default() };
    let options = GenerateOptions { sampler, ..GenerateOptions::default() };
    let (completion, seen) = through(&mut session, &lens, &A, &options, true);
    assert_eq!((completion.tokens, completion.finish_reason), (vec![], FinishReason::Eos));
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].position, seen[0].next.clone()), (A.len() - 1, None));
    assert_eq!((seen[0].before.token.id, seen[0].after.token.text.as_str()), (2, "</s>"));
}

#[test]
fn the_last_look_is_at_the_last_token_however_the_text_ends() {
    let model = model("llama");
    let mut session = session_of(&model, 32);
    let sled = decoder(&session, "sled");
    let lens = session.lens(&sled, &LensOptions::default()).unwrap();
    let endless = GenerateOptions { max_tokens: None, ..tokens(0) };
    let mut run = |options: &GenerateOptions| {
        let (completion, seen) = through(&mut session, &lens, &A, options, true);
        check(&model, &A, &completion, &seen);
        completion
    };
    let full = run(&endless);
    assert_eq!(full.finish_reason, FinishReason::Context);
    let third = String::from_utf8(model.label(full.tokens[3]).unwrap()).unwrap();
    let stopped = run(&GenerateOptions { stop: vec![third], ..endless.clone() });
    assert_eq!(stopped.finish_reason, FinishReason::Stop);
    assert_eq!(run(&tokens(7)).finish_reason, FinishReason::Length);
    assert!(run(&tokens(0)).tokens.is_empty());
}

#[test]
fn text_that_is_held_back_brings_no_look_twice() {
    // A stop string that is never whole holds back the text of several tokens.
    let model = model("llama");
    let mut session = session_of(&model, 64);
    let sled = decoder(&session, "sled");
    let lens = session.lens(&sled, &LensOptions::default()).unwrap();
    let wanted = session.generate(&sled, &A, &tokens(8)).unwrap().finish().unwrap();
    let stop = vec![format!("{}?", wanted.text)];
    let (completion, seen) =
        through(&mut session, &lens, &A, &GenerateOptions { stop, ..tokens(8) }, true);
    check(&model, &A, &completion, &seen);
    assert_eq!(told(completion), told(wanted));
}

#[test]
fn without_a_lens_there_is_nothing_to_see() {
    let mut session = session("llama");
    let sled = decoder(&session, "sled");
    let mut generation = session.generate(&sled, &A, &tokens(3)).unwrap();
    generation.next().unwrap().unwrap();
    assert!(generation.look().unwrap().is_none());
}

#[test]
fn a_look_after_an_interruption_is_still_the_last_one() {
    // Between two steps: the next token is not computed any more.
    for method in ["greedy", "sled"] {
        let mut session = session("llama");
        let flag = session.interrupt();
        let decoder = decoder(&session, method);
        let lens = session.lens(&decoder, &everything()).unwrap();
        let mut generation = session.generate_through(&lens, &A, &tokens(12)).unwrap();
        for _ in 0..3 {
            generation.next().unwrap().unwrap();
        }
        let last = generation.look().unwrap();
        flag.store(true, Ordering::Relaxed);
        assert!(generation.next().is_none());
        flag.store(false, Ordering::Relaxed);
        // What is gone may be gone; another position it must not be.
        if let Ok(Some(now)) = generation.look() {
            assert_eq!(Some(now), last, "{method}");
        }
    }
}

#[test]
fn an_interruption_before_the_first_token_leaves_nothing_to_see() {
    let mut session = session("llama");
    let sled = decoder(&session, "sled");
    let lens = session.lens(&sled, &LensOptions::default()).unwrap();
    session.interrupt().store(true, Ordering::Relaxed);
    let mut generation = session.generate_through(&lens, &A, &tokens(3)).unwrap();
    assert!(generation.next().is_none());
    assert!(generation.look().unwrap().is_none());
    let completion = generation.finish().unwrap();
    assert_eq!(completion.finish_reason, FinishReason::Interrupted);
}
