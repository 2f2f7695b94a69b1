//! `luge score`: a continuation, token by token.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{Luge, MODELS, ids, keys, list, model, reference_prompt, score};

fn llama(flags: &str) -> Luge {
    // Exact enough for the digits of a snapshot on any machine.
    score(model("llama")).flags("-ctk f32 -ctv f32 -fa off").flags(flags)
}

#[test]
fn json_is_one_object_with_the_documented_keys() {
    let object = llama("").arg(" w5 w17").arg(" w3 w4").json();
    assert_eq!(
        keys(&object),
        ["continuation_ids", "method", "model", "prompt_ids", "sum_logit", "sum_logprob", "tokens"]
    );
    assert_eq!(object["prompt_ids"], json!([8, 20]));
    assert_eq!(object["continuation_ids"], json!([6, 7]));
    for (token, id, text) in [(0, 6, " w3"), (1, 7, " w4")] {
        let token = &object["tokens"][token];
        assert_eq!(keys(token), ["id", "logit", "logprob", "text"]);
        assert_eq!((&token["id"], &token["text"]), (&json!(id), &json!(text)));
    }
}

#[test]
fn sums_are_the_sums_of_the_tokens_and_probabilities_are_below_one() {
    for name in MODELS {
        for method in ["greedy", "sled", "dola", "ensemble", "sled+dola"] {
            let score = score(model(name)).flags("--method").arg(method);
            let object = score.arg(" w5 w17").arg(" w3 w4 w9 w1 w12").json();
            let tokens = object["tokens"].as_array().unwrap();
            for (number, sum) in [("logit", "sum_logit"), ("logprob", "sum_logprob")] {
                let total: f64 = tokens.iter().map(|token| token[number].as_f64().unwrap()).sum();
                let sum = object[sum].as_f64().unwrap();
                assert!((total - sum).abs() <= 1e-3, "{name}, {method}: {number}");
            }
            assert!(tokens.iter().all(|token| token["logprob"].as_f64() <= Some(0.0)));
        }
    }
}

#[test]
fn texts_and_their_ids_score_alike() {
    for name in MODELS {
        let by_text = score(model(name)).arg(" w5 w17").arg(" w3 w4").json();
        let by_ids = score(model(name))
            .arg("--prompt-ids")
            .arg(list(&by_text["prompt_ids"]))
            .arg("--continuation-ids")
            .arg(list(&by_text["continuation_ids"]))
            .json();
        assert_eq!(by_ids, by_text, "{name}");
    }
}

#[test]
fn no_text_is_left_unscored_where_a_token_spans_the_border() {
    let object = llama("").arg(" w5 w1").arg("7").json();
    let whole: Vec<u64> = [ids(&object["prompt_ids"]), ids(&object["continuation_ids"])].concat();
    assert_eq!(whole, [8, 20]);
    assert_eq!(object["continuation_ids"], json!([20]));
}

/// Numbers with the digits that are the same on every machine.
fn without_last_digits(table: &str) -> String {
    let mut text = table.to_owned();
    // The last line is the method's, with parameters.
    let (table, _) = table.trim_end().rsplit_once('\n').unwrap();
    for point in table.match_indices('.').map(|(at, _)| at).rev() {
        let number = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
        text.replace_range(point + 3..point + 1 + number, "··");
    }
    text
}

#[test]
fn a_table_shows_each_token_and_the_sums() {
    let score = llama("--method greedy").arg(" w5 w17").arg(" w3 w4\n€");
    assert_snapshot!(without_last_digits(&score.stdout()));
}

#[test]
fn a_table_names_the_method() {
    let score = llama("--method sled+dola --evolution-scale 100");
    let score = score.flags("--prompt-ids").arg(reference_prompt("llama"));
    let score = score.flags("--continuation-ids 71,126");
    assert_snapshot!(without_last_digits(&score.stdout()));
}

#[test]
fn a_rate_of_zero_leaves_the_best_tokens_as_they_are() {
    /// The final layer's best token after the prompt, and another.
    const BEST: u32 = 71;
    const OTHER: u32 = 14;
    let logits = |flags: &str| {
        [BEST, OTHER].map(|id| {
            let score = llama(flags).flags("--prompt-ids").arg(reference_prompt("llama"));
            let object = score.arg("--continuation-ids").arg(id.to_string()).json();
            object["tokens"][0]["logit"].as_f64().unwrap()
        })
    };
    let [best, other] = logits("--method greedy");
    assert_eq!(logits("--method sled --evolution-rate 0 --evolution-scale 169"), [best, other]);
    assert_eq!(logits("--method sled --evolution-rate 0 --evolution-scale 1"), [best, -1000.0]);
}
