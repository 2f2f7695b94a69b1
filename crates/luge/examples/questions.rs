//! How often does each method answer the questions of models/atlas?
//!
//! ```sh
//! cargo run --release -p luge --example questions             # the built-in model
//! cargo run --release -p luge --example questions -- MODEL    # another
//! ```
//!
//! Two ways of answering: *by choice*, where the answer is the one of four whose
//! log-probability under the method, with a full stop behind it, is the largest
//! (where several are, there is no answer: methods that keep a few tokens score
//! all others alike), and *by generation*, where it is the first of the four that
//! greedy text under the method contains. Prints Markdown: for each method the
//! answers that are right, with 95% Wilson intervals, those that are the popular
//! wrong one, the questions without an answer, how many it answers better and
//! worse than the final layer alone, and the p-value of a sign test on these, not
//! corrected for the number of comparisons. The one to look at first is SLED at
//! its defaults on the popular-but-wrong questions, by choice.
//!
//! The first two tables have the methods at their defaults, on all questions. For
//! the other two, settings are searched on one half of the questions, split by a
//! hash of their subjects, for the most right answers by choice, and counted on
//! the other half; greedy is in them for the same half.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread;

use luge::{GenerateOptions, Model, ModelParams, Params, Pipeline, Session, SessionOptions};
use serde::Deserialize;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Deserialize)]
struct Question {
    kind: String,
    subject: String,
    prompt: String,
    answer: String,
    popular: String,
    others: Vec<String>,
}

impl Question {
    /// The four answers: the right one, the popular one, the others.
    fn answers(&self) -> impl Iterator<Item = &str> {
        let others = self.others.iter().map(String::as_str);
        [self.answer.as_str(), self.popular.as_str()].into_iter().chain(others)
    }

    /// Whether settings are chosen on this question; otherwise they are tested on
    /// it. By FNV-1a, which stays the same everywhere.
    fn is_validation(&self) -> bool {
        let hash = self.subject.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash >> 63 == 0
    }
}

/// What a method said to a question: the number of the answer, 0 for the right
/// one and 1 for the popular one; None where it has none.
#[derive(Clone, Copy)]
struct Said {
    chosen: Option<usize>,
    generated: Option<usize>,
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let model = match args.next() {
        Some(path) => Model::load(Path::new(&path), &ModelParams::default())?,
        None => luge::builtin::load(&ModelParams::default())?,
    };
    let path = args.next().map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/atlas/questions.jsonl"),
        PathBuf::from,
    );
    let text = std::fs::read_to_string(&path)?;
    let questions: Vec<Question> =
        text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;

    println!("### At the defaults, all questions\n");
    let all: Vec<&Question> = questions.iter().collect();
    let methods = ["greedy", "dola", "ensemble", "sled"];
    report(&model, &all, &methods.map(str::to_owned))?;

    let (validation, test): (Vec<&Question>, Vec<&Question>) =
        questions.iter().partition(|question| question.is_validation());
    println!(
        "### With settings chosen on {} questions, tested on the other {}\n",
        validation.len(),
        test.len()
    );
    let mut best = vec!["greedy".to_owned()];
    for (method, settings) in searched() {
        let mut found: Option<(usize, String)> = None;
        let tried = settings.len();
        for setting in settings {
            let said = ask(&model, &validation, &setting, false)?;
            let right = said.iter().filter(|said| said.chosen == Some(0)).count();
            if found.as_ref().is_none_or(|(most, _)| right > *most) {
                found = Some((right, setting));
            }
        }
        if let Some((right, setting)) = found {
            println!("* {method}: `{setting}` of {tried} settings, right by choice {right} times");
            best.push(setting);
        }
    }
    println!();
    report(&model, &test, &best)
}

/// The settings tried for each method.
fn searched() -> Vec<(&'static str, Vec<String>)> {
    let norms = ["raw", "final"];
    let mut sled = Vec::new();
    let mut dola = Vec::new();
    let mut ensemble = Vec::new();
    for norm in norms {
        for layers in ["all", "high"] {
            for rate in ["0.5", "1", "2", "4"] {
                for scale in [5, 10, 20, 50] {
                    sled.push(format!(
                        "sled(evolution-rate={rate},evolution-scale={scale},layers={layers},exit-norm={norm})"
                    ));
                }
            }
            for weights in ["uniform", "linear"] {
                ensemble.push(format!(
                    "ensemble(ensemble-weights={weights},layers={layers},exit-norm={norm})"
                ));
            }
        }
        for layers in ["low", "high"] {
            for top in ["0", "0.01", "0.1"] {
                dola.push(format!("dola(relative-top={top},layers={layers},exit-norm={norm})"));
            }
        }
    }
    vec![("dola", dola), ("ensemble", ensemble), ("sled", sled)]
}

/// Prints two tables, one for each way of answering. The first method is the one
/// that the others are compared with.
fn report(model: &Model, questions: &[&Question], methods: &[String]) -> Result<()> {
    let said: Vec<Vec<Said>> =
        methods.iter().map(|method| ask(model, questions, method, true)).collect::<Result<_>>()?;
    let mut kinds: Vec<Option<&str>> = Vec::new();
    for kind in questions.iter().map(|question| Some(question.kind.as_str())) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.push(None);
    type Way = fn(&Said) -> Option<usize>;
    let ways: [(&str, Way); 2] =
        [("choice", |said| said.chosen), ("generation", |said| said.generated)];
    for (way, answer) in ways {
        println!(
            "| by {way} | questions | method | right, % | 95% | popular, % | none, % | better, worse | p |"
        );
        println!("|---|--:|---|--:|---|--:|--:|---|--:|");
        for &kind in &kinds {
            let asked: Vec<usize> = (0..questions.len())
                .filter(|&index| kind.is_none_or(|kind| questions[index].kind == kind))
                .collect();
            for (method, answers) in methods.iter().zip(&said) {
                let name = method.split('(').next().unwrap_or(method);
                let count = |of: &dyn Fn(usize) -> bool| asked.iter().filter(|&&i| of(i)).count();
                let gave = |answers: &[Said], index: usize, number: usize| {
                    answer(&answers[index]) == Some(number)
                };
                let right = count(&|index| gave(answers, index, 0));
                let popular = count(&|index| gave(answers, index, 1));
                let none = count(&|index| answer(&answers[index]).is_none());
                let better = count(&|i| gave(answers, i, 0) && !gave(&said[0], i, 0));
                let worse = count(&|i| !gave(answers, i, 0) && gave(&said[0], i, 0));
                let (low, high) = wilson(right, asked.len());
                let compared = match (method == &methods[0], sign_test(better, worse)) {
                    (true, _) => "| ".to_owned(),
                    (false, p) if p < 0.01 => format!("{better}, {worse} | <0.01"),
                    (false, p) => format!("{better}, {worse} | {p:.2}"),
                };
                println!(
                    "| {} | {} | {name} | {:.1} | {low:.1} to {high:.1} | {:.1} | {:.1} | {compared} |",
                    kind.unwrap_or("all"),
                    asked.len(),
                    percent(right, asked.len()),
                    percent(popular, asked.len()),
                    percent(none, asked.len()),
                );
            }
        }
        println!();
    }
    Ok(())
}

/// What a method says to each question.
fn ask(model: &Model, questions: &[&Question], method: &str, generate: bool) -> Result<Vec<Said>> {
    let workers = thread::available_parallelism()?.get();
    let pipeline = Pipeline::parse(method, &Params::default())?;
    thread::scope(|scope| {
        let parts = questions.chunks(questions.len().div_ceil(workers).max(1));
        let running: Vec<_> = parts
            .map(|part| {
                let pipeline = &pipeline;
                scope.spawn(move || -> Result<Vec<Said>> {
                    let options = SessionOptions { threads: Some(1), ..SessionOptions::default() };
                    let mut session = Session::new(model, &options)?;
                    part.iter().map(|q| say(&mut session, q, pipeline, generate)).collect()
                })
            })
            .collect();
        let mut said = Vec::with_capacity(questions.len());
        for part in running {
            said.extend(part.join().map_err(|_| "a worker panicked")??);
        }
        Ok(said)
    })
}

fn say(
    session: &mut Session,
    question: &Question,
    pipeline: &Pipeline,
    generate: bool,
) -> Result<Said> {
    let decoder = session.decoder(pipeline)?;
    let mut scores = Vec::new();
    for answer in question.answers() {
        // Closed, as otherwise a word is never less probable than a longer one
        // that begins with it: "A" and "Ag".
        let closed = format!("{}.", answer.trim_end_matches('.'));
        let (prompt, answer) = session.tokenize_pair(&question.prompt, &closed)?;
        scores.push(session.score(&decoder, &prompt, &answer)?.sum_logprob);
    }
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut best = (0..scores.len()).filter(|&number| scores[number] == largest);
    let chosen = best.next().filter(|_| best.next().is_none());
    let mut generated = None;
    if generate {
        let prompt = session.model().tokenize_prompt(&question.prompt)?;
        let options = GenerateOptions {
            max_tokens: Some(32),
            stop: vec!["\n".to_owned()],
            ..GenerateOptions::default()
        };
        let text = session.generate(&decoder, &prompt, &options)?.finish()?.text;
        generated = first_in(&text, question.answers());
    }
    Ok(Said { chosen, generated })
}

/// Which answer comes first in a text, as whole words; of several in one place
/// the longest.
fn first_in<'a>(text: &str, answers: impl Iterator<Item = &'a str>) -> Option<usize> {
    let found = answers.enumerate().filter_map(|(number, answer)| {
        let answer = answer.trim();
        let is_whole = |at: usize| {
            let before = text[..at].chars().next_back();
            let after = text[at + answer.len()..].chars().next();
            ![before, after].iter().flatten().any(|c| c.is_alphanumeric())
        };
        let (at, _) = text.match_indices(answer).find(|&(at, _)| is_whole(at))?;
        Some((at, usize::MAX - answer.len(), number))
    });
    found.min().map(|(_, _, number)| number)
}

/// The two-sided p-value of a sign test (McNemar's exact test): how likely a
/// difference at least this large is if better and worse are a coin's sides.
fn sign_test(better: usize, worse: usize) -> f64 {
    let (n, least) = (better + worse, better.min(worse));
    // ln of the binomial coefficients, from one to the next.
    let mut ln_ways = 0.0f64;
    let mut tail = 0.0;
    for k in 0..=least {
        tail += (ln_ways - n as f64 * std::f64::consts::LN_2).exp();
        ln_ways += ((n - k) as f64 / (k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// The 95% Wilson score interval of a proportion, in percent.
fn wilson(part: usize, whole: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let n = whole.max(1) as f64;
    let p = part as f64 / n;
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let centre = p + Z * Z / (2.0 * n);
    let scale = 100.0 / (1.0 + Z * Z / n);
    ((scale * (centre - spread)).max(0.0), (scale * (centre + spread)).min(100.0))
}
