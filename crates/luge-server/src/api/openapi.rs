//! `/openapi.json`: the document of all routes. It is written by hand in `openapi.json`; what
//! depends on the model and on the registry of methods is put into it here.

use luge::METHODS;
use serde_json::{Map, Value, json};

use super::decoding::json_name;
use super::models;
use crate::Served;

const DOCUMENT: &str = include_str!("openapi.json");

/// The document of what is served.
pub fn document(served: &Served) -> Value {
    // A test reads it: it is JSON.
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
    put(&mut document, "/info", "version", json!(env!("CARGO_PKG_VERSION")));
    put(&mut document, "/components/schemas", "DecodingObject", decoding(served));
    let shared = "/components/schemas/Shared/properties";
    let sampling = &served.sampling;
    for (name, value) in [
        ("temperature", real(sampling.temperature)),
        ("top_p", real(sampling.top_p)),
        ("min_p", real(sampling.min_p)),
        ("top_k", json!(sampling.top_k)),
        ("repeat_penalty", real(sampling.repeat_penalty)),
        ("repeat_last_n", json!(sampling.repeat_last_n)),
        ("presence_penalty", real(sampling.presence_penalty)),
        ("frequency_penalty", real(sampling.frequency_penalty)),
        ("model", json!(served.name)),
        ("decoding", json!(served.method.to_string())),
    ] {
        put(&mut document, &format!("{shared}/{name}"), "default", value);
    }
    put(&mut document, &format!("{shared}/n"), "maximum", json!(served.limits.max_choices));
    flatten(&mut document);
    document
}

/// Puts a value under a name into the object at a pointer.
fn put(document: &mut Value, pointer: &str, name: &str, value: Value) {
    if let Some(Value::Object(map)) = document.pointer_mut(pointer) {
        map.insert(name.to_owned(), value);
    }
}

/// A number as it was written: 0.95, and not the double nearest to the float.
fn real(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, |value| json!(value))
}

/// The object of the field `decoding`: a method and its parameters.
fn decoding(served: &Served) -> Value {
    let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    let about: Vec<String> =
        METHODS.iter().map(|method| format!("{}: {}", method.name, method.about)).collect();
    let mut properties = Map::new();
    properties.insert(
        "method".to_owned(),
        json!({
            "type": "string",
            "description": format!("One, or several in a row, as in sled+dola. {}.", about.join("; ")),
            "examples": names,
        }),
    );
    for info in METHODS {
        let known = models::method(served, info);
        for (index, param) in info.params.iter().enumerate() {
            let mut schema = json!({
                "type": ["number", "string", "boolean", "array"],
                "items": {"type": "number"},
                "description": format!("{}: {}", info.name, param.help),
            });
            let default =
                known.as_ref().and_then(|m| m.pointer(&format!("/params/{index}/default")));
            if let (Some(default), Some(schema)) = (default, schema.as_object_mut()) {
                schema.insert("default".to_owned(), default.clone());
            }
            properties.entry(json_name(param.name)).or_insert(schema);
        }
    }
    json!({"type": "object", "required": ["method"], "properties": properties})
}

/// Puts the fields that requests share into each, where generators and readers look for
/// them.
fn flatten(document: &mut Value) {
    let shared = document.pointer("/components/schemas/Shared/properties").cloned();
    let Some(Value::Object(shared)) = shared else { return };
    for name in ["ChatRequest", "CompletionRequest"] {
        let pointer = format!("/components/schemas/{name}/properties");
        if let Some(Value::Object(own)) = document.pointer_mut(&pointer) {
            for (name, schema) in &shared {
                own.entry(name).or_insert_with(|| schema.clone());
            }
        }
    }
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        schemas.shift_remove("Shared");
    }
}
