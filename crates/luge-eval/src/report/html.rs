//! The report as a page: one file that loads nothing.
//!
//! The page has the results as `results.json` has them, and every document with what each
//! method made of it, in short arrays: 1,000 short questions with four candidates each
//! under five methods come to 0.6 MB. What the layers said is larger, 3 kB a position with
//! 17 layers and six tokens in each, and is read only where someone opens it: it lies apart,
//! a line for each, up to a limit.
//!
//! No metric is computed here. Whoever calls says what each method answered, whether that
//! is another answer than greedy's, and how the task's first metric finds it.

use luge_page::assets::{CHART_JS, COMMON_JS, DEPTH_JS, LENS_CSS, PAGE_CSS};
use luge_page::template::{escape_json, escape_text, fill};
use serde::{Serialize, Serializer};

use super::Table;
use crate::record::{Answered, Layers, Outcome, Record, Scored};
use crate::results::Results;

const HTML: &str = include_str!("assets/report.html");
const CSS: &str = include_str!("assets/report.css");
const JS: [&str; 5] = [
    include_str!("assets/words.js"),
    include_str!("assets/tables.js"),
    include_str!("assets/cards.js"),
    include_str!("assets/documents.js"),
    include_str!("assets/report.js"),
];

/// How many bytes of layers a page holds: what a browser opens without complaint. The
/// page says how many were left out.
const MOST_LAYERS: usize = 32 << 20;

/// A task's documents, as the page shows them.
#[derive(Debug, Clone, Default)]
pub struct ShownTask<'a> {
    /// Whether raw sums are compared rather than those of the log-softmax.
    pub raw: bool,
    /// Its documents, in the order of the data. Those that could not be asked are left
    /// out: the page takes them from the results.
    pub documents: Vec<ShownDocument<'a>>,
}

/// A document, and how its answers are judged.
#[derive(Debug, Clone)]
pub struct ShownDocument<'a> {
    /// What came of it.
    pub record: &'a Record,
    /// One for each method, in the order of the run's.
    pub methods: Vec<Shown>,
}

/// What a method made of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Its answer.
    pub answer: ShownAnswer,
    /// Whether that is another answer than greedy's.
    pub changed: bool,
    /// What the task's first metric says, in 0..=1.
    pub value: f64,
}

/// A method's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShownAnswer {
    /// The number of the candidate that it chose, from 0; `None` where no one is ahead.
    Candidate(Option<usize>),
    /// What was found in its text; `None` where nothing was.
    Text(Option<String>),
}

/// The report as a whole HTML document that loads nothing.
///
/// `tasks` are in the order of the results'. The data lie in it as JSON, in
/// `<script type="application/json" id="data">`, and what the layers said in another, as
/// JSON lines.
///
/// # Panics
/// Never: there is nothing in the data that JSON could not hold.
pub fn html(results: &Results, tasks: &[ShownTask<'_>]) -> String {
    let mut layers = Lines::default();
    let tasks = tasks.iter().map(|task| TaskData::new(task, &mut layers)).collect();
    let tuning = super::tuning::table(results).map(TuningData::new);
    let data = Data { results, tasks, tuning, layers_left_out: layers.left_out };
    let json = serde_json::to_string(&data).expect("numbers, texts and lists");
    fill(HTML, |name| match name {
        "title" => escape_text(&title(results)),
        "style" => [LENS_CSS, PAGE_CSS, CSS].concat(),
        "data" => escape_json(&json),
        "layers" => escape_json(&layers.text),
        "script" => [COMMON_JS, CHART_JS, DEPTH_JS].into_iter().chain(JS).collect(),
        other => unreachable!("the template asks for {other}"),
    })
}

/// What was asked, and of whom.
fn title(results: &Results) -> String {
    let tasks: Vec<&str> = results.setup.tasks.iter().map(|task| task.title.as_str()).collect();
    let asked = if tasks.is_empty() { "no task".to_owned() } else { tasks.join(", ") };
    format!("{asked} · {}", results.setup.model.name)
}

/// What the scripts read.
#[derive(Serialize)]
struct Data<'a> {
    results: &'a Results,
    tasks: Vec<TaskData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tuning: Option<TuningData>,
    layers_left_out: usize,
}

/// How a setting was chosen, as on the terminal.
#[derive(Serialize)]
struct TuningData {
    title: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl TuningData {
    fn new(table: Table) -> Self {
        let Table { title, header, rows, notes } = table;
        TuningData { title, header, rows, notes }
    }
}

#[derive(Serialize)]
struct TaskData<'a> {
    raw: bool,
    /// Documents name theirs by its number here.
    categories: Vec<&'a str>,
    documents: Vec<DocumentData<'a>>,
}

/// Index, id, number of the category, question; value, and 1 for another answer than
/// greedy's, of each method; for each method whose layers were looked at its number and
/// the line they are on, if they are in the page; what came of it.
#[derive(Serialize)]
struct DocumentData<'a>(
    usize,
    &'a str,
    Option<usize>,
    &'a str,
    Vec<Short>,
    Vec<u8>,
    Vec<(usize, Option<usize>)>,
    Body<'a>,
);

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Choice { chosen: Vec<Option<usize>>, candidates: Vec<CandidateData<'a>> },
    Answer { references: &'a [String], answers: Vec<AnswerData<'a>> },
}

/// Text; 0 for wrong, 1 for right, 2 for the best; tokens; the log-probability and the raw
/// sum under each method.
#[derive(Serialize)]
struct CandidateData<'a>(&'a str, u8, usize, Vec<Short>, Vec<Short>);

/// Text, tokens, tokens that were changed, why it ended, what was found in it.
#[derive(Serialize)]
struct AnswerData<'a>(&'a str, usize, usize, &'a str, Option<&'a str>);

/// A number with five digits: more than one sees. What is none is null.
struct Short(f64);

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let short: f64 = format!("{:.4e}", self.0).parse().unwrap_or(self.0);
        // Without the `.0` that a whole number has in JSON.
        if short.fract() == 0.0 && short.abs() < 1e15 {
            serializer.serialize_i64(short as i64)
        } else {
            serializer.serialize_f64(short)
        }
    }
}

impl<'a> TaskData<'a> {
    fn new(task: &'a ShownTask<'a>, layers: &mut Lines) -> Self {
        let asked = |document: &&ShownDocument<'_>| {
            !matches!(document.record.outcome, Outcome::Problem { .. })
        };
        let mut categories: Vec<&str> = task
            .documents
            .iter()
            .filter(asked)
            .filter_map(|document| document.record.category.as_deref())
            .collect();
        categories.sort_unstable();
        categories.dedup();
        let documents = task
            .documents
            .iter()
            .filter_map(|document| DocumentData::new(document, &categories, layers))
            .collect();
        Self { raw: task.raw, categories, documents }
    }
}

impl<'a> DocumentData<'a> {
    fn new(
        document: &'a ShownDocument<'a>,
        categories: &[&str],
        lines: &mut Lines,
    ) -> Option<Self> {
        let ShownDocument { record, methods } = document;
        let (body, layers) = match &record.outcome {
            Outcome::Problem { .. } => return None,
            Outcome::Choice { candidates, layers } => {
                let chosen = methods.iter().map(Shown::candidate).collect();
                let candidates = candidates.iter().map(CandidateData::new).collect();
                (Body::Choice { chosen, candidates }, layers)
            }
            Outcome::Answer { references, answers, layers } => {
                let found = methods.iter().map(Shown::text).chain(std::iter::repeat(None));
                let answers = answers.iter().zip(found);
                let answers = answers.map(|(answer, found)| AnswerData::new(answer, found));
                (Body::Answer { references, answers: answers.collect() }, layers)
            }
        };
        let category = record.category.as_deref();
        Some(Self(
            record.index,
            &record.id,
            category.and_then(|category| categories.binary_search(&category).ok()),
            &record.question,
            methods.iter().map(|shown| Short(shown.value)).collect(),
            methods.iter().map(|shown| u8::from(shown.changed)).collect(),
            layers.iter().map(|layers| (layers.method, lines.push(layers))).collect(),
            body,
        ))
    }
}

impl<'a> CandidateData<'a> {
    fn new(scored: &'a Scored) -> Self {
        let mark = u8::from(scored.right) + u8::from(scored.right && scored.best);
        let logprobs = scored.scores.iter().map(|sums| Short(sums.logprob)).collect();
        let logits = scored.scores.iter().map(|sums| Short(sums.logit)).collect();
        Self(&scored.text, mark, scored.tokens, logprobs, logits)
    }
}

impl<'a> AnswerData<'a> {
    fn new(answer: &'a Answered, found: Option<&'a str>) -> Self {
        Self(&answer.text, answer.tokens, answer.changed, &answer.finish_reason, found)
    }
}

impl Shown {
    fn candidate(&self) -> Option<usize> {
        match self.answer {
            ShownAnswer::Candidate(number) => number,
            ShownAnswer::Text(_) => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match &self.answer {
            ShownAnswer::Candidate(_) => None,
            ShownAnswer::Text(text) => text.as_deref(),
        }
    }
}

/// Layers as JSON lines.
#[derive(Default)]
struct Lines {
    text: String,
    lines: usize,
    left_out: usize,
}

impl Lines {
    /// The number of the new line; `None` where there is no more room.
    fn push(&mut self, layers: &Layers) -> Option<usize> {
        let line = layers.page.to_string();
        if self.text.len() + line.len() > MOST_LAYERS {
            self.left_out += 1;
            return None;
        }
        if self.lines > 0 {
            self.text.push('\n');
        }
        self.text += &line;
        self.lines += 1;
        Some(self.lines - 1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::document::Problem;
    use crate::judge::{Judge, Metric};
    use crate::record::{Cost, Sums};
    use crate::results::{
        Changes, MethodResults, MethodSetup, MetricResults, ModelSetup, Role, Scoring, Setup,
        TaskResults, TaskSetup, Times,
    };

    const HOSTILE: &str = "</script><script>alert(1)</script><!-- <img src=x \
         onerror='alert(2)'> \"&amp;\" {{script}} \u{2028}\u{2029}\0\u{202e}\n";

    fn results(text: &str) -> Results {
        let method = |name: &str, role| MethodSetup { name: name.into(), text: text.into(), role };
        let measured = |method: &str| MethodResults {
            method: method.into(),
            mean: 0.5,
            interval: [0.0, 1.0],
            versus_greedy: None,
        };
        Results {
            setup: Setup {
                command: text.into(),
                luge: "0.1.0".into(),
                model: ModelSetup { name: text.into(), bytes: 1, sha256: "ab".into() },
                methods: vec![method("greedy", Role::Baseline), method("sled", Role::Asked)],
                scoring: Scoring::Normalised,
                seed: 7,
                engine: json!({ "context": text }),
                tasks: vec![TaskSetup {
                    name: "task".into(),
                    title: text.into(),
                    definition_sha256: "cd".into(),
                    data: text.into(),
                    data_sha256: "ef".into(),
                    rows: 2,
                    limit: 2,
                    half: None,
                    judge: Judge::new(vec![Metric::Mc1]),
                }],
            },
            tasks: vec![TaskResults {
                task: "task".into(),
                documents: 1,
                problems: vec![Problem { index: 1, place: text.into(), what: text.into() }],
                cost: Cost::default(),
                metrics: vec![MetricResults {
                    name: "mc1".into(),
                    about: text.into(),
                    is_binary: true,
                    methods: vec![measured("greedy"), measured("sled")],
                    categories: Vec::new(),
                }],
                changes: vec![Changes { method: "sled".into(), changed: 1, better: 1, worse: 0 }],
            }],
            tuning: None,
            times: Times { finished: "2026-03-14T15:09:26Z".into(), seconds: 1.0 },
        }
    }

    fn record(index: usize, text: &str, outcome: Outcome) -> Record {
        Record {
            task: "task".into(),
            index,
            id: text.into(),
            category: Some(text.into()),
            question: text.into(),
            outcome,
            cost: Cost::default(),
            seconds: 0.5,
        }
    }

    fn choice(text: &str, layers: Vec<Layers>) -> Outcome {
        let scored = |right, logprob| Scored {
            text: text.into(),
            right,
            best: right,
            tokens: 3,
            bytes: 9,
            scores: vec![Sums { logit: 12.0, logprob }, Sums { logit: 1.0 / 3.0, logprob: -2.0 }],
        };
        let candidates = vec![scored(true, -1e4 / 3.0), scored(false, f64::NEG_INFINITY)];
        Outcome::Choice { candidates, layers }
    }

    fn shown(answer: ShownAnswer, changed: bool, value: f64) -> Shown {
        Shown { answer, changed, value }
    }

    fn document(record: &Record) -> ShownDocument<'_> {
        let chosen = |number| ShownAnswer::Candidate(Some(number));
        let methods = vec![shown(chosen(1), false, 0.0), shown(chosen(0), true, 1.0)];
        ShownDocument { record, methods }
    }

    fn page(text: &str) -> String {
        let layers = vec![Layers { method: 1, page: json!({ "title": text }) }];
        let record = record(0, text, choice(text, layers));
        html(&results(text), &[ShownTask { raw: false, documents: vec![document(&record)] }])
    }

    /// What the page's scripts get to read.
    fn data<'a>(page: &'a str, id: &str) -> &'a str {
        let (_, rest) = page.split_once(&format!("id=\"{id}\">")).unwrap();
        rest.split_once("</script>").unwrap().0
    }

    #[test]
    fn documents_are_short_arrays() {
        let looked = |method| Layers { method, page: json!({ "of": method }) };
        let first = record(4, "a", choice("b", vec![looked(1)]));
        let answer = |text: &str, changed| Answered {
            text: text.into(),
            tokens: 5,
            changed,
            finish_reason: "stop".into(),
        };
        let second = record(
            6,
            "c",
            Outcome::Answer {
                references: vec!["4".into()],
                answers: vec![answer("four", 0), answer("it is 4", 2)],
                layers: vec![looked(0), looked(1)],
            },
        );
        let problem =
            record(5, "p", Outcome::Problem { place: "row 6".into(), what: "empty".into() });
        let written = ShownDocument {
            record: &second,
            methods: vec![
                shown(ShownAnswer::Text(None), false, 0.0),
                shown(ShownAnswer::Text(Some("4".into())), true, 2.0 / 3.0),
            ],
        };
        let tasks = [ShownTask {
            raw: true,
            documents: vec![document(&first), document(&problem), written],
        }];
        let page = html(&results("text"), &tasks);
        let read: Value = serde_json::from_str(data(&page, "data")).unwrap();
        insta::assert_snapshot!(read["tasks"].to_string());
        assert_eq!(data(&page, "layers"), "{\"of\":1}\n{\"of\":0}\n{\"of\":1}");
        assert_eq!(read["results"], serde_json::to_value(results("text")).unwrap());
    }

    #[test]
    fn texts_arrive_as_they_are() {
        let page = page(HOSTILE);
        let read: Value = serde_json::from_str(data(&page, "data")).unwrap();
        assert_eq!(read["results"]["setup"]["command"], HOSTILE);
        assert_eq!(read["results"]["tasks"][0]["problems"][0]["what"], HOSTILE);
        let document = &read["tasks"][0]["documents"][0];
        assert_eq!([&document[1], &document[3]], [HOSTILE, HOSTILE]);
        assert_eq!(document[7]["candidates"][0][0], HOSTILE);
        let layers: Value = serde_json::from_str(data(&page, "layers")).unwrap();
        assert_eq!(layers["title"], HOSTILE);
    }

    #[test]
    fn texts_are_not_markup() {
        let (harmless, hostile) = (page("text"), page(HOSTILE));
        for markup in ["<script", "</script", "<!--", "<img"] {
            let count = |page: &str| page.matches(markup).count();
            assert_eq!(count(&hostile), count(&harmless), "{markup}");
        }
        for id in ["data", "layers"] {
            assert!(!data(&hostile, id).contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
        }
    }

    #[test]
    fn layers_have_a_limit() {
        let large = |method| Layers { method, page: json!("x".repeat(MOST_LAYERS / 2)) };
        let record = record(0, "a", choice("b", vec![large(0), large(1)]));
        let tasks = [ShownTask { raw: false, documents: vec![document(&record)] }];
        let page = html(&results("text"), &tasks);
        let read: Value = serde_json::from_str(data(&page, "data")).unwrap();
        assert_eq!(read["tasks"][0]["documents"][0][6], json!([[0, 0], [1, null]]));
        assert_eq!(read["layers_left_out"], 1);
    }

    #[test]
    fn nothing_is_loaded_and_nothing_ends_early() {
        for script in JS {
            assert!(!script.contains("</script") && !script.contains("<!--"));
        }
        assert!(!CSS.contains("</style"));
        let page = page("text").replace("http://www.w3.org/2000/svg", "");
        assert!(page.contains("default-src 'none'"));
        for address in ["http://", "https://", " src=", "@import", "import "] {
            assert!(!page.contains(address), "{address}");
        }
    }

    #[test]
    fn a_run_without_tasks_is_a_page() {
        let mut results = results("model");
        results.setup.tasks.clear();
        results.tasks.clear();
        let page = html(&results, &[]);
        assert!(page.contains("<title>no task · model · luge eval</title>"));
        assert_eq!(data(&page, "layers"), "");
    }
}
