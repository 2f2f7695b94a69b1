//! Templates for models whose file brings none, in our own words after the formats that
//! the models' makers have published.

use luge_llama::Model;

/// A template for models without one.
struct Fallback {
    name: &'static str,
    /// Tokens that a model has which was trained on this format.
    marks: &'static [&'static str],
    /// Architectures whose models all use it.
    architectures: &'static [&'static str],
    template: &'static str,
}

const FALLBACKS: &[Fallback] = &[
    Fallback {
        name: "llama3",
        marks: &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        architectures: &[],
        template: "{{ bos_token }}{% for message in messages %}\
            {{ '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' }}\
            {{ message.content | trim }}<|eot_id|>{% endfor %}\
            {% if add_generation_prompt %}\
            {{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    },
    Fallback {
        name: "gemma",
        marks: &["<start_of_turn>", "<end_of_turn>"],
        architectures: &["gemma", "gemma2", "gemma3", "gemma3n"],
        // There is no role for the system: its words go in front of the user's first.
        template: "{{ bos_token }}{% set found = namespace(system='') %}\
            {% for message in messages %}{% if message.role == 'system' %}\
            {% set found.system = found.system ~ (message.content | trim) ~ '\\n\\n' %}\
            {% else %}<start_of_turn>\
            {{ ('model' if message.role == 'assistant' else message.role) ~ '\\n' }}\
            {% if message.role == 'user' %}{{ found.system }}{% set found.system = '' %}\
            {% endif %}{{ message.content | trim }}{{ '<end_of_turn>\\n' }}{% endif %}\
            {% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
    },
    Fallback {
        name: "phi3",
        marks: &["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
        architectures: &[],
        template: "{% if adds_bos %}{{ bos_token }}{% endif %}{% for message in messages %}\
            {{ '<|' ~ message.role ~ '|>\\n' ~ message.content ~ '<|end|>\\n' }}{% endfor %}\
            {% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
    },
    Fallback {
        name: "command-r",
        marks: &["<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"],
        architectures: &[],
        template: "{{ bos_token }}{% for message in messages %}<|START_OF_TURN_TOKEN|>\
            {% if message.role == 'assistant' %}<|CHATBOT_TOKEN|>\
            {% elif message.role == 'user' %}<|USER_TOKEN|>{% else %}<|SYSTEM_TOKEN|>{% endif %}\
            {{ message.content | trim }}<|END_OF_TURN_TOKEN|>{% endfor %}\
            {% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}",
    },
    // The last is the default.
    Fallback {
        name: "chatml",
        marks: &["<|im_start|>", "<|im_end|>"],
        architectures: &[],
        template: "{% if adds_bos %}{{ bos_token }}{% endif %}{% for message in messages %}\
            {{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}\
            {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    },
];

/// The name and the text of the template for a model without one: by the control tokens
/// of its vocabulary, else by its architecture, else ChatML.
pub(super) fn of(model: &Model) -> (&'static str, &'static str) {
    let marked = |fallback: &&Fallback| fallback.marks.iter().all(|mark| is_token(model, mark));
    let known = |fallback: &&Fallback| fallback.architectures.contains(&model.architecture());
    let chosen = FALLBACKS.iter().find(marked).or_else(|| FALLBACKS.iter().find(known));
    let chosen = chosen.unwrap_or(&FALLBACKS[FALLBACKS.len() - 1]);
    (chosen.name, chosen.template)
}

/// The text of a fallback by its name.
pub(super) fn named(name: &str) -> Option<(&'static str, &'static str)> {
    let found = FALLBACKS.iter().find(|fallback| fallback.name == name)?;
    Some((found.name, found.template))
}

fn is_token(model: &Model, text: &str) -> bool {
    match model.tokenize(text, false, true).as_deref() {
        Ok(&[token]) => model.label(token).is_ok_and(|label| label == text.as_bytes()),
        _ => false,
    }
}
