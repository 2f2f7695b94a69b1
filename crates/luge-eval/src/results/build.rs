//! From records to results.

use std::collections::BTreeMap;

use super::{
    CategoryResults, Changes, Comparison, MethodResults, MetricResults, Results, Role, Setup,
    TaskResults, Times,
};
use crate::document::Problem;
use crate::judge::{Judge, Metric};
use crate::metric;
use crate::record::{Cost, Outcome, Record};
use crate::statistics::{Bootstrap, holm, mcnemar};

/// What documents without a group are called in a breakdown.
pub const NO_CATEGORY: &str = "(none)";

impl Results {
    /// What the records come to. They may come in any order, at most one for each row of a
    /// task. With the same setup and the same records the results are the same to the bit.
    pub fn new(setup: Setup, records: &[Record], times: Times) -> Self {
        let tasks = setup.tasks.iter().map(|task| {
            let mut records: Vec<&Record> =
                records.iter().filter(|record| record.task == task.name).collect();
            records.sort_by_key(|record| record.index);
            of_task(&setup, &task.name, &task.judge, &records)
        });
        let tasks = tasks.collect();
        Self { setup, tasks, tuning: None, times }
    }

    /// The number of the method that the others are compared with.
    pub fn baseline(&self) -> usize {
        baseline(&self.setup)
    }
}

fn baseline(setup: &Setup) -> usize {
    setup.methods.iter().position(|method| method.role == Role::Baseline).unwrap_or(0)
}

/// A document that was asked, and what it is worth: `[methods × metrics]`.
struct Judged<'a> {
    record: &'a Record,
    values: Vec<Vec<f64>>,
}

fn of_task(setup: &Setup, task: &str, judge: &Judge, records: &[&Record]) -> TaskResults {
    let mut problems = Vec::new();
    let mut documents = Vec::new();
    let mut cost = Cost::default();
    for record in records {
        cost += record.cost;
        let problem = |place: &str, what: &str| Problem {
            index: record.index,
            place: place.to_owned(),
            what: what.to_owned(),
        };
        if let Outcome::Problem { place, what } = &record.outcome {
            problems.push(problem(place, what));
            continue;
        }
        let methods = 0..setup.methods.len();
        let values =
            methods.map(|method| metric::values(judge, setup.scoring, &record.outcome, method));
        let values: Vec<Vec<f64>> = values.collect();
        if values.iter().all(|values| values.len() == judge.metrics.len()) {
            documents.push(Judged { record, values });
        } else {
            // Such a record is of another run. It must not go unseen.
            let what = "its record is not one of these methods and metrics";
            problems.push(problem(&format!("{task}, {}", record.id), what));
        }
    }
    TaskResults {
        task: task.to_owned(),
        documents: documents.len(),
        problems,
        cost,
        metrics: metrics(setup, judge, &documents),
        changes: changes(setup, judge, &documents),
    }
}

fn metrics(setup: &Setup, judge: &Judge, documents: &[Judged<'_>]) -> Vec<MetricResults> {
    let methods = setup.methods.len();
    let all: Vec<&Judged<'_>> = documents.iter().collect();
    let series = series(judge, methods, &all);
    let bootstrap = Bootstrap::new(&series, setup.seed);
    let mut categories = by_category(setup, judge, documents);
    let numbered = judge.metrics.iter().enumerate();
    let of_metric = |(number, metric): (usize, &Metric)| MetricResults {
        name: metric.name().to_owned(),
        about: metric.about(judge, setup.scoring),
        is_binary: metric.is_binary(),
        methods: of_methods(setup, *metric, number * methods, &series, &bootstrap),
        categories: categories.get_mut(number).map(std::mem::take).unwrap_or_default(),
    };
    numbered.map(of_metric).collect()
}

/// A number for each document: `[metrics × methods]` series.
fn series(judge: &Judge, methods: usize, documents: &[&Judged<'_>]) -> Vec<Vec<f64>> {
    let all = (0..judge.metrics.len()).flat_map(|metric| (0..methods).map(move |m| (metric, m)));
    let one = |(metric, method): (usize, usize)| {
        documents.iter().map(|document| document.values[method][metric]).collect()
    };
    all.map(one).collect()
}

/// The methods under a metric whose series begin with `first`.
fn of_methods(
    setup: &Setup,
    metric: Metric,
    first: usize,
    series: &[Vec<f64>],
    bootstrap: &Bootstrap<'_>,
) -> Vec<MethodResults> {
    let greedy = baseline(setup);
    let compare = |method: usize| {
        let (this, other) = (first + method, first + greedy);
        let pairs = || series[this].iter().zip(&series[other]);
        let better = pairs().filter(|(value, greedy)| value > greedy).count();
        let worse = pairs().filter(|(value, greedy)| value < greedy).count();
        let (test, p) = if metric.is_binary() {
            ("McNemar, exact", mcnemar(better, worse))
        } else {
            ("paired bootstrap", bootstrap.p(this, other))
        };
        Comparison {
            difference: bootstrap.difference(this, other),
            interval: bootstrap.difference_interval(this, other),
            test: test.to_owned(),
            p,
            p_corrected: p,
            better,
            worse,
        }
    };
    let result = |(number, method): (usize, &super::MethodSetup)| MethodResults {
        method: method.name.clone(),
        mean: bootstrap.mean(first + number),
        interval: bootstrap.interval(first + number),
        versus_greedy: (number != greedy).then(|| compare(number)),
    };
    let mut results: Vec<MethodResults> = setup.methods.iter().enumerate().map(result).collect();
    let roles: Vec<Role> = setup.methods.iter().map(|method| method.role).collect();
    correct(&roles, &mut results);
    results
}

/// Corrects the p-values of the methods that were asked for, by their number. One of a
/// control is corrected as if it had been asked for as well, it alone; controls change
/// nothing of the others.
pub(super) fn correct(roles: &[Role], results: &mut [MethodResults]) {
    let compared = roles.iter().zip(results).filter_map(|(role, result)| {
        result.versus_greedy.as_mut().map(|comparison| (*role == Role::Asked, comparison))
    });
    let mut compared: Vec<(bool, &mut Comparison)> = compared.collect();
    let asked = compared.iter().filter(|(is_asked, _)| *is_asked);
    let asked: Vec<f64> = asked.map(|(_, comparison)| comparison.p).collect();
    let mut corrected = holm(&asked).into_iter();
    for (is_asked, comparison) in &mut compared {
        let p = if *is_asked {
            corrected.next()
        } else {
            holm(&[asked.as_slice(), &[comparison.p]].concat()).pop()
        };
        comparison.p_corrected = p.unwrap_or(comparison.p);
    }
}

/// For each metric its groups; none where no document has one.
fn by_category(
    setup: &Setup,
    judge: &Judge,
    documents: &[Judged<'_>],
) -> Vec<Vec<CategoryResults>> {
    let mut categories = vec![Vec::new(); judge.metrics.len()];
    let mut groups: BTreeMap<&str, Vec<&Judged<'_>>> = BTreeMap::new();
    for document in documents {
        let category = document.record.category.as_deref();
        groups.entry(category.unwrap_or(NO_CATEGORY)).or_default().push(document);
    }
    if documents.iter().all(|document| document.record.category.is_none()) {
        return categories;
    }
    let methods = setup.methods.len();
    for (category, documents) in groups {
        let series = series(judge, methods, &documents);
        let bootstrap = Bootstrap::new(&series, setup.seed);
        for (number, categories) in categories.iter_mut().enumerate() {
            let series = number * methods..(number + 1) * methods;
            categories.push(CategoryResults {
                category: category.to_owned(),
                documents: documents.len(),
                means: series.clone().map(|series| bootstrap.mean(series)).collect(),
                intervals: series.map(|series| bootstrap.interval(series)).collect(),
            });
        }
    }
    categories
}

fn changes(setup: &Setup, judge: &Judge, documents: &[Judged<'_>]) -> Vec<Changes> {
    let greedy = baseline(setup);
    let answer = |document: &Judged<'_>, method| {
        metric::answer(judge, setup.scoring, &document.record.outcome, method)
    };
    let greedy_answers: Vec<String> =
        documents.iter().map(|document| answer(document, greedy)).collect();
    let others = setup.methods.iter().enumerate().filter(|(method, _)| *method != greedy);
    let changes = others.map(|(method, setup)| {
        let mut changes = Changes { method: setup.name.clone(), changed: 0, better: 0, worse: 0 };
        for (document, greedy_answer) in documents.iter().zip(&greedy_answers) {
            if answer(document, method) == *greedy_answer {
                continue;
            }
            let value = |method: usize| document.values[method].first();
            changes.changed += 1;
            changes.better += usize::from(value(method) > value(greedy));
            changes.worse += usize::from(value(method) < value(greedy));
        }
        changes
    });
    changes.collect()
}
