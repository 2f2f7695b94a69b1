//! What cannot be looked at, and that nothing breaks by trying.

use super::*;

fn refused(session: &mut Session, text: &[u32], positions: Range<usize>) -> Error {
    let sled = decoder(session, "sled");
    let lens = session.lens(&sled, &LensOptions::default()).unwrap();
    session.look(&lens, text, positions, |seen| panic!("{seen:?}")).unwrap_err()
}

#[test]
fn texts_and_positions_that_are_not_there_are_refused_and_the_session_goes_on() {
    let mut session = session_of(&model("llama"), 32);
    let wanted = look_at_all(&mut session, "sled", &A);
    let long = noise(&model("llama"), 40);
    let error = refused(&mut session, &[], 0..0);
    assert!(matches!(error, Error::EmptyPrompt) && error.is_usage(), "{error}");
    assert!(matches!(refused(&mut session, &[], 0..1), Error::EmptyPrompt));
    for positions in [0..7, 6..7, 5..8] {
        let last = positions.end - 1;
        let error = refused(&mut session, &A, positions);
        assert!(
            matches!(error, Error::NoPosition { position, positions: 6 } if position == last),
            "{error}"
        );
        assert!(error.is_usage());
        let says = format!("no position {last}: the text has 6 tokens, at positions 0 to 5");
        assert!(error.to_string().contains(&says), "{error}");
    }
    for positions in [0..40, 39..40] {
        let error = refused(&mut session, &long, positions);
        assert!(matches!(error, Error::TooLong { tokens: 40, context: 32, .. }), "{error}");
    }
    for wrong in [[169, 5], [5, 169], [u32::MAX, 5]] {
        let error = refused(&mut session, &wrong, 0..1);
        let Error::Llama(LlamaError::TokenOutOfRange { vocab: 169, .. }) = error else {
            panic!("{error}")
        };
    }
    assert_eq!(look_at_all(&mut session, "sled", &A), wanted);
    assert_eq!(generate(&mut session, "sled", &A).tokens.len(), 12);
}

#[test]
fn layers_and_tokens_that_the_model_does_not_have_are_refused() {
    let session = session("llama");
    for method in ["greedy", "sled"] {
        let decoder = decoder(&session, method);
        let refused = |options: LensOptions| session.lens(&decoder, &options).unwrap_err();
        let pinned = |pinned: Vec<u32>| LensOptions { pinned, ..LensOptions::default() };
        for wrong in [vec![169], vec![5, u32::MAX, 6]] {
            let error = refused(pinned(wrong));
            let Error::Llama(LlamaError::TokenOutOfRange { vocab: 169, .. }) = error else {
                panic!("{error}")
            };
            assert!(error.is_usage());
        }
        let shown = |text: &str| LensOptions { layers: layers(text), ..LensOptions::default() };
        for wrong in ["4", "0,4", "0..6", "-5"] {
            let error = refused(shown(wrong));
            assert!(
                matches!(error, Error::Decoding(DecodingError::LayerOutOfRange { .. })),
                "{error}"
            );
            assert!(error.is_usage());
        }
        let error = refused(shown("2..2"));
        assert!(matches!(error, Error::Decoding(DecodingError::NoLayers { .. })), "{error}");
    }
}

#[test]
fn decoders_and_lenses_of_another_model_are_refused() {
    let llama = session("llama");
    let sled = decoder(&llama, "sled");
    let foreign = llama.lens(&sled, &LensOptions::default()).unwrap();
    // Of more tokens, and of fewer layers.
    for other in [model("gemma2"), architecture("qwen2")] {
        let mut other = session_of(&other, 64);
        let error = other.lens(&sled, &LensOptions::default()).unwrap_err();
        assert!(matches!(error, Error::OtherModel), "{error}");
        let error = other.generate_through(&foreign, &A, &tokens(1)).err().unwrap();
        assert!(matches!(error, Error::OtherModel), "{error}");
        let error = other.look(&foreign, &A, 0..1, |_| {}).err();
        assert!(matches!(error, Some(Error::OtherModel)), "{error:?}");
        let error = other.prepare_lens(&foreign).err();
        assert!(matches!(error, Some(Error::OtherModel)), "{error:?}");
    }
}

#[test]
fn architectures_whose_exits_cannot_be_read_are_refused_and_write_all_the_same() {
    for name in ["gemma3n", "plamo3", "chameleon"] {
        let model = architecture(name);
        let mut session = session_of(&model, 64);
        let greedy = decoder(&session, "greedy");
        let wanted = told(session.generate(&greedy, &A, &tokens(5)).unwrap().finish().unwrap());
        let lens = session.lens(&greedy, &LensOptions::default()).unwrap();
        let is_named = |error: &Error| {
            matches!(
                error,
                Error::Llama(LlamaError::NoTaps { .. } | LlamaError::UnknownHead { .. })
            ) && error.to_string().contains(name)
        };
        let error = session.look(&lens, &A, 0..6, |_| panic!("there is nothing")).unwrap_err();
        assert!(is_named(&error), "{error}");
        let error = session.prepare_lens(&lens).unwrap_err();
        assert!(is_named(&error), "{error}");
        let error = session.generate_through(&lens, &A, &tokens(5)).err().unwrap();
        assert!(is_named(&error), "{error}");
        let again = session.generate(&greedy, &A, &tokens(5)).unwrap().finish().unwrap();
        assert_eq!(told(again), wanted, "{name}");
    }
}

#[test]
fn an_interrupted_look_is_an_error_and_the_session_goes_on() {
    let wanted = look_at_all(&mut session("llama"), "sled", &A);
    // The graph has not been found out yet.
    let mut session = session("llama");
    let flag = session.interrupt();
    for clear in [false, false, true] {
        if clear {
            session.clear();
        }
        flag.store(true, Ordering::Relaxed);
        let error = refused(&mut session, &A, 0..6);
        assert!(matches!(error, Error::Llama(LlamaError::Interrupted)), "{error}");
        flag.store(false, Ordering::Relaxed);
        assert_eq!(look_at_all(&mut session, "sled", &A), wanted);
    }
    // On the way, from whoever looks.
    let text = noise(&model("llama"), 100);
    let sled = decoder(&session, "sled");
    let lens = session.lens(&sled, &LensOptions::default()).unwrap();
    let mut seen = Vec::new();
    let result = session.look(&lens, &text, 0..100, |position| {
        seen.push(position.position);
        flag.store(seen.len() > 40, Ordering::Relaxed);
    });
    flag.store(false, Ordering::Relaxed);
    assert!(matches!(result, Err(Error::Llama(LlamaError::Interrupted))), "{result:?}");
    assert!(seen.len() < 100 && seen.iter().copied().eq(0..seen.len()), "{seen:?}");
    assert_eq!(look_at_all(&mut session, "sled", &A), wanted);
}
