//! Tasks: what is asked and how it is judged, as data files.
//!
//! A task is a TOML file that says which columns of its data are what, how a question is
//! put to a model, and how answers are judged. `docs/tasks.md` has the format. Some are
//! built in.

mod builtin;
mod definition;
mod documents;
mod field;
mod template;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::data::DataFile;
use crate::document::{Documents, Header, Shot};
use crate::engine::Generate;
use crate::error::Error;
use crate::judge::Judge;
use definition::Definition;

/// What is asked, and how it is judged.
#[derive(Debug, Clone)]
pub struct Task {
    /// What it is called on the command line.
    pub name: String,
    /// What it is called in headings.
    pub title: String,
    definition: Definition,
    /// The definition as it was written.
    text: String,
}

/// What is wanted of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// That it finds a right answer the most probable of several.
    Choice,
    /// That it writes one.
    Answer,
}

/// Where a task's data are published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// The address of the file, or of the archive that has it.
    pub url: Option<String>,
    /// The dataset of the Hub, as `owner/name`.
    pub repo: Option<String>,
    /// The file in it.
    pub file: Option<String>,
    /// The revision of the dataset; `None` for the newest.
    pub revision: Option<String>,
    /// Other names under which people have the file, where a folder is given.
    pub names: Vec<String>,
    /// The name of the data that come with luge.
    pub builtin: Option<String>,
    /// How to get the data, in a sentence.
    pub how: Option<String>,
}

impl Task {
    /// Reads a definition from its text, and checks all of it. `file` names it in errors.
    ///
    /// # Errors
    /// [`Error::Definition`], with the line.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        let definition = Definition::parse(text, file)?;
        Ok(Self {
            name: definition.name.clone(),
            title: definition.title.clone(),
            definition,
            text: text.to_owned(),
        })
    }

    /// Reads a definition from its file.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Definition`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// A task that is built in.
    ///
    /// # Errors
    /// [`Error::UnknownTask`] with the nearest name and all there are.
    pub fn builtin(name: &str) -> Result<Self, Error> {
        match builtin::TASKS.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(text, &format!("{name}.toml")),
            None => {
                let names = || builtin::TASKS.iter().map(|(name, _)| *name);
                let hint = nearest(name, names())
                    .map(|near| format!(", did you mean '{near}'"))
                    .unwrap_or_default();
                let names = names().map(str::to_owned).collect();
                Err(Error::UnknownTask { name: name.to_owned(), hint, names })
            }
        }
    }

    /// The tasks that are built in.
    ///
    /// # Errors
    /// [`Error::Definition`], which tests rule out.
    pub fn all() -> Result<Vec<Self>, Error> {
        builtin::TASKS.iter().map(|(name, _)| Self::builtin(name)).collect()
    }

    /// The task for a file of one's own, by its columns: `choice` or `qa`, with the file's
    /// name.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Data`] with the columns that are wanted.
    pub fn for_file(path: &Path) -> Result<Self, Error> {
        Self::for_data(&DataFile::read(path)?)
    }

    /// The task for data of one's own, as [`Task::for_file`].
    ///
    /// # Errors
    /// [`Error::Data`].
    pub fn for_data(data: &DataFile) -> Result<Self, Error> {
        let columns = data.columns()?;
        for name in [builtin::CHOICE, builtin::QA] {
            let mut task = Self::builtin(name)?;
            if task.fits(&columns) {
                let file = data.path();
                let stem = file.file_stem().unwrap_or(file.as_os_str());
                task.name = stem.to_string_lossy().into_owned();
                task.title = file.file_name().unwrap_or(stem).to_string_lossy().into_owned();
                return Ok(task);
            }
        }
        Err(Error::Data {
            name: data.path().display().to_string(),
            what: format!(
                "its columns are {}, and luge wants question with answer, choices and answer, or \
                 correct and incorrect; a task of your own can name others",
                columns.join(", ")
            ),
        })
    }

    /// Whether data with these columns can be asked.
    fn fits(&self, columns: &[String]) -> bool {
        let fields = self.definition.fields(false);
        let has = |field: &Option<field::Field>| {
            field.as_ref().is_some_and(|field| !field.lacks(columns))
        };
        let answers = match self.definition.kind {
            Kind::Choice => {
                has(&fields.right) && has(&fields.wrong)
                    || has(&fields.choices) && has(&fields.answer)
            }
            Kind::Answer => has(&fields.answer),
        };
        answers && !fields.question.lacks(columns)
    }

    /// What it is about, in a few sentences.
    pub fn about(&self) -> &str {
        &self.definition.about
    }

    /// The address of the paper.
    pub fn paper(&self) -> Option<&str> {
        self.definition.paper.as_deref()
    }

    /// The address of its home.
    pub fn home(&self) -> Option<&str> {
        self.definition.home.as_deref()
    }

    /// The licence of its data.
    pub fn licence(&self) -> Option<&str> {
        self.definition.licence.as_deref()
    }

    /// What is wanted of a model.
    pub fn kind(&self) -> Kind {
        self.definition.kind
    }

    /// Where its data are published.
    pub fn source(&self) -> &Source {
        &self.definition.data
    }

    /// How its answers are judged.
    pub fn judge(&self) -> &Judge {
        &self.definition.judge
    }

    /// How answers are written; `None` where they are chosen.
    pub fn generate(&self) -> Option<Generate> {
        let keys = self.definition.generate.as_ref()?;
        Some(Generate { max_tokens: keys.max_tokens, stop: keys.stop.clone() })
    }

    /// What stands in front of every question: the task's own examples, or a text in place
    /// of them, exactly as it is. What parts it from the question is then part of it.
    pub fn header(&self, primer: Option<&str>) -> Header {
        if let Some(primer) = primer {
            return Header { description: primer.to_owned(), ..Header::default() };
        }
        let prompt = &self.definition.prompt;
        let blank = self.definition.blank_after_break(false);
        let shot = |shot: &BTreeMap<String, String>| {
            let fields = shot.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
            let question = prompt.question.render(&fields);
            let answer = shot.get("answer").map_or("", String::as_str);
            let answer = prompt.continuation(&question, answer, blank);
            Shot { question, answer }
        };
        Header {
            description: prompt.description.clone(),
            shots: prompt.shots.iter().map(shot).collect(),
            separator: prompt.separator.clone(),
        }
    }

    /// The SHA-256 of the definition with the header, in hexadecimal.
    pub fn sha256(&self, header: &Header) -> String {
        let mut hash = Sha256::new();
        // The length tells the end of the one from the beginning of the other.
        hash.update((self.text.len() as u64).to_le_bytes());
        hash.update(&self.text);
        hash.update(header.text());
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The questions of a file. With `reference`, read as the public scripts do.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Data`] for a file that lacks a column altogether.
    pub fn documents(&self, file: &Path, reference: bool) -> Result<Documents, Error> {
        self.documents_of(&DataFile::read(file)?, reference)
    }

    /// The questions of data that are in memory.
    ///
    /// # Errors
    /// [`Error::Data`].
    pub fn documents_of(&self, data: &DataFile, reference: bool) -> Result<Documents, Error> {
        documents::documents(self, data, reference)
    }
}

/// The candidate nearest to a name, if it is near enough to be a slip of the hand.
fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let near = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity > 0.8);
    near.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, candidate)| candidate)
}
