//! From records to what the page shows of them.

use super::{Shown, ShownAnswer, ShownDocument, ShownTask};
use crate::judge::Judge;
use crate::metric;
use crate::record::{Outcome, Record};
use crate::results::{Results, Scoring, TaskSetup};

/// The documents of each task with what each method made of them, for
/// [`html`](super::html()). The records are in any order.
pub fn shown<'a>(results: &Results, records: &'a [Record]) -> Vec<ShownTask<'a>> {
    let scoring = results.setup.scoring;
    let task = |task: &TaskSetup| {
        let judge = &task.judge;
        let mut own: Vec<&Record> =
            records.iter().filter(|record| record.task == task.name).collect();
        own.sort_by_key(|record| record.index);
        let asked = own.into_iter().filter(|own| !matches!(own.outcome, Outcome::Problem { .. }));
        let document = |record: &'a Record| ShownDocument {
            record,
            methods: methods(results, judge, &record.outcome),
        };
        ShownTask {
            raw: scoring == Scoring::Reference && judge.reference.raw,
            documents: asked.map(document).collect(),
        }
    };
    results.setup.tasks.iter().map(task).collect()
}

/// What each method made of a document.
fn methods(results: &Results, judge: &Judge, outcome: &Outcome) -> Vec<Shown> {
    let scoring = results.setup.scoring;
    let said = |method: usize| metric::answer(judge, scoring, outcome, method);
    let own = said(results.baseline());
    let shown = |method: usize| {
        let answer = said(method);
        let values = metric::values(judge, scoring, outcome, method);
        Shown {
            changed: answer != own,
            value: values.first().copied().unwrap_or(0.0),
            answer: match outcome {
                Outcome::Choice { candidates, .. } => {
                    ShownAnswer::Candidate(metric::chosen(judge, scoring, candidates, method))
                }
                _ => ShownAnswer::Text((!answer.is_empty()).then_some(answer)),
            },
        }
    };
    (0..results.setup.methods.len()).map(shown).collect()
}
