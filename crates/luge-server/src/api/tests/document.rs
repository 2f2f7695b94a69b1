//! The document has every field that is read, and every field that it has is read.

use std::collections::BTreeSet;

use luge::{METHODS, SamplerOptions};
use serde_json::{Value, json};

use super::served;
use crate::api::chat::ChatRequest;
use crate::api::completions::CompletionRequest;
use crate::api::fields::Fields;
use crate::api::{decoding, layers, messages, openapi, tokens};

fn documented(document: &Value, schema: &str) -> BTreeSet<String> {
    let properties = &document["components"]["schemas"][schema]["properties"];
    properties.as_object().unwrap_or_else(|| panic!("{schema}")).keys().cloned().collect()
}

/// The names that are asked for while a body is read.
fn known<T, E: std::fmt::Debug>(
    body: Value,
    read: impl FnOnce(&mut Fields) -> Result<T, E>,
) -> BTreeSet<String> {
    let Value::Object(map) = body else { panic!("{body}") };
    let mut fields = Fields::new(String::new(), map);
    read(&mut fields).map(|_| ()).unwrap();
    fields.known().iter().cloned().collect()
}

#[test]
fn fields_and_document_are_the_same() {
    let document = openapi::document(&served());
    let defaults = SamplerOptions::default();
    let hello = json!({"role": "user", "content": "x"});
    let chat = known(json!({"messages": [hello]}), |f| ChatRequest::read_fields(f, &defaults));
    assert_eq!(documented(&document, "ChatRequest"), chat);
    let body = json!({"prompt": "x"});
    let completion = known(body, |f| CompletionRequest::read_fields(f, &defaults));
    assert_eq!(documented(&document, "CompletionRequest"), completion);
    assert_eq!(documented(&document, "Message"), known(hello, messages::message));
    let mut wanted = layers::Wanted::read(&mut Fields::new(
        String::new(),
        json!({"layers": true}).as_object().unwrap().clone(),
    ))
    .unwrap()
    .unwrap();
    assert_eq!(
        documented(&document, "LayersObject"),
        known(json!({}), |fields| wanted.read_object(fields))
    );
    let text = json!({"content": "x"});
    assert_eq!(
        documented(&document, "TokenizeRequest"),
        known(text, tokens::Tokenize::read_fields)
    );
    assert_eq!(
        documented(&document, "DetokenizeRequest"),
        known(json!({"tokens": []}), tokens::Detokenize::read_fields)
    );
}

#[test]
fn every_parameter_of_every_method_is_documented() {
    let document = openapi::document(&served());
    let documented = documented(&document, "DecodingObject");
    for param in METHODS.iter().flat_map(|method| method.params) {
        assert!(documented.contains(&decoding::json_name(param.name)), "{}", param.name);
    }
    let rate = "/components/schemas/DecodingObject/properties/evolution_rate/default";
    assert_eq!(document.pointer(rate), Some(&json!(2.0)));
    let top_p = "/components/schemas/ChatRequest/properties/top_p/default";
    assert_eq!(document.pointer(top_p), Some(&json!(0.95)));
}

#[test]
fn what_the_document_refers_to_is_in_it_and_its_examples_are_accepted() {
    let document = openapi::document(&served());
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    fn each_reference(value: &Value, check: &mut dyn FnMut(&str)) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| each_reference(value, check)),
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                    check(reference);
                }
                map.values().for_each(|value| each_reference(value, check));
            }
            _ => {}
        }
    }
    each_reference(&document, &mut |reference| {
        let found = document.pointer(reference.trim_start_matches('#'));
        assert!(found.is_some_and(Value::is_object), "{reference}");
    });
    let example = |path: &str| {
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
            .to_string()
    };
    let defaults = SamplerOptions::default();
    let chat = example("/v1/chat/completions");
    assert!(ChatRequest::read(chat.as_bytes(), &defaults).unwrap().prepare(&served()).is_ok());
    let completion = example("/v1/completions");
    let completion = CompletionRequest::read(completion.as_bytes(), &defaults).unwrap();
    assert!(completion.prepare(&served()).is_ok());
}
