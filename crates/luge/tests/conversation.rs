//! Chats that go on: what is computed anew, what is left out, what stays.

#![cfg(feature = "atlas")]

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use luge::chat::{AnswerPiece, Conversation, Part, Reply};
use luge::{
    ChatTemplate, Decoder, Error, ExitPolicy, FinishReason, GenerateOptions, Grammar, Message,
    Model, ModelParams, Pipeline, Session, SessionOptions,
};

const CAPITAL: &str = "What is the capital of British Columbia?";

struct Chat {
    session: Session,
    decoder: Decoder,
    conversation: Conversation,
    options: GenerateOptions,
}

/// A chat with the model that is built in, in a context of so many tokens.
fn chat(context: u32) -> Chat {
    let model = luge::builtin::load(&ModelParams::default()).unwrap();
    let options =
        SessionOptions { ctx_size: Some(context), threads: Some(1), ..SessionOptions::default() };
    let session = Session::new(&model, &options).unwrap();
    Chat {
        decoder: session.decoder(&"sled".parse::<Pipeline>().unwrap()).unwrap(),
        conversation: Conversation::new(ChatTemplate::of(&model).unwrap()),
        options: GenerateOptions { max_tokens: None, ..GenerateOptions::default() },
        session,
    }
}

impl Chat {
    fn ask(&mut self, question: &str) -> Reply {
        self.try_ask(question).unwrap()
    }

    fn try_ask(&mut self, question: &str) -> Result<Reply, Error> {
        let Chat { session, decoder, conversation, options } = self;
        conversation.ask(session, decoder, Message::user(question), options)?.finish()
    }

    /// The tokens of the last question with all before it, and of its answer.
    fn last(&self) -> (Vec<u32>, Vec<u32>) {
        let (prompt, answer) = self.conversation.last_exchange().unwrap();
        (prompt.to_vec(), answer.to_vec())
    }

    fn roles(&self) -> Vec<&str> {
        self.conversation.messages().iter().map(|message| message.role.as_str()).collect()
    }
}

#[test]
fn a_second_question_computes_only_what_is_new() {
    let mut chat = chat(512);
    let reply = chat.ask(CAPITAL);
    assert_eq!(reply.text, "The capital of British Columbia is Victoria.");
    assert_eq!(reply.completion.finish_reason, FinishReason::Eos);
    let first = chat.last();
    assert_eq!(reply.completion.timings.prompt_computed, first.0.len());

    let reply = chat.ask("And of Ontario?");
    let (prompt, _) = chat.last();
    let known = [first.0, first.1].concat();
    assert!(prompt.starts_with(&known));
    assert_eq!(reply.completion.timings.prompt_computed, prompt.len() - known.len());
    // The end of the answer, the marks of two turns, and four or five words.
    assert!(prompt.len() - known.len() < 12);
    // It is the prompt that the template makes of all messages.
    let model = chat.session.model();
    let (question, messages) =
        (chat.conversation.messages().len() - 1, chat.conversation.messages());
    let whole =
        chat.conversation.template().tokens(model, &messages[..question], &[], true).unwrap();
    assert_eq!(prompt, whole);
}

#[test]
fn an_answer_that_would_be_tokenized_otherwise_is_not_computed_again() {
    let mut chat = chat(512);
    // Letter by letter, as no tokenizer would write it.
    let model = chat.session.model();
    let is_letter = |token: u32| matches!(model.piece(token).unwrap()[..], [b'a'..=b'z']);
    let others = (0..model.n_vocab() as u32).filter(|&token| !is_letter(token));
    chat.options.sampler.logit_bias = others.map(|token| (token, f32::NEG_INFINITY)).collect();
    chat.options.max_tokens = Some(12);
    let reply = chat.ask(CAPITAL);
    let (prompt, answer) = chat.last();
    let model = chat.session.model();
    assert_ne!(model.tokenize(&reply.text, false, true).unwrap(), answer, "{}", reply.text);

    let reply = chat.ask("And of Ontario?");
    let (second, _) = chat.last();
    let known = [prompt, answer].concat();
    assert!(second.starts_with(&known));
    // The last token of an answer that was cut is not in the cache.
    assert_eq!(reply.completion.timings.prompt_computed, second.len() - known.len() + 1);
}

#[test]
fn the_oldest_questions_are_left_out_when_the_context_is_full() {
    let context = 384;
    let mut chat = chat(context);
    // This template shows the system's message, which the model's own leaves out.
    let template = ChatTemplate::fallback("chatml").unwrap();
    chat.conversation = Conversation::new(template);
    chat.conversation.set_system(Some("Be brief."));
    chat.options.max_tokens = Some(8);
    let mut forgotten = 0;
    let mut turns = 0;
    while forgotten < 5 {
        turns += 1;
        let Chat { session, decoder, conversation, options } = &mut chat;
        let question = Message::user(format!("What is number {turns}?"));
        let answer = conversation.ask(session, decoder, question, options).unwrap();
        let (newly, prompt) = (answer.newly_forgotten(), answer.prompt().len());
        answer.finish().unwrap();
        forgotten += newly;
        assert_eq!(chat.conversation.forgotten(), forgotten);
        assert!(prompt + 8 <= context as usize, "turn {turns}: {prompt}");
        if newly > 0 {
            assert!(prompt <= context as usize / 2, "turn {turns}: {prompt}");
        }
        let (prompt, _) = chat.last();
        let text: Vec<u8> =
            prompt.iter().flat_map(|&of| chat.session.model().label(of).unwrap()).collect();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains("Be brief."), "{text}");
        let seen = |turn: usize| text.contains(&format!("What is number {turn}?"));
        assert!((1..=forgotten).all(|turn| !seen(turn)), "{forgotten}: {text}");
        assert!((forgotten + 1..=turns).all(seen), "{forgotten} of {turns}: {text}");
    }
    assert!(turns > 6, "not at every question: {turns}");
    assert_eq!(chat.conversation.messages().len(), 1 + 2 * turns, "all are kept");
}

#[test]
fn a_question_that_does_not_fit_leaves_the_chat_as_it_was() {
    let mut chat = chat(64);
    chat.ask(CAPITAL);
    let before = chat.conversation.messages().to_vec();
    let error = chat.try_ask(&"What is the capital of France? ".repeat(20)).unwrap_err();
    assert!(matches!(error, Error::TooLong { what: "the prompt", context: 64, .. }), "{error}");
    assert_eq!(chat.conversation.messages(), before);
    assert_eq!(chat.conversation.forgotten(), 0);
    assert_eq!(chat.ask(CAPITAL).text, "The capital of British Columbia is Victoria.");
}

#[test]
fn an_interrupted_answer_is_part_of_the_chat() {
    let mut chat = chat(512);
    chat.options.ignore_eos = true;
    let flag = chat.session.interrupt();
    let Chat { session, decoder, conversation, options } = &mut chat;
    let mut answer = conversation.ask(session, decoder, Message::user(CAPITAL), options).unwrap();
    let mut said = String::new();
    while answer.tokens() < 3 {
        said.push_str(&answer.next().unwrap().unwrap().text);
    }
    flag.store(true, Ordering::Relaxed);
    let reply = answer.finish().unwrap();
    assert_eq!(reply.completion.finish_reason, FinishReason::Interrupted);
    assert_eq!(reply.text, said);
    flag.store(false, Ordering::Relaxed);

    chat.options.ignore_eos = false;
    let first = chat.last();
    chat.ask("And of Ontario?");
    assert!(chat.last().0.starts_with(&[first.0, first.1].concat()));
    assert_eq!(chat.roles(), ["user", "assistant", "user", "assistant"]);
}

#[test]
fn an_answer_that_has_not_begun_is_not_part_of_the_chat() {
    let mut chat = chat(512);
    chat.ask(CAPITAL);
    let (before, last) = (chat.conversation.messages().to_vec(), chat.last());
    let flag = chat.session.interrupt();
    flag.store(true, Ordering::Relaxed);
    let reply = chat.ask("And of Ontario?");
    assert_eq!(reply.completion.finish_reason, FinishReason::Interrupted);
    assert_eq!((chat.conversation.messages(), chat.last()), (&before[..], last));
    flag.store(false, Ordering::Relaxed);
    assert_eq!(chat.ask("And of Ontario?").text, "The capital of Ontario is Toronto.");
}

#[test]
fn sentencepiece_goes_on_behind_an_answer_as_in_the_whole_chat() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity/gemma2.gguf");
    let model = Model::load(&file, &ModelParams::default()).unwrap();
    let template =
        "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}";
    let template = ChatTemplate::new(template).unwrap().with_tokens_of(&model);
    let mut chat = chat(512);
    chat.session = Session::new(&model, &SessionOptions::default()).unwrap();
    chat.decoder = chat.session.decoder(&"sled".parse::<Pipeline>().unwrap()).unwrap();
    chat.conversation = Conversation::new(template);
    chat.options.max_tokens = Some(6);
    chat.ask("w1 w2");
    let known = [chat.last().0, chat.last().1].concat();
    for question in [" w3", "w4 é"] {
        let known = [chat.last().0, chat.last().1].concat();
        chat.ask(question);
        assert!(chat.last().0.starts_with(&known));
    }
    let messages = chat.conversation.messages();
    let asked = &messages[..messages.len() - 1];
    let whole = chat.conversation.template().tokens(&model, asked, &[], true).unwrap();
    let (prompt, _) = chat.last();
    // However the answers would be cut into tokens, what is between them is the same.
    let questions = |tokens: &[u32]| {
        let parts = tokens.split(|&token| Some(token) == model.eos()).map(<[u32]>::to_vec);
        parts.step_by(2).collect::<Vec<_>>()
    };
    assert_eq!(questions(&prompt), questions(&whole));
    assert!(whole.starts_with(&known[..4]));
    assert_eq!(prompt.iter().filter(|&&token| Some(token) == model.bos()).count(), 1);
}

#[test]
fn a_long_chat_is_cut_in_no_time() {
    let mut chat = chat(128);
    let said = [Message::user("And of Ontario?"), Message::assistant("It is Toronto. ".repeat(9))];
    chat.conversation.set_messages(said.iter().cycle().take(4000).cloned().collect());
    let start = Instant::now();
    chat.ask(CAPITAL);
    // Question by question, it takes several times that.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!((1999..2000).contains(&chat.conversation.forgotten()));
}

#[test]
fn another_answer_keeps_to_the_grammar_where_the_last_one_did() {
    let mut chat = chat(512);
    let template = "<|user|>{{ messages[-1].content }}<|end|><|assistant|><think>{# </think> #}";
    chat.conversation = Conversation::new(ChatTemplate::new(template).unwrap());
    chat.options.max_tokens = Some(3);
    chat.options.grammar = Some(Grammar::regex("x").unwrap());
    assert_eq!(chat.conversation.last_options(&chat.options), chat.options);
    chat.ask(CAPITAL);
    let options = chat.conversation.last_options(&chat.options);
    assert_eq!(options.grammar_after.as_deref(), Some("</think>"));
}

#[test]
fn an_answer_that_is_dropped_leaves_the_chat_as_it_was() {
    let mut chat = chat(512);
    let Chat { session, decoder, conversation, options } = &mut chat;
    let mut answer = conversation.ask(session, decoder, Message::user(CAPITAL), options).unwrap();
    answer.next().unwrap().unwrap();
    drop(answer);
    assert!(chat.conversation.messages().is_empty());
    assert!(chat.conversation.last_exchange().is_none());
}

#[test]
fn questions_are_taken_back_and_the_system_is_replaced() {
    let mut chat = chat(512);
    assert_eq!(chat.conversation.take_back(), None);
    chat.conversation.set_system(Some("Be brief."));
    chat.ask(CAPITAL);
    chat.ask("And of Ontario?");
    assert_eq!(chat.conversation.take_back(), Some(Message::user("And of Ontario?")));
    assert_eq!(chat.roles(), ["system", "user", "assistant"]);
    chat.conversation.set_system(Some("Be long."));
    assert_eq!(chat.conversation.messages()[0], Message::system("Be long."));
    chat.conversation.set_system(None);
    assert_eq!(chat.roles(), ["user", "assistant"]);
    assert_eq!(chat.ask("And of Ontario?").text, "The capital of Ontario is Toronto.");
}

#[test]
fn thoughts_are_told_from_the_answer_and_kept_with_the_message() {
    let mut chat = chat(512);
    let template = "{% for m in messages %}<|{{ m.role }}|>{% if m.reasoning_content %}\
                    <think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|end|>\
                    {% endfor %}<|assistant|><think>";
    chat.conversation = Conversation::new(ChatTemplate::new(template).unwrap());
    chat.options.max_tokens = Some(12);
    let Chat { session, decoder, conversation, options } = &mut chat;
    let mut answer = conversation.ask(session, decoder, Message::user(CAPITAL), options).unwrap();
    let pieces: Vec<AnswerPiece> = answer.by_ref().map(Result::unwrap).collect();
    // It knows no thoughts, and never ends them.
    assert!(!pieces.is_empty() && pieces.iter().all(|piece| piece.part == Part::Thinking));
    let reply = answer.finish().unwrap();
    let thought: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!((reply.text.as_str(), reply.reasoning.as_deref()), ("", Some(thought.trim_end())));
    assert_eq!(chat.conversation.messages()[1].reasoning, reply.reasoning);
}

#[test]
fn a_grammar_may_begin_behind_a_mark() {
    let mut chat = chat(512);
    chat.options.grammar = Some(Grammar::regex(" (Halifax|Regina)!").unwrap());
    chat.options.grammar_after = Some("Columbia is".to_owned());
    for (method, exits) in
        [("greedy", ExitPolicy::Auto), ("sled", ExitPolicy::Auto), ("sled", ExitPolicy::Always)]
    {
        chat.decoder = chat.session.decoder(&method.parse::<Pipeline>().unwrap()).unwrap();
        chat.options.exits = exits;
        let reply = chat.ask(CAPITAL);
        let city = reply.text.strip_prefix("The capital of British Columbia is");
        assert!(matches!(city, Some(" Halifax!" | " Regina!")), "{method}: {}", reply.text);
        assert_eq!(reply.completion.finish_reason, FinishReason::Eos);
        chat.conversation.take_back();
    }
    // One that never comes leaves the text as it is.
    chat.options.grammar_after = Some("</think>".to_owned());
    assert_eq!(chat.ask(CAPITAL).text, "The capital of British Columbia is Victoria.");
}

#[test]
fn what_the_method_changed_is_marked() {
    let mut chat = chat(512);
    let Chat { session, conversation, options, .. } = &mut chat;
    let dola = session.decoder(&"dola".parse::<Pipeline>().unwrap()).unwrap();
    options.max_tokens = Some(24);
    let mut answer =
        conversation.ask(session, &dola, Message::user("And of Ontario?"), options).unwrap();
    let marks: Vec<bool> = answer.by_ref().map(|piece| piece.unwrap().changed).collect();
    let completion = answer.finish().unwrap().completion;
    assert!(!completion.changed.is_empty());
    assert_eq!(marks.iter().filter(|&&changed| changed).count(), completion.changed.len());
}
