//! How a text that keeps to a grammar ends.

use std::sync::atomic::Ordering;

use luge::Error;

use super::*;

/// The end of the grammar is the end of the text: no token is computed for it.
#[test]
fn the_end_of_the_grammar_is_the_end() {
    for name in models() {
        let mut session = session(&model(name));
        for (options, text) in [
            (regex("yes"), "yes"),
            (lark("start: \"a\" b\nb: \"b\"{1,5} \"!\"\n"), ""),
            (lark("start: \"\""), ""),
        ] {
            let completion = generate(&mut session, "sled", &options);
            assert_eq!(completion.finish_reason, FinishReason::Eos, "{name}");
            if !text.is_empty() {
                assert_eq!(completion.text, text);
            }
            // The end token of the model is in no text.
            let model = session.model();
            assert!(completion.tokens.iter().all(|&token| !model.is_end(token)));
        }
    }
}

/// An end that is reached with the last token is an end; one that is not, is not.
#[test]
fn the_number_of_tokens_cuts_what_is_unfinished() {
    let mut session = session(&model("llama"));
    let mut cut = |most| {
        let options = GenerateOptions { max_tokens: Some(most), ..regex("q#!") };
        let completion = generate(&mut session, "sled", &options);
        (completion.text, completion.finish_reason)
    };
    assert_eq!(cut(0), (String::new(), FinishReason::Length));
    assert_eq!(cut(2), ("q#".to_owned(), FinishReason::Length));
    assert_eq!(cut(3), ("q#!".to_owned(), FinishReason::Eos));
}

/// The model may end where the grammar lets it, and only there.
#[test]
fn the_model_ends_a_text_where_the_grammar_lets_it() {
    for name in models() {
        let mut session = session(&model(name));
        let end = (0..session.model().n_vocab() as u32).find(|&t| session.model().is_end(t));
        let sampler =
            SamplerOptions { logit_bias: vec![(end.unwrap(), 1e6)], ..SamplerOptions::default() };
        let options = GenerateOptions { sampler, ..regex("[ab]{3,}") };
        // DoLa may rule it out, whatever is added to that.
        for method in ["greedy", "sled", "ensemble"] {
            let completion = generate(&mut session, method, &options);
            assert_eq!(completion.finish_reason, FinishReason::Eos);
            assert!(matches("[ab]{3,4}", &completion.text), "{name}: {}", completion.text);
        }
    }
}

/// Without end tokens a text goes on as long as the grammar has more, and then ends.
#[test]
fn end_tokens_that_are_ruled_out_end_no_text() {
    for name in models() {
        let mut session = session(&model(name));
        let options =
            GenerateOptions { ignore_eos: true, max_tokens: Some(40), ..regex("[ab]{3,7}") };
        for method in METHODS {
            let completion = generate(&mut session, method, &options);
            assert_eq!(completion.finish_reason, FinishReason::Eos);
            assert_eq!(completion.text.len(), 7, "{name}, {method}");
        }
        let endless = GenerateOptions { grammar: regex("[ab]*").grammar, ..options };
        let completion = generate(&mut session, "sled", &endless);
        assert_eq!(completion.finish_reason, FinishReason::Length);
        assert_eq!(completion.tokens.len(), 40);
    }
}

#[test]
fn stop_strings_the_context_and_interruptions_end_it_as_ever() {
    let mut session = session(&model("llama"));
    let stop = vec!["b".to_owned()];
    let stopped = GenerateOptions { stop, ..regex("aaab") };
    let completion = generate(&mut session, "sled", &stopped);
    assert_eq!((&*completion.text, completion.finish_reason), ("aaa", FinishReason::Stop));

    let full = GenerateOptions { max_tokens: None, ignore_eos: true, ..regex("[a-z]*") };
    let completion = generate(&mut session, "sled", &full);
    assert_eq!(completion.finish_reason, FinishReason::Context);

    let flag = session.interrupt();
    let sled = decoder(&session, "sled");
    let mut generation = session.generate(&sled, &PROMPT, &regex("[a-z]{40}")).unwrap();
    generation.next().unwrap().unwrap();
    flag.store(true, Ordering::Relaxed);
    assert_eq!(generation.finish().unwrap().finish_reason, FinishReason::Interrupted);
}

/// A bias cannot bring in what the grammar does not allow. One that rules out all that it
/// does is an error, unless the text may end there.
#[test]
fn biases_work_within_the_grammar() {
    let mut session = session(&model("llama"));
    let biased = |token: char, bias| {
        let id = 64 + u32::from(token) - u32::from(' ');
        SamplerOptions { logit_bias: vec![(id, bias)], ..SamplerOptions::default() }
    };
    for method in METHODS {
        let options = GenerateOptions { sampler: biased('z', 1e9), ..regex("[abc]{5}") };
        let text = generate(&mut session, method, &options).text;
        assert!(matches("[abc]{5}", &text), "{text}");

        let options = GenerateOptions { sampler: biased('b', 1e9), ..regex("[abc]{5}") };
        assert_eq!(generate(&mut session, method, &options).text, "bbbbb");

        let banned = biased('a', f32::NEG_INFINITY);
        let options = GenerateOptions { sampler: banned.clone(), ..regex("[ab]{5}") };
        assert_eq!(generate(&mut session, method, &options).text, "bbbbb");

        for exits in [ExitPolicy::Always, ExitPolicy::Auto] {
            let options = GenerateOptions { sampler: banned.clone(), exits, ..regex("ba") };
            let decoder = decoder(&session, method);
            let generation = session.generate(&decoder, &PROMPT, &options).unwrap();
            assert!(matches!(generation.finish(), Err(Error::GrammarStuck)), "{method}");

            let ignore_eos = true;
            let options = GenerateOptions { ignore_eos, grammar: regex("ba*").grammar, ..options };
            let completion = generate(&mut session, method, &options);
            assert_eq!((&*completion.text, completion.finish_reason), ("b", FinishReason::Eos));
        }
    }
}

/// What the vocabulary cannot write is known when it comes up.
#[test]
fn characters_that_the_model_cannot_write_are_an_error() {
    let mut session = session(&model("llama"));
    let sled = decoder(&session, "sled");
    for text in ["ü", "ab\u{7}", "日本"] {
        let options = lark(&format!("start: {text:?}").replace("\\u{7}", "\\u0007"));
        let generation = session.generate(&sled, &PROMPT, &options).unwrap();
        assert!(matches!(generation.finish(), Err(Error::GrammarStuck)), "{text}");
    }
    // Of several it takes the one that it can write.
    let completion = generate(&mut session, "sled", &regex("ü|é|日本"));
    assert_eq!(completion.text, "é");
}
