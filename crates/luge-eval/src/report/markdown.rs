//! `report.md`.

use super::{
    LEVEL, controls, could_not_be_asked, counted, difference_with_interval, duration, probability,
    reading, scoring, share, sharing, speed, thousands, title, tuning_notes, with_interval,
};
use crate::document::Problem;
use crate::results::{Results, Role, Scoring, TaskResults};
use crate::statistics::RESAMPLES;
use crate::tune::Half;

/// How many of a task's problems are listed.
const PROBLEMS: usize = 20;

/// The results as a Markdown document: what was run and how to run it again, and for each
/// task its tables with what they say.
pub fn markdown(results: &Results) -> String {
    let mut text = String::new();
    text += &format!("# luge eval: {}\n\n", plain(&results.setup.model.name));
    text += &what_was_run(results);
    for task in &results.tasks {
        text += &of_task(results, task);
    }
    text + &tuning(results)
}

fn what_was_run(results: &Results) -> String {
    let setup = &results.setup;
    let model = &setup.model;
    let scoring = match setup.scoring {
        Scoring::Normalised => "sums of normalised log-probabilities",
        Scoring::Reference => {
            "as the public scripts of SLED and DoLa have it; each metric says which sums it \
             compares"
        }
    };
    let mut text = format!(
        "* Model: {}, {} bytes, SHA-256 {}\n* luge {}, finished {}, {} at work{}\n* Scoring \
         of candidates: {scoring}\n* Seed: {}\n",
        plain(&model.name),
        thousands(model.bytes),
        code(&model.sha256),
        plain(&setup.luge),
        plain(&results.times.finished),
        duration(results.times.seconds),
        speed(results).map(|speed| format!(": {speed}")).unwrap_or_default(),
        setup.seed,
    );
    if !setup.engine.is_null() {
        text += &format!("* Engine: {}\n", code(&setup.engine.to_string()));
    }
    text += &format!("\nTo run it again:\n\n{}\n", block(&results.setup.command));

    let role = |role| match role {
        Role::Baseline => "what the others are compared with",
        Role::Asked => "asked for",
        Role::Control => "control",
    };
    let methods = setup.methods.iter();
    let methods = methods
        .map(|method| vec![code(&method.name), code(&method.text), role(method.role).into()]);
    text += &table(&["method", "with all parameters", "why"], 3, methods);
    if let Some(names) = listed(controls(results).map(code)) {
        text += &format!(
            "Controls ({names}) were added to show what a part of a method does by itself, as \
             SLED's cut to the most probable tokens does without any step. What a control gains \
             or loses against greedy is no work of the layers.\n\n"
        );
    }
    let asked = setup.methods.iter().filter(|method| method.role == Role::Asked).count();
    text += &format!(
        "All numbers are in percent, differences in percentage points. Intervals are 95% intervals: the bootstrap's middle 95% over \
         {} resamples of the documents, the same for all methods. Differences are to greedy, \
         document by document; p is two-sided, corrected by Holm for the {} asked for on one \
         metric of one task, not for several metrics or tasks; a control's as if it had been \
         asked for too. A difference whose interval includes 0 shows none, which is not to say \
         that there is none. Where the interval leaves 0 out and the corrected p is not below \
         {LEVEL}, it may be chance.\n\n",
        thousands(RESAMPLES as u64),
        if asked == 1 { "one method".to_owned() } else { counted(asked, "method") },
    );
    text
}

fn of_task(results: &Results, task: &TaskResults) -> String {
    let mut text = format!("## {} ({})\n\n", plain(&title(results, task)), code(&task.task));
    if let Some(setup) = results.setup.tasks.iter().find(|setup| setup.name == task.task) {
        let mut asked = if setup.limit < setup.rows {
            format!("the first {} of {}", thousands(setup.limit as u64), counted(setup.rows, "row"))
        } else {
            counted(setup.rows, "row")
        };
        if let Some(half) = setup.half {
            let rows = thousands(half.rows as u64);
            asked += &format!(", of these the {} of {rows}", half.half.name());
        }
        text += &format!(
            "{}, {asked}, SHA-256 {}; definition {}.\n\n",
            code(&setup.data),
            code(&setup.data_sha256),
            code(&setup.definition_sha256)
        );
    }
    if task.documents == 0 {
        text += "There is no document to say anything about.\n\n";
    } else {
        text += &means(results, task);
        text += &differences(results, task);
        text += &changes(task);
        text += &categories(results, task);
    }
    text += &problems(&task.problems);
    if let Some(sentence) = sharing(task) {
        text += &format!("{sentence}\n\n");
    }
    text
}

fn means(results: &Results, task: &TaskResults) -> String {
    let mut text = caption(results, task, "Percent with 95% intervals");
    let names = task.metrics.iter().map(|metric| metric.name.as_str());
    let header: Vec<&str> = ["method"].into_iter().chain(names).collect();
    let rows = results.setup.methods.iter().enumerate().map(|(number, method)| {
        let methods = task.metrics.iter().filter_map(|metric| metric.methods.get(number));
        let means = methods.map(|method| with_interval(method.mean, method.interval));
        [code(&method.name)].into_iter().chain(means).collect()
    });
    text += &table(&header, 1, rows);
    for metric in &task.metrics {
        text += &format!("* {}: {}\n", code(&metric.name), plain(&metric.about));
    }
    text.push('\n');
    let mut all = task.metrics.iter().flat_map(|metric| &metric.methods);
    if all.any(|method| method.interval[0] == method.interval[1]) {
        text += "An interval of one point says no more than that all documents here are \
                 alike.\n\n";
    }
    text
}

fn differences(results: &Results, task: &TaskResults) -> String {
    let mut rows = Vec::new();
    for metric in &task.metrics {
        for method in &metric.methods {
            let Some(versus) = &method.versus_greedy else { continue };
            rows.push(vec![
                code(&metric.name),
                code(&method.method),
                reading(versus).to_owned(),
                difference_with_interval(versus.difference, versus.interval),
                probability(versus.p_corrected),
                probability(versus.p),
                plain(&versus.test),
                versus.better.to_string(),
                versus.worse.to_string(),
            ]);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let header = [
        "metric",
        "method",
        "beside greedy",
        "difference",
        "p, corrected",
        "p",
        "test",
        "higher on",
        "lower on",
    ];
    let caption = caption(results, task, "Differences to greedy, in percentage points");
    caption + &table(&header, 3, rows.into_iter())
}

fn changes(task: &TaskResults) -> String {
    let Some(first) = task.metrics.first() else { return String::new() };
    if task.changes.is_empty() {
        return String::new();
    }
    let caption = format!(
        "**Answers that are not greedy's, of {}; better and worse by {}:**\n\n",
        counted(task.documents, "document"),
        code(&first.name)
    );
    let header = ["method", "changed", "for better", "for worse", "neither"];
    let rows = task.changes.iter().map(|changes| {
        let neither = changes.changed.saturating_sub(changes.better + changes.worse);
        let part = share(changes.changed as u64, task.documents as u64);
        vec![
            code(&changes.method),
            format!("{} ({part})", changes.changed),
            changes.better.to_string(),
            changes.worse.to_string(),
            neither.to_string(),
        ]
    });
    caption + &table(&header, 1, rows)
}

fn categories(results: &Results, task: &TaskResults) -> String {
    let Some(first) = task.metrics.first() else { return String::new() };
    if first.categories.is_empty() {
        return String::new();
    }
    let mut text = caption(results, task, &format!("{} by category", code(&first.name)));
    let names: Vec<String> =
        results.setup.methods.iter().map(|method| code(&method.name)).collect();
    let mut header = vec!["category", "documents"];
    header.extend(names.iter().map(String::as_str));
    let rows = first.categories.iter().map(|category| {
        let means = category.means.iter().zip(&category.intervals);
        let means = means.map(|(&mean, &interval)| with_interval(mean, interval));
        let documents = thousands(category.documents as u64);
        [plain(&category.category), documents].into_iter().chain(means).collect()
    });
    text += &table(&header, 1, rows);
    text += "No difference was tested within a category";
    if task.metrics.len() > 1 {
        text += "; `results.json` has the other metrics";
    }
    text + ".\n\n"
}

fn problems(problems: &[Problem]) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let mut text = format!("**{}; in no number above:**\n\n", could_not_be_asked(problems.len()));
    for problem in problems.iter().take(PROBLEMS) {
        text += &format!("* {}: {}\n", plain(&problem.place), plain(&problem.what));
    }
    if let Some(more) = problems.len().checked_sub(PROBLEMS).filter(|&more| more > 0) {
        text += &format!("* and {} more, in `results.json`\n", thousands(more as u64));
    }
    text + "\n"
}

/// How a setting was chosen, and what came of it; nothing where nothing was tuned.
fn tuning(results: &Results) -> String {
    let Some(tuning) = &results.tuning else { return String::new() };
    let mut text = format!("## {}\n\n", plain(&super::tuning::title(tuning)));
    for note in tuning_notes(results) {
        text += &format!("* {}\n", plain(&note));
    }
    let grid: Vec<String> = tuning
        .grid
        .iter()
        .map(|axis| code(&format!("{}={}", axis.name, axis.values.join(", "))))
        .collect();
    if !grid.is_empty() {
        text += &format!("\nSearched: {}.\n", grid.join("; "));
    }
    text += &format!("\n**The best of them on the {}:**\n\n", Half::Tuning.name());
    let rows = super::tuning::rows(tuning).into_iter();
    let rows = rows.map(|row| row.iter().map(|cell| plain(cell)).collect());
    let header = ["", &plain(&tuning.method), &format!("{}, percent", plain(&tuning.metric))];
    text += &table(&header, 2, rows);
    text + &problems(&tuning.problems)
}

fn caption(results: &Results, task: &TaskResults, what: &str) -> String {
    let documents = counted(task.documents, "document");
    format!("**{what}; {documents}; {}:**\n\n", scoring(results, task))
}

/// A table; all but its first columns stand to the right. Cells are Markdown already.
fn table(header: &[&str], left: usize, rows: impl Iterator<Item = Vec<String>>) -> String {
    let row = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<&str> = cells.collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = row(&mut header.iter().copied());
    let rule = |column: usize| if column < left { "---" } else { "--:" };
    text += &row(&mut (0..header.len()).map(rule));
    for cells in rows {
        text += &row(&mut cells.iter().map(String::as_str));
    }
    text + "\n"
}

/// Text in which Markdown sees no marks, on one line.
fn plain(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~' => {
                escaped.extend(['\\', c]);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped.trim().to_owned()
}

/// Text as code, on one line, in a table or out of it.
fn code(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.replace('|', "\\|");
    let marks = "`".repeat(longest_run(&line) + 1);
    // A blank keeps a mark in the text apart from those around it.
    let blank =
        if line.starts_with('`') || line.ends_with('`') || line.is_empty() { " " } else { "" };
    format!("{marks}{blank}{line}{blank}{marks}")
}

/// Lines for a shell.
fn block(text: &str) -> String {
    let marks = "`".repeat((longest_run(text) + 1).max(3));
    format!("{marks}sh\n{text}\n{marks}\n")
}

/// How many backticks stand together at most.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// `a`, `a and b`, `a, b and c`; nothing of nothing.
fn listed(names: impl Iterator<Item = String>) -> Option<String> {
    let mut names: Vec<String> = names.collect();
    let last = names.pop()?;
    Some(if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) })
}
