//! The reference numbers of `testdata/parity`, reached by the command line.

use serde_json::Value;

use crate::support::{Luge, MODELS, list, model, reference, run, score};

/// What the numbers were made with.
fn exact(command: Luge) -> Luge {
    command.flags("-c 128 -ctk f32 -ctv f32 -fa off")
}

/// The flags for a method as the reference describes it.
fn method(command: Luge, described: &Value) -> Luge {
    let mut command = command.arg("--method").arg(described["method"].as_str().unwrap());
    for (key, flag) in [
        ("rate", "--evolution-rate"),
        ("scale", "--evolution-scale"),
        ("steps", "--evolution-steps"),
        ("lower_bound", "--evolution-lower-bound"),
        ("relative_top", "--relative-top"),
    ] {
        if let Some(number) = described.get(key) {
            command = command.arg(flag).arg(number.to_string());
        }
    }
    if described.get("layers").is_some() {
        command = command.arg("--layers").arg(list(&described["layers"]));
    }
    if described["exit_norm"] == "final" {
        command = command.flags("--exit-norm final");
    }
    if described["head"] == "linear" {
        command = command.flags("--exit-softcap off");
    }
    command
}

#[test]
fn scores_of_every_recorded_method() {
    // The model with a softcap: its set of methods holds the others'.
    let reference = reference("gemma2");
    let tolerance = reference["tolerance"]["f32_kv"].as_f64().unwrap();
    let prompt = &reference["prompts"][0];
    let methods = reference["methods"].as_array().unwrap();
    assert!(methods.len() >= 10);
    for described in methods {
        let id = described["id"].as_str().unwrap();
        let object = method(exact(score(model("gemma2"))), described)
            .arg("--prompt-ids")
            .arg(list(&prompt["ids"]))
            .arg("--continuation-ids")
            .arg(list(&prompt["continuation"]))
            .json();
        let wanted = &prompt["scores"][id];
        let tokens = object["tokens"].as_array().unwrap();
        assert_eq!(tokens.len(), prompt["continuation"].as_array().unwrap().len());
        for (index, token) in tokens.iter().enumerate() {
            for number in ["logit", "logprob"] {
                let off = token[number].as_f64().unwrap() - wanted[number][index].as_f64().unwrap();
                assert!(off.abs() <= tolerance, "{id}: {number} {index} is off by {off}");
            }
        }
    }
}

#[test]
fn generations_of_every_model() {
    for name in MODELS {
        let reference = reference(name);
        let methods = reference["methods"].as_array().unwrap();
        for (number, prompt) in reference["prompts"].as_array().unwrap().iter().enumerate() {
            for (id, wanted) in prompt["generate"].as_object().unwrap() {
                let described = methods.iter().find(|method| method["id"] == **id).unwrap();
                let object = method(exact(run(model(name))), described)
                    .flags("-n 12 --prompt-ids")
                    .arg(list(&prompt["ids"]))
                    .json();
                assert_eq!(
                    object["completion_ids"], wanted["ids"],
                    "{name}, {id}, prompt {number}"
                );
            }
        }
    }
}
