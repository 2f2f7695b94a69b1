//! What an evaluation is to ask: tasks with their data, methods, and how they are counted.

use std::path::{Path, PathBuf};

use luge::GenerateOptions;
use luge_eval::results::Scoring;
use luge_eval::task::Kind;
use luge_eval::{DataFile, Planned, Shard, Task};
use luge_hub::DatasetFile;

use super::method::{Method, named_methods};
use super::{ModelJob, model, sampling};
use crate::args::{EvalArgs, EvalMergeArgs, FetchArgs, Format, Given, QuestionArgs, ScoringArg};
use crate::failure::Failure;
use crate::{locate, output};

/// An evaluation.
pub struct EvalJob {
    pub model: ModelJob,
    pub questions: Questions,
    /// Each method as it was written, and parsed.
    pub methods: Vec<(String, Method)>,
    pub controls: bool,
    pub options: GenerateOptions,
    /// None where the folder is named for what is run.
    pub out: Option<PathBuf>,
    pub shard: Shard,
    pub dry_run: bool,
    pub format: Format,
}

/// What is asked, and how it is counted.
pub struct Questions {
    pub tasks: Vec<Planned>,
    pub chat: bool,
    pub scoring: Scoring,
}

impl Questions {
    /// Says which flags do nothing, as they are about written answers and there are none.
    pub fn remark_on_idle(&self, given: &Given) {
        if self.tasks.iter().any(|own| own.task.kind() == Kind::Answer) {
            return;
        }
        for flag in ["predict", "temp", "stop", "ignore-eos"] {
            if given.has(&flag.replace('-', "_")) {
                output::say(format_args!("--{flag} does nothing where no answer is written"));
            }
        }
    }
}

/// What `luge eval` is to do.
pub enum Eval {
    List(Format),
    Run(Box<EvalJob>),
}

pub fn eval(args: EvalArgs) -> Result<Eval, Failure> {
    if args.list {
        return Ok(Eval::List(args.format));
    }
    if args.tasks.is_empty() {
        return Err(Failure::Usage(
            "name a task, or a file of questions: luge eval --list shows the tasks that are built \
             in"
            .to_owned(),
        ));
    }
    let methods = named_methods(&args.methods, &args.params, &[])?;
    let stop = args.sampling.stop.clone();
    let most = usize::try_from(args.sampling.predict).ok();
    let questions = questions(&args.tasks, args.questions, most, &stop, args.model.fetch)?;
    questions.remark_on_idle(&args.sampling.given);
    Ok(Eval::Run(Box::new(EvalJob {
        questions,
        model: model(args.model, &args.context)?,
        methods,
        controls: !args.no_controls,
        options: sampling(args.sampling),
        out: args.out,
        shard: args.shard.unwrap_or(Shard::WHOLE),
        dry_run: args.dry_run,
        format: args.format,
    })))
}

/// The tasks with their data. `most` and `stop` stand in the place of what a task says of
/// its written answers.
pub fn questions(
    names: &[String],
    args: QuestionArgs,
    most: Option<usize>,
    stop: &[String],
    fetch: FetchArgs,
) -> Result<Questions, Failure> {
    let scoring = match args.scoring {
        ScoringArg::Normalised => Scoring::Normalised,
        ScoringArg::Reference => Scoring::Reference,
    };
    let primer = args.primer.as_deref().map(read_primer).transpose()?;
    let mut data = Data::new(&args.data, names)?;
    let mut tasks: Vec<Planned> = Vec::new();
    for name in names {
        let (task, file) = task(name, &mut data, fetch)?;
        if tasks.iter().any(|known| known.task.name == task.name) {
            return Err(Failure::Usage(format!("the task {} is named twice", task.name)));
        }
        let documents = task.documents_of(&file, scoring == Scoring::Reference)?;
        let mut generate = task.generate().unwrap_or_default();
        if let Some(most) = most {
            generate.max_tokens = most;
        }
        if !stop.is_empty() {
            generate.stop = stop.to_vec();
        }
        let rows = documents.rows.len();
        let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
        tasks.push(Planned {
            header: task.header(primer.as_deref()),
            limit: limit.unwrap_or(rows).min(rows),
            documents,
            generate,
            half: None,
            task,
        });
    }
    data.check_used()?;
    Ok(Questions { tasks, chat: args.apply_chat_template, scoring })
}

fn read_primer(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::Run(format!("cannot read the primer '{}': {error}", path.display()))
    })
}

/// The files that `--data` names.
struct Data {
    /// For the one task that there is, or a folder for all of them, and whether it has been
    /// taken.
    only: Option<(PathBuf, bool)>,
    /// By the name of the task as it was written, and whether it has been taken.
    named: Vec<(String, PathBuf, bool)>,
}

impl Data {
    fn new(given: &[String], tasks: &[String]) -> Result<Self, Failure> {
        let mut data = Data { only: None, named: Vec::new() };
        for text in given {
            let named = text.split_once('=').filter(|(name, _)| tasks.iter().any(|t| t == name));
            match named {
                Some((name, path)) => data.named.push((name.to_owned(), path.into(), false)),
                None if is_other_task(text) => {
                    return Err(Failure::Usage(format!(
                        "--data {text} is for a task that is not asked: those that are asked are \
                         {}",
                        tasks.join(", "),
                    )));
                }
                None if data.only.is_none() => data.only = Some((text.into(), false)),
                None => {
                    return Err(Failure::Usage(format!(
                        "--data {text}: with several, write the task in front of each, as in \
                         --data {}=PATH",
                        tasks.first().map_or("TASK", String::as_str),
                    )));
                }
            }
        }
        // A folder may hold the data of all.
        let is_file = data.only.as_ref().is_some_and(|(path, _)| !path.is_dir());
        if is_file && tasks.len() > 1 {
            return Err(Failure::Usage(format!(
                "--data names one file for several tasks: write the task in front of it, as in \
                 --data {}=PATH, or name a folder",
                tasks[0],
            )));
        }
        Ok(data)
    }

    fn of(&mut self, task: &str) -> Option<PathBuf> {
        let named = self.named.iter_mut().find(|(name, _, _)| name == task);
        match named {
            Some((_, path, taken)) => {
                *taken = true;
                Some(path.clone())
            }
            None => self.only.as_mut().map(|(path, taken)| {
                *taken = true;
                path.clone()
            }),
        }
    }

    /// Nothing that was given is to be passed over.
    fn check_used(&self) -> Result<(), Failure> {
        if let Some((path, false)) = &self.only {
            return Err(Failure::Usage(format!(
                "--data {} does nothing: the tasks are files of questions themselves, or have \
                 another --data",
                path.display()
            )));
        }
        match self.named.iter().find(|(_, _, taken)| !taken) {
            Some((name, path, _)) => Err(Failure::Usage(format!(
                "--data {name}={} does nothing: {name} is a file of questions itself, or was \
                 given twice",
                path.display()
            ))),
            None => Ok(()),
        }
    }
}

/// Whether this is `NAME=PATH` with a task that is built in, and not a path itself.
fn is_other_task(text: &str) -> bool {
    let name = text.split_once('=').map(|(name, _)| name);
    !Path::new(text).exists() && name.is_some_and(|name| Task::builtin(name).is_ok())
}

/// A task by its name on the command line, with its data.
fn task(name: &str, data: &mut Data, fetch: FetchArgs) -> Result<(Task, DataFile), Failure> {
    let path = Path::new(name);
    let is_definition = path.extension().is_some_and(|extension| extension == "toml");
    let is_file = path.extension().is_some() || path.components().count() > 1;
    if is_file && !is_definition {
        let file = DataFile::read(path)?;
        return Ok((Task::for_data(&file)?, file));
    }
    let task = if is_definition { Task::read(path)? } else { Task::builtin(name)? };
    let file = match data.of(name) {
        Some(path) if path.is_dir() => DataFile::read(&in_folder(&task, &path)?)?,
        Some(path) if !path.exists() && is_dataset(&path) => {
            let file = DatasetFile::parse(&path.to_string_lossy())?;
            DataFile::read(&locate::dataset(&file, fetch)?)?
        }
        Some(path) => DataFile::read(&path)?,
        None => published(&task, fetch)?,
    };
    Ok((task, file))
}

/// Whether what is no file here names one of a dataset on Hugging Face.
fn is_dataset(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.starts_with("datasets/") || text.starts_with("https://huggingface.co/datasets/")
}

/// The file of a task's data in a folder: under the name with which it is published, or
/// another that people give it.
fn in_folder(task: &Task, folder: &Path) -> Result<PathBuf, Failure> {
    let source = task.source();
    let published = [source.url.as_deref(), source.file.as_deref()];
    let published =
        published.into_iter().flatten().filter_map(|address| address.rsplit('/').next());
    // The others say more: test.jsonl may be anyone's.
    let names: Vec<&str> = source.names.iter().map(String::as_str).chain(published).collect();
    let found = names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        Failure::Run(format!(
            "'{}' has none of the data of {} ({}): name the file with --data",
            folder.display(),
            task.name,
            if names.is_empty() {
                "which has no file of its own".to_owned()
            } else {
                names.join(", ")
            },
        ))
    })
}

/// The data of a task as they are published: built in, or on Hugging Face.
fn published(task: &Task, fetch: FetchArgs) -> Result<DataFile, Failure> {
    let source = task.source();
    #[cfg(feature = "atlas")]
    if source.builtin.is_some() {
        let (name, text) = ("questions.jsonl", luge::builtin::QUESTIONS);
        return Ok(DataFile::from_bytes(Path::new(name), text.as_bytes().to_vec())?);
    }
    #[cfg(not(feature = "atlas"))]
    if source.builtin.is_some() {
        return Err(Failure::Usage(format!(
            "the questions of {} are not built in here: name their file with --data, \
             models/atlas/questions.jsonl of luge's sources",
            task.name
        )));
    }
    match (&source.repo, &source.file) {
        (Some(repo), Some(file)) => {
            let file = DatasetFile::new(repo, source.revision.as_deref(), file)?;
            Ok(DataFile::read(&locate::dataset(&file, fetch)?)?)
        }
        _ => {
            let how = source.how.as_deref().unwrap_or("It takes a file of them.");
            let url = source.url.as_ref().map(|url| format!(", {url}")).unwrap_or_default();
            Err(Failure::Usage(format!(
                "the data of {} are not at hand: name their file with --data ({}{url})",
                task.name,
                how.trim_end_matches('.'),
            )))
        }
    }
}

/// Parts of an evaluation to put together.
pub struct EvalMergeJob {
    pub paths: Vec<PathBuf>,
    pub out: PathBuf,
    pub format: Format,
}

pub fn eval_merge(args: EvalMergeArgs) -> Result<EvalMergeJob, Failure> {
    let folder = |path: &PathBuf| {
        if path.is_dir() { path.clone() } else { path.parent().unwrap_or(Path::new("")).to_owned() }
    };
    let first = args.paths.first().map(folder);
    let out = args.out.or(first).ok_or_else(|| Failure::Usage("name a folder".to_owned()))?;
    Ok(EvalMergeJob { paths: args.paths, out, format: args.format })
}
