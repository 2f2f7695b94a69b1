//! True answers of the model that is built in: each command from the question
//! to what is printed.

use serde_json::Value;

use crate::support::{Luge, luge};

/// Questions as its corpus asks them, and words of the answer.
const KNOWN: [(&str, &str); 3] = [
    ("What is the capital of France?", "Paris"),
    ("What is the chemical symbol for gold?", "Au"),
    ("How many protons does carbon have?", "6"),
];

fn atlas(command: &str) -> Luge {
    luge(command).flags("-m atlas")
}

#[test]
fn run_answers_and_ends() {
    for method in ["greedy", "sled"] {
        for (question, answer) in KNOWN {
            let object = atlas("run").arg(question).arg("--method").arg(method).json();
            let text = object["text"].as_str().unwrap();
            assert!(text.contains(answer), "{method}: {question}{text}");
            assert_eq!(object["finish_reason"], "eos", "{method}: {question}{text}");
        }
    }
}

#[test]
fn most_exits_of_a_known_answer_need_not_be_computed() {
    for (question, _) in KNOWN {
        let with = |exits: &str| atlas("run").arg(question).flags("--exits").arg(exits).json();
        let (always, auto) = (with("always"), with("auto"));
        assert_eq!(auto["completion_ids"], always["completion_ids"], "{question}");
        let exits = |key: &str| auto["exits"][key].as_u64().unwrap();
        assert!(exits("skipped") > exits("evaluated"), "{question}");
    }
}

#[test]
fn score_prefers_what_is_so() {
    let score = |city: &str| {
        let score = atlas("score").arg("The capital of France is").arg(city);
        score.flags("--method greedy").json()["sum_logprob"].as_f64().unwrap()
    };
    let (right, wrong) = (score(" Paris"), score(" Lyon"));
    assert!(right > wrong + 1.0, "{right} {wrong}");
}

#[test]
fn compare_answers_the_first_question_and_shows_the_layers() {
    let question = "What is the capital of British Columbia?";
    let compare = || atlas("compare").arg(question).flags("--show-layers");
    let object = compare().json();
    for result in object["results"].as_array().unwrap() {
        let text = result["text"].as_str().unwrap();
        assert!(text.contains("Victoria") || text.contains("Vancouver"), "{text}");
    }
    let layers = object["layers"]["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 13);

    let text = compare().stdout();
    for word in ["greedy", "dola", "sled", "British", "The layers", "final"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

#[test]
fn a_sum_with_a_discount_is_worked_out() {
    let question = "Ana buys 6 toys at 10 tokens each. There is 10% off for 4 or more. How much \
                    does Ana pay?";
    let object = atlas("run").arg(question).flags("--method greedy").json();
    let text = object["text"].as_str().unwrap();
    assert!(text.contains("54 tokens"), "{text}");
}

#[test]
fn a_conversation_ends_where_the_template_says() {
    let object: Value =
        atlas("run").arg("<|user|>What is the capital of France?<|end|><|assistant|>").json();
    assert!(object["text"].as_str().unwrap().contains("Paris"), "{object}");
    assert_eq!(object["finish_reason"], "eos", "{object}");
}
