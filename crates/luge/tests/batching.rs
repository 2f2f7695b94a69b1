//! Many texts at once: each is the text that it is alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use luge::batching::{
    Batcher, BatcherOptions, PromptReport, StepReport, TextEnd, TextEvent, TextId, TextRequest,
    WrittenToken,
};
use luge::{
    CacheType, Error, FinishReason, FlashAttention, GenerateOptions, Grammar, LensOptions, Model,
    ModelParams, SamplerOptions, Session, SessionOptions,
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn load(name: &str) -> Model {
    Model::load(&file(name), &ModelParams::default()).unwrap()
}

/// A model of Q8_0: without flash attention, what rounding leaves of a batch's shape and of
/// the cache's order is rare and small.
fn atlas() -> Model {
    load("models/atlas/atlas.gguf")
}

fn setup() -> SessionOptions {
    SessionOptions {
        ctx_size: Some(128),
        threads: Some(1),
        flash_attention: FlashAttention::Off,
        ..SessionOptions::default()
    }
}

fn batcher(model: &Model, parallel: u32) -> Batcher {
    let options = BatcherOptions { session: setup(), parallel, step_tokens: 40, reuse: true };
    Batcher::new(model, &options).unwrap()
}

fn request(batcher: &Batcher, method: &str, prompt: &str) -> TextRequest {
    let decoder = Arc::new(batcher.decoder(&method.parse().unwrap()).unwrap());
    let prompt = batcher.model().tokenize_prompt(prompt).unwrap();
    let mut request = TextRequest::new(decoder, prompt);
    request.options.max_tokens = Some(12);
    request
}

/// All that was heard of a text.
#[derive(Debug, Default)]
struct Heard {
    prompt: Option<PromptReport>,
    tokens: Vec<WrittenToken>,
    end: Option<TextEnd>,
    error: Option<Error>,
}

impl Heard {
    fn take(&mut self, event: TextEvent) {
        assert!(self.end.is_none() && self.error.is_none(), "{event:?} behind the end");
        match event {
            TextEvent::Prompt(report) => {
                assert!(self.prompt.is_none() && self.tokens.is_empty());
                self.prompt = Some(report);
            }
            TextEvent::Token(token) => {
                assert!(self.prompt.is_some());
                self.tokens.push(*token);
            }
            TextEvent::Finished(end) => self.end = Some(*end),
            TextEvent::Failed(error) => self.error = Some(error),
        }
    }

    fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }

    fn completion(&self) -> &luge::Completion {
        match &self.end {
            Some(end) => &end.completion,
            None => panic!("it has not ended: {self:?}"),
        }
    }
}

/// Runs until all is done.
fn finish(batcher: &mut Batcher) -> (BTreeMap<TextId, Heard>, Vec<StepReport>) {
    let mut heard: BTreeMap<TextId, Heard> = BTreeMap::new();
    let mut reports = Vec::new();
    while let Some(report) =
        batcher.step(&mut |id, event| heard.entry(id).or_default().take(event)).unwrap()
    {
        reports.push(report);
    }
    assert_eq!((batcher.running(), batcher.waiting()), (0, 0));
    (heard, reports)
}

/// The only text.
fn alone(batcher: &mut Batcher, request: TextRequest) -> Heard {
    let id = batcher.submit(request).unwrap();
    finish(batcher).0.remove(&id).unwrap()
}

const PROMPTS: [&str; 6] = [
    "The capital of British Columbia is",
    "The capital of Australia is",
    "Question: What is the largest city of Turkey?\nAnswer:",
    "A",
    "The river that flows through Paris is the Seine. The river that flows through London is the",
    "The capital of British",
];

const METHODS: [&str; 7] = [
    "greedy",
    "sled",
    "dola",
    "ensemble",
    "sled(evolution-scale=5,layers=0..5)+dola",
    "sled(exit-norm=final)",
    "sled(layers=2,4,6)",
];

fn sampled(seed: u64) -> SamplerOptions {
    SamplerOptions { temperature: 0.9, seed, repeat_penalty: 1.1, ..SamplerOptions::default() }
}

#[test]
fn a_text_is_that_of_a_session() {
    let model = atlas();
    let mut session = Session::new(&model, &setup()).unwrap();
    for (number, method) in METHODS.iter().enumerate() {
        for sampler in [SamplerOptions::default(), sampled(number as u64)] {
            // Each in a batcher of its own: nothing is in the cache.
            let mut batcher = batcher(&model, 2);
            let mut request = request(&batcher, method, PROMPTS[number % PROMPTS.len()]);
            request.options.sampler = sampler;
            session.clear();
            let mut generation =
                session.generate(&request.decoder, &request.prompt, &request.options).unwrap();
            let mut text = String::new();
            for piece in &mut generation {
                text += &piece.unwrap().text;
            }
            let expected = generation.finish().unwrap();
            let heard = alone(&mut batcher, request);
            let completion = heard.completion();
            assert_eq!(completion.tokens, expected.tokens, "{method}");
            assert_eq!(heard.ids(), expected.tokens, "{method}");
            assert_eq!(completion.text, text, "{method}");
            assert_eq!(completion.changed, expected.changed, "{method}");
            assert_eq!(completion.finish_reason, expected.finish_reason, "{method}");
            assert_eq!(completion.exits, expected.exits, "{method}");
            let changed: Vec<usize> =
                (0..heard.tokens.len()).filter(|&at| heard.tokens[at].changed()).collect();
            assert_eq!(changed, expected.changed);
        }
    }
}

/// Random texts come at random steps, and some of them are dropped on the way.
#[test]
fn a_text_does_not_depend_on_its_company() {
    let model = atlas();
    let mut state = 12345u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut together = batcher(&model, 5);
    let mut requests = BTreeMap::new();
    let mut heard: BTreeMap<TextId, Heard> = BTreeMap::new();
    let mut dropped = Vec::new();
    for round in 0..60 {
        for _ in 0..random(3) {
            let mut request = request(&together, METHODS[random(7)], PROMPTS[random(6)]);
            if random(2) == 0 {
                request.options.sampler = sampled(random(1000) as u64);
            }
            request.options.max_tokens = Some(1 + random(20));
            request.logprobs = (random(2) == 0).then(|| random(4));
            request.lens = (random(6) == 0).then(LensOptions::default);
            let id = together.submit(request.clone()).unwrap();
            requests.insert(id, request);
            if round % 7 == 3 {
                dropped.push(id);
            }
        }
        if random(5) == 0
            && let Some(id) = dropped.pop()
        {
            together.cancel(id);
        }
        together.step(&mut |id, event| heard.entry(id).or_default().take(event)).unwrap();
    }
    while together
        .step(&mut |id, event| heard.entry(id).or_default().take(event))
        .unwrap()
        .is_some()
    {}
    let (mut compared, mut different) = (0, 0);
    for (id, request) in &requests {
        let Some(own) = heard.get(id).filter(|heard| heard.end.is_some()) else { continue };
        let single = alone(&mut batcher(&model, 1), request.clone());
        compared += 1;
        if own.ids() != single.ids() {
            different += 1;
            continue;
        }
        assert_eq!(own.completion().text, single.completion().text);
        for (own, single) in own.tokens.iter().zip(&single.tokens) {
            assert_eq!(own.lens.is_some(), request.lens.is_some());
            let logprob = |token: &WrittenToken| token.logprobs.as_ref().map(|of| of.token.logprob);
            assert_eq!(logprob(own).is_some(), request.logprobs.is_some());
            if let (Some(own), Some(single)) = (logprob(own), logprob(single)) {
                assert!((own - single).abs() < 0.1, "{own} is not {single}");
            }
        }
    }
    assert!(compared > 30, "{compared} of {}", requests.len());
    // Rounding may decide where two tokens are almost as good.
    assert!(different * 10 <= compared, "{different} of {compared}");
}

/// One at a time, and each from its beginning: nothing is left that could differ, whatever
/// was written before, with flash attention too.
#[test]
fn one_at_a_time_a_text_is_the_same_to_the_bit() {
    let model = atlas();
    let session = SessionOptions { flash_attention: FlashAttention::Auto, ..setup() };
    let options = BatcherOptions { session, parallel: 1, step_tokens: 30, reuse: false };
    let mut used = Batcher::new(&model, &options).unwrap();
    for (number, prompt) in PROMPTS.iter().enumerate() {
        let mut request = request(&used, METHODS[number], prompt);
        request.logprobs = Some(2);
        request.lens = Some(LensOptions::default());
        let fresh = alone(&mut Batcher::new(&model, &options).unwrap(), request.clone());
        assert_eq!(alone(&mut used, request).tokens, fresh.tokens);
    }
}

/// Weights in 32 bits: rounding shows, but does not change these tokens.
#[test]
fn other_models_write_the_same_tokens_in_company() {
    for name in ["llama", "gemma2", "gpt2"] {
        let model = load(&format!("testdata/parity/{name}.gguf"));
        let mut session = setup();
        session.ctx_size = Some(48);
        let options = BatcherOptions { session, parallel: 4, step_tokens: 20, reuse: true };
        let batcher = || Batcher::new(&model, &options).unwrap();
        let mut together = batcher();
        let mut requests = Vec::new();
        for seed in 0..9u64 {
            let method = ["greedy", "sled", "dola", "ensemble"][seed as usize % 4];
            let decoder = Arc::new(together.decoder(&method.parse().unwrap()).unwrap());
            let vocab = model.n_vocab() as u64;
            let prompt = (0..3 + seed * 3).map(|at| ((at * 7 + seed) % (vocab - 4)) as u32 + 3);
            let mut request = TextRequest::new(decoder, prompt.collect());
            request.options.max_tokens = Some(10);
            request.options.ignore_eos = true;
            requests.push((together.submit(request.clone()).unwrap(), request));
        }
        let (heard, _) = finish(&mut together);
        for (id, request) in requests {
            let single = alone(&mut batcher(), request);
            assert_eq!(heard[&id].ids(), single.ids(), "{name}");
            assert_eq!(heard[&id].ids().len(), 10);
        }
    }
}

#[test]
fn prompts_are_scored_as_by_a_session() {
    let model = atlas();
    let mut session = Session::new(&model, &setup()).unwrap();
    for method in ["greedy", "sled", "dola", "ensemble"] {
        let mut batcher = batcher(&model, 3);
        let mut ids = Vec::new();
        for prompt in PROMPTS {
            let mut request = request(&batcher, method, prompt);
            request.prompt_logprobs = Some(2);
            request.options.max_tokens = Some(usize::from(prompt.len() > 30));
            ids.push((batcher.submit(request.clone()).unwrap(), request));
        }
        let (heard, _) = finish(&mut batcher);
        for (id, request) in ids {
            let (first, rest) = request.prompt.split_at(1);
            let report = heard[&id].prompt.as_ref().unwrap();
            assert_eq!(report.cached, 0);
            assert_eq!(report.tokens, request.prompt.len());
            assert_eq!(heard[&id].tokens.len(), request.options.max_tokens.unwrap());
            if rest.is_empty() {
                assert!(report.logprobs.is_empty());
                continue;
            }
            session.clear();
            let score = session.score(&request.decoder, first, rest).unwrap();
            assert_eq!(report.logprobs.len(), rest.len(), "{method}");
            for (own, expected) in report.logprobs.iter().zip(&score.tokens) {
                assert_eq!((own.token.id, own.token.logprob), (expected.id, expected.logprob));
                assert_eq!(own.top.len(), 2);
                assert!(own.top[0].logprob >= own.top[1].logprob);
                assert!(own.top[0].logprob >= own.token.logprob);
            }
        }
    }
}

/// All exits of all tokens that a step scores were held together once: gigabytes where the
/// vocabulary is large.
#[test]
fn scoring_holds_a_few_hundred_exits_at_a_time() {
    let model = atlas();
    let options = BatcherOptions { session: setup(), parallel: 4, step_tokens: 160, reuse: true };
    let mut batcher = Batcher::new(&model, &options).unwrap();
    let mut session = Session::new(&model, &setup()).unwrap();
    let mut request = request(&batcher, "sled+dola", &PROMPTS[..5].join("\n"));
    // In the first step there are four times 32 tokens.
    let exits = 4 * 32 * request.decoder.plan().layers.len();
    assert!(exits > 4 * 256 && request.prompt.len() > 33);
    (request.prompt_logprobs, request.options.max_tokens) = (Some(0), Some(0));
    let before = batcher.exit_memory();
    for _ in 0..4 {
        batcher.submit(request.clone()).unwrap();
    }
    finish(&mut batcher);
    let grown = batcher.exit_memory() - before;
    // Room may have been made for twice as many, and for some of the final layer's logits.
    assert!(grown < (2 * 256 + 8) * 4 * model.n_vocab(), "{grown} bytes");
    // Alone, the batches are those of a session, and their exits more than 256 as well.
    let (first, rest) = request.prompt.split_at(1);
    let score = session.score(&request.decoder, first, rest).unwrap();
    let expected: Vec<f64> = score.tokens.iter().map(|token| token.logprob).collect();
    let own = alone(&mut self::batcher(&model, 2), request).prompt.unwrap().logprobs;
    assert_eq!(own.iter().map(|token| token.token.logprob).collect::<Vec<_>>(), expected);
}

/// In 32 bits, without flash attention: what comes of a prompt that goes on from the cache is
/// what comes of it alone but for rounding, whether it goes on in the same slot, from a text that
/// has ended, or from one that is being written.
#[test]
fn the_cache_gives_the_numbers_that_it_saves() {
    for name in ["llama", "gemma2", "gpt2"] {
        let model = load(&format!("testdata/parity/{name}.gguf"));
        let mut session = setup();
        session.ctx_size = Some(64);
        (session.cache_type_k, session.cache_type_v) = (CacheType::F32, CacheType::F32);
        let options = |parallel| BatcherOptions {
            session: session.clone(),
            parallel,
            step_tokens: 16,
            reuse: true,
        };
        let mut batcher = Batcher::new(&model, &options(3)).unwrap();
        let decoder = Arc::new(batcher.decoder(&"sled".parse().unwrap()).unwrap());
        let prompt = |length: u32, last: u32| -> Vec<u32> {
            (0..length).map(|at| 3 + at * 5 % 40).chain([last]).collect()
        };
        let mut heard: BTreeMap<TextId, Heard> = BTreeMap::new();
        let mut requests = Vec::new();
        for (number, (length, last)) in
            [(30, 7), (30, 9), (24, 11), (38, 7), (12, 8), (30, 9), (37, 3)].into_iter().enumerate()
        {
            let mut request = TextRequest::new(Arc::clone(&decoder), prompt(length, last));
            (request.options.max_tokens, request.options.ignore_eos) = (Some(8), true);
            request.logprobs = Some(0);
            requests.push((batcher.submit(request.clone()).unwrap(), request));
            for _ in 0..number {
                batcher.step(&mut |id, event| heard.entry(id).or_default().take(event)).unwrap();
            }
        }
        while batcher
            .step(&mut |id, event| heard.entry(id).or_default().take(event))
            .unwrap()
            .is_some()
        {}
        // A chat goes on from its whole text, whatever the model.
        let (first, mut next) = requests[5].clone();
        next.prompt.extend(heard[&first].ids());
        next.prompt.extend([4, 9]);
        let id = batcher.submit(next.clone()).unwrap();
        heard.extend(finish(&mut batcher).0);
        requests.push((id, next));
        let mut saved = Vec::new();
        for (id, request) in requests {
            let fresh = alone(&mut Batcher::new(&model, &options(1)).unwrap(), request);
            let own = &heard[&id];
            saved.push(own.prompt.as_ref().unwrap().cached);
            assert_eq!(own.ids(), fresh.ids(), "{name}");
            for (own, fresh) in own.tokens.iter().zip(&fresh.tokens) {
                let logprob = |token: &WrittenToken| token.logprobs.as_ref().unwrap().token.logprob;
                let off = (logprob(own) - logprob(fresh)).abs();
                assert!(off < 1e-3, "{name}: {off}");
            }
        }
        assert_eq!(saved.last(), Some(&(30 + 8)), "{name}");
        let others: usize = saved[..7].iter().sum();
        // Gemma 2 looks back through a window. Cut back, its text had cells of others once.
        assert_eq!(others > 100, name != "gemma2", "{name}: {saved:?}");
    }
}

#[test]
fn log_probabilities_are_those_of_what_was_decoded_from() {
    let model = atlas();
    let mut batcher = batcher(&model, 1);
    for method in ["greedy", "sled"] {
        let mut request = request(&batcher, method, PROMPTS[0]);
        request.logprobs = Some(3);
        // Neither a penalty nor a ban is in them.
        let best = alone(&mut batcher, request.clone()).tokens.remove(0);
        request.options.sampler.logit_bias = vec![(best.id, f32::NEG_INFINITY)];
        let other = alone(&mut batcher, request.clone()).tokens.remove(0);
        let (best, other) = (best.logprobs.unwrap(), other.logprobs.unwrap());
        assert_eq!(best.top, other.top);
        assert_eq!(best.token, best.top[0]);
        assert_ne!(other.token.id, best.token.id);
        let sum: f64 = best.top.iter().map(|token| token.logprob.exp()).sum();
        assert!(sum > 0.1 && sum <= 1.0 + 1e-6, "{sum}");
        assert_eq!(best.token.bytes, model.piece(best.token.id).unwrap());
        // Without alternatives only the token's own.
        request.logprobs = Some(0);
        let token = alone(&mut batcher, request).tokens.remove(0);
        assert_eq!(token.logprobs.unwrap().top, []);
    }
}

#[test]
fn layers_are_seen_as_in_a_session() {
    let model = atlas();
    let mut session = Session::new(&model, &setup()).unwrap();
    for method in ["greedy", "sled", "dola"] {
        let mut batcher = batcher(&model, 2);
        let mut request = request(&batcher, method, PROMPTS[0]);
        let options = LensOptions { paths: true, ..LensOptions::default() };
        request.lens = Some(options.clone());
        session.clear();
        let lens = session.lens(&request.decoder, &options).unwrap();
        let mut generation =
            session.generate_through(&lens, &request.prompt, &request.options).unwrap();
        let mut expected = Vec::new();
        while let Some(piece) = generation.next() {
            piece.unwrap();
            expected.push(generation.look().unwrap().unwrap());
        }
        let heard = alone(&mut batcher, request);
        let seen: Vec<_> =
            heard.tokens.iter().map(|token| token.lens.as_deref().unwrap()).collect();
        assert_eq!(seen, expected.iter().take(seen.len()).collect::<Vec<_>>());
    }
}

#[test]
fn what_prompts_begin_with_in_common_is_computed_once() {
    let model = atlas();
    let mut batcher = batcher(&model, 3);
    let long = "Question: What is the capital of Canada?\nAnswer: Ottawa\n".repeat(4);
    let mut ids = Vec::new();
    for seed in 0..3 {
        let mut request = request(&batcher, "sled", &format!("{long}Question: Where is"));
        request.options.sampler = sampled(seed);
        ids.push((batcher.submit(request.clone()).unwrap(), request));
    }
    let (heard, reports) = finish(&mut batcher);
    let length = ids[0].1.prompt.len();
    let computed: usize = reports.iter().map(|report| report.prompt_tokens).sum();
    assert!(length > 60 && computed < length + 40, "{computed} for a prompt of {length}");
    let cached: Vec<usize> =
        ids.iter().map(|(id, _)| heard[id].prompt.as_ref().unwrap().cached).collect();
    assert_eq!(cached[0], 0);
    assert!(cached[1..].iter().all(|&cached| cached > length / 2), "{cached:?} of {length}");
    for (id, request) in &ids {
        let fresh = alone(&mut self::batcher(&model, 1), request.clone());
        assert_eq!(heard[id].tokens, fresh.tokens);
    }

    // The same once more: all but the last token is there.
    let again = alone(&mut batcher, ids[1].1.clone());
    assert_eq!(again.prompt.as_ref().unwrap().cached, length - 1);
    assert_eq!(again.tokens, heard[&ids[1].0].tokens);
    // Unless it is not wanted.
    let mut request = ids[1].1.clone();
    request.reuse = false;
    assert_eq!(alone(&mut batcher, request).prompt.unwrap().cached, 0);
}

#[test]
fn a_text_that_is_dropped_makes_room_and_is_heard_of_no_more() {
    let model = atlas();
    let mut batcher = batcher(&model, 1);
    let mut endless = request(&batcher, "sled", PROMPTS[0]);
    endless.options = GenerateOptions { max_tokens: None, ignore_eos: true, ..endless.options };
    let first = batcher.submit(endless.clone()).unwrap();
    let second = batcher.submit(endless).unwrap();
    let third = batcher.submit(request(&batcher, "greedy", PROMPTS[1])).unwrap();
    let mut heard: BTreeMap<TextId, Heard> = BTreeMap::new();
    let mut step = |batcher: &mut Batcher| {
        batcher.step(&mut |id, event| heard.entry(id).or_default().take(event)).unwrap();
        heard.values().map(|own| own.tokens.len()).collect::<Vec<_>>()
    };
    for _ in 0..5 {
        step(&mut batcher);
    }
    assert_eq!((batcher.running(), batcher.waiting()), (1, 2));
    batcher.cancel(first);
    batcher.cancel(second);
    assert_eq!((batcher.running(), batcher.waiting()), (0, 1));
    let tokens = step(&mut batcher)[0];
    let (rest, _) = finish(&mut batcher);
    assert!(!rest.contains_key(&first) && !rest.contains_key(&second));
    assert!(rest[&third].end.is_some());
    assert!(tokens > 0 && heard[&first].end.is_none());
    // An id that is not there any more does no harm.
    batcher.cancel(third);
}

#[test]
fn what_cannot_be_written_is_refused_when_it_is_asked_for() {
    let model = atlas();
    let other = load("testdata/parity/llama.gguf");
    let mut batcher = batcher(&model, 1);
    let fine = request(&batcher, "sled", PROMPTS[0]);
    let refused = |batcher: &mut Batcher, change: &dyn Fn(&mut TextRequest)| {
        let mut request = fine.clone();
        change(&mut request);
        let error = batcher.submit(request).unwrap_err();
        assert_eq!(batcher.waiting(), 0);
        error
    };
    let error = refused(&mut batcher, &|request| request.prompt.clear());
    assert!(matches!(error, Error::EmptyPrompt));
    let error = refused(&mut batcher, &|request| request.prompt = vec![5; 129]);
    assert!(matches!(error, Error::TooLong { tokens: 129, context: 128, .. }));
    let error = refused(&mut batcher, &|request| request.prompt.push(1 << 30));
    assert!(error.is_usage(), "{error}");
    let error = refused(&mut batcher, &|request| {
        request.options.sampler.logit_bias = vec![(1 << 30, 1.0)];
    });
    assert!(error.is_usage(), "{error}");
    let foreign = Batcher::new(&other, &BatcherOptions { session: setup(), ..Default::default() });
    let foreign = foreign.map(|batcher| batcher.decoder(&"sled".parse().unwrap()).unwrap());
    let foreign = Arc::new(foreign.unwrap());
    let error = refused(&mut batcher, &|request| request.decoder = Arc::clone(&foreign));
    assert!(matches!(error, Error::OtherModel));
    let error = refused(&mut batcher, &|request| {
        let layers = "99".parse().unwrap();
        request.lens = Some(LensOptions { layers, ..LensOptions::default() });
    });
    assert!(error.is_usage(), "{error}");
    let error = refused(&mut batcher, &|request| {
        request.options.grammar = Some(Grammar::lark("start: <|no_such_token|>").unwrap());
    });
    assert!(matches!(error, Error::Grammar { .. }), "{error}");
    assert!(alone(&mut batcher, fine.clone()).end.is_some());
}

#[test]
fn ends_are_those_of_a_session() {
    let model = atlas();
    let mut batcher = batcher(&model, 4);
    let mut ids = Vec::new();
    let mut add = |change: &dyn Fn(&mut TextRequest)| {
        let mut request = request(&batcher, "sled", PROMPTS[0]);
        change(&mut request);
        ids.push(batcher.submit(request).unwrap());
    };
    add(&|request| request.options.max_tokens = Some(0));
    add(&|request| (request.prompt, request.options.max_tokens) = (vec![0], Some(0)));
    add(&|request| request.options.max_tokens = Some(1));
    add(&|request| request.options.stop = vec!["ia".to_owned()]);
    add(&|request| {
        request.options.max_tokens = None;
        request.options.ignore_eos = true;
    });
    add(&|request| request.options.grammar = Some(Grammar::regex(" [a-f]{2}").unwrap()));
    add(&|request| {
        request.prompt = model.tokenize_prompt(PROMPTS[2]).unwrap();
        request.logprobs = Some(1);
        request.lens = Some(LensOptions::default());
        request.options.max_tokens = None;
    });
    let (heard, _) = finish(&mut batcher);
    let of = |at: usize| heard[&ids[at]].completion();
    assert_eq!((of(0).finish_reason, of(0).tokens.len()), (FinishReason::Length, 0));
    assert_eq!((of(1).finish_reason, of(1).tokens.len()), (FinishReason::Length, 0));
    assert_eq!((of(2).finish_reason, of(2).tokens.len()), (FinishReason::Length, 1));
    assert_eq!(of(3).finish_reason, FinishReason::Stop);
    assert!(!of(3).text.contains("ia"), "{}", of(3).text);
    assert_eq!(of(4).finish_reason, FinishReason::Context);
    let prompt = heard[&ids[4]].prompt.as_ref().unwrap().tokens;
    assert_eq!(prompt + of(4).tokens.len(), 128 + 1);
    assert_eq!((of(5).finish_reason, of(5).text.len()), (FinishReason::Eos, 3));
    assert_eq!(of(6).finish_reason, FinishReason::Eos);
    // A token that ends a text is told, but is not in it.
    let ends: Vec<_> =
        ids.iter().map(|id| heard[id].end.as_ref().unwrap().token.is_some()).collect();
    assert_eq!(ends[..5], [false; 5]);
    let end = heard[&ids[6]].end.as_ref().unwrap().token.as_ref().unwrap();
    assert!(model.is_end(end.id) && end.text.is_empty());
    assert_eq!(end.logprobs.as_ref().unwrap().token.id, end.id);
    assert_eq!(end.lens.as_ref().unwrap().after.token.id, end.id);
    for id in &ids {
        // What was heard piece by piece is the whole.
        let own = &heard[id];
        let pieces: String = own.tokens.iter().map(|token| token.text.as_str()).collect();
        assert_eq!(pieces + &own.end.as_ref().unwrap().text, own.completion().text);
    }
}

/// A text whose bans leave nothing fails on its own, or ends; others go on.
#[test]
fn a_text_that_fails_takes_no_other_with_it() {
    let model = atlas();
    let mut batcher = batcher(&model, 2);
    let fine = request(&batcher, "sled", PROMPTS[0]);
    let mut stuck = fine.clone();
    stuck.options.grammar = Some(Grammar::regex("[0-9]{3}").unwrap());
    // Every token with a digit is banned.
    let digits = (0..model.n_vocab() as u32)
        .filter(|&token| model.piece(token).unwrap().iter().any(u8::is_ascii_digit));
    stuck.options.sampler.logit_bias = digits.map(|token| (token, f32::NEG_INFINITY)).collect();
    let stuck = batcher.submit(stuck).unwrap();
    let id = batcher.submit(fine.clone()).unwrap();
    let (heard, _) = finish(&mut batcher);
    assert!(matches!(heard[&stuck].error, Some(Error::GrammarStuck)));
    assert_eq!(heard[&id].ids(), alone(&mut batcher, fine).ids());
}

#[test]
fn an_interruption_ends_all_that_is_being_written() {
    let model = atlas();
    let mut batcher = batcher(&model, 2);
    let request = request(&batcher, "sled", PROMPTS[0]);
    let ids: Vec<TextId> = (0..3).map(|_| batcher.submit(request.clone()).unwrap()).collect();
    let mut heard: BTreeMap<TextId, Heard> = BTreeMap::new();
    batcher.step(&mut |id, event| heard.entry(id).or_default().take(event)).unwrap();
    batcher.interrupt().store(true, Ordering::Relaxed);
    let error =
        batcher.step(&mut |id, event| heard.entry(id).or_default().take(event)).unwrap_err();
    assert!(matches!(error, Error::Llama(luge::LlamaError::Interrupted)), "{error}");
    for id in &ids[..2] {
        assert!(heard[id].error.is_some());
    }
    assert_eq!((batcher.running(), batcher.waiting()), (0, 1));
    // It goes on behind it.
    batcher.interrupt().store(false, Ordering::Relaxed);
    let (heard, _) = finish(&mut batcher);
    assert_eq!(heard[&ids[2]].ids(), alone(&mut batcher, request).ids());
}

/// A recurrent state can be neither cut nor shared.
#[test]
fn recurrent_models_take_turns() {
    for name in ["mamba", "jamba", "qwen35"] {
        let model = load(&format!("testdata/architectures/{name}.gguf"));
        let mut session = setup();
        session.ctx_size = Some(32);
        let options = BatcherOptions { session, parallel: 2, step_tokens: 9, reuse: true };
        let mut batcher = Batcher::new(&model, &options).unwrap();
        let decoder = Arc::new(batcher.decoder(&"sled".parse().unwrap()).unwrap());
        let mut request = TextRequest::new(decoder, vec![3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        request.options.max_tokens = Some(5);
        request.options.ignore_eos = true;
        let mut other = request.clone();
        other.prompt = vec![9, 3, 7];
        let all = [&request, &other, &request];
        let ids = all.map(|request| batcher.submit(request.clone()).unwrap());
        let (heard, _) = finish(&mut batcher);
        for (id, request) in ids.into_iter().zip(all) {
            let single = alone(&mut Batcher::new(&model, &options).unwrap(), request.clone());
            assert_eq!(heard[&id].ids(), single.ids(), "{name}");
            assert_eq!(single.ids().len(), 5);
        }
        // A text goes on from its own end.
        let mut longer = request.clone();
        longer.prompt.extend(&heard[&ids[2]].ids());
        longer.prompt.push(5);
        let report = alone(&mut batcher, longer).prompt.unwrap();
        assert!(report.cached == 0 || report.cached == report.tokens - 2, "{report:?}");
    }
}
