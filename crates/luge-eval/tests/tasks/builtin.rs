//! The tasks that are built in, and their manual.

use std::path::Path;

use luge_eval::{DataFile, Task};

use super::{line, shown};

#[test]
fn every_built_in_task_is_right() {
    let tasks = Task::all().unwrap();
    assert_eq!(tasks.len(), 14);
    for task in &tasks {
        assert_eq!(Task::builtin(&task.name).unwrap().title, task.title);
        assert!(task.about().ends_with('.') && task.about().len() > 40, "{}", task.name);
        let source = task.source();
        assert!(source.how.as_deref().is_some_and(|how| how.ends_with('.')), "{}", task.name);
        assert_eq!(source.repo.is_some(), source.file.is_some(), "{}", task.name);
        // What stops an answer must be in front of the next question of the header.
        let (text, generate) = (task.header(None).text(), task.generate());
        if let Some(generate) = generate.filter(|_| !text.is_empty()) {
            assert!(generate.stop.iter().any(|stop| text.contains(stop)), "{}", task.name);
        }
    }
    let error = Task::builtin("truthfullqa").unwrap_err().to_string();
    assert!(
        error
            .starts_with("there is no task 'truthfullqa', did you mean 'truthfulqa-mc': there are"),
        "{error}"
    );
}

#[test]
fn the_manual_has_every_task_and_its_examples_are_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tasks.md");
    let text = std::fs::read_to_string(path).unwrap();
    for task in Task::all().unwrap() {
        assert!(text.contains(&format!("| `{}` | ", task.name)), "{}", task.name);
    }
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    for block in &blocks {
        Task::parse(block, "tasks.md").unwrap();
    }
    let rivers = Task::parse(blocks[0], "tasks.md").unwrap();
    let csv = b"question,continent,rivers,wrong 1,wrong 2\n\
                On which river does Budapest lie?,Europe,The Danube,The Rhine,The Volga\n";
    let data = DataFile::from_bytes(Path::new("rivers.csv"), csv.to_vec()).unwrap();
    let documents = rivers.documents_of(&data, false).unwrap();
    let document = documents.rows[0].as_ref().unwrap();
    let shown = rivers.header(None).text() + &document.question;
    assert!(text.contains(&format!("```text\n{shown}\n```")), "{shown}");
    assert!(line(document).contains("++\" The Danube.\""));
}

#[test]
fn the_examples_are_answered_as_they_are_judged() {
    for (name, shots) in [
        ("truthfulqa-mc", 6),
        ("strategyqa", 6),
        ("gsm8k", 8),
        ("triviaqa", 5),
        ("nq-open", 5),
        ("popqa", 5),
        ("hotpotqa", 5),
        ("factor-news", 0),
        ("atlas", 0),
    ] {
        let task = Task::builtin(name).unwrap();
        let header = task.header(None);
        assert_eq!(header.shots.len(), shots, "{name}");
        let Some(extract) = &task.judge().extract else { continue };
        let pattern = regex::Regex::new(&extract.pattern).unwrap();
        for shot in &header.shots {
            let after = extract.after.as_deref().unwrap();
            let answer = shot.answer.to_lowercase();
            let (_, behind) = answer.split_once(after).expect(&shot.answer);
            assert!(pattern.is_match(behind), "{behind}");
        }
    }
}

#[test]
fn a_primer_stands_in_place_of_the_examples() {
    let task = Task::builtin("gsm8k").unwrap();
    let primer = "Q: 1 + 1?\nA: The answer is 2.\n\n";
    assert_eq!(task.header(Some(primer)).text(), primer);
    let own = task.sha256(&task.header(None));
    assert_ne!(own, task.sha256(&task.header(Some(primer))));
    assert_eq!(own, Task::builtin("gsm8k").unwrap().sha256(&task.header(None)));
    assert_eq!(own.len(), 64);
}

#[test]
fn parquet_has_nested_columns() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/zstd.parquet");
    let trivia = Task::builtin("triviaqa").unwrap();
    assert_eq!(
        shown(&trivia.documents(&path, false).unwrap()),
        "1 [-] \"Q: Which star is nearest to the Earth?\\nA:\": [\"the Sun\", \"Sun\", \"Sol\"]\n\
         2 [-] \"Q: Welche Farbe hat der Schnee? – weiß\\nA:\": [\"white\"]\n\
         zstd.parquet, row 3 the column question is empty\n"
    );
}

#[test]
fn the_atlas_questions_are_closed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/atlas/questions.jsonl");
    let of = |name: &str| Task::builtin(name).unwrap().documents(&path, false).unwrap();
    let choice = of("atlas");
    assert_eq!((choice.rows.len(), choice.rows.iter().flatten().count()), (810, 810));
    assert_eq!(
        line(choice.rows[0].as_ref().unwrap()),
        "capital/Australia [popular-but-wrong] \"Question: Name the capital of Australia.\\nAnswer:\": \
         ++\" Canberra.\" -\" Sydney.\" -\" Melbourne.\" -\" Brisbane.\""
    );
    let open = of("atlas-open");
    assert_eq!(open.rows.iter().flatten().count(), 810);
    assert!(line(open.rows[0].as_ref().unwrap()).ends_with("[\"Canberra\"]"));
}
