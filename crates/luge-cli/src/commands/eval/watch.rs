//! How far an evaluation is, and what it comes to so far.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use luge_eval::results::{Role, Setup};
use luge_eval::{Record, Run, metric};

use super::super::counted;
use crate::output;

/// How many methods a line has room for. Of more, it has the first, which the others are
/// compared with, and the best.
const MOST: usize = 6;

/// Tells how far an evaluation is: on a terminal with a bar, or else in a line at the
/// beginning and one at the end.
pub struct Watch<'a> {
    bar: ProgressBar,
    setup: &'a Setup,
    /// Of each task, its documents so far, and each method's sum of the first metric.
    sums: Vec<(usize, Vec<f64>)>,
    /// The last one's task.
    at: usize,
    /// Whether the time left is shown, which the first document tells.
    is_timed: bool,
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl<'a> Watch<'a> {
    /// Begins with what is done already.
    pub fn new(setup: &'a Setup, run: &Run<'_>, done: &[Record], folder: &Path) -> Self {
        let all = run.places().count();
        let asked = setup.methods.iter().filter(|method| method.role != Role::Control).count();
        let controls = match setup.methods.len() - asked {
            0 => String::new(),
            count => format!(" and {}", counted(count, "control")),
        };
        let rest = match done.len() {
            0 => String::new(),
            done => format!(", {done} of them done before"),
        };
        let half = match setup.tasks.first().and_then(|task| task.half) {
            Some(half) => format!(" of the {}", half.half.name()),
            None => String::new(),
        };
        output::say(format_args!(
            "{}{half}{rest}, {}{controls}; log and report in '{}'",
            counted(all, "document"),
            counted(asked, "method"),
            folder.display(),
        ));
        let bar = match output::is_watched() {
            false => ProgressBar::hidden(),
            true => ProgressBar::new(all as u64).with_style(style("{bar:10} {pos}/{len}")),
        };
        bar.set_position(done.len() as u64);
        // What is done says nothing of how long the rest takes.
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(500));
        let sums = setup.tasks.iter().map(|_| (0, vec![0.0; setup.methods.len()])).collect();
        let mut watch = Watch { bar, setup, sums, at: 0, is_timed: false };
        done.iter().for_each(|record| watch.count(record));
        watch.show();
        watch
    }

    /// One more is done.
    pub fn add(&mut self, record: &Record) {
        self.count(record);
        if !self.is_timed {
            self.bar.set_style(style("{bar:10} {pos}/{len}, {eta} left  {wide_msg}"));
            self.is_timed = true;
        }
        self.bar.inc(1);
        self.show();
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn count(&mut self, record: &Record) {
        let Setup { tasks, scoring, methods, .. } = self.setup;
        let Some(at) = tasks.iter().position(|task| task.name == record.task) else { return };
        self.at = at;
        let (documents, sums) = &mut self.sums[at];
        let judge = &tasks[at].judge;
        let mut is_asked = false;
        for (method, sum) in (0..methods.len()).zip(sums) {
            let values = metric::values(judge, *scoring, &record.outcome, method);
            if let Some(value) = values.first() {
                *sum += value;
                is_asked = true;
            }
        }
        *documents += usize::from(is_asked);
    }

    /// The running result of the task at hand.
    fn show(&self) {
        let (documents, sums) = &self.sums[self.at];
        if *documents == 0 {
            return;
        }
        let task = &self.setup.tasks[self.at];
        let name = task.judge.metrics.first().map_or("", |metric| metric.name());
        let means = self.setup.methods.iter().zip(sums);
        let mut means: Vec<_> = means.filter(|(method, _)| method.role != Role::Control).collect();
        let percent = |sum: &f64| format!("{:.1}", 100.0 * sum / *documents as f64);
        let mut best = None;
        if means.len() > MOST {
            best = means.iter().skip(1).copied().max_by(|(_, a), (_, b)| a.total_cmp(b));
            means.truncate(1);
        }
        let means = means.iter().map(|(method, sum)| format!("{} {}", method.name, percent(sum)));
        let mut means: Vec<String> = means.collect();
        // Its name may be long, and is last.
        means.extend(best.map(|(method, sum)| format!("best {}, {}", percent(sum), method.name)));
        self.bar.set_message(format!("{} {name}: {}", task.name, means.join("  ")));
    }
}
