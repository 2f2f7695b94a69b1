//! Tokens by their text.

use super::*;

#[test]
fn a_token_is_found_by_its_exact_text() {
    let llama = session("llama");
    for (text, id) in [(" w17", 20), (" w", 63), ("w", 64 + (b'w' - b' ') as u32), ("\n", 159)] {
        assert_eq!(llama.find_token(text).unwrap(), id, "{text:?}");
    }
    let gemma2 = session("gemma2");
    for (text, id) in [(" w17", 276), (" w", 291)] {
        assert_eq!(gemma2.find_token(text).unwrap(), id, "{text:?}");
    }
}

#[test]
fn control_tokens_are_found_by_their_name() {
    for name in MODELS {
        let session = session(name);
        for (text, id) in [("<unk>", 0), ("<s>", 1), ("</s>", 2)] {
            assert_eq!(session.find_token(text).unwrap(), id, "{name}, {text}");
        }
    }
    let atlas = session("atlas");
    for text in ["<|user|>", "<|assistant|>", "<|end|>"] {
        let id = atlas.find_token(text).unwrap();
        assert_eq!(atlas.model().label(id).unwrap(), text.as_bytes());
    }
}

#[test]
fn every_token_is_found_by_its_text_or_another_that_reads_the_same() {
    for name in ALL_MODELS {
        let session = session(name);
        let model = session.model();
        for id in 0..model.n_vocab() as u32 {
            let Ok(text) = String::from_utf8(model.label(id).unwrap()) else { continue };
            let found = session.find_token(&text).unwrap();
            assert_eq!(model.label(found).unwrap(), text.as_bytes(), "{name}, token {id}");
        }
    }
}

#[test]
fn a_letter_is_the_token_that_texts_are_made_of_not_the_byte() {
    // SentencePiece models have both, and fall back to bytes only for characters
    // that they have no token for.
    let gemma2 = session("gemma2");
    let letters = 292..387;
    for (letter, id) in (b' '..=b'~').zip(letters) {
        let text = char::from(letter).to_string();
        let inside = gemma2.model().tokenize(&format!("w1{text}"), false, true).unwrap();
        if inside.last() == Some(&id) {
            assert_eq!(gemma2.find_token(&text).unwrap(), id, "{text:?}");
        }
    }
}

#[test]
fn a_blank_that_the_tokenizer_puts_in_front_is_no_part_of_a_token() {
    // A model as many SentencePiece models are: gemma2 does without the blank.
    let path = root().join("testdata/parity/gemma2.gguf");
    let mut file = std::fs::read(path).unwrap();
    let key = b"tokenizer.ggml.add_space_prefix";
    let key_at = file.windows(key.len()).position(|bytes| bytes == key).unwrap();
    // Behind the key its type, four bytes, and the value.
    let value = &mut file[key_at + key.len() + 4];
    assert_eq!(std::mem::replace(value, 1), 0);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("blank-in-front.gguf");
    std::fs::write(&path, file).unwrap();
    let session = session_of(&load(&path), 128);
    assert_eq!(session.model().tokenize("A", false, true).unwrap().len(), 2);
    for (text, id) in [(" w17", 276), (" w", 291), ("A", 325), ("w", 379), ("\n", 13)] {
        assert_eq!(session.find_token(text).unwrap(), id, "{text:?}");
    }
    assert_eq!(session.find_token("</s>").unwrap(), 2);
}

#[test]
fn what_is_no_single_token_is_told_apart_into_those_it_is_made_of() {
    let session = session("llama");
    let error = session.find_token(" w5 w17").unwrap_err();
    let Error::NoToken { text, pieces } = &error else { panic!("{error}") };
    assert_eq!((text.as_str(), pieces.len()), (" w5 w17", 2));
    assert!(error.is_usage());
    let message = error.to_string();
    for part in ["\" w5 w17\"", "\" w5\"", "\" w17\""] {
        assert!(message.contains(part), "{message}");
    }
    // Case and blanks count.
    for text in [" W17", "w17", " w17 ", "  w17", " w60"] {
        let error = session.find_token(text).unwrap_err();
        assert!(matches!(error, Error::NoToken { .. }), "{text:?}: {error}");
    }
}

#[test]
fn no_text_is_no_token() {
    for name in ALL_MODELS {
        let error = session(name).find_token("").unwrap_err();
        assert!(matches!(&error, Error::NoToken { .. }) && error.is_usage(), "{error}");
        assert!(error.to_string().contains("give the text of a token"), "{error}");
    }
}
