//! A task's definition, as its file has it, and what must hold of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::field::Field;
use super::template::Template;
use super::{Kind, Source};
use crate::error::Error;
use crate::judge::{Compare, Judge, Metric};

/// A task's definition, as its file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) about: String,
    pub(super) paper: Option<String>,
    pub(super) home: Option<String>,
    pub(super) licence: Option<String>,
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) data: Source,
    pub(super) fields: Fields,
    #[serde(default)]
    pub(super) prompt: Prompt,
    pub(super) generate: Option<GenerateKeys>,
    pub(super) judge: Judge,
    #[serde(default)]
    reference: Reference,
}

/// Which columns are what.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    pub(super) question: Field,
    pub(super) id: Option<Field>,
    pub(super) category: Option<Field>,
    pub(super) right: Option<Field>,
    pub(super) wrong: Option<Field>,
    pub(super) best: Option<Field>,
    pub(super) choices: Option<Field>,
    pub(super) labels: Option<Field>,
    pub(super) answer: Option<Field>,
    #[serde(default)]
    pub(super) answer_is: Option<AnswerIs>,
    /// Others, for the question's template.
    #[serde(default)]
    pub(super) more: BTreeMap<String, Field>,
}

/// What tells which of the choices is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AnswerIs {
    /// Its number, from 0.
    Index,
    /// Its number, from 1.
    Number,
    /// Its letter, from A.
    Letter,
    /// Its label.
    Label,
    /// Itself.
    Text,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Prompt {
    pub(super) description: String,
    pub(super) question: Template,
    pub(super) answer: Template,
    pub(super) separator: String,
    /// Whether a blank in front of an answer stays behind a line break.
    blank_after_break: bool,
    pub(super) shots: Vec<BTreeMap<String, String>>,
}

impl Default for Prompt {
    fn default() -> Self {
        let template = |text: &str| Template::try_from(text.to_owned()).unwrap_or_default();
        Self {
            description: String::new(),
            question: template("{question}"),
            answer: template(" {answer}"),
            separator: "\n\n".to_owned(),
            blank_after_break: true,
            shots: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GenerateKeys {
    pub(super) max_tokens: usize,
    #[serde(default)]
    pub(super) stop: Vec<String>,
}

/// What is otherwise under `--scoring reference`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    #[serde(default)]
    fields: ReferenceFields,
    blank_after_break: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReferenceFields {
    question: Option<Field>,
    right: Option<Field>,
    wrong: Option<Field>,
    best: Option<Field>,
}

impl Definition {
    /// Reads a definition, and checks all of it. `file` names it in errors.
    pub(super) fn parse(text: &str, file: &str) -> Result<Self, Error> {
        let definition: Self = toml::from_str(text).map_err(|error| Error::Definition {
            file: file.to_owned(),
            line: error.span().map(|span| line_at(text, span.start)),
            what: error.message().replace('\n', "; "),
        })?;
        definition.check().map_err(|(key, what)| Error::Definition {
            file: file.to_owned(),
            line: line_of(text, key),
            what,
        })?;
        Ok(definition)
    }

    /// What must hold beyond the types: the key that is to blame, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let name_is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || !self.name.chars().all(name_is_plain) {
            let what = "name wants letters, digits, '-', '_' and '.', at least one of them";
            return Err(("name", what.to_owned()));
        }
        self.check_fields()?;
        self.check_prompt()?;
        match (self.kind, &self.generate) {
            (Kind::Choice, Some(_)) => {
                let what = "[generate] is for kind = \"answer\": choices are not written";
                return Err(("[generate]", what.to_owned()));
            }
            (Kind::Answer, None) => {
                return Err(("kind", "kind = \"answer\" wants [generate]".to_owned()));
            }
            (Kind::Answer, Some(generate)) => {
                if generate.max_tokens == 0 {
                    return Err(("max_tokens", "max_tokens is 0: no answer fits".to_owned()));
                }
                if generate.stop.iter().any(String::is_empty) {
                    let what = "stop has an empty text, which would end every answer";
                    return Err(("stop", what.to_owned()));
                }
            }
            (Kind::Choice, None) => {}
        }
        self.check_judge()
    }

    fn check_fields(&self) -> Result<(), (&'static str, String)> {
        let fields = &self.fields;
        let for_choice = [
            ("right", fields.right.is_some()),
            ("wrong", fields.wrong.is_some()),
            ("best", fields.best.is_some()),
            ("choices", fields.choices.is_some()),
            ("labels", fields.labels.is_some()),
            ("answer_is", fields.answer_is.is_some()),
        ];
        if self.kind == Kind::Answer {
            if let Some((key, _)) = for_choice.iter().find(|(_, is_there)| *is_there) {
                return Err((key, format!("the field {key} is for kind = \"choice\"")));
            }
            if fields.answer.is_none() {
                return Err(("[fields]", "kind = \"answer\" wants the field answer".to_owned()));
            }
        } else {
            let lists = (fields.right.is_some(), fields.wrong.is_some());
            let marked = (fields.choices.is_some(), fields.answer.is_some());
            let whole = [lists, marked].contains(&(true, true));
            let half = [lists, marked].iter().any(|(a, b)| a != b);
            if !whole || half {
                let what = "kind = \"choice\" wants the fields right and wrong, or choices and \
                            answer, or all four";
                return Err(("[fields]", what.to_owned()));
            }
            let needs = [
                ("best", fields.best.is_some(), lists.0, "right"),
                ("labels", fields.labels.is_some(), marked.0, "choices"),
                ("answer_is", fields.answer_is.is_some(), marked.0, "choices"),
            ];
            for (key, is_there, has_other, other) in needs {
                if is_there && !has_other {
                    return Err((key, format!("the field {key} wants the field {other}")));
                }
            }
            if fields.answer_is == Some(AnswerIs::Label) && fields.labels.is_none() {
                let what = "answer_is = \"label\" wants the field labels";
                return Err(("answer_is", what.to_owned()));
            }
        }
        let reference = &self.reference.fields;
        let overridden = [
            ("right", reference.right.is_some(), fields.right.is_some()),
            ("wrong", reference.wrong.is_some(), fields.wrong.is_some()),
            ("best", reference.best.is_some(), fields.best.is_some()),
        ];
        match overridden.into_iter().find(|(_, new, old)| *new && !*old) {
            Some((key, ..)) => Err((
                "[reference.fields]",
                format!("[reference.fields] has {key}, which [fields] has not"),
            )),
            None => Ok(()),
        }
    }

    fn check_prompt(&self) -> Result<(), (&'static str, String)> {
        let prompt = &self.prompt;
        let more: Vec<&str> = self.fields.more.keys().map(String::as_str).collect();
        if let Some(name) = more.iter().find(|name| matches!(**name, "question" | "answer")) {
            return Err(("[fields.more]", format!("[fields.more] cannot have {name}")));
        }
        for name in prompt.question.fields() {
            if name != "question" && !more.contains(&name) {
                return Err(("[prompt] question", unknown(name, "question", &more)));
            }
        }
        for name in prompt.answer.fields() {
            if name != "answer" {
                return Err(("[prompt] answer", unknown(name, "answer", &[])));
            }
        }
        for (place, key, template) in [
            ("[prompt] question", "question", &prompt.question),
            ("[prompt] answer", "answer", &prompt.answer),
        ] {
            if !template.fields().any(|name| name == key) {
                return Err((place, format!("the {key} of [prompt] lacks {{{key}}}")));
            }
        }
        let wanted: BTreeSet<&str> = ["question", "answer"].into_iter().chain(more).collect();
        for (number, shot) in prompt.shots.iter().enumerate() {
            let has: BTreeSet<&str> = shot.keys().map(String::as_str).collect();
            if has != wanted {
                let keys = wanted.into_iter().collect::<Vec<_>>().join(", ");
                let number = number + 1;
                return Err((
                    "[[prompt.shots]]",
                    format!("number {number} of [[prompt.shots]] must have the keys {keys} only"),
                ));
            }
        }
        Ok(())
    }

    fn check_judge(&self) -> Result<(), (&'static str, String)> {
        let judge = &self.judge;
        if judge.metrics.is_empty() {
            return Err(("metrics", "metrics names none".to_owned()));
        }
        for (number, metric) in judge.metrics.iter().enumerate() {
            let kind = match metric {
                Metric::Mc1 | Metric::Mc2 | Metric::Mc3 | Metric::Acc | Metric::AccNorm => {
                    Kind::Choice
                }
                Metric::ExactMatch | Metric::F1 => Kind::Answer,
            };
            if kind != self.kind {
                let fitting = match self.kind {
                    Kind::Choice => "mc1, mc2, mc3, acc and acc_norm",
                    Kind::Answer => "exact_match and f1",
                };
                let what = format!(
                    "metrics has one that does not fit the kind, for which there are {fitting}"
                );
                return Err(("metrics", what));
            }
            if judge.metrics[..number].contains(metric) {
                return Err(("metrics", "metrics names one twice".to_owned()));
            }
        }
        if judge.metrics.contains(&Metric::F1) && judge.compare != Compare::Text {
            let what = "the metric f1 counts words: it wants compare = \"text\"";
            return Err(("metrics", what.to_owned()));
        }
        if let Some(extract) = &judge.extract {
            if self.kind == Kind::Choice {
                return Err(("extract", "extract is for kind = \"answer\"".to_owned()));
            }
            if let Err(error) = regex::Regex::new(&extract.pattern) {
                // The last line says what is wrong, those before it show where.
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default().trim();
                let why = why.strip_prefix("error: ").unwrap_or(why);
                return Err(("pattern", format!("pattern is no regular expression: {why}")));
            }
            for (key, text) in
                [("after", &extract.after), ("reference_after", &extract.reference_after)]
            {
                if text.as_deref() == Some("") {
                    return Err((key, format!("{key} is empty: leave it out")));
                }
            }
        }
        Ok(())
    }

    /// Whether a blank in front of an answer stays behind a line break.
    pub(super) fn blank_after_break(&self, reference: bool) -> bool {
        let other = self.reference.blank_after_break.filter(|_| reference);
        other.unwrap_or(self.prompt.blank_after_break)
    }

    /// The columns as the public scripts read them, or as they should be.
    pub(super) fn fields(&self, reference: bool) -> Fields {
        let mut fields = self.fields.clone();
        if reference {
            let other = &self.reference.fields;
            if let Some(question) = &other.question {
                fields.question = question.clone();
            }
            fields.right = other.right.clone().or(fields.right);
            fields.wrong = other.wrong.clone().or(fields.wrong);
            fields.best = other.best.clone().or(fields.best);
        }
        fields
    }
}

impl Prompt {
    /// An answer behind its question.
    pub(super) fn continuation(&self, question: &str, answer: &str, blank: bool) -> String {
        let text = self.answer.render(&BTreeMap::from([("answer", answer)]));
        match text.strip_prefix(' ') {
            Some(rest) if !blank && question.ends_with('\n') => rest.to_owned(),
            _ => text,
        }
    }
}

/// A place for a field that there is not.
fn unknown(name: &str, key: &str, more: &[&str]) -> String {
    let known: Vec<String> =
        std::iter::once(&key).chain(more).map(|name| format!("{{{name}}}")).collect();
    format!("the {key} of [prompt] has {{{name}}}, and there is {} only", known.join(", "))
}

/// The line, from 1, in which a byte is.
fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

/// The first line that begins with a key or a table's head, or with a key behind a table's
/// head: `[prompt] question`.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (head, key) = match key.split_once("] ") {
        Some((_, name)) => (key.strip_suffix(name).map(str::trim_end), name),
        None => (None, key),
    };
    let is_it = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| key.starts_with('[') || rest.trim_start().starts_with('='))
    };
    let mut lines = text.lines().enumerate();
    if let Some(head) = head {
        lines.find(|(_, line)| line.trim() == head)?;
    }
    lines.find(|(_, line)| is_it(line)).map(|(index, _)| index + 1)
}
