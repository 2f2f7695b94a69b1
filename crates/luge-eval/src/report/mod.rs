//! Results for people: as Markdown, as a page, and as tables for the terminal.
//!
//! Nothing is said here that the numbers do not say. A method whose difference to greedy
//! could as well be 0 shows none, however large its mean is.

mod html;
mod markdown;
mod shown;
mod tuning;

pub use html::{Shown, ShownAnswer, ShownDocument, ShownTask, html};
pub use markdown::markdown;
pub use shown::shown;
pub use tuning::tuning_notes;

use crate::judge::Metric;
use crate::record::Cost;
use crate::results::{Comparison, MetricResults, Results, Role, Scoring, TaskResults, TaskSetup};

/// Above this a corrected p-value is no sign of a difference.
pub const LEVEL: f64 = 0.05;

/// What a comparison with greedy shows, in a few words.
///
/// `higher` or `lower` takes both: an interval without 0, and a corrected p-value below
/// [`LEVEL`].
pub fn reading(comparison: &Comparison) -> &'static str {
    let [low, high] = comparison.interval;
    if comparison.better == 0 && comparison.worse == 0 {
        "the same on every document"
    } else if low <= 0.0 && high >= 0.0 {
        "no difference shown"
    } else if comparison.p_corrected >= LEVEL {
        "unclear, may be chance"
    } else if comparison.difference > 0.0 {
        "higher"
    } else {
        "lower"
    }
}

/// What is compared, for the caption of a task's table.
pub fn scoring(results: &Results, task: &TaskResults) -> &'static str {
    let is_metric = |metric: Metric| task.metrics.iter().any(|found| found.name == metric.name());
    match results.setup.scoring {
        _ if is_metric(Metric::ExactMatch) || is_metric(Metric::F1) => "written answers",
        Scoring::Normalised => "scoring: sums of normalised log-probabilities",
        Scoring::Reference => "scoring: as the public scripts of SLED and DoLa have it",
    }
}

/// A task's results in at most 100 columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it shows: the task, how many documents, and the scoring.
    pub title: String,
    /// What the columns are called.
    pub header: Vec<String>,
    /// A row for each metric and method, as long as the header.
    pub rows: Vec<Vec<String>>,
    /// What has to be said with it, a sentence each.
    pub notes: Vec<String>,
}

/// A table for each task, for the terminal, and one of the settings that were tried.
pub fn tables(results: &Results) -> Vec<Table> {
    results.tasks.iter().map(|task| table(results, task)).chain(tuning::table(results)).collect()
}

fn table(results: &Results, task: &TaskResults) -> Table {
    let header = ["", "method", "percent (95%)", "to greedy (95%)", "p, Holm", "better", "worse"];
    let (mut body, mut notes) = (Vec::new(), Vec::new());
    if task.documents == 0 {
        notes.push("There is no document to say anything about.".to_owned());
    } else {
        body.extend(task.metrics.iter().flat_map(rows));
        notes.extend(task.metrics.first().and_then(readings));
    }
    notes.extend(problems(task));
    notes.extend(sharing(task));
    Table {
        title: format!(
            "{}; {}; {}",
            title(results, task),
            counted(task.documents, "document"),
            scoring(results, task)
        ),
        header: header.map(str::to_owned).to_vec(),
        rows: body,
        notes,
    }
}

fn rows(metric: &MetricResults) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (number, method) in metric.methods.iter().enumerate() {
        let name = if number == 0 { metric.name.clone() } else { String::new() };
        let mut row =
            vec![name, method.method.clone(), with_interval(method.mean, method.interval)];
        row.extend(match &method.versus_greedy {
            None => [const { String::new() }; 4],
            Some(versus) => [
                difference_with_interval(versus.difference, versus.interval),
                probability(versus.p_corrected),
                versus.better.to_string(),
                versus.worse.to_string(),
            ],
        });
        rows.push(row);
    }
    rows
}

/// What the methods show under a metric, in a sentence; nothing where there is none but
/// greedy.
fn readings(metric: &MetricResults) -> Option<String> {
    let compared = metric.methods.iter().filter_map(|method| {
        let versus = method.versus_greedy.as_ref()?;
        Some(format!("{} {}", method.method, reading(versus)))
    });
    let compared: Vec<String> = compared.collect();
    if compared.is_empty() {
        return None;
    }
    Some(format!("{} beside greedy: {}.", metric.name, compared.join("; ")))
}

/// What a task is called in headings.
fn title(results: &Results, task: &TaskResults) -> String {
    match results.setup.tasks.iter().find(|setup| setup.name == task.task) {
        None => task.task.clone(),
        Some(TaskSetup { title, half: None, .. }) => title.clone(),
        Some(TaskSetup { title, half: Some(half), .. }) => format!("{title}, {}", half.half.name()),
    }
}

/// The names of the methods that are controls.
fn controls(results: &Results) -> impl Iterator<Item = &str> {
    let controls = results.setup.methods.iter().filter(|method| method.role == Role::Control);
    controls.map(|method| method.name.as_str())
}

/// What sharing passes between methods and candidates saved, in a sentence; nothing where
/// nothing was computed.
fn sharing(task: &TaskResults) -> Option<String> {
    let cost = task.cost;
    if cost.tokens_alone == 0 {
        return None;
    }
    let instead = |done: u64, alone: u64| match alone.checked_sub(done) {
        Some(saved) => format!("instead of {} ({} saved)", thousands(alone), share(saved, alone)),
        // Where one method can do without its exits, another may not.
        None => format!("instead of {} ({} more)", thousands(alone), thousands(done - alone)),
    };
    let mut sentence = format!(
        "Shared by methods and candidates, {} tokens went through the transformer {}",
        thousands(cost.tokens),
        instead(cost.tokens, cost.tokens_alone)
    );
    if cost.exits_alone > 0 {
        sentence += &format!(
            ", and {} exits were computed {}",
            thousands(cost.exits),
            instead(cost.exits, cost.exits_alone)
        );
    }
    Some(sentence + ".")
}

/// The rows that could not be asked, with the first few in full.
fn problems(task: &TaskResults) -> Vec<String> {
    const NAMED: usize = 3;
    let rows = task.problems.len();
    if rows == 0 {
        return Vec::new();
    }
    let named = task.problems.iter().take(NAMED);
    let named = named.map(|problem| format!("  {}: {}", problem.place, problem.what));
    let others = rows.saturating_sub(NAMED);
    let others = (others > 0).then(|| format!("  and {others} more, in results.json"));
    let are = if rows == 1 { "it is" } else { "they are" };
    let first = format!("{}; {are} in no number:", could_not_be_asked(rows));
    [first].into_iter().chain(named).chain(others).collect()
}

/// How fast it went: `812 tokens and 9,120 exits a second`; nothing where nothing was
/// computed.
pub fn speed(results: &Results) -> Option<String> {
    let mut cost = Cost::default();
    results.tasks.iter().for_each(|task| cost += task.cost);
    let seconds = results.times.seconds;
    if cost.tokens == 0 || seconds <= 0.0 {
        return None;
    }
    let each = |count: u64| thousands((count as f64 / seconds).round() as u64);
    let exits = match cost.exits {
        0 => String::new(),
        exits => format!(" and {} exits", each(exits)),
    };
    Some(format!("{} tokens{exits} a second", each(cost.tokens)))
}

/// `2.0 s`, `5 min 12 s`, `3 h 4 min`.
pub fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let minutes = (seconds / 60.0) as u64;
    if minutes < 60 {
        format!("{minutes} min {} s", seconds as u64 % 60)
    } else {
        format!("{} h {} min", minutes / 60, minutes % 60)
    }
}

fn could_not_be_asked(rows: usize) -> String {
    format!("{} could not be asked", counted(rows, "row"))
}

/// `1 row`, `1,036 rows`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", thousands(count as u64))
}

/// `1,036`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in percent: `72.8%`; of nothing, `0.0%`.
fn share(part: u64, whole: u64) -> String {
    format!("{}%", percent(if whole == 0 { 0.0 } else { part as f64 / whole as f64 }))
}

/// `72.8`, of 0.728.
pub fn percent(value: f64) -> String {
    let text = format!("{:.1}", 100.0 * value);
    match text.strip_prefix('-') {
        Some("0.0") => "0.0".to_owned(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// `+1.2` or `−1.2`: percent with a sign.
pub fn signed_percent(value: f64) -> String {
    let text = percent(value);
    if text == "0.0" || text.starts_with('−') { text } else { format!("+{text}") }
}

/// `72.8 (69.7 to 75.8)`.
pub fn with_interval(value: f64, [low, high]: [f64; 2]) -> String {
    format!("{} ({} to {})", percent(value), percent(low), percent(high))
}

/// `+1.2 (−0.3 to +2.8)`.
pub fn difference_with_interval(value: f64, [low, high]: [f64; 2]) -> String {
    format!("{} ({} to {})", signed_percent(value), signed_percent(low), signed_percent(high))
}

/// A p-value: `0.034`, `<0.001`. It is rounded up, so that it says no more than there is,
/// but never over [`LEVEL`]: `<0.050`.
pub fn probability(p: f64) -> String {
    // What is a thousandth but for its last bit is one.
    let rounded = ((p * 1000.0 - 1e-9).ceil() / 1000.0).min(1.0);
    if p < 0.001 {
        "<0.001".to_owned()
    } else if p < LEVEL && rounded >= LEVEL {
        format!("<{LEVEL:.3}")
    } else {
        format!("{rounded:.3}")
    }
}

#[cfg(test)]
mod tests;
