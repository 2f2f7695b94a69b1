//! Several methods on the same forward passes: the numbers are those of each alone, they
//! do not depend on what came before, and less is computed.

use std::path::Path;
use std::sync::atomic::Ordering;

use luge::{
    Completion, Cost, Decoder, Error, FinishReason, GenerateOptions, LlamaError, Model,
    ModelParams, Pipeline, SamplerOptions, ScoreSums, Session, SessionOptions, Together,
};

/// Two forms of exits, sums and logits, and one that reads none.
const METHODS: [&str; 7] = [
    "greedy",
    "sled",
    "dola",
    "sled(evolution-rate=0)",
    "sled(exit-norm=final,layers=1..)",
    "ensemble",
    "sled(evolution-scale=4)+dola",
];
const HEADER: [u32; 4] = [26, 52, 15, 34];
const PROMPT: [u32; 7] = [26, 52, 15, 34, 17, 12, 40];

fn model(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    Model::load(&folder.join(format!("{name}.gguf")), &ModelParams::default()).unwrap()
}

fn session(model: &Model, branches: u32) -> Session {
    let options = SessionOptions {
        ctx_size: Some(96),
        threads: Some(1),
        branches,
        ..SessionOptions::default()
    };
    Session::new(model, &options).unwrap()
}

fn decoders(session: &Session, methods: &[&str]) -> Vec<Decoder> {
    let bind = |method: &&str| session.decoder(&method.parse::<Pipeline>().unwrap()).unwrap();
    methods.iter().map(bind).collect()
}

/// Continuations that begin alike, one that another begins with, and one twice.
fn pairs(prompt: &[u32]) -> Vec<(Vec<u32>, Vec<u32>)> {
    let continuations: [&[u32]; 6] =
        [&[9, 41, 22, 60], &[9, 41, 22, 61, 5], &[77], &[9, 41], &[77], &[9, 30, 22]];
    continuations.map(|continuation| (prompt.to_vec(), continuation.to_vec())).to_vec()
}

fn score(
    session: &mut Session,
    header: &[u32],
    pairs: &[(Vec<u32>, Vec<u32>)],
) -> (Vec<Vec<ScoreSums>>, Cost) {
    let decoders = decoders(session, &METHODS);
    session.score_together(&Together::new(&decoders), header, pairs).unwrap()
}

#[test]
fn scores_are_those_of_each_continuation_and_method_alone() {
    for name in ["parity/llama", "parity/gemma2", "parity/gpt2", "architectures/falcon-h1"] {
        let model = model(name);
        let mut alone = session(&model, 1);
        for branches in [1, 3, 8] {
            let mut together = session(&model, branches);
            let (scores, _) = score(&mut together, &HEADER, &pairs(&PROMPT));
            for (pair, scores) in pairs(&PROMPT).iter().zip(&scores) {
                for (decoder, score) in decoders(&together, &METHODS).iter().zip(scores) {
                    let single = alone.score(decoder, &pair.0, &pair.1).unwrap();
                    let off = (single.sum_logprob - score.logprob).abs();
                    assert!(off < 1e-3, "{name}, {branches}, {decoder}: {single:?} {score:?}");
                    let off = (single.sum_logit - score.logit).abs();
                    assert!(off < 2e-3, "{name}, {branches}, {decoder}: {single:?} {score:?}");
                }
            }
        }
    }
}

#[test]
fn prompts_may_end_at_different_tokens() {
    let model = model("parity/llama");
    let mut session = session(&model, 8);
    let pairs = vec![
        (PROMPT.to_vec(), vec![9, 41]),
        (PROMPT[..6].to_vec(), vec![40, 8]),
        (PROMPT[..5].to_vec(), vec![3]),
    ];
    let (scores, _) = score(&mut session, &[], &pairs);
    for ((prompt, continuation), scores) in pairs.iter().zip(&scores) {
        for (decoder, score) in decoders(&session, &METHODS).iter().zip(scores) {
            let single = session.score(decoder, prompt, continuation).unwrap();
            assert!((single.sum_logprob - score.logprob).abs() < 1e-3, "{decoder}");
        }
    }
}

/// To the bit: what an evaluation comes to must not depend on where it was broken off.
#[test]
fn what_came_before_makes_no_difference() {
    for name in ["../models/atlas/atlas", "parity/gemma2", "architectures/falcon-h1"] {
        let model = model(name);
        let other = |ids: &[u32]| [&HEADER[..], ids].concat();
        let prompts = [PROMPT.to_vec(), other(&[17, 80, 81, 82]), other(&[5]), vec![26, 52, 9, 9]];
        let fresh = |prompt: &[u32]| score(&mut session(&model, 4), &HEADER, &pairs(prompt)).0;
        let wanted: Vec<_> = prompts.iter().map(|prompt| fresh(prompt)).collect();
        let mut used = session(&model, 4);
        for order in [[0, 1, 2, 3], [3, 1, 0, 2], [2, 2, 3, 0]] {
            for number in order {
                let (scores, _) = score(&mut used, &HEADER, &pairs(&prompts[number]));
                assert_eq!(scores, wanted[number], "{name}, prompt {number}");
            }
            // What computes the same tokens otherwise does not count as a header.
            let greedy = decoders(&used, &["greedy"]).remove(0);
            used.generate(&greedy, &prompts[1], &tokens(4)).unwrap().finish().unwrap();
        }
    }
}

#[test]
fn what_is_shared_is_computed_once() {
    let model = model("parity/llama");
    let layers = model.n_layers() as u64;
    let mut session = session(&model, 8);
    let methods = ["greedy", "sled", "dola(layers=0..2)"];
    let decoders = decoders(&session, &methods);
    let together = Together::new(&decoders);
    assert_eq!((together.passes(), together.decoders().len()), (1, 3));
    let pairs = pairs(&PROMPT);
    let (_, first) = session.score_together(&together, &HEADER, &pairs).unwrap();
    // The prompt, and of the continuations 9 41 22 61, then 30; last tokens are not computed.
    // In front of each of 9 77, 41 30, 22, 60 61, 5, 22 stands a position.
    let (computed, positions) = (7 + 5 - HEADER.len() as u64, 6);
    assert_eq!(first.tokens, computed);
    assert_eq!(first.exits, positions * layers);
    let alone: u64 =
        pairs.iter().map(|(prompt, behind)| (prompt.len() + behind.len() - 1) as u64).sum();
    assert_eq!(first.tokens_alone, 3 * alone);
    let scored: u64 = pairs.iter().map(|(_, behind)| behind.len() as u64).sum();
    assert_eq!(first.exits_alone, scored * (layers + 2));
    // The second time the header is there.
    let (_, second) = session.score_together(&together, &HEADER, &pairs).unwrap();
    assert_eq!((first.header, second.header), (HEADER.len() as u64, 0));
    assert_eq!(Cost { header: first.header, ..second }, first);
}

#[test]
fn exits_in_two_forms_take_two_passes() {
    let model = model("parity/llama");
    let session = session(&model, 1);
    let decoders = decoders(&session, &METHODS);
    assert_eq!(Together::new(&decoders).passes(), 2);
    assert_eq!(Together::new(&decoders[..1]).passes(), 1);
    assert_eq!(Together::new([]).passes(), 0);
}

fn tokens(count: usize) -> GenerateOptions {
    GenerateOptions { max_tokens: Some(count), ..GenerateOptions::default() }
}

/// What a completion says, apart from times.
fn told(completion: &Completion) -> (&[u32], &str, FinishReason, &[usize]) {
    let Completion { tokens, text, finish_reason, changed, .. } = completion;
    (tokens, text, *finish_reason, changed)
}

#[test]
fn texts_are_those_of_each_method_alone() {
    let sampled = SamplerOptions { temperature: 1.5, top_k: 20, seed: 3, ..Default::default() };
    let banned = SamplerOptions { logit_bias: vec![(40, f32::NEG_INFINITY)], ..Default::default() };
    let many = [
        tokens(16),
        tokens(0),
        GenerateOptions { ignore_eos: true, max_tokens: None, ..tokens(0) },
        GenerateOptions { sampler: sampled, ..tokens(16) },
        GenerateOptions { sampler: banned, ignore_eos: true, ..tokens(9) },
        GenerateOptions { stop: vec!["e".to_owned(), "the".to_owned()], ..tokens(16) },
    ];
    for name in ["parity/llama", "parity/gemma2", "parity/gpt2"] {
        let model = model(name);
        let (mut together, mut alone) = (session(&model, 1), session(&model, 1));
        for options in &many {
            let decoders = decoders(&together, &METHODS);
            let methods = Together::new(&decoders);
            let (texts, cost) =
                together.generate_together(&methods, &[], &PROMPT, options).unwrap();
            assert_eq!(texts.len(), METHODS.len());
            for (decoder, text) in decoders.iter().zip(&texts) {
                let single = alone.generate(decoder, &PROMPT, options).unwrap().finish().unwrap();
                assert_eq!(told(text), told(&single), "{name}, {decoder}, {options:?}");
                assert_eq!(text.exits, single.exits, "{name}, {decoder}, {options:?}");
            }
            assert!(cost.tokens <= cost.tokens_alone, "{name}, {cost:?}");
        }
    }
}

#[test]
fn methods_that_agree_are_computed_once() {
    let model = model("parity/llama");
    let mut session = session(&model, 1);
    let methods = ["sled", "sled", "greedy", "sled(evolution-rate=0)"];
    let decoders = decoders(&session, &methods);
    let options = GenerateOptions { ignore_eos: true, ..tokens(10) };
    let (texts, cost) =
        session.generate_together(&Together::new(&decoders[..2]), &[], &PROMPT, &options).unwrap();
    assert_eq!(told(&texts[0]), told(&texts[1]));
    assert_eq!(cost.tokens, PROMPT.len() as u64 + 9);
    assert_eq!(cost.tokens_alone, 2 * cost.tokens);
    assert_eq!(cost.exits_alone, 2 * cost.exits);

    // Greedy chooses what the cut leaves: they never part, whatever the others do.
    let (texts, _) =
        session.generate_together(&Together::new(&decoders), &[], &PROMPT, &options).unwrap();
    assert_eq!(told(&texts[2]), told(&texts[3]));
}

#[test]
fn texts_do_not_depend_on_what_came_before() {
    for name in ["../models/atlas/atlas", "architectures/falcon-h1"] {
        let model = model(name);
        let prompts = [PROMPT.to_vec(), [&HEADER[..], &[9, 80]].concat(), vec![3, 9, 30]];
        let run = |session: &mut Session, prompt: &[u32]| {
            let decoders = decoders(session, &["greedy", "sled", "dola"]);
            let methods = Together::new(&decoders);
            let options = GenerateOptions { ignore_eos: true, ..tokens(8) };
            session.generate_together(&methods, &HEADER, prompt, &options).unwrap()
        };
        let mut used = session(&model, 1);
        let mut costs = Vec::new();
        for prompt in [&prompts[0], &prompts[1], &prompts[2], &prompts[0], &prompts[0]] {
            let (fresh, _) = run(&mut session(&model, 1), prompt);
            let (again, cost) = run(&mut used, prompt);
            let told =
                |texts: &[Completion]| texts.iter().map(|t| t.tokens.clone()).collect::<Vec<_>>();
            assert_eq!(told(&again), told(&fresh), "{name}, {prompt:?}");
            costs.push((cost.tokens, cost.header));
        }
        if name.ends_with("atlas") {
            // In between, a prompt that does not begin with the header.
            let (tokens, header) = (costs[0].0, HEADER.len() as u64);
            assert_eq!(
                [costs[0], costs[3], costs[4]],
                [(tokens, header), (tokens, header), (tokens, 0)]
            );
        }
    }
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_computed() {
    let model = model("parity/llama");
    let mut session = session(&model, 4);
    let decoders_of = |session: &Session| decoders(session, &["sled"]);
    let decoders = decoders_of(&session);
    let methods = Together::new(&decoders);
    let mut error =
        |pairs: &[(Vec<u32>, Vec<u32>)]| session.score_together(&methods, &[], pairs).unwrap_err();
    assert!(matches!(error(&[(vec![], vec![1])]), Error::EmptyPrompt));
    assert!(matches!(error(&[(vec![1], vec![])]), Error::EmptyContinuation));
    let long = error(&[(vec![5], vec![6]), (vec![5; 60], vec![6; 60])]);
    assert!(matches!(long, Error::TooLong { tokens: 119, context: 96, .. }), "{long}");
    assert!(matches!(
        error(&[(vec![5], vec![9999])]),
        Error::Llama(LlamaError::TokenOutOfRange { .. })
    ));
    assert_eq!(session.score_together(&methods, &[], &[]).unwrap(), (vec![], Cost::default()));
    let none = session.generate_together(&methods, &[], &[], &tokens(1)).unwrap_err();
    assert!(matches!(none, Error::EmptyPrompt));

    session.interrupt().store(true, Ordering::Relaxed);
    let stopped = session.score_together(&methods, &HEADER, &pairs(&PROMPT)).unwrap_err();
    assert!(matches!(stopped, Error::Llama(LlamaError::Interrupted)));
    let stopped = session.generate_together(&methods, &HEADER, &PROMPT, &tokens(5)).unwrap_err();
    assert!(matches!(stopped, Error::Llama(LlamaError::Interrupted)));
    // And then it works again.
    session.interrupt().store(false, Ordering::Relaxed);
    let (scores, _) = session.score_together(&methods, &HEADER, &pairs(&PROMPT)).unwrap();
    let mut fresh = self::session(&model, 4);
    assert_eq!(scores, fresh.score_together(&methods, &HEADER, &pairs(&PROMPT)).unwrap().0);
}

#[test]
fn more_continuations_than_fit_at_once_are_taken_in_turns() {
    let model = model("parity/llama");
    let prompt: Vec<u32> = (3..73).collect();
    let pairs: Vec<_> = (0..9u32)
        .map(|first| (prompt.clone(), (0..12).map(|at| 10 + first * 11 + at).collect::<Vec<_>>()))
        .collect();
    let mut session = session(&model, 32);
    let decoders = decoders(&session, &["greedy", "sled"]);
    let methods = Together::new(&decoders);
    let (scores, _) = session.score_together(&methods, &[], &pairs).unwrap();
    for ((prompt, continuation), scores) in pairs.iter().zip(&scores) {
        let single = session.score(&decoders[1], prompt, continuation).unwrap();
        assert!((single.sum_logprob - scores[1].logprob).abs() < 1e-3);
    }
}

/// A method whose text has parted from the others' pays for its own exits only.
#[test]
fn exits_that_only_others_read_are_not_computed() {
    let model = model("parity/llama");
    let mut session = session(&model, 1);
    let decoders = decoders(&session, &["dola(layers=0)", "ensemble"]);
    let options = GenerateOptions { ignore_eos: true, ..tokens(12) };
    let methods = Together::new(&decoders);
    let (texts, cost) = session.generate_together(&methods, &[], &PROMPT, &options).unwrap();
    let [dola, ensemble] = &texts[..] else { panic!("two methods") };
    let shared =
        dola.tokens.iter().zip(&ensemble.tokens).take_while(|(a, b)| a == b).count() as u64;
    assert!(shared < 12, "they never part");
    // Together up to the token in which they differ, and then each by itself.
    let layers = model.n_layers() as u64;
    assert_eq!(cost.exits, (shared + 1) * layers + (11 - shared) * (1 + layers));
    assert_eq!(cost.exits_alone, 12 * (1 + layers));
}

/// What is computed twice is counted twice; and it is not, in whatever order the methods
/// are named.
#[test]
fn exits_are_counted_as_often_as_they_are_computed() {
    let model = model("parity/llama");
    let mut session = session(&model, 8);
    let mut exits = |methods: &[&str]| {
        let decoders = decoders(&session, methods);
        let methods = Together::new(&decoders);
        let scored = session.score_together(&methods, &HEADER, &pairs(&PROMPT)).unwrap().1;
        let options =
            GenerateOptions { ignore_eos: true, exits: luge::ExitPolicy::Always, ..tokens(1) };
        let written = session.generate_together(&methods, &HEADER, &PROMPT, &options).unwrap().1;
        [scored.exits, written.exits]
    };
    let layers = model.n_layers() as u64;
    let once = [6 * layers, layers];
    assert_eq!(exits(&["sled(evolution-scale=9)"]), once);
    assert_eq!(exits(&["sled(evolution-scale=9)", "sled(evolution-scale=4)"]), once);
    assert_eq!(exits(&["sled(evolution-scale=4)", "greedy", "sled(evolution-scale=9)"]), once);
    // Within a pipeline the order is the user's.
    let twice = once.map(|exits| 2 * exits);
    assert_eq!(exits(&["sled(evolution-scale=4)+sled(evolution-scale=9)"]), twice);
}
