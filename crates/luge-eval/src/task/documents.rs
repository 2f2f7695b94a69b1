//! From rows to questions.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::Task;
use super::definition::{AnswerIs, Fields};
use super::field::{Field, Missing};
use crate::data::{DataFile, Row};
use crate::document::{Ask, Candidate, Document, Documents, Problem};
use crate::error::Error;

/// Where a question's right and wrong answers are.
#[derive(Clone, Copy)]
enum Answers<'a> {
    /// In lists of their own.
    Lists { right: &'a Field, wrong: &'a Field },
    /// Among the choices.
    Marked { choices: &'a Field, answer: &'a Field },
    /// Any of these, written.
    Written(&'a Field),
}

/// Makes the questions of a file.
pub(super) fn documents(task: &Task, data: &DataFile, reference: bool) -> Result<Documents, Error> {
    let fields = task.definition.fields(reference);
    let columns = data.columns()?;
    let answers = answers(&fields, &columns);
    let mut wanted = vec![("question", &fields.question)];
    match answers {
        Answers::Lists { right, wrong } => wanted.extend([("right", right), ("wrong", wrong)]),
        Answers::Marked { choices, answer } => {
            wanted.extend([("choices", choices), ("answer", answer)]);
        }
        Answers::Written(answer) => wanted.push(("answer", answer)),
    }
    wanted.extend(fields.more.iter().map(|(name, field)| (name.as_str(), field)));
    for (what, field) in wanted {
        if field.lacks(&columns) {
            let what = no_column(what, field, &columns, task);
            return Err(Error::Data { name: data.path().display().to_string(), what });
        }
    }
    let reader = Reader { task, fields: &fields, answers, reference };
    let mut rows = Vec::new();
    data.each_row(|row| {
        rows.push(row.and_then(|row| {
            reader.document(&row).map_err(|what| Problem {
                index: row.index,
                place: row.place,
                what,
            })
        }));
    })?;
    Ok(Documents { file: data.path().to_owned(), sha256: data.sha256().to_owned(), rows })
}

/// Which of the ways to give answers the file has.
fn answers<'a>(fields: &'a Fields, columns: &[String]) -> Answers<'a> {
    let lists = fields.right.as_ref().zip(fields.wrong.as_ref());
    let marked = fields.choices.as_ref().zip(fields.answer.as_ref());
    let has = |(a, b): (&Field, &Field)| !a.lacks(columns) && !b.lacks(columns);
    match (lists, marked) {
        (Some((right, wrong)), marked) if marked.is_none_or(|m| has((right, wrong)) || !has(m)) => {
            Answers::Lists { right, wrong }
        }
        (_, Some((choices, answer))) => Answers::Marked { choices, answer },
        // A definition without either is refused; what is written is all that is left.
        _ => Answers::Written(fields.answer.as_ref().unwrap_or(&fields.question)),
    }
}

fn no_column(what: &str, field: &Field, columns: &[String], task: &Task) -> String {
    let names: Vec<&str> =
        columns.iter().map(String::as_str).filter(|name| !name.trim().is_empty()).collect();
    let near = field.columns.iter().find_map(|name| super::nearest(name, names.iter().copied()));
    let near = near.map(|near| format!(", of which '{near}' is the nearest")).unwrap_or_default();
    format!(
        "it has no column {}, which the task {} wants for the {what}; its columns are {}{near}",
        field.names(),
        task.name,
        names.join(", ")
    )
}

/// Reads rows of one file.
struct Reader<'a> {
    task: &'a Task,
    fields: &'a Fields,
    answers: Answers<'a>,
    reference: bool,
}

impl Reader<'_> {
    fn document(&self, row: &Row) -> Result<Document, String> {
        let columns = &row.columns;
        let need = |field: &Field| field.text(columns).map_err(|why| why.text(field, columns));
        let optional = |field: &Option<Field>| match field.as_ref().map(|f| f.text(columns)) {
            None | Some(Err(Missing::None)) => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(Missing::Wrong(what))) => Err(what),
        };
        let mut texts = vec![("question", need(&self.fields.question)?)];
        for (name, field) in &self.fields.more {
            texts.push((name, need(field)?));
        }
        let texts: BTreeMap<&str, &str> =
            texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let question = self.task.definition.prompt.question.render(&texts);
        let ask = match self.answers {
            Answers::Lists { right, wrong } => self.lists(columns, &question, right, wrong)?,
            Answers::Marked { choices, answer } => {
                self.marked(columns, &question, choices, answer)?
            }
            Answers::Written(answer) => {
                let mut all = Vec::new();
                for text in answer.texts(columns).map_err(|why| why.text(answer, columns))? {
                    if !all.contains(&text) {
                        all.push(text);
                    }
                }
                Ask::Answer(all)
            }
        };
        let id = optional(&self.fields.id)?;
        Ok(Document {
            index: row.index,
            id: id.unwrap_or_else(|| (row.index + 1).to_string()),
            category: optional(&self.fields.category)?,
            question,
            ask,
        })
    }

    /// The right answers and the wrong ones, the best in front where it is not among them.
    fn lists(
        &self,
        row: &Map<String, Value>,
        question: &str,
        right: &Field,
        wrong: &Field,
    ) -> Result<Ask, String> {
        let texts = |field: &Field| match field.texts(row) {
            Ok(texts) => Ok(texts),
            Err(Missing::None) => Ok(Vec::new()),
            Err(why) => Err(why.text(field, row)),
        };
        let (mut right_texts, mut wrong_texts) = (texts(right)?, texts(wrong)?);
        // An answer that is there twice would count twice, as it does in the public scripts.
        if !self.reference {
            for texts in [&mut right_texts, &mut wrong_texts] {
                let mut seen = HashSet::new();
                texts.retain(|text| seen.insert(text.clone()));
            }
        }
        let best = match &self.fields.best {
            Some(best) => match best.text(row) {
                Ok(text) => Some(text),
                Err(Missing::None) => None,
                Err(why) => return Err(why.text(best, row)),
            },
            None => None,
        };
        if let Some(best) = best.as_ref().filter(|best| !right_texts.contains(best)) {
            right_texts.insert(0, best.clone());
        }
        let none = |what: &str, field: &Field| {
            format!("has no {what} answer: {}", Missing::None.text(field, row))
        };
        if right_texts.is_empty() {
            return Err(none("right", right));
        }
        if wrong_texts.is_empty() {
            return Err(none("wrong", wrong));
        }
        // The public scripts go on with such a row, so their numbers have it in them.
        let both = right_texts.iter().find(|text| wrong_texts.contains(text));
        if let Some(text) = both.filter(|_| !self.reference) {
            return Err(format!("has '{text}' as a right and as a wrong answer"));
        }
        let best = best.and_then(|best| right_texts.iter().position(|text| *text == best));
        let right_count = right_texts.len();
        let all = right_texts.into_iter().chain(wrong_texts).enumerate();
        let candidate = |(number, text): (usize, String)| {
            self.candidate(question, text, number < right_count, number == best.unwrap_or(0))
        };
        Ok(Ask::Choice(all.map(candidate).collect()))
    }

    /// The choices, with those that the answer names as the right ones.
    fn marked(
        &self,
        row: &Map<String, Value>,
        question: &str,
        choices: &Field,
        answer: &Field,
    ) -> Result<Ask, String> {
        let texts = choices.texts(row).map_err(|why| why.text(choices, row))?;
        // It would be left out, and those behind it had other numbers.
        if choices.has_gap(row) {
            return Err("has an empty answer among its choices".to_owned());
        }
        let labels = match &self.fields.labels {
            Some(labels) => match labels.texts(row) {
                Ok(labels) if labels.len() != texts.len() => {
                    return Err(format!("has {} choices and {} labels", texts.len(), labels.len()));
                }
                Ok(labels) => labels,
                Err(Missing::None) => Vec::new(),
                Err(why) => return Err(why.text(labels, row)),
            },
            None => Vec::new(),
        };
        let is = self.fields.answer_is;
        let is_number = matches!(answer.value(row), Some(Value::Number(_)));
        let mut right = Vec::new();
        for text in answer.texts(row).map_err(|why| why.text(answer, row))? {
            let number = chosen(&text, is_number, is, &texts, &labels)?;
            if !right.contains(&number) {
                right.push(number);
            }
        }
        if right.len() == texts.len() {
            return Err(format!("has no wrong answer among its {} choices", texts.len()));
        }
        let both = right.iter().find(|&&number| {
            let same =
                |(other, text): (usize, &String)| *text == texts[number] && !right.contains(&other);
            texts.iter().enumerate().any(same)
        });
        if let Some(&number) = both.filter(|_| !self.reference) {
            return Err(format!("has '{}' as a right and as a wrong answer", texts[number]));
        }
        let candidate = |(number, text): (usize, String)| {
            self.candidate(question, text, right.contains(&number), right.first() == Some(&number))
        };
        Ok(Ask::Choice(texts.into_iter().enumerate().map(candidate).collect()))
    }

    fn candidate(&self, question: &str, text: String, right: bool, best: bool) -> Candidate {
        let definition = &self.task.definition;
        let blank = definition.blank_after_break(self.reference);
        let continuation = definition.prompt.continuation(question, &text, blank);
        Candidate { continuation, text, right, best }
    }
}

/// The number of the choice that an answer names, from 0. Where the definition does not say
/// how it names it: a number of JSON is an index, a text is a label, the choice itself, a
/// letter or an index, whichever fits first.
fn chosen(
    answer: &str,
    is_number: bool,
    is: Option<AnswerIs>,
    choices: &[String],
    labels: &[String],
) -> Result<usize, String> {
    let among = |texts: &[String]| texts.iter().position(|text| text.trim() == answer.trim());
    let letter = || match answer.trim().as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => {
            Some(usize::from(letter.to_ascii_uppercase() - b'A'))
        }
        _ => None,
    };
    let index = || answer.trim().parse::<usize>().ok();
    let number = match is {
        Some(AnswerIs::Index) => index(),
        Some(AnswerIs::Number) => index().and_then(|number| number.checked_sub(1)),
        Some(AnswerIs::Letter) => letter(),
        Some(AnswerIs::Label) => among(labels),
        Some(AnswerIs::Text) => among(choices),
        None if is_number && labels.is_empty() => index(),
        None => among(labels).or_else(|| among(choices)).or_else(letter).or_else(index),
    };
    number.filter(|&number| number < choices.len()).ok_or_else(|| {
        format!("has the answer '{answer}', which is none of its {} choices", choices.len())
    })
}

impl Missing {
    /// What is wrong, in a few words.
    fn text(&self, field: &Field, row: &Map<String, Value>) -> String {
        match self {
            Missing::Wrong(what) => what.clone(),
            Missing::None => match field.columns.iter().find(|name| row.contains_key(*name)) {
                Some(name) => format!("the column {name} is empty"),
                None => format!("the column {} is missing or empty", field.names()),
            },
        }
    }
}
