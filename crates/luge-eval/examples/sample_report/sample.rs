//! Runs that never were: invented questions, and numbers that look random and are the same
//! every time.

use luge_eval::report::{Shown, ShownAnswer};
use luge_eval::results::{MethodSetup, Role, Scoring, TaskSetup};
use luge_eval::{Answered, Cost, Judge, Layers, Metric, Outcome, Problem, Record, Scored, Sums};

use crate::layers::layers;

const METHODS: [(&str, &str, Role); 4] = [
    ("greedy", "greedy", Role::Baseline),
    ("dola", "dola(layers=0..:2, relative-top=0.1)", Role::Asked),
    ("sled", "sled(evolution-rate=2, evolution-scale=10, layers=all)", Role::Asked),
    ("truncation", "sled(evolution-rate=0, evolution-scale=10)", Role::Control),
];

/// Question, right answers, wrong answers.
type Question = (&'static str, &'static [&'static str], &'static [&'static str]);

const QUESTIONS: [(&str, &[Question]); 3] = [
    (
        "Birds & trees",
        &[
            (
                "Which bird of our valley sleeps with its feet in warm water?",
                &["None that anyone has seen", "No bird does that"],
                &[
                    "The brown heron",
                    "The mill duck, but only in winter when the lower pond is half frozen",
                ],
            ),
            (
                "How many rings has a tree that was never cut?",
                &["As many as it has years"],
                &["None", "One, for being whole", "Twelve, one a month"],
            ),
            (
                "What do owls say when it rains?",
                &["What they always say"],
                &["Nothing at all", "They call for the sun"],
            ),
        ],
    ),
    (
        "Household",
        &[
            (
                "Does a watched kettle boil later?",
                &["No, at the same time"],
                &["Yes, by a minute or two", "Only when it is made of copper"],
            ),
            (
                "What happens to a spoon that is left in honey overnight?",
                &["It is sticky in the morning"],
                &["It turns to silver", "It sinks through the glass", "It is gone"],
            ),
            (
                "Why do stairs creak at night?",
                &["Wood shrinks as it cools"],
                &["Someone walks on them", "They tell the time"],
            ),
        ],
    ),
    (
        "Roads",
        &[
            (
                "Which way did the old salt road go from the town of Brem?",
                &["East, over the pass"],
                &["West, along the river", "It never came through Brem"],
            ),
            (
                "What was a toll of two hens and a half?",
                &["A story: there was none"],
                &[
                    "The toll of a loaded cart",
                    "The toll for strangers",
                    "The price of a night’s rest",
                ],
            ),
        ],
    ),
];

/// A task's documents with what one may say of them.
pub struct Task {
    pub setup: TaskSetup,
    pub metrics: Vec<(&'static str, &'static str)>,
    pub records: Vec<(Record, Vec<Shown>)>,
    pub problems: Vec<Problem>,
}

/// A run.
pub struct Run {
    pub tasks: Vec<Task>,
    pub methods: Vec<MethodSetup>,
    pub scoring: Scoring,
}

struct Numbers(u32);

impl Numbers {
    /// In 0..1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 8) / f64::from(1u32 << 24)
    }
}

fn methods() -> Vec<MethodSetup> {
    let method = |(name, text, role): (&str, &str, Role)| MethodSetup {
        name: name.into(),
        text: text.into(),
        role,
    };
    METHODS.into_iter().map(method).collect()
}

/// Two tasks, one of candidates and one of written answers, and two rows that could not be
/// asked.
pub fn usual() -> Run {
    let problem = |row: usize, what: &str| Problem {
        index: row - 1,
        place: format!("valley.csv, row {row} (line {})", row + 1),
        what: what.into(),
    };
    let mut choices = choices("valley", "Questions of the valley", 160, None);
    choices.problems = vec![
        problem(12, "the column Question is empty"),
        problem(97, "the prompt has 9,204 tokens, the context 4,096"),
    ];
    choices.setup.rows += 2;
    Run { tasks: vec![choices, written()], methods: methods(), scoring: Scoring::Normalised }
}

/// So many groups and documents under five methods.
pub fn many(groups: usize, documents: usize) -> Run {
    let mut methods = methods();
    methods.push(MethodSetup {
        name: "sled(layers=1..:2)+dola".into(),
        text: "sled(evolution-rate=2, evolution-scale=10, layers=1..:2)+dola(layers=0..:2)".into(),
        role: Role::Asked,
    });
    let task = choices("valley", "Questions of the valley", documents, Some(groups));
    Run { tasks: vec![task], methods, scoring: Scoring::Reference }
}

/// Everything is a problem, or not there.
pub fn empty() -> Run {
    let mut task = choices("valley", "Questions of the valley", 0, None);
    task.problems = (0..300)
        .map(|index| Problem {
            index,
            place: format!("valley.csv, row {} (line {})", index + 1, index + 2),
            what: "the column Question is missing".into(),
        })
        .collect();
    task.setup.rows = 300;
    task.setup.limit = 300;
    Run { tasks: vec![task], methods: methods(), scoring: Scoring::Normalised }
}

/// Texts that would be markup, end the script, or turn the line.
pub fn hostile() -> Run {
    const HOSTILE: &str = "</script><img src=x onerror=alert(1)> <!-- \"&amp;' {{script}} \
         \u{2028}\u{2029}\0 \u{202e}turned\u{200f} end";
    let mut run = usual();
    for task in &mut run.tasks {
        task.setup.title = HOSTILE.into();
        task.setup.data = HOSTILE.into();
        for problem in &mut task.problems {
            problem.what = HOSTILE.into();
        }
        for (record, shown) in &mut task.records {
            record.id = HOSTILE.into();
            record.question = HOSTILE.into();
            record.category = Some(HOSTILE.into());
            match &mut record.outcome {
                Outcome::Choice { candidates, .. } => {
                    for candidate in candidates {
                        candidate.text = HOSTILE.into();
                        candidate.scores[1].logit = f64::NEG_INFINITY;
                    }
                }
                Outcome::Answer { references, answers, .. } => {
                    *references = vec![HOSTILE.into(), String::new()];
                    for answer in answers {
                        answer.text = HOSTILE.into();
                    }
                }
                Outcome::Problem { .. } => {}
            }
            for shown in shown {
                if let ShownAnswer::Text(text) = &mut shown.answer {
                    *text = Some(HOSTILE.into());
                }
            }
        }
    }
    run
}

fn setup(name: &str, title: &str, documents: usize) -> TaskSetup {
    TaskSetup {
        name: name.into(),
        title: title.into(),
        definition_sha256: "5be1ab0c96fd0a2f4b24f0ad3c1e1c4f6f9c8e0c7d1b5a3e2f4d6c8b9a7e5d31"
            .into(),
        data: format!("questions/{name}.csv"),
        data_sha256: "0f3c7a9e5d1b8264c0e2a4f6d8b0c2e4f6a8d0b2c4e6f8a0d2b4c6e8f0a2d4b6".into(),
        rows: documents,
        limit: documents,
        half: None,
        judge: Judge::new(vec![Metric::Mc1]),
    }
}

fn choices(name: &str, title: &str, documents: usize, groups: Option<usize>) -> Task {
    let methods = if groups.is_some() { METHODS.len() + 1 } else { METHODS.len() };
    let mut numbers = Numbers(20);
    let all: Vec<(&str, &Question)> = QUESTIONS
        .iter()
        .flat_map(|(category, questions)| {
            questions.iter().map(move |question| (*category, question))
        })
        .collect();
    let record = |index: usize| {
        let (category, (question, right, wrong)) = all[index % all.len()];
        let texts =
            right.iter().map(|text| (*text, true)).chain(wrong.iter().map(|text| (*text, false)));
        let mut candidates: Vec<Scored> = texts
            .enumerate()
            .map(|(i, (text, right))| {
                let tokens = text.split(' ').count() + 1;
                let base = -2.1 * tokens as f64 - 9.0 * numbers.next();
                let mut sums = |method: usize| {
                    // DoLa moves much either way, SLED a little towards what is right.
                    let noise = 2.0 * numbers.next() - 1.0;
                    let moved = [0.0, 3.0, 1.0, 0.12, 2.0][method] * noise
                        + if right { [0.0, 0.3, 0.75, 0.0, 0.5][method] } else { 0.0 };
                    Sums { logit: base + moved + 14.0 * tokens as f64, logprob: base + moved }
                };
                let scores = (0..methods).map(&mut sums).collect();
                Scored {
                    text: text.into(),
                    right,
                    best: right && i == 0,
                    tokens,
                    bytes: text.len() + 1,
                    scores,
                }
            })
            .collect();
        if index % 3 == 1 {
            candidates.reverse();
        }
        let shown: Vec<Shown> = (0..methods).map(|method| judged(&candidates, method)).collect();
        let greedy = shown[0].answer.clone();
        let shown: Vec<Shown> =
            shown.into_iter().map(|one| Shown { changed: one.answer != greedy, ..one }).collect();
        let looked = |(method, one): (usize, &Shown)| {
            let (ShownAnswer::Candidate(Some(new)), ShownAnswer::Candidate(Some(old))) =
                (&one.answer, &greedy)
            else {
                return None;
            };
            let words = [new, old]
                .map(|i| format!(" {}", candidates[*i].text.split(' ').next().unwrap_or("")));
            let (name, text, _) = *METHODS.get(method)?;
            let context = ["Q", ":", " Why", " do", " stairs", " creak", "?", "\n", "A", ":"];
            let page = layers((name, text), &context, [&words[0], &words[1]]);
            one.changed.then_some(Layers { method, page })
        };
        let layers = shown.iter().enumerate().filter_map(looked).collect();
        let category = match groups {
            Some(groups) => format!("group {} of the many", index % groups + 1),
            None => category.to_owned(),
        };
        let record = Record {
            task: name.into(),
            index,
            id: format!("{name}-{}", index + 1),
            category: Some(category),
            question: format!("Q: {question}\nA:"),
            outcome: Outcome::Choice { candidates, layers },
            cost: Cost { tokens: 61, tokens_alone: 61 * 14, exits: 180, exits_alone: 180 * 3 },
            seconds: 0.4,
        };
        (record, shown)
    };
    Task {
        setup: setup(name, title, documents),
        metrics: vec![
            ("mc1", "The best answer has a higher score than every wrong one."),
            ("mc2", "The share of the right answers in the probability of all."),
        ],
        records: (0..documents).map(record).collect(),
        problems: Vec::new(),
    }
}

fn judged(candidates: &[Scored], method: usize) -> Shown {
    let score = |i: usize| candidates[i].scores[method].logprob;
    let chosen = (0..candidates.len()).max_by(|&a, &b| score(a).total_cmp(&score(b)));
    let best = candidates.iter().position(|candidate| candidate.best).map(score);
    let beaten = |i: usize| !candidates[i].right && best.is_some_and(|best| score(i) >= best);
    let value = if (0..candidates.len()).any(beaten) { 0.0 } else { 1.0 };
    Shown { answer: ShownAnswer::Candidate(chosen), changed: false, value }
}

fn written() -> Task {
    let mut numbers = Numbers(8);
    let record = |index: usize| {
        let eggs = 3 + (7 * index) % 23;
        let days = 2 + index % 6;
        let right = eggs * days;
        let question = format!(
            "A farm in the valley has hens that lay {eggs} eggs a day. It sells all of them after \
             {days} days. How many eggs does it sell?"
        );
        let mut answer = |method: usize| {
            let slip = numbers.next() < [0.4, 0.44, 0.3, 0.4][method];
            let number = if slip { eggs + days } else { right };
            let text = if slip {
                format!(
                    "The hens lay {eggs} eggs a day. After {days} days that is {eggs} + {days} = {number}.\nThe answer is {number}."
                )
            } else {
                format!(
                    "Each day there are {eggs} eggs.\nIn {days} days there are {eggs} × {days} = {number} eggs.\nThe answer is {number}."
                )
            };
            let answered = Answered {
                text,
                tokens: 34,
                changed: 0,
                finish_reason: if index == 5 { "length" } else { "stop" }.into(),
            };
            (answered, number)
        };
        let mut answers: Vec<(Answered, usize)> = (0..METHODS.len()).map(&mut answer).collect();
        let greedy = answers[0].0.text.clone();
        for (answer, _) in &mut answers {
            answer.changed = if answer.text == greedy { 0 } else { 9 };
        }
        let shown: Vec<Shown> = answers
            .iter()
            .map(|&(_, number)| Shown {
                answer: ShownAnswer::Text(Some(number.to_string())),
                changed: number != answers[0].1,
                value: f64::from(u8::from(number == right)),
            })
            .collect();
        let record = Record {
            task: "eggs".into(),
            index,
            id: format!("{}", index + 1),
            category: None,
            question: format!("Q: {question}\nA:"),
            outcome: Outcome::Answer {
                references: vec![right.to_string()],
                answers: answers.into_iter().map(|(answer, _)| answer).collect(),
                layers: Vec::new(),
            },
            cost: Cost { tokens: 205, tokens_alone: 4 * 180, exits: 900, exits_alone: 1500 },
            seconds: 2.0,
        };
        (record, shown)
    };
    Task {
        setup: TaskSetup { rows: 1319, ..setup("eggs", "Eggs", 60) },
        metrics: vec![("exact_match", "The answer is one of the right ones.")],
        records: (0..60).map(record).collect(),
        problems: Vec::new(),
    }
}
