//! Exits that are not computed: the text is the same, and fewer are needed.

use super::*;

/// The same tokens, text, end and changes with all exits and with those that matter.
#[test]
fn skipping_exits_changes_nothing() {
    for name in models() {
        let mut session = session(&model(name));
        for method in METHODS {
            for sampler in samplers() {
                for expression in EXPRESSIONS {
                    let mut run = |exits| {
                        let sampler = sampler.clone();
                        let options = GenerateOptions { sampler, exits, ..regex(expression) };
                        generate(&mut session, method, &options)
                    };
                    let (always, auto) = (run(ExitPolicy::Always), run(ExitPolicy::Auto));
                    assert_eq!(always.exits.skipped, 0);
                    let asked = auto.exits.skipped + auto.exits.evaluated;
                    assert_eq!(asked, always.exits.evaluated, "{name}, {method}, {expression}");
                    let case = format!("{name}, {method}, {expression}, {sampler:?}");
                    assert_eq!(told(auto), told(always), "{case}");
                }
            }
        }
    }
}

/// Where one token may come, there is nothing to ask the layers. Gemma's characters have
/// two, one of them for the byte.
#[test]
fn a_forced_token_takes_no_exits() {
    for name in models().into_iter().filter(|&name| name != "gemma2") {
        let model = model(name);
        let mut session = session(&model);
        for method in ["sled", "dola", "ensemble", "sled+dola"] {
            let completion = generate(&mut session, method, &regex("q#"));
            assert_eq!(completion.text, "q#");
            assert!(completion.changed.is_empty());
            assert_eq!(completion.exits.evaluated, 0, "{name}, {method}");
            assert!(completion.exits.skipped > 0);
        }
    }
}

/// SLED keeps ten tokens. Where none of them is allowed, the final layer decides, which
/// is known before any exit is.
#[test]
fn what_is_left_to_the_final_layer_takes_no_exits() {
    for name in models() {
        let mut session = session(&model(name));
        let pinned = regex("[#$%&]{20}");
        let one = "sled(evolution-scale=1)";
        let sled = generate(&mut session, one, &pinned);
        let greedy = generate(&mut session, "greedy", &pinned);
        assert_eq!(sled.text, greedy.text, "{name}");
        assert_eq!((sled.exits.evaluated, sled.changed), (0, vec![]), "{name}");
    }
}

/// Otherwise the tests above would say little.
#[test]
fn methods_still_decide_under_a_grammar() {
    let mut changed = 0;
    let mut evaluated = 0;
    for name in models() {
        let mut session = session(&model(name));
        for method in ["sled", "dola", "ensemble"] {
            for expression in ["( w[0-9]+){12}", "[a-z]{20}"] {
                let completion = generate(&mut session, method, &regex(expression));
                changed += completion.changed.len();
                evaluated += completion.exits.evaluated;
            }
        }
    }
    assert!(changed > 20 && evaluated > 100, "{changed} changed, {evaluated} evaluated");
}

/// `changed` compares with the final layer under the same grammar: what greedy writes
/// behind the same text.
#[test]
fn changes_are_against_the_final_layer_under_the_same_grammar() {
    let options = regex("( w[0-9]+){8}");
    for name in MODELS {
        let mut session = session(&model(name));
        let sled = generate(&mut session, "ensemble", &options);
        let greedy = generate(&mut session, "greedy", &options);
        let parts = sled.tokens.iter().zip(&greedy.tokens).position(|(a, b)| a != b);
        assert_eq!(sled.changed.first().copied(), parts, "{name}");
    }
}
