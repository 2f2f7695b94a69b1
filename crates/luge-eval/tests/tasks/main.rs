//! Tasks: their definitions, and the questions that they make of rows.

mod builtin;
mod definition;
mod published;
mod random;
mod rows;

use std::fmt::Write;
use std::path::Path;

use luge_eval::{Ask, DataFile, Document, Documents, Task};

const CHOICE: &str = r#"
name = "t"
title = "T"
about = "A test."
kind = "choice"
[fields]
question = "q"
right = { column = "right", split = ";" }
wrong = { column = "wrong", split = ";" }
best = "best"
[judge]
metrics = ["acc"]
"#;

const MARKED: &str = r#"
name = "t"
title = "T"
about = "A test."
kind = "choice"
[fields]
question = "q"
choices = ["choices.text", "choices"]
labels = "choices.label"
answer = "answer"
[judge]
metrics = ["acc"]
"#;

const ANSWER: &str = r#"
name = "t"
title = "T"
about = "A test."
kind = "answer"
[fields]
question = "q"
answer = ["answer.aliases", "answer"]
id = "id"
category = "group"
[generate]
max_tokens = 8
stop = ["\n"]
[judge]
metrics = ["exact_match"]
"#;

fn documents(task: &str, name: &str, text: &str) -> Result<Documents, String> {
    let text_of = |error: luge_eval::Error| error.to_string();
    let task = Task::parse(task, "t.toml").map_err(text_of)?;
    let data = DataFile::from_bytes(Path::new(name), text.as_bytes().to_vec()).map_err(text_of)?;
    task.documents_of(&data, false).map_err(text_of)
}

/// Questions, a line for each: right answers with a plus, the best with two.
fn shown(documents: &Documents) -> String {
    let mut text = String::new();
    for row in &documents.rows {
        match row {
            Ok(document) => writeln!(text, "{}", line(document)).unwrap(),
            Err(problem) => writeln!(text, "{} {}", problem.place, problem.what).unwrap(),
        }
    }
    text
}

fn line(document: &Document) -> String {
    let category = document.category.as_deref().unwrap_or("-");
    let mut line = format!("{} [{category}] {:?}:", document.id, document.question);
    match &document.ask {
        Ask::Choice(candidates) => {
            for candidate in candidates {
                let mark = match (candidate.right, candidate.best) {
                    (true, true) => "++",
                    (true, false) => "+",
                    (false, _) => "-",
                };
                write!(line, " {mark}{:?}", candidate.continuation).unwrap();
            }
        }
        Ask::Answer(answers) => write!(line, " {answers:?}").unwrap(),
    }
    line
}
