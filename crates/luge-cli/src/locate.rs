//! Finding a model by its name, and fetching it where it is not on this machine.

use std::borrow::Cow;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
#[cfg(feature = "atlas")]
use luge::builtin::NAME as BUILT_IN;
use luge_hub::{
    DatasetFile, Error, Event, Hub, HubName, Name, Ollama, OllamaName, Plan, Progress, Settings,
};
use luge_hub::{files_near, human_bytes, nearest};

use crate::args::FetchArgs;
use crate::failure::Failure;
use crate::{interrupt, output, settings};

/// What names the model that is built in elsewhere.
#[cfg(not(feature = "atlas"))]
const BUILT_IN: &str = "atlas";

/// Where a model comes from.
#[derive(Debug)]
pub enum Source {
    File(PathBuf),
    /// A store of models, into which it may have to be fetched first.
    Stored(Stored),
    /// The model that is built in, and whether it was asked for.
    #[cfg(feature = "atlas")]
    BuiltIn {
        named: bool,
    },
}

impl Source {
    /// The model as the user calls it.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Source::File(path) => path.to_string_lossy(),
            Source::Stored(stored) => Cow::Borrowed(&stored.text),
            #[cfg(feature = "atlas")]
            Source::BuiltIn { .. } => BUILT_IN.into(),
        }
    }
}

/// A model in a store.
#[derive(Debug)]
pub struct Stored {
    /// As it was named.
    text: String,
    pub place: Place,
    fetch: FetchArgs,
}

/// A store, and a name in it.
#[derive(Debug)]
pub enum Place {
    Hub(HubName),
    Ollama(OllamaName),
}

/// Reads a model's name. Nothing is looked up but whether there is a file of that name,
/// and for a name that is none, what is near it.
pub fn source(model: Option<&Path>, fetch: FetchArgs) -> Result<Source, Failure> {
    let Some(model) = model else { return built_in(false) };
    if model.as_os_str() == BUILT_IN {
        return built_in(true);
    }
    let stored = |place| {
        let text = model.to_string_lossy().into_owned();
        Source::Stored(Stored { text, place, fetch })
    };
    match Name::parse(model, settings::aliases())? {
        Name::Path(path) => match files_near(&path) {
            Some(error) => Err(error.into()),
            None => Ok(Source::File(path)),
        },
        Name::Hub(name) => Ok(stored(Place::Hub(name))),
        Name::Ollama(name) => Ok(stored(Place::Ollama(name))),
        Name::Unknown(word) if word == BUILT_IN => built_in(true),
        Name::Unknown(word) => Err(unknown(&word)),
    }
}

/// The file of a model, if it is on this machine.
pub fn on_this_machine(model: &Path) -> Option<PathBuf> {
    match source(Some(model), FetchArgs { yes: false, offline: true }).ok()? {
        Source::File(path) => Some(path),
        Source::Stored(stored) => stored.path().ok(),
        #[cfg(feature = "atlas")]
        Source::BuiltIn { .. } => None,
    }
}

#[cfg(feature = "atlas")]
fn built_in(named: bool) -> Result<Source, Failure> {
    Ok(Source::BuiltIn { named })
}

#[cfg(not(feature = "atlas"))]
fn built_in(named: bool) -> Result<Source, Failure> {
    Err(Failure::Usage(if named {
        format!(
            "the model {BUILT_IN} is not built in here: choose one with -m model.gguf, or write \
             ./{BUILT_IN} for a file of that name"
        )
    } else {
        "no model given, and none is built in: choose one with -m model.gguf".to_owned()
    }))
}

/// A word that names nothing: with what is near it on this machine.
fn unknown(word: &str) -> Failure {
    let mut names: Vec<String> = settings::aliases().keys().cloned().collect();
    if cfg!(feature = "atlas") {
        names.push(BUILT_IN.to_owned());
    }
    if let Ok(settings) = Settings::from_env() {
        names.extend(Ollama::new(&settings).names().iter().map(|name| format!("ollama:{name}")));
        names.extend(Hub::new(settings).cached().iter().map(|model| model.name.to_string()));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let near = match &nearest(word, &names, 3)[..] {
        [] => String::new(),
        names => format!("; the nearest on this machine: {}", names.join(", ")),
    };
    Failure::Run(format!(
        "there is no model '{word}'{near} (a model is a GGUF file, org/name on Hugging Face, or \
         ollama:name; luge list shows those on this machine)"
    ))
}

impl Stored {
    /// Its file. Where that is not there, it is asked for and fetched.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        let mut settings = Settings::from_env()?;
        settings.offline |= self.fetch.offline;
        let name = match &self.place {
            Place::Ollama(name) => {
                let model = Ollama::new(&settings).find(name)?;
                if !model.unused.is_empty() {
                    let unused = model.unused.join(" and ");
                    output::say(format_args!("the {unused} of {} will not be used", self.text));
                }
                return Ok(model.path);
            }
            Place::Hub(name) => name,
        };
        let hub = Hub::new(settings);
        if let Some(model) = hub.find(name)? {
            return Ok(model.path());
        }
        let may_ask = io::stdin().is_terminal() && output::is_watched();
        if !(self.fetch.yes || may_ask || hub.settings().offline) {
            return Err(Failure::Usage(format!(
                "'{name}' is not on this machine: fetch it with luge pull {name}, or give --yes \
                 to have it downloaded"
            )));
        }
        let mut fetching = Fetching::begin(hub);
        let plan = fetching.plan(name)?;
        fetching.ask_and_fetch(&plan, self.fetch)
    }
}

/// The file of a dataset. Where it is not on this machine, it is asked for and fetched.
pub fn dataset(name: &DatasetFile, fetch: FetchArgs) -> Result<PathBuf, Failure> {
    let mut settings = Settings::from_env()?;
    settings.offline |= fetch.offline;
    let hub = Hub::new(settings);
    if let Some(path) = hub.find_dataset(name) {
        return Ok(path);
    }
    let may_ask = io::stdin().is_terminal() && output::is_watched();
    if !(fetch.yes || may_ask || hub.settings().offline) {
        return Err(Failure::Usage(format!(
            "'{name}' is not on this machine: give --yes to have it downloaded, or name a file \
             with --data"
        )));
    }
    let mut fetching = Fetching::begin(hub);
    let plan = fetching.hub.plan_dataset(name, &mut fetching.report, &STOP)?;
    fetching.ask_and_fetch(&plan, fetch)
}

/// "Download org/name:Q4_0 (770 MB) into ~/.cache/huggingface/hub?"
fn question(plan: &Plan, settings: &Settings) -> String {
    let size = human_bytes(plan.size());
    let left = match plan.missing() {
        missing if missing < plan.size() => format!(", of which {} are left", human_bytes(missing)),
        _ => String::new(),
    };
    format!("Download {} ({size}{left}) into {}?", plan.chosen, shown(&settings.cache))
}

/// A path with the home directory as `~`.
fn shown(path: &Path) -> String {
    match std::env::home_dir().and_then(|home| Some(path.strip_prefix(home).ok()?.to_owned())) {
        Some(rest) => Path::new("~").join(rest).display().to_string(),
        None => path.display().to_string(),
    }
}

/// Asks a question with the answer that goes without saying. The end of input is a no.
pub fn ask(question: &str, usual: bool) -> Result<bool, Failure> {
    let mut err = anstream::stderr().lock();
    // Who cannot read it will not answer.
    let _ = write!(err, "{question} {} ", if usual { "[Y/n]" } else { "[y/N]" });
    let _ = err.flush();
    drop(err);
    let mut answer = String::new();
    let count = interrupt::ends_during(|| io::stdin().lock().read_line(&mut answer))
        .map_err(|error| Failure::Run(format!("cannot read the answer: {error}")))?;
    if count == 0 {
        let _ = writeln!(anstream::stderr().lock());
        return Ok(false);
    }
    Ok(match answer.trim().to_lowercase().as_str() {
        "" => usual,
        answer => matches!(answer, "y" | "yes"),
    })
}

/// Models on their way, with a word about how far they are.
pub struct Fetching {
    pub hub: Hub,
    report: Report,
}

/// No one stops a download but Ctrl-C, and that ends the program: a download can be left
/// at any moment, and the hub may just then be silent for long.
static STOP: AtomicBool = AtomicBool::new(false);

impl Fetching {
    pub fn begin(hub: Hub) -> Self {
        interrupt::ends(None);
        Fetching { hub, report: Report { bar: ProgressBar::hidden() } }
    }

    pub fn plan(&mut self, name: &HubName) -> Result<Plan, Failure> {
        Ok(self.hub.plan(name, &mut self.report, &STOP)?)
    }

    /// Fetches what someone agrees to, or has agreed to.
    fn ask_and_fetch(&mut self, plan: &Plan, fetch: FetchArgs) -> Result<PathBuf, Failure> {
        if !fetch.yes && !ask(&question(plan, self.hub.settings()), true)? {
            return Err(Failure::Run("nothing was downloaded".to_owned()));
        }
        self.fetch(plan)
    }

    pub fn fetch(&mut self, plan: &Plan) -> Result<PathBuf, Failure> {
        let result = self.hub.fetch(plan, &mut self.report, &STOP);
        self.report.bar.finish_and_clear();
        interrupt::ends(None);
        Ok(result?)
    }
}

/// Tells how far a download is: with a bar on a terminal, or else in a line at the
/// beginning and one at the end.
struct Report {
    bar: ProgressBar,
}

impl Report {
    /// Says something without the bar in between.
    fn say(&self, message: &str) {
        self.bar.suspend(|| output::say(format_args!("{message}")));
    }
}

impl Progress for Report {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Begin { file, size, done } => {
                interrupt::ends(Some("what came is kept: the same command goes on from there"));
                if output::is_watched() {
                    let style = ProgressStyle::with_template(
                        "{msg} {wide_bar} {decimal_bytes} of {decimal_total_bytes}, \
                         {decimal_bytes_per_sec}, {eta} left",
                    );
                    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
                    self.bar =
                        ProgressBar::new(size).with_style(style).with_message(file.to_owned());
                    self.bar.set_position(done);
                    // Also where nothing comes.
                    self.bar.enable_steady_tick(Duration::from_millis(200));
                    // What was there before did not come this fast.
                    self.bar.reset_eta();
                } else {
                    let begun = match done {
                        0 => String::new(),
                        done => format!(", of which {} are there", human_bytes(done)),
                    };
                    self.say(&format!("fetching {file} ({}{begun})", human_bytes(size)));
                }
            }
            Event::At(done) => self.bar.set_position(done),
            Event::End { file, size } => {
                self.bar.finish_and_clear();
                self.say(&format!("{file} is there, {}", human_bytes(size)));
            }
            Event::Waiting { file } => {
                self.say(&format!("another process is fetching {file}: waiting for it"));
            }
            Event::Retry { error, wait } => {
                let error = match error {
                    Error::Unreachable { host, reason } => {
                        format!("the connection to {host} failed ({reason})")
                    }
                    Error::Server { host, status } => format!("{host} answers with error {status}"),
                    Error::TooMany { host, .. } => format!("{host} refuses more requests for now"),
                    error => error.to_string(),
                };
                self.say(&format!("{error}; once more in {:.1} s", wait.as_secs_f64()));
            }
            _ => {}
        }
    }
}
