//! Asks every document, one after the other, and writes what comes of each into the log.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::time::Instant;

use crate::document::{Ask, Document, Documents, Header, Problem};
use crate::engine::{Engine, EngineError, Generate, Prompt};
use crate::log::{Log, Shard};
use crate::metric;
use crate::record::{Cost, Layers, Outcome, Record};
use crate::results::Scoring;
use crate::tune::{Half, HalfSetup};
use crate::{Error, Task};

/// A task with its documents, ready to be asked.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The task.
    pub task: Task,
    /// What stands in front of every question.
    pub header: Header,
    /// Its documents.
    pub documents: Documents,
    /// How answers are written, for a task that wants them.
    pub generate: Generate,
    /// How many of the first rows are asked.
    pub limit: usize,
    /// Which half of these, where not all of them are.
    pub half: Option<Half>,
}

/// What is to be asked.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The tasks, in order.
    pub tasks: &'a [Planned],
    /// The part of every task's documents.
    pub shard: Shard,
    /// Which scores are compared, for finding changed answers.
    pub scoring: Scoring,
    /// How many methods the engine has.
    pub methods: usize,
    /// The number of the method that the others are compared with.
    pub baseline: usize,
}

/// Why a run ended before its last document.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// It was interrupted: what is done is in the log.
    #[error("interrupted")]
    Interrupted,
    /// Nothing can be asked.
    #[error(transparent)]
    Engine(Box<dyn StdError + Send + Sync>),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] Error),
}

/// A document's place in a run: its task, by number, and its row.
type Place = (usize, usize);

impl Planned {
    /// The rows that are asked.
    fn rows(&self) -> &[Result<Document, Problem>] {
        &self.documents.rows[..self.limit.min(self.documents.rows.len())]
    }

    /// Whether a row is asked, in any part of a run.
    fn has(&self, row: usize) -> bool {
        let of_row = || self.rows().get(row).map(Half::of_row);
        self.half.is_none_or(|half| of_row() == Some(half))
    }

    /// The half that is asked, where not all of it is.
    pub fn half_setup(&self) -> Option<HalfSetup> {
        let rows = || (0..self.rows().len()).filter(|&row| self.has(row)).count();
        self.half.map(|half| HalfSetup { half, rows: rows() })
    }

    /// The name of its data, for people.
    fn data(&self) -> String {
        let file = &self.documents.file;
        file.file_name()
            .map_or_else(|| file.display().to_string(), |name| name.display().to_string())
    }
}

impl<'a> Run<'a> {
    /// The documents of this part, in the order in which they are asked.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<'a> {
        let shard = self.shard;
        self.tasks.iter().enumerate().flat_map(move |(task, planned)| {
            let is_asked = move |row: &usize| shard.has(*row) && planned.has(*row);
            (0..planned.rows().len()).filter(is_asked).map(move |row| (task, row))
        })
    }

    /// Asks the documents that `done` does not have. Each record goes into the log, and
    /// then to `each`.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn go(
        &self,
        engine: &mut dyn Engine,
        log: &mut Log,
        done: &[Record],
        each: &mut dyn FnMut(&Record),
    ) -> Result<(), Ended> {
        let done: HashSet<(&str, usize)> =
            done.iter().map(|record| (record.task.as_str(), record.index)).collect();
        let is_open =
            |&(task, row): &Place| !done.contains(&(self.tasks[task].task.name.as_str(), row));
        for place in self.places().filter(is_open) {
            let record = self.ask(engine, place)?;
            log.append(&record)?;
            each(&record);
        }
        Ok(())
    }

    /// Asks a document.
    ///
    /// # Errors
    /// [`Ended::Interrupted`] and [`Ended::Engine`].
    pub fn ask(
        &self,
        engine: &mut dyn Engine,
        (task, row): (usize, usize),
    ) -> Result<Record, Ended> {
        let planned = &self.tasks[task];
        let start = Instant::now();
        let mut record = Record {
            task: planned.task.name.clone(),
            index: row,
            id: (row + 1).to_string(),
            category: None,
            question: String::new(),
            outcome: Outcome::Problem { place: String::new(), what: String::new() },
            cost: Cost::default(),
            seconds: 0.0,
        };
        match &planned.rows()[row] {
            Err(Problem { place, what, .. }) => {
                record.outcome = Outcome::Problem { place: place.clone(), what: what.clone() };
            }
            Ok(document) => {
                record.id.clone_from(&document.id);
                record.category.clone_from(&document.category);
                record.question.clone_from(&document.question);
                match self.answered(engine, planned, document) {
                    Ok((outcome, cost)) => (record.outcome, record.cost) = (outcome, cost),
                    Err(EngineError::Document(what)) => {
                        let place = format!("{}, row {}", planned.data(), row + 1);
                        record.outcome = Outcome::Problem { place, what };
                    }
                    Err(EngineError::Interrupted) => return Err(Ended::Interrupted),
                    Err(EngineError::Failed(error)) => return Err(Ended::Engine(error)),
                }
            }
        }
        record.seconds = start.elapsed().as_secs_f64();
        Ok(record)
    }

    fn answered(
        &self,
        engine: &mut dyn Engine,
        planned: &Planned,
        document: &Document,
    ) -> Result<(Outcome, Cost), EngineError> {
        let prompt = Prompt { header: &planned.header, question: &document.question };
        match &document.ask {
            Ask::Choice(candidates) => {
                let (scored, cost) = engine.score(prompt, candidates)?;
                let judge = planned.task.judge();
                let chosen = |method| metric::chosen(judge, self.scoring, &scored, method);
                let text =
                    |chosen: Option<usize>| chosen.map(|number| &candidates[number].continuation);
                let own = text(chosen(self.baseline));
                let layers = self.layers(engine, prompt, |method| {
                    let other = text(chosen(method)).filter(|other| Some(*other) != own);
                    Some([own?.as_str(), other?.as_str()])
                })?;
                Ok((Outcome::Choice { candidates: scored, layers }, cost))
            }
            Ask::Answer(references) => {
                let (answers, cost) = engine.generate(prompt, &planned.generate)?;
                let own = answers.get(self.baseline).map(|answer| answer.text.as_str());
                let layers = self.layers(engine, prompt, |method| {
                    let other = answers.get(method).map(|answer| answer.text.as_str());
                    Some([own?, other.filter(|other| Some(*other) != own)?])
                })?;
                Ok((Outcome::Answer { references: references.clone(), answers, layers }, cost))
            }
        }
    }

    /// What the layers said where methods part from the one they are compared with.
    fn layers<'t>(
        &self,
        engine: &mut dyn Engine,
        prompt: Prompt<'_>,
        texts: impl Fn(usize) -> Option<[&'t str; 2]>,
    ) -> Result<Vec<Layers>, EngineError> {
        let mut layers = Vec::new();
        for method in (0..self.methods).filter(|&method| method != self.baseline) {
            if let Some(texts) = texts(method) {
                layers.extend(engine.look(prompt, texts, method)?);
            }
        }
        Ok(layers)
    }
}
