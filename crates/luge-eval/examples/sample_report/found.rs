//! What one may say about an invented run.

use luge_eval::report::{Shown, ShownDocument, ShownTask};
use luge_eval::results::{
    CategoryResults, Changes, Comparison, MethodResults, MetricResults, ModelSetup, Scoring, Setup,
    TaskResults, Times,
};
use luge_eval::{Cost, Record, Results};
use serde_json::json;

use crate::sample::{Run, Task};

impl Run {
    /// As `report::html` wants its documents.
    pub fn shown(&self) -> Vec<ShownTask<'_>> {
        self.tasks
            .iter()
            .map(|task| ShownTask {
                raw: self.scoring == Scoring::Reference,
                documents: task
                    .records
                    .iter()
                    .map(|(record, shown)| ShownDocument { record, methods: shown.clone() })
                    .collect(),
            })
            .collect()
    }

    /// As `results.json` has them. The intervals are those of a normal distribution: near
    /// enough for a picture.
    pub fn results(&self) -> Results {
        let names: Vec<&str> = self.methods.iter().map(|method| method.name.as_str()).collect();
        Results {
            setup: Setup {
                command: format!(
                    "luge eval {} -m sample-1B-Q4_K_M.gguf --methods greedy,dola,sled --data questions --seed 1234",
                    self.tasks
                        .iter()
                        .map(|task| task.setup.name.as_str())
                        .collect::<Vec<_>>()
                        .join(" ")
                ),
                luge: "0.1.0".into(),
                model: ModelSetup {
                    name: "sample-1B-Q4_K_M.gguf".into(),
                    bytes: 807_694_464,
                    sha256: "c4a1f7be0d5e92a86f13b7d9e0a4c8f2d6b1e5a9c3f7d0b4e8a2c6f0d4b8e2a6"
                        .into(),
                },
                methods: self.methods.clone(),
                scoring: self.scoring,
                seed: 1234,
                engine: json!({ "context": 4096, "cache_type_k": "f16", "cache_type_v": "f16", "chat_template": false }),
                tasks: self.tasks.iter().map(|task| task.setup.clone()).collect(),
            },
            tasks: self.tasks.iter().map(|task| task.results(&names)).collect(),
            tuning: None,
            times: Times { finished: "2026-03-14T15:09:26Z".into(), seconds: 421.0 },
        }
    }
}

impl Task {
    fn results(&self, names: &[&str]) -> TaskResults {
        let all: Vec<&(Record, Vec<Shown>)> = self.records.iter().collect();
        let metrics = self.metrics.iter().enumerate();
        let mut cost = Cost::default();
        for (record, _) in &self.records {
            cost += record.cost;
        }
        let changes = |method: usize| {
            let changed: Vec<f64> = all
                .iter()
                .filter(|(_, shown)| shown[method].changed)
                .map(|(_, shown)| shown[method].value - shown[0].value)
                .collect();
            Changes {
                method: names[method].into(),
                changed: changed.len(),
                better: changed.iter().filter(|by| **by > 0.0).count(),
                worse: changed.iter().filter(|by| **by < 0.0).count(),
            }
        };
        TaskResults {
            task: self.setup.name.clone(),
            documents: self.records.len(),
            problems: self.problems.clone(),
            cost,
            metrics: metrics.map(|(i, &about)| metric(i, about, names, &all)).collect(),
            changes: (1..names.len()).map(changes).collect(),
        }
    }
}

/// The second metric of a task is the first one blurred: the sample has no other.
fn metric(
    number: usize,
    (name, about): (&str, &str),
    names: &[&str],
    all: &[&(Record, Vec<Shown>)],
) -> MetricResults {
    let blur = if number == 0 { 1.0 } else { 0.6 };
    let values = |method: usize, all: &[&(Record, Vec<Shown>)]| -> Vec<f64> {
        all.iter().map(|(_, shown)| 0.5 + blur * (shown[method].value - 0.5)).collect()
    };
    let mut groups: Vec<&str> =
        all.iter().filter_map(|(record, _)| record.category.as_deref()).collect();
    groups.sort_unstable();
    groups.dedup();
    let category = |category: &&str| {
        let own: Vec<_> = all
            .iter()
            .copied()
            .filter(|(record, _)| record.category.as_deref() == Some(category))
            .collect();
        let spread: Vec<(f64, [f64; 2])> =
            (0..names.len()).map(|method| spread(&values(method, &own), 0.0)).collect();
        CategoryResults {
            category: (*category).into(),
            documents: own.len(),
            means: spread.iter().map(|(mean, _)| *mean).collect(),
            intervals: spread.iter().map(|(_, interval)| *interval).collect(),
        }
    };
    let greedy = values(0, all);
    let method = |method: usize| {
        let own = values(method, all);
        let (mean, interval) = spread(&own, 0.0);
        let apart: Vec<f64> = own.iter().zip(&greedy).map(|(own, greedy)| own - greedy).collect();
        let (difference, apart_interval) = spread(&apart, -1.0);
        let better = apart.iter().filter(|by| **by > 0.0).count();
        let worse = apart.iter().filter(|by| **by < 0.0).count();
        // McNemar's statistic, as that of a normal distribution.
        let z = (better as f64 - worse as f64) / ((better + worse) as f64).sqrt().max(1.0);
        let p = (-0.717 * z.abs() - 0.416 * z * z).exp().min(1.0);
        MethodResults {
            method: names[method].into(),
            mean,
            interval,
            versus_greedy: (method > 0).then(|| Comparison {
                difference,
                interval: apart_interval,
                test: if number == 0 { "McNemar, exact" } else { "paired bootstrap" }.into(),
                p,
                p_corrected: (2.0 * p).min(1.0),
                better,
                worse,
            }),
        }
    };
    let measured = if all.is_empty() { 0 } else { names.len() };
    MetricResults {
        name: name.into(),
        about: about.into(),
        is_binary: number == 0,
        methods: (0..measured).map(method).collect(),
        categories: groups.iter().map(category).collect(),
    }
}

/// The mean with its interval, within `low..=1`.
fn spread(values: &[f64], low: f64) -> (f64, [f64; 2]) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    let half = 1.96 * (variance / n).sqrt();
    (mean, [(mean - half).max(low), (mean + half).min(1.0)])
}
