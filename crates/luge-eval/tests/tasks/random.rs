//! Tables with anything in them.

use std::path::Path;

use luge_eval::{Ask, DataFile, Task};
use proptest::prelude::*;

use super::{ANSWER, CHOICE, MARKED};

/// Any value that a cell may have.
fn cells() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-2i64..5).prop_map(Into::into),
        "[abB; .0-3]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec(("(text|label|aliases)", inner), 0..3)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_table_is_questions_and_problems(
        table in prop::collection::vec(prop::collection::vec(cells(), 5), 1..6),
        reference in any::<bool>(),
    ) {
        let columns = ["q", "right", "wrong", "best", "choices", "answer"];
        let mut lines = String::new();
        for row in &table {
            let mut members = serde_json::Map::new();
            members.insert("q".to_owned(), "Q".into());
            for (name, cell) in columns[1..].iter().zip(row) {
                members.insert((*name).to_owned(), cell.clone());
            }
            lines += &serde_json::Value::Object(members).to_string();
            lines += "\n";
        }
        let data = DataFile::from_bytes(Path::new("t.jsonl"), lines.into_bytes()).unwrap();
        for task in [CHOICE, MARKED, ANSWER] {
            let task = Task::parse(task, "t.toml").unwrap();
            let documents = task.documents_of(&data, reference).unwrap();
            prop_assert_eq!(documents.rows.len(), table.len());
            for document in documents.rows.iter().flatten() {
                match &document.ask {
                    Ask::Choice(candidates) => {
                        let best = candidates.iter().filter(|candidate| candidate.best);
                        prop_assert_eq!(best.filter(|candidate| candidate.right).count(), 1);
                        prop_assert!(candidates.iter().any(|candidate| !candidate.right));
                        let is_empty = |text: &str| text.trim().is_empty();
                        prop_assert!(!candidates.iter().any(|c| is_empty(&c.text)));
                    }
                    Ask::Answer(answers) => prop_assert!(!answers.is_empty()),
                }
            }
        }
    }
}
