//! Whatever the model, the method and the luck: the text keeps to the grammar.

use std::cell::RefCell;
use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestCaseError};
use serde_json::{Value, json};

use super::*;

/// The same cases in every run, unless PROPTEST_RNG_SEED asks for others.
pub fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(2411_02433),
        fixed => fixed,
    };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..default }
}

thread_local! {
    static SESSIONS: RefCell<HashMap<&'static str, Session>> = RefCell::default();
}

/// Runs with the session of a model, made once.
fn on<T>(name: &'static str, run: impl FnOnce(&mut Session) -> T) -> T {
    SESSIONS.with_borrow_mut(|sessions| {
        run(sessions.entry(name).or_insert_with(|| session(&model(name))))
    })
}

/// Methods with parameters that change much.
fn methods() -> impl Strategy<Value = String> {
    let sled = (0.0f32..20.0, 1usize..60, 1usize..4, -2000.0f32..5.0).prop_map(
        |(rate, scale, steps, bound)| {
            format!(
                "sled(evolution-rate={rate},evolution-scale={scale},evolution-steps={steps},\
                 evolution-lower-bound={bound})"
            )
        },
    );
    let dola = (0.0f32..=1.0).prop_map(|top| format!("dola(relative-top={top})"));
    let one = prop_oneof![
        3 => sled,
        1 => dola,
        1 => Just("ensemble".to_owned()),
        1 => Just("greedy".to_owned())
    ];
    vec(one, 1..3).prop_map(|stages| stages.join("+"))
}

/// Any sampling, with bans and large biases: a stand-in for any model.
fn samplings() -> impl Strategy<Value = SamplerOptions> {
    let temperature = prop_oneof![2 => Just(0.0f32), 1 => 0.01f32..2.0, 1 => 2.0f32..100.0];
    let filters = (
        prop_oneof![Just(0usize), 1usize..50],
        prop_oneof![Just(1.0f32), 0.0f32..1.0],
        prop_oneof![Just(0.0f32), 0.0f32..1.0],
    );
    let bias = vec((3u32..169, prop_oneof![-40.0f32..40.0, Just(1e6f32)]), 0..30);
    (temperature, filters, 0.5f32..2.0, bias, any::<u64>()).prop_map(
        |(temperature, (top_k, top_p, min_p), repeat_penalty, logit_bias, seed)| SamplerOptions {
            temperature,
            top_k,
            top_p,
            min_p,
            repeat_penalty,
            logit_bias,
            seed,
            ..SamplerOptions::default()
        },
    )
}

/// Regular expressions whose texts are short.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "a",
        "yes",
        "[a-f]",
        "[^a]",
        "[0-9]",
        " w[0-9]",
        "é",
        "\\.",
        "[€😀]",
        "(?i)no",
        "\"",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join("|"))),
            (inner, select(vec!["?", "{2}", "{0,3}", "{1,2}"]))
                .prop_map(|(part, count)| format!("({part}){count}")),
        ]
    })
}

/// Schemas of JSON that is not long.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "boolean"})),
        Just(json!({"type": ["null", "boolean"]})),
        Just(json!({"enum": ["a", "b c", "\"quoted\"", 1, -2.5, null, [1, 2], {"k": "v"}]})),
        Just(json!({"const": "\\ / \n \""})),
        Just(json!({"const": {"é": ["€", "😀"]}})),
        (-999i64..999, 0i64..99)
            .prop_map(|(least, more)| json!({"type": "integer", "minimum": least,
                                             "maximum": least + more})),
        (-9i32..9).prop_map(|least| json!({"type": "number", "minimum": least,
                                           "exclusiveMaximum": least + 3,
                                           "multipleOf": 0.25})),
        (0usize..3, 0usize..6).prop_map(|(least, more)| json!({"type": "string",
                                           "minLength": least, "maxLength": least + more})),
        Just(json!({"type": "string", "pattern": "^[a-c]{1,3}(é|x)$"})),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        let object = (vec(inner.clone(), 1..4), any::<u8>()).prop_map(|(values, required)| {
            let named = || (0..).map(|n: usize| format!("k{n}")).zip(&values);
            let properties: serde_json::Map<String, Value> =
                named().map(|(name, value)| (name, value.clone())).collect();
            let required: Vec<String> = named()
                .map(|(name, _)| name)
                .enumerate()
                .filter(|(n, _)| required >> n & 1 == 1)
                .map(|(_, name)| name)
                .collect();
            json!({"type": "object", "properties": properties, "required": required,
                   "additionalProperties": false})
        });
        let array = (inner.clone(), 0usize..2, 0usize..3).prop_map(|(items, least, more)| {
            json!({"type": "array", "items": items, "minItems": least, "maxItems": least + more})
        });
        let any = vec(inner, 1..3).prop_map(|all| json!({"anyOf": all}));
        prop_oneof![2 => object, 1 => array, 1 => any]
    })
}

/// Generates with all exits and with those that matter; both the same.
fn both(
    name: &'static str,
    method: &str,
    options: &GenerateOptions,
) -> Result<Completion, TestCaseError> {
    on(name, |session| {
        let decoder = decoder(session, method);
        let mut run = |exits| {
            let options = GenerateOptions { exits, ..options.clone() };
            let generation = session.generate(&decoder, &PROMPT, &options).unwrap();
            generation.finish().map_err(|error| TestCaseError::fail(error.to_string()))
        };
        let (auto, always) = (run(ExitPolicy::Auto)?, run(ExitPolicy::Always)?);
        prop_assert_eq!(told(auto.clone()), told(always));
        Ok(auto)
    })
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn texts_match_their_expression(
        name in select(models()), method in methods(), sampler in samplings(),
        expression in expressions(), ignore_eos: bool,
    ) {
        let max_tokens = Some(100);
        let options = GenerateOptions { sampler, ignore_eos, max_tokens, ..regex(&expression) };
        let completion = both(name, &method, &options)?;
        prop_assert_eq!(completion.finish_reason, FinishReason::Eos);
        prop_assert!(
            matches(&expression, &completion.text),
            "{} does not match {}", completion.text, expression
        );
    }

    #[test]
    fn json_satisfies_its_schema(
        name in select(models()), method in methods(), sampler in samplings(),
        wanted in schemas(),
    ) {
        let options = GenerateOptions {
            sampler,
            max_tokens: None,
            ..schema(&wanted.to_string())
        };
        let completion = both(name, &method, &options)?;
        if completion.finish_reason == FinishReason::Eos {
            let value: Value = serde_json::from_str(completion.text.trim()).unwrap();
            let validator = jsonschema::validator_for(&wanted).unwrap();
            prop_assert!(validator.is_valid(&value), "{value} is not {wanted}");
        } else {
            prop_assert_eq!(completion.finish_reason, FinishReason::Context);
        }
    }
}
