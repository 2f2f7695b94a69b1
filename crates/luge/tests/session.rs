//! Sessions: what a generation or a score may depend on, and what not.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;

use luge::{
    Completion, Decoder, Error, ExitPolicy, FinishReason, GenerateOptions, LlamaError, Model,
    ModelParams, Pipeline, SamplerOptions, Score, Session, SessionOptions,
};

const METHODS: [&str; 5] = ["greedy", "sled", "dola", "ensemble", "sled+dola"];
const MODELS: [&str; 3] = ["llama", "gemma2", "gpt2"];

/// Texts that share their beginning, as a conversation's do.
const A: [u32; 6] = [26, 52, 15, 34, 17, 12];
const B: [u32; 5] = [26, 52, 15, 9, 40];

fn model(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity");
    Model::load(&folder.join(format!("{name}.gguf")), &ModelParams::default()).unwrap()
}

/// A session on one thread: tests run side by side.
fn session_of(model: &Model, ctx_size: u32) -> Session {
    let options =
        SessionOptions { ctx_size: Some(ctx_size), threads: Some(1), ..SessionOptions::default() };
    Session::new(model, &options).unwrap()
}

fn session(name: &str) -> Session {
    session_of(&model(name), 128)
}

fn decoder(session: &Session, method: &str) -> Decoder {
    session.decoder(&method.parse::<Pipeline>().unwrap()).unwrap()
}

fn tokens(count: usize) -> GenerateOptions {
    GenerateOptions { max_tokens: Some(count), ignore_eos: true, ..GenerateOptions::default() }
}

fn endless() -> GenerateOptions {
    GenerateOptions { max_tokens: None, ..tokens(0) }
}

fn generate(session: &mut Session, method: &str, prompt: &[u32]) -> Completion {
    let decoder = decoder(session, method);
    session.generate(&decoder, prompt, &tokens(12)).unwrap().finish().unwrap()
}

fn score(session: &mut Session, method: &str, prompt: &[u32], continuation: &[u32]) -> Score {
    let decoder = decoder(session, method);
    session.score(&decoder, prompt, continuation).unwrap()
}

/// What a completion says, apart from how long it took.
fn told(completion: Completion) -> (Vec<u32>, String, FinishReason, Vec<usize>) {
    (completion.tokens, completion.text, completion.finish_reason, completion.changed)
}

/// Ids of words and characters that look random and are the same every time.
fn noise(count: u32) -> Vec<u32> {
    (1..=count).map(|number| 3 + (number.wrapping_mul(2_654_435_761) >> 16) % 150).collect()
}

#[track_caller]
fn assert_close(a: &Score, b: &Score, tolerance: f64) {
    assert_eq!(a.tokens.len(), b.tokens.len());
    for (index, (a, b)) in a.tokens.iter().zip(&b.tokens).enumerate() {
        assert_eq!((a.id, &a.text), (b.id, &b.text), "token {index}");
        let off = f64::from((a.logit - b.logit).abs()).max((a.logprob - b.logprob).abs());
        assert!(off <= tolerance, "token {index}: {a:?} and {b:?}");
    }
}

#[test]
fn a_text_does_not_depend_on_what_was_in_the_cache() {
    for name in MODELS {
        for method in METHODS {
            let fresh = |prompt: &[u32]| told(generate(&mut session(name), method, prompt));
            let mut used = session(name);
            for prompt in [&A[..], &B, &A, &A[..2], &B] {
                let again = told(generate(&mut used, method, prompt));
                assert_eq!(again, fresh(prompt), "{name}, {method}, {prompt:?}");
            }
        }
    }
}

#[test]
fn a_score_does_not_depend_on_what_was_in_the_cache() {
    for name in MODELS {
        for method in METHODS {
            let fresh = score(&mut session(name), method, &A, &B);
            let mut used = session(name);
            generate(&mut used, "greedy", &B);
            generate(&mut used, method, &A);
            assert_close(&score(&mut used, method, &A, &B), &fresh, 1e-3);
            assert_close(&score(&mut used, method, &A, &B), &fresh, 1e-3);
        }
    }
}

#[test]
fn a_generation_dropped_halfway_leaves_a_session_that_works() {
    let mut used = session("llama");
    let sled = decoder(&used, "sled");
    let mut generation = used.generate(&sled, &B, &tokens(12)).unwrap();
    generation.next().unwrap().unwrap();
    drop(generation);
    let fresh = told(generate(&mut session("llama"), "sled", &A));
    assert_eq!(told(generate(&mut used, "sled", &A)), fresh);
}

#[test]
fn what_a_prompt_shares_with_the_last_text_is_not_computed_again() {
    let mut session = session("llama");
    let first = generate(&mut session, "sled", &A);
    assert_eq!(first.timings.prompt_computed, A.len());
    // Three tokens are shared, and two are not.
    assert_eq!(generate(&mut session, "sled", &B).timings.prompt_computed, 2);
    // The last one always is, for its logits.
    assert_eq!(generate(&mut session, "sled", &B).timings.prompt_computed, 1);
}

#[test]
fn a_cleared_session_computes_all_of_the_next_prompt() {
    for name in MODELS {
        let mut session = session(name);
        let first = generate(&mut session, "sled", &A);
        session.clear();
        let again = generate(&mut session, "sled", &A);
        assert_eq!(again.timings.prompt_computed, A.len(), "{name}");
        assert_eq!(told(again), told(first), "{name}");
    }
}

#[test]
fn pieces_are_the_text_and_the_tokens_of_the_completion() {
    let mut session = session("llama");
    let sled = decoder(&session, "sled");
    let mut generation = session.generate(&sled, &A, &tokens(12)).unwrap();
    let mut text = String::new();
    let mut changed = Vec::new();
    let mut next = 0;
    for piece in &mut generation {
        let piece = piece.unwrap();
        if !piece.text.is_empty() {
            assert_eq!(piece.tokens.start, next);
            next = piece.tokens.end;
        }
        if piece.changed {
            changed.extend(piece.tokens);
        }
        text.push_str(&piece.text);
    }
    let completion = generation.finish().unwrap();
    assert_eq!(completion.text, text);
    assert_eq!(completion.tokens.len(), 12);
    // Each piece is of one token here: nothing is held back.
    assert_eq!(completion.changed, changed);
}

#[test]
fn greedy_evaluates_no_exits_and_holds_no_memory_for_them() {
    let mut session = session("llama");
    let completion = generate(&mut session, "greedy", &A);
    assert_eq!((completion.exits.evaluated, completion.exits.skipped), (0, 0));
    assert_eq!(score(&mut session, "greedy", &A, &B).exits.evaluated, 0);
    assert_eq!(session.exit_memory(), 0);
}

#[test]
fn exits_are_counted_for_each_position() {
    let mut session = session("llama");
    let mut counts = |method: &str, exits: ExitPolicy| {
        let decoder = decoder(&session, method);
        let options = GenerateOptions { exits, ..tokens(12) };
        let generation = session.generate(&decoder, &A, &options).unwrap();
        let counts = generation.finish().unwrap().exits;
        (counts.evaluated, counts.skipped)
    };
    assert_eq!(counts("sled", ExitPolicy::Always), (4 * 12, 0));
    assert_eq!(counts("sled(layers=1,3)", ExitPolicy::Always), (2 * 12, 0));
    for method in ["dola(layers=all)", "sled+dola", "ensemble"] {
        assert_eq!(counts(method, ExitPolicy::Auto), (4 * 12, 0), "{method}");
    }
    // So small a step changes no token.
    assert_eq!(counts("sled(evolution-rate=1e-9)", ExitPolicy::Auto), (0, 4 * 12));
    // A score needs the logits themselves.
    let score = score(&mut session, "sled(evolution-rate=1e-9)", &A, &B);
    assert_eq!((score.exits.evaluated, score.exits.skipped), (4 * B.len() as u64, 0));
}

#[test]
fn exits_that_are_not_computed_change_nothing() {
    let sampled = SamplerOptions { temperature: 0.8, seed: 5, ..SamplerOptions::default() };
    let samplers = [
        SamplerOptions::default(),
        sampled.clone(),
        SamplerOptions { temperature: 1.2, top_k: 0, top_p: 1.0, min_p: 0.0, ..sampled.clone() },
        SamplerOptions { repeat_penalty: 1.3, frequency_penalty: 0.2, ..SamplerOptions::default() },
        SamplerOptions { presence_penalty: 0.5, repeat_last_n: usize::MAX, ..sampled },
        SamplerOptions {
            logit_bias: vec![(A[0], 1.5), (A[1], f32::NEG_INFINITY), (9, 1001.0)],
            ..SamplerOptions::default()
        },
    ];
    // The models are unsure of themselves: it takes a small step for a token that
    // no exit can change.
    let methods = [
        "sled",
        "sled(evolution-rate=0.1)",
        "sled(evolution-rate=0.02,evolution-steps=3,evolution-temperature=0.7)",
        "sled(evolution-rate=0.1)+sled(evolution-rate=0.1,evolution-scale=4)",
        "greedy+sled(evolution-rate=0.1,evolution-scale=1)",
        "sled(evolution-rate=0)",
        "sled(evolution-rate=0.1)+dola",
    ];
    for name in MODELS {
        let mut session = session(name);
        let mut both = [0, 0];
        for method in methods {
            let decoder = decoder(&session, method);
            for sampler in &samplers {
                let mut run = |exits: ExitPolicy| {
                    let options = GenerateOptions { sampler: sampler.clone(), exits, ..tokens(24) };
                    let generation = session.generate(&decoder, &A, &options).unwrap();
                    let completion = generation.finish().unwrap();
                    (completion.exits, told(completion))
                };
                let (always, wanted) = run(ExitPolicy::Always);
                let (auto, got) = run(ExitPolicy::Auto);
                assert_eq!(got, wanted, "{name}, {method}, {sampler:?}");
                assert_eq!(auto.evaluated + auto.skipped, always.evaluated + always.skipped);
                if always.evaluated > 0 {
                    assert_eq!(always.skipped, 0, "{name}, {method}");
                    both[0] += auto.evaluated;
                    both[1] += auto.skipped;
                }
            }
        }
        // Both have happened.
        assert!(both.iter().all(|&exits| exits > 500), "{name}: {both:?}");
    }
}

#[test]
fn memory_for_exits_is_layers_times_vocabulary_whatever_the_scale() {
    /// Room for the hidden states and the engine's own notes.
    const LITTLE: usize = 64 << 10;
    for name in MODELS {
        let memory = |method: &str| {
            let mut session = session(name);
            generate(&mut session, method, &A);
            score(&mut session, method, &A, &B);
            let shape = session.shape();
            let logits = shape.layers * shape.vocab * size_of::<f32>();
            let held = session.exit_memory();
            assert!(held >= logits, "{name}, {method}: {held} bytes");
            assert!(held <= logits + LITTLE, "{name}, {method}: {held} bytes");
            held
        };
        let small = memory("sled(evolution-scale=1)");
        assert_eq!(memory("sled(evolution-scale=100)"), small, "{name}");
        assert_eq!(memory("sled(layers=all)+dola(layers=all)"), small, "{name}");
    }
}

#[test]
fn a_decoder_of_another_model_is_refused() {
    let mut gemma2 = session("gemma2");
    let foreign = decoder(&session("llama"), "sled");
    assert!(matches!(gemma2.generate(&foreign, &A, &tokens(1)), Err(Error::OtherModel)));
    assert!(matches!(gemma2.score(&foreign, &A, &B), Err(Error::OtherModel)));
}

#[test]
fn a_text_ends_where_the_context_is_full() {
    let mut session = session_of(&model("llama"), 32);
    for method in METHODS {
        let decoder = decoder(&session, method);
        let generation = session.generate(&decoder, &A, &endless()).unwrap();
        let completion = generation.finish().unwrap();
        assert_eq!(completion.finish_reason, FinishReason::Context, "{method}");
        // The last token is chosen, not computed: it needs no room.
        assert_eq!(A.len() + completion.tokens.len(), session.ctx_size() + 1, "{method}");
    }
}

#[test]
fn a_prompt_may_fill_the_context() {
    let mut session = session_of(&model("llama"), 32);
    let sled = decoder(&session, "sled");
    let full = noise(32);
    let completion = session.generate(&sled, &full, &endless()).unwrap().finish().unwrap();
    assert_eq!(completion.finish_reason, FinishReason::Context);
    assert_eq!(completion.tokens.len(), 1);
    assert_eq!(session.score(&sled, &full, &completion.tokens).unwrap().tokens.len(), 1);
}

#[test]
fn what_does_not_fit_the_context_is_refused_with_its_length() {
    let mut session = session_of(&model("llama"), 32);
    let sled = decoder(&session, "sled");
    let long = noise(33);
    assert!(matches!(
        session.generate(&sled, &long, &tokens(1)),
        Err(Error::TooLong { tokens: 33, context: 32, .. })
    ));
    assert!(matches!(
        session.score(&sled, &long[..31], &long[..3]),
        Err(Error::TooLong { tokens: 33, context: 32, .. })
    ));
    // The session is as good as before.
    assert_eq!(generate(&mut session, "sled", &A).tokens.len(), 12);
}

#[test]
fn empty_prompts_and_continuations_are_refused() {
    let mut session = session("llama");
    let sled = decoder(&session, "sled");
    assert!(matches!(session.generate(&sled, &[], &tokens(1)), Err(Error::EmptyPrompt)));
    assert!(matches!(session.score(&sled, &[], &B), Err(Error::EmptyPrompt)));
    assert!(matches!(session.score(&sled, &A, &[]), Err(Error::EmptyContinuation)));
}

#[test]
fn tokens_out_of_range_are_refused_wherever_they_are() {
    let out_of_range = |error: Error| {
        let Error::Llama(LlamaError::TokenOutOfRange { token, vocab: 169 }) = error else {
            panic!("{error}")
        };
        assert!(token == 169 || token == u32::MAX);
    };
    let mut session = session("llama");
    let sled = decoder(&session, "sled");
    for wrong in [[169, 5], [5, 169], [u32::MAX, 5], [5, u32::MAX]] {
        out_of_range(session.generate(&sled, &wrong, &tokens(1)).err().unwrap());
        out_of_range(session.score(&sled, &wrong, &B).unwrap_err());
        out_of_range(session.score(&sled, &A, &wrong).unwrap_err());
    }
}

#[test]
fn the_flag_interrupts_a_generation_where_it_is() {
    let mut session = session("llama");
    let flag = session.interrupt();
    let sled = decoder(&session, "sled");
    let mut generation = session.generate(&sled, &A, &endless()).unwrap();
    for _ in 0..5 {
        generation.next().unwrap().unwrap();
    }
    flag.store(true, Ordering::Relaxed);
    let completion = generation.finish().unwrap();
    assert_eq!(completion.finish_reason, FinishReason::Interrupted);
    assert_eq!(completion.tokens.len(), 5);

    // As long as it stands, nothing is generated.
    let completion = session.generate(&sled, &B, &endless()).unwrap().finish().unwrap();
    assert_eq!(completion.finish_reason, FinishReason::Interrupted);
    assert!(completion.tokens.is_empty());

    flag.store(false, Ordering::Relaxed);
    let fresh = told(generate(&mut self::session("llama"), "sled", &A));
    assert_eq!(told(generate(&mut session, "sled", &A)), fresh);
}

#[test]
fn an_interruption_before_the_first_token_is_no_error() {
    for method in METHODS {
        let mut session = session("llama");
        let decoder = decoder(&session, method);
        session.interrupt().store(true, Ordering::Relaxed);
        let completion = session.generate(&decoder, &A, &endless()).unwrap().finish().unwrap();
        assert_eq!(completion.finish_reason, FinishReason::Interrupted, "{method}");
        assert!(completion.tokens.is_empty(), "{method}");
    }
}

#[test]
fn a_flag_from_another_thread_interrupts_a_text_without_end() {
    let mut session = session_of(&model("llama"), 100_000);
    let flag = session.interrupt();
    let sled = decoder(&session, "sled");
    let mut generation = session.generate(&sled, &A, &endless()).unwrap();
    generation.next().unwrap().unwrap();
    let other = thread::spawn(move || flag.store(true, Ordering::Relaxed));
    let completion = generation.finish().unwrap();
    other.join().unwrap();
    assert_eq!(completion.finish_reason, FinishReason::Interrupted);
}

#[test]
fn long_prompts_are_computed_in_several_batches_to_the_same_end() {
    // More than a micro-batch of 512 tokens, with a rest.
    let prompt = noise(1300);
    let model = model("llama");
    for method in METHODS {
        let mut session = session_of(&model, 2048);
        let at_once = score(&mut session, method, &prompt, &B);
        // The same cache, but built up in pieces of other sizes.
        let mut session = session_of(&model, 2048);
        for end in [3, 100, 700, 701, 1299] {
            score(&mut session, "greedy", &prompt[..end], &[5]);
        }
        assert_close(&score(&mut session, method, &prompt, &B), &at_once, 1e-2);
    }
}

#[test]
fn a_long_continuation_scores_as_its_tokens_do_one_by_one() {
    let continuation = noise(70);
    let model = model("llama");
    for method in METHODS {
        let mut session = session_of(&model, 128);
        let at_once = score(&mut session, method, &A, &continuation);
        for (index, token) in at_once.tokens.iter().enumerate() {
            let so_far = [&A, &continuation[..index]].concat();
            let alone = score(&mut session, method, &so_far, &continuation[index..=index]);
            let off = (alone.tokens[0].logprob - token.logprob).abs();
            assert!(off <= 1e-2, "{method}, token {index}: off by {off}");
        }
        let sum: f64 = at_once.tokens.iter().map(|token| token.logprob).sum();
        assert!((sum - at_once.sum_logprob).abs() <= 1e-6);
    }
}

#[test]
fn two_sessions_on_one_model_do_not_disturb_each_other() {
    let model = model("llama");
    let work = |prompt: &[u32]| {
        let mut session = session_of(&model, 128);
        METHODS.map(|method| told(generate(&mut session, method, prompt)))
    };
    let one_by_one = (work(&A), work(&B));
    let side_by_side = thread::scope(|scope| {
        let a = scope.spawn(|| work(&A));
        let b = scope.spawn(|| work(&B));
        (a.join().unwrap(), b.join().unwrap())
    });
    assert_eq!(side_by_side, one_by_one);
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_seed_another() {
    let mut session = session("llama");
    let mut sampled = |method: &str, seed: u64| {
        let decoder = decoder(&session, method);
        let sampler = SamplerOptions { temperature: 1.5, seed, ..SamplerOptions::default() };
        let options = GenerateOptions { sampler, ..tokens(24) };
        told(session.generate(&decoder, &A, &options).unwrap().finish().unwrap())
    };
    for method in METHODS {
        assert_eq!(sampled(method, 1), sampled(method, 1), "{method}");
        assert_ne!(sampled(method, 1), sampled(method, 2), "{method}");
    }
}

#[test]
fn a_pair_of_texts_is_split_where_its_tokens_part() {
    let session = session("llama");
    let pair =
        |prompt: &str, continuation: &str| session.tokenize_pair(prompt, continuation).unwrap();
    assert_eq!(pair(" w5 w17", " w3"), (vec![8, 20], vec![6]));
    assert_eq!(pair(" w5 w1", "7"), (vec![8], vec![20]));
    assert_eq!(pair(" w5", ""), (vec![8], vec![]));
}

#[test]
fn where_all_that_a_method_keeps_is_ruled_out_the_final_layer_decides() {
    // It once was token 0: every logit was −∞, or at SLED's lower bound.
    let mut session = session("llama");
    let first = generate(&mut session, "greedy", &A).tokens[0];
    let options = GenerateOptions {
        sampler: SamplerOptions {
            logit_bias: vec![(first, f32::NEG_INFINITY)],
            ..SamplerOptions::default()
        },
        ..tokens(1)
    };
    let with = |session: &mut Session, method: &str| {
        let decoder = decoder(session, method);
        session.generate(&decoder, &A, &options).unwrap().finish().unwrap()
    };
    let second = with(&mut session, "greedy").tokens;
    assert!(second[0] != first && second[0] != 0);
    // Each keeps the final layer's best token and no other.
    for method in ["dola(relative-top=1)", "sled(evolution-scale=1)"] {
        let completion = with(&mut session, method);
        assert_eq!((completion.tokens, completion.changed), (second.clone(), vec![]), "{method}");
    }
}

#[test]
fn where_all_that_a_method_keeps_is_ruled_out_no_bias_on_others_hides_it() {
    // Both biased tokens are at SLED's lower bound, where the lower one would win.
    let mut session = session("llama");
    let ranked = generate(&mut session, "greedy", &A).tokens[0];
    let sled = decoder(&session, "sled(evolution-scale=1)");
    let greedy = decoder(&session, "greedy");
    for pair in [[20, 50], [30, 40], [5, 100]] {
        let bias = pair.map(|token| (token, 2000.0));
        let options = GenerateOptions {
            sampler: SamplerOptions {
                logit_bias: [&[(ranked, f32::NEG_INFINITY)], &bias[..]].concat(),
                ..SamplerOptions::default()
            },
            ..tokens(1)
        };
        let mut first = |decoder: &Decoder, exits: ExitPolicy| {
            let options = GenerateOptions { exits, ..options.clone() };
            session.generate(decoder, &A, &options).unwrap().finish().unwrap().tokens
        };
        let wanted = first(&greedy, ExitPolicy::Auto);
        assert_eq!(first(&sled, ExitPolicy::Always), wanted);
        assert_eq!(first(&sled, ExitPolicy::Auto), wanted);
    }
}

#[test]
fn exits_can_be_asked_for_when_the_cache_is_full() {
    // Finding out the graph takes a cell, and none was free.
    let mut session = session_of(&model("llama"), 256);
    let greedy = decoder(&session, "greedy");
    let full = session.generate(&greedy, &A, &endless()).unwrap().finish().unwrap();
    assert_eq!(full.finish_reason, FinishReason::Context);
    let fresh = told(generate(&mut self::session("llama"), "sled", &A));
    assert_eq!(told(generate(&mut session, "sled", &A)), fresh);
}

#[test]
fn the_context_ends_where_a_models_learned_positions_do() {
    // llama.cpp rounds a context up, and aborts beyond the last position.
    let mut session = session_of(&model("gpt2"), 0);
    assert_eq!(session.ctx_size(), 128);
    let sled = decoder(&session, "sled");
    let completion = session.generate(&sled, &[5, 6], &endless()).unwrap().finish().unwrap();
    assert_eq!(completion.finish_reason, FinishReason::Context);
}

#[test]
fn parameters_that_overflow_are_an_error() {
    let mut session = session("llama");
    let decoder = decoder(&session, "sled(evolution-temperature=1e-39)");
    let error = session.score(&decoder, &A, &[5]).unwrap_err();
    assert!(error.to_string().contains("overflowed"), "{error}");
}

#[test]
fn a_continuation_that_swallows_the_whole_prompt_is_refused() {
    // " w" and "17" are the one token " w17" together.
    let error = session("llama").tokenize_pair(" w", "17").unwrap_err();
    assert!(error.to_string().contains("longer prompt"), "{error}");
}
