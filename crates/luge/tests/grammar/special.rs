//! Control tokens, bytes, and tokens that a grammar names.

use super::*;

/// Names of control tokens that a text spells out are made of characters.
#[test]
fn text_is_never_made_of_control_tokens() {
    let mut session = session(&model("llama"));
    let names: Vec<String> = (0..3)
        .map(|token| String::from_utf8(session.model().label(token).unwrap()).unwrap())
        .collect();
    for name in &names {
        assert!(name.starts_with('<'), "{name}");
        for options in [regex(name), schema(&format!("{{\"const\": {name:?}}}"))] {
            let completion = generate(&mut session, "sled", &options);
            assert!(completion.text.contains(name.as_str()), "{name}");
            assert!(completion.tokens.iter().all(|&token| token > 2), "{completion:?}");
            assert_eq!(completion.finish_reason, FinishReason::Eos);
        }
    }
    // Nor where everything is allowed and they are all that the model wants.
    let logit_bias = vec![(0, 1e6), (1, 1e6)];
    let sampler = SamplerOptions { logit_bias, ..SamplerOptions::default() };
    let options = GenerateOptions { sampler, ..regex("(?s:.){20}") };
    let completion = generate(&mut session, "sled", &options);
    assert!(completion.tokens.iter().all(|&token| token > 2), "{completion:?}");
    assert_eq!(completion.text.chars().count(), 20);
}

#[test]
fn a_grammar_may_name_control_tokens() {
    let mut session = session(&model("llama"));
    let begin = String::from_utf8(session.model().label(1).unwrap()).unwrap();
    let end = String::from_utf8(session.model().label(2).unwrap()).unwrap();
    let options = lark(&format!("start: \"a\" {begin} \"b\" {end}"));
    let completion = generate(&mut session, "sled", &options);
    let id = |c: char| 64 + u32::from(c) - u32::from(' ');
    assert_eq!(completion.tokens, [id('a'), 1, id('b')]);
    assert_eq!(completion.text, "ab");
    assert_eq!(completion.finish_reason, FinishReason::Eos);
    // By its number, any token.
    let completion = generate(&mut session, "sled", &lark("start: <[5]> <[7-7]>"));
    assert_eq!(completion.tokens, [5, 7]);
}

#[test]
fn a_control_token_that_the_model_does_not_have_is_refused_with_its_name() {
    let mut session = session(&model("llama"));
    let sled = decoder(&session, "sled");
    for (text, says) in
        [("start: <|nope|>", "no control token <|nope|>"), ("start: <[5000]>", "5000")]
    {
        let error = session.generate(&sled, &PROMPT, &lark(text)).err().unwrap();
        assert!(error.is_usage() && error.to_string().contains(says), "{error}");
    }
    // The session is as good as before.
    assert_eq!(generate(&mut session, "sled", &regex("yes")).text, "yes");
}

/// Bytes that stand for characters of their own make up others.
#[test]
fn characters_are_made_of_bytes_where_they_have_no_token() {
    for name in models() {
        let mut session = session(&model(name));
        for text in ["é", "€", "😀", "aé😀"] {
            assert_eq!(generate(&mut session, "sled", &regex(text)).text, text, "{name}");
        }
    }
    let mut session = session(&model("gemma2"));
    let completion = generate(&mut session, "sled", &regex("日"));
    assert_eq!((&*completion.text, completion.tokens.len()), ("日", 3));
}
