use super::*;
use crate::judge::{Compare, Extract, Judge, Metric};
use crate::record::{Answered, Outcome, Record, Scored, Sums};

pub(crate) fn method(name: &str, role: Role) -> MethodSetup {
    MethodSetup { name: name.to_owned(), text: format!("{name}(layers=all)"), role }
}

/// Two tasks, four methods, one of them a control.
pub(crate) fn setup() -> Setup {
    let task = |name: &str, title: &str, rows: usize, judge: Judge| TaskSetup {
        name: name.to_owned(),
        title: title.to_owned(),
        definition_sha256: "d".repeat(64),
        data: format!("{name}.csv"),
        data_sha256: "e".repeat(64),
        rows,
        limit: 100,
        half: None,
        judge,
    };
    let [choices, sums] = judges();
    Setup {
        command: "luge eval choices sums -m llama_1b.gguf --methods sled,dola".to_owned(),
        luge: "0.1.0".to_owned(),
        model: ModelSetup {
            name: "llama_1b.gguf".to_owned(),
            bytes: 1_234_567_890,
            sha256: "f".repeat(64),
        },
        methods: vec![
            method("greedy", Role::Baseline),
            method("sled", Role::Asked),
            method("dola", Role::Asked),
            method("sled-cut", Role::Control),
        ],
        scoring: Scoring::Normalised,
        seed: 42,
        engine: serde_json::json!({"context": 4096}),
        tasks: vec![
            task("choices", "Which is true?", 817, choices),
            task("sums", "Sums", 23, sums),
        ],
    }
}

fn judges() -> [Judge; 2] {
    let choices = Judge::new(vec![Metric::Mc1, Metric::Mc2]);
    let extract = Extract {
        after: Some("the answer is".to_owned()),
        pattern: "-?[0-9]+".to_owned(),
        reference_after: None,
    };
    let sums = Judge {
        extract: Some(extract),
        compare: Compare::Number,
        ..Judge::new(vec![Metric::ExactMatch])
    };
    [choices, sums]
}

fn record(task: &str, index: usize, outcome: Outcome) -> Record {
    let cost = Cost { tokens: 30, tokens_alone: 240, exits: 50, exits_alone: 100 };
    Record {
        task: task.to_owned(),
        index,
        id: format!("{task}-{index}"),
        category: None,
        question: format!("Question {index}"),
        outcome,
        cost,
        seconds: 0.5,
    }
}

/// A document with a right candidate and a wrong one; `margins` says by how much the right
/// one has the higher score under each method.
pub(crate) fn choice(index: usize, category: Option<&str>, margins: [f64; 4]) -> Record {
    let candidate = |right: bool| Scored {
        text: if right { "so" } else { "not so" }.to_owned(),
        right,
        best: right,
        tokens: 2,
        bytes: 6,
        scores: margins
            .map(|margin| if right { margin - 9.0 } else { -9.0 })
            .map(|score| Sums { logit: score, logprob: score })
            .to_vec(),
    };
    let candidates = vec![candidate(true), candidate(false)];
    let record = record("choices", index, Outcome::Choice { candidates, layers: Vec::new() });
    Record { category: category.map(str::to_owned), ..record }
}

fn sum(index: usize, answers: [&str; 4]) -> Record {
    let answered = |text: &str| Answered {
        text: text.to_owned(),
        tokens: 5,
        changed: 1,
        finish_reason: "stop".to_owned(),
    };
    let answers = answers.map(answered).to_vec();
    let references = vec!["7".to_owned()];
    record("sums", index, Outcome::Answer { references, answers, layers: Vec::new() })
}

pub(crate) fn problem(index: usize) -> Record {
    let place = format!("choices.csv, row {} (line {})", index + 1, index + 2);
    let what = "the column Question is empty".to_owned();
    record("choices", index, Outcome::Problem { place, what })
}

/// Forty choices, of which DoLa has ten wrong where greedy has them right and SLED one the
/// other way round; 22 rows that could not be asked; three sums.
pub(crate) fn records() -> Vec<Record> {
    let choice = |index: usize| {
        let greedy = if index.is_multiple_of(4) { -0.5 } else { 1.0 };
        let sled = if index == 4 { 0.5 } else { greedy };
        let dola = if index < 14 && !index.is_multiple_of(4) { -2.0 } else { greedy };
        let category = ["Law | order", "Maths"].get(index % 3).copied();
        choice(index, category, [greedy, sled, dola, greedy])
    };
    let sums = [
        sum(0, ["the answer is 7", "The answer is 7.", "The answer is 8", "it is 7"]),
        sum(1, ["the answer is 5", "The answer is 7.", "The answer is 6", "none"]),
        sum(2, ["the answer is 7", "7", "7 apples", "7"]),
    ];
    (0..40).map(choice).chain((40..62).map(problem)).chain(sums).collect()
}

pub(crate) fn results() -> Results {
    let times = Times { finished: "2025-01-02T03:04:05Z".to_owned(), seconds: 83.4 };
    Results::new(setup(), &records(), times)
}

/// Greedy has 30 of 40, SLED one more, DoLa ten less: McNemar of 1 and 0 is 1, of 0 and 10
/// 2 / 2^10, which Holm doubles for two methods.
#[test]
fn the_numbers_by_hand() {
    let results = results();
    let task = &results.tasks[0];
    assert_eq!((task.documents, task.problems.len()), (40, 22));
    assert_eq!(task.cost.tokens, 62 * 30);
    let mc1 = &task.metrics[0];
    let means: Vec<f64> = mc1.methods.iter().map(|method| method.mean).collect();
    assert_eq!(means, [0.75, 0.775, 0.5, 0.75]);
    let versus = |method: usize| mc1.methods[method].versus_greedy.as_ref().unwrap();
    assert!(mc1.methods[0].versus_greedy.is_none());
    assert_eq!((versus(1).p, versus(1).better, versus(1).worse), (1.0, 1, 0));
    assert_eq!((versus(2).difference, versus(2).better, versus(2).worse), (-0.25, 0, 10));
    assert!((versus(2).p - 2.0 / 1024.0).abs() < 1e-12);
    assert!((versus(2).p_corrected - 4.0 / 1024.0).abs() < 1e-12);
    assert!(versus(2).interval[1] < 0.0);
    // The control never differs.
    assert_eq!((versus(3).interval, versus(3).p_corrected), ([0.0, 0.0], 1.0));
    assert_eq!(versus(3).test, "McNemar, exact");
    let mc2 = task.metrics[1].methods[2].versus_greedy.as_ref().unwrap();
    assert_eq!(mc2.test, "paired bootstrap");

    let changes = |task: usize| {
        let changes = results.tasks[task].changes.iter();
        changes.map(|changes| (changes.changed, changes.better, changes.worse)).collect::<Vec<_>>()
    };
    assert_eq!(changes(0), [(1, 1, 0), (10, 0, 10), (0, 0, 0)]);
    // 7, 5 and 7; SLED 7, 7 and 7; DoLa 8, 6 and 7; the control 7, none and 7.
    assert_eq!(changes(1), [(1, 1, 0), (2, 0, 1), (1, 0, 0)]);
    // Three sums: nothing is shown by so few.
    assert_eq!(results.tasks[1].documents, 3);
    assert_eq!(results.baseline(), 0);
}

#[test]
fn groups_are_there_where_documents_have_them() {
    let results = results();
    let categories = &results.tasks[0].metrics[0].categories;
    let named: Vec<(&str, usize)> =
        categories.iter().map(|found| (found.category.as_str(), found.documents)).collect();
    assert_eq!(named, [(NO_CATEGORY, 13), ("Law | order", 14), ("Maths", 13)]);
    let whole: f64 = categories.iter().map(|found| found.means[0] * found.documents as f64).sum();
    assert!((whole - 30.0).abs() < 1e-9);
    assert!(categories.iter().all(|found| found.means.len() == 4 && found.intervals.len() == 4));
    assert!(results.tasks[1].metrics[0].categories.is_empty());
}

#[test]
fn the_order_of_records_is_nothing() {
    let mut records = records();
    records.reverse();
    records.rotate_left(17);
    let again = Results::new(setup(), &records, results().times);
    assert_eq!(again.to_json(), results().to_json());
}

/// A method more changes no number of the others but for the corrected p-values; a control
/// not even these.
#[test]
fn methods_do_not_change_each_other() {
    let (mut setup, mut records) = (setup(), records());
    setup.methods.truncate(3);
    for record in &mut records {
        match &mut record.outcome {
            Outcome::Problem { .. } => {}
            Outcome::Choice { candidates, .. } => {
                candidates.iter_mut().for_each(|candidate| candidate.scores.truncate(3));
            }
            Outcome::Answer { answers, .. } => answers.truncate(3),
        }
    }
    let all = results();
    let some = Results::new(setup, &records, all.times.clone());
    for (all, some) in all.tasks.iter().zip(&some.tasks) {
        for (all, some) in all.metrics.iter().zip(&some.metrics) {
            assert_eq!(all.methods[..3], some.methods[..]);
        }
    }
}

#[test]
fn json_and_back() {
    let results = results();
    let json = results.to_json();
    assert_eq!(Results::from_json(&json, "results.json").unwrap(), results);
    assert!(!json.contains("null"));
    let error = Results::from_json("{\"setup\": 3}", "old/results.json").unwrap_err();
    assert!(error.to_string().starts_with("old/results.json is not a results.json"), "{error}");
}

#[test]
fn nothing_was_asked() {
    let empty = Results::new(setup(), &[], results().times);
    assert_eq!(empty.tasks.len(), 2);
    assert_eq!((empty.tasks[0].documents, empty.tasks[0].metrics[0].methods[1].mean), (0, 0.0));
    assert!(!empty.to_json().contains("null"));

    // Only problems.
    let problems: Vec<Record> = (0..3).map(problem).collect();
    let results = Results::new(setup(), &problems, results().times);
    assert_eq!((results.tasks[0].documents, results.tasks[0].problems.len()), (0, 3));
}

#[test]
fn a_record_of_another_run_is_a_problem() {
    let mut records = vec![choice(0, None, [1.0; 4]), choice(1, None, [1.0; 4])];
    let Outcome::Choice { candidates, .. } = &mut records[1].outcome else { unreachable!() };
    candidates[1].scores.pop();
    let results = Results::new(setup(), &records, results().times);
    assert_eq!(results.tasks[0].documents, 1);
    let problem = &results.tasks[0].problems[0];
    assert_eq!((problem.index, problem.place.as_str()), (1, "choices, choices-1"));
    // One document proves nothing.
    let versus = results.tasks[0].metrics[1].methods[1].versus_greedy.as_ref().unwrap();
    assert_eq!((versus.p, versus.p_corrected), (1.0, 1.0));
}

/// Controls are corrected as if they had been asked for, each alone: 0.03 beside 0.01 and
/// 0.02 is the last of three, no less than 0.02 · 2 before it; 0.001 is the first, · 3.
#[test]
fn controls_are_corrected_apart() {
    let corrected = |control: f64| {
        let result = |p: Option<f64>| MethodResults {
            method: String::new(),
            mean: 0.5,
            interval: [0.4, 0.6],
            versus_greedy: p.map(|p| Comparison {
                difference: 0.1,
                interval: [0.0, 0.2],
                test: String::new(),
                p,
                p_corrected: p,
                better: 1,
                worse: 0,
            }),
        };
        let mut results = [None, Some(0.01), Some(control), Some(0.02)].map(result);
        build::correct(&[Role::Baseline, Role::Asked, Role::Control, Role::Asked], &mut results);
        results.map(|result| result.versus_greedy.map_or(0.0, |versus| versus.p_corrected))
    };
    assert_eq!(corrected(0.03), [0.0, 0.02, 0.04, 0.02]);
    assert_eq!(corrected(0.001), [0.0, 0.02, 0.003, 0.02]);
}
