//! Tasks: their definitions, and the questions that they make of rows.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use luge_eval::{Ask, DataFile, Document, Documents, Task};
use proptest::prelude::*;

const CHOICE: &str = r#"
name = "t"
title = "T"
about = "A test."
kind = "choice"
[fields]
question = "q"
right = { column = "right", split = ";" }
wrong = { column = "wrong", split = ";" }
best = "best"
[judge]
metrics = ["acc"]
"#;

const MARKED: &str = r#"
name = "t"
title = "T"
about = "A test."
kind = "choice"
[fields]
question = "q"
choices = ["choices.text", "choices"]
labels = "choices.label"
answer = "answer"
[judge]
metrics = ["acc"]
"#;

const ANSWER: &str = r#"
name = "t"
title = "T"
about = "A test."
kind = "answer"
[fields]
question = "q"
answer = ["answer.aliases", "answer"]
id = "id"
category = "group"
[generate]
max_tokens = 8
stop = ["\n"]
[judge]
metrics = ["exact_match"]
"#;

fn documents(task: &str, name: &str, text: &str) -> Result<Documents, String> {
    let text_of = |error: luge_eval::Error| error.to_string();
    let task = Task::parse(task, "t.toml").map_err(text_of)?;
    let data = DataFile::from_bytes(Path::new(name), text.as_bytes().to_vec()).map_err(text_of)?;
    task.documents_of(&data, false).map_err(text_of)
}

/// Questions, a line for each: right answers with a plus, the best with two.
fn shown(documents: &Documents) -> String {
    let mut text = String::new();
    for row in &documents.rows {
        match row {
            Ok(document) => writeln!(text, "{}", line(document)).unwrap(),
            Err(problem) => writeln!(text, "{} {}", problem.place, problem.what).unwrap(),
        }
    }
    text
}

fn line(document: &Document) -> String {
    let category = document.category.as_deref().unwrap_or("-");
    let mut line = format!("{} [{category}] {:?}:", document.id, document.question);
    match &document.ask {
        Ask::Choice(candidates) => {
            for candidate in candidates {
                let mark = match (candidate.right, candidate.best) {
                    (true, true) => "++",
                    (true, false) => "+",
                    (false, _) => "-",
                };
                write!(line, " {mark}{:?}", candidate.continuation).unwrap();
            }
        }
        Ask::Answer(answers) => write!(line, " {answers:?}").unwrap(),
    }
    line
}

#[test]
fn right_and_wrong_answers_are_in_lists() {
    let csv = "q,right,wrong,best\n\
               Q1,a; b,c,b\n\
               Q2,a,c,new\n\
               Q3,a;b,c;d,\n\
               ,a,b,\n\
               Q5,,b,\n\
               Q6,a,\" ; \",\n\
               Q7,a;b,c;a,\n\
               Q8,,c,new\n";
    assert_eq!(
        shown(&documents(CHOICE, "t.csv", csv).unwrap()),
        "1 [-] \"Q1\": +\" a\" ++\" b\" -\" c\"\n\
         2 [-] \"Q2\": ++\" new\" +\" a\" -\" c\"\n\
         3 [-] \"Q3\": ++\" a\" +\" b\" -\" c\" -\" d\"\n\
         t.csv, row 4 (line 5) the column q is empty\n\
         t.csv, row 5 (line 6) has no right answer: the column right is empty\n\
         t.csv, row 6 (line 7) has no wrong answer: the column wrong is empty\n\
         t.csv, row 7 (line 8) has 'a' as a right and as a wrong answer\n\
         8 [-] \"Q8\": ++\" new\" -\" c\"\n"
    );
}

#[test]
fn the_public_scripts_keep_an_answer_that_is_right_and_wrong() {
    let task = Task::parse(CHOICE, "t.toml").unwrap();
    let csv = b"q,right,wrong,best\nQ,a,a;b,\n".to_vec();
    let data = DataFile::from_bytes(Path::new("t.csv"), csv).unwrap();
    let documents = task.documents_of(&data, true).unwrap();
    assert_eq!(shown(&documents), "1 [-] \"Q\": ++\" a\" -\" a\" -\" b\"\n");
}

#[test]
fn an_answer_names_one_of_the_choices() {
    let lines = r#"{"q":"index","choices":["x","y"],"answer":1}
{"q":"text","choices":["x","y"],"answer":"y"}
{"q":"letter","choices":["x","y"],"answer":"b"}
{"q":"label","choices":{"text":["x","y"],"label":["1","2"]},"answer":"2"}
{"q":"index in a text","choices":["x","y"],"answer":"1"}
{"q":"two","choices":["x","y","z"],"answer":["C","A"]}
{"q":"truth","choices":["no","yes"],"answer":true}
{"q":"too far","choices":["x","y"],"answer":2}
{"q":"none","choices":["x","y"],"answer":"E"}
{"q":"negative","choices":["x","y"],"answer":-1}
{"q":"one","choices":["x"],"answer":0}
{"q":"same","choices":["x","x"],"answer":0}
{"q":"no answer","choices":["x","y"]}
{"q":"labels","choices":{"text":["x","y"],"label":["A"]},"answer":"A"}
{"q":"object","choices":{"x":"y"},"answer":"A"}
{"q":["a","b"],"choices":["x","y"],"answer":"A"}
{"q":"gap","choices":["x"," ","y"],"answer":2}
"#;
    assert_eq!(
        shown(&documents(MARKED, "t.jsonl", lines).unwrap()),
        "1 [-] \"index\": -\" x\" ++\" y\"\n\
         2 [-] \"text\": -\" x\" ++\" y\"\n\
         3 [-] \"letter\": -\" x\" ++\" y\"\n\
         4 [-] \"label\": -\" x\" ++\" y\"\n\
         5 [-] \"index in a text\": -\" x\" ++\" y\"\n\
         6 [-] \"two\": +\" x\" -\" y\" ++\" z\"\n\
         7 [-] \"truth\": -\" no\" ++\" yes\"\n\
         t.jsonl, row 8 (line 8) has the answer '2', which is none of its 2 choices\n\
         t.jsonl, row 9 (line 9) has the answer 'E', which is none of its 2 choices\n\
         t.jsonl, row 10 (line 10) has the answer '-1', which is none of its 2 choices\n\
         t.jsonl, row 11 (line 11) has no wrong answer among its 1 choices\n\
         t.jsonl, row 12 (line 12) has 'x' as a right and as a wrong answer\n\
         t.jsonl, row 13 (line 13) the column answer is missing or empty\n\
         t.jsonl, row 14 (line 14) has 2 choices and 1 labels\n\
         t.jsonl, row 15 (line 15) the column choices is an object: name what is wanted of it, \
         behind a dot\n\
         t.jsonl, row 16 (line 16) the column q has 2 values instead of one\n\
         t.jsonl, row 17 (line 17) has an empty answer among its choices\n"
    );
}

#[test]
fn columns_that_are_wanted_together_are_all_wanted() {
    let task = CHOICE
        .replace("{ column = \"wrong\", split = \";\" }", "{ columns = [\"wrong\", \"wrong 2\"] }");
    let csv = "q,right,wrong,wrong 2,best\nQ1,a,b,c,\nQ2,a,b, ,\n";
    assert_eq!(
        shown(&documents(&task, "t.csv", csv).unwrap()),
        "1 [-] \"Q1\": ++\" a\" -\" b\" -\" c\"\n\
         t.csv, row 2 (line 3) the column wrong 2 is empty\n"
    );
    let error = documents(&task, "t.csv", "q,right,wrong,best\nQ,a,b,\n").unwrap_err();
    assert!(error.contains("it has no column wrong, wrong 2, which"), "{error}");
}

#[test]
fn a_definition_says_how_the_choice_is_named() {
    // Choices that are numbers: 2 may be the third, the second, or itself.
    let lines = r#"{"q":"Q","choices":["2","1","0"],"answer":"2"}"#;
    for (is, line) in [
        ("index", "-\" 2\" -\" 1\" ++\" 0\""),
        ("number", "-\" 2\" ++\" 1\" -\" 0\""),
        ("text", "++\" 2\" -\" 1\" -\" 0\""),
    ] {
        let task = MARKED.replace("answer =", &format!("answer_is = \"{is}\"\nanswer ="));
        let found = shown(&documents(&task, "t.jsonl", lines).unwrap());
        assert_eq!(found, format!("1 [-] \"Q\": {line}\n"));
    }
    let task = MARKED.replace("answer =", "answer_is = \"letter\"\nanswer =");
    assert!(shown(&documents(&task, "t.jsonl", lines).unwrap()).contains("none of its 3 choices"));
}

#[test]
fn answers_are_texts_lists_numbers_and_truths() {
    let lines = r#"{"q":"text","answer":" a ","id":7,"group":"g"}
{"q":"list","answer":["a","b","a",""]}
{"q":"truth","answer":false}
{"q":"number","answer":12.5}
{"q":"nested","answer":{"aliases":["x","y"]}}
{"q":"nothing","answer":null}
{"q":"empty","answer":[]}
{"q":"lists","answer":[["a"]]}
"#;
    assert_eq!(
        shown(&documents(ANSWER, "t.jsonl", lines).unwrap()),
        "7 [g] \"text\": [\"a\"]\n\
         2 [-] \"list\": [\"a\", \"b\"]\n\
         3 [-] \"truth\": [\"no\"]\n\
         4 [-] \"number\": [\"12.5\"]\n\
         5 [-] \"nested\": [\"x\", \"y\"]\n\
         t.jsonl, row 6 (line 6) the column answer is empty\n\
         t.jsonl, row 7 (line 7) the column answer is empty\n\
         t.jsonl, row 8 (line 8) the column answer is a list of lists, not of answers\n"
    );
}

#[test]
fn a_cell_may_hold_json() {
    let task = ANSWER.replace(
        "answer = [\"answer.aliases\", \"answer\"]",
        "answer = { column = \"answer\", json = true }",
    );
    let tsv = "q\tanswer\nQ1\t\"[\"\"a\"\", \"\"b\"\"]\"\nQ2\t[oops\n";
    let found = shown(&documents(&task, "t.tsv", tsv).unwrap());
    assert!(found.starts_with("1 [-] \"Q1\": [\"a\", \"b\"]\n"), "{found}");
    assert!(found.contains("t.tsv, row 2 (line 3) the column answer is no JSON ("), "{found}");
}

#[test]
fn other_fields_may_stand_in_the_question() {
    let task = ANSWER.replace(
        "[generate]",
        "[fields.more]\npassage = \"text\"\n\
         [prompt]\ndescription = \"Read.\"\nquestion = \"{passage} {{{question}}}\\nA:\"\n\
         [[prompt.shots]]\npassage = \"P\"\nquestion = \"Q\"\nanswer = \"R\"\n[generate]",
    );
    let lines =
        "{\"q\":\"Who?\",\"text\":\"Once.\",\"answer\":\"I\"}\n{\"q\":\"Who?\",\"answer\":\"I\"}";
    assert_eq!(
        shown(&documents(&task, "t.jsonl", lines).unwrap()),
        "1 [-] \"Once. {Who?}\\nA:\": [\"I\"]\n\
         t.jsonl, row 2 (line 2) the column text is missing or empty\n"
    );
    let task = Task::parse(&task, "t.toml").unwrap();
    assert_eq!(task.header(None).text(), "Read.\n\nP {Q}\nA: R\n\n");
}

#[test]
fn a_column_that_no_row_has_is_an_error() {
    let error = documents(CHOICE, "t.csv", "Q,right,wrong\n1,2,3\n").unwrap_err();
    assert_eq!(
        error,
        "the data 't.csv' cannot be used: it has no column q, which the task t wants for the \
         question; its columns are Q, right, wrong, of which 'Q' is the nearest"
    );
    let error = documents(CHOICE, "t.csv", "q,rihgt,wrong\n1,2,3\n").unwrap_err();
    assert!(error.contains("no column right"), "{error}");
    assert!(error.ends_with("of which 'rihgt' is the nearest"), "{error}");
    let error = documents(MARKED, "t.jsonl", "{\"q\":\"Q\",\"choices\":[]}").unwrap_err();
    assert!(error.contains("no column answer, which the task t wants for the answer"), "{error}");
}

#[test]
fn a_definition_is_checked_completely() {
    let generate = "[generate]\nmax_tokens = 8\nstop = [\"\\n\"]\n";
    for (task, old, new, what) in [
        (CHOICE, "title", "titel", ", line 3, is not right: unknown field `titel`"),
        (CHOICE, "\"acc\"", "\"ac\"", ", line 12, is not right: unknown variant `ac`"),
        (CHOICE, "\"acc\"", "\"f1\"", ", line 12, is not right: metrics has one that does not fit"),
        (CHOICE, "\"acc\"", "", ", line 12, is not right: metrics names none"),
        (CHOICE, "\"acc\"", "\"acc\", \"acc\"", "metrics names one twice"),
        (CHOICE, "\"q\"", "3", ", line 7, is not right: invalid type: integer `3`"),
        (CHOICE, "\"q\"", "{ columm = \"q\" }", ", line 7, is not right: unknown field `columm`"),
        (CHOICE, "\"q\"", "{ split = \";\" }", "either the key column or the key columns"),
        (CHOICE, "\"q\"", "[]", "a field needs a column"),
        (CHOICE, "split = \";\"", "split = \"\"", "split is empty"),
        (CHOICE, "\"t\"", "\"a b\"", ", line 2, is not right: name wants"),
        (CHOICE, "right =", "labels =", "wants the fields right and wrong"),
        (CHOICE, "best =", "labels =", ", line 10, is not right: the field labels wants"),
        (CHOICE, "[judge]", "[generate]\nmax_tokens = 1\n[judge]", "[generate] is for"),
        (CHOICE, "[judge]", "[reference.fields]\nid = \"x\"\n[judge]", "unknown field `id`"),
        (
            CHOICE,
            "[judge]",
            "[prompt]\nquestion = \"{queston}\"\n[judge]",
            ", line 12, is not right: the question of [prompt] has {queston}, and there is {question} only",
        ),
        (CHOICE, "[judge]", "[prompt]\nquestion = \"Q:\"\n[judge]", "lacks {question}"),
        (
            CHOICE,
            "[judge]",
            "[prompt]\nanswer = \" {question}\"\n[judge]",
            "there is {answer} only",
        ),
        (
            CHOICE,
            "[judge]",
            "[prompt]\nquestion = \"{question\"\n[judge]",
            ", line 12, is not right: a brace stands alone: write {{ for one",
        ),
        (
            CHOICE,
            "[judge]",
            "[[prompt.shots]]\nquestion = \"Q\"\nanswre = \"A\"\n[judge]",
            ", line 11, is not right: number 1 of [[prompt.shots]] must have the keys answer, question only",
        ),
        (ANSWER, "answer =", "right =", "the field right is for kind = \"choice\""),
        (ANSWER, "answer =", "# answer =", "wants the field answer"),
        (ANSWER, generate, "", ", line 5, is not right: kind = \"answer\" wants [generate]"),
        (ANSWER, "= 8", "= 0", ", line 12, is not right: max_tokens is 0"),
        (ANSWER, "\"\\n\"", "\"\"", ", line 13, is not right: stop has an empty text"),
        (ANSWER, "\"exact_match\"]", "\"f1\"]\ncompare = \"number\"", "f1 counts words"),
        (
            ANSWER,
            "[judge]",
            "[judge]\nextract = { pattern = \"(a\" }",
            "pattern is no regular expression: unclosed group",
        ),
        (
            ANSWER,
            "[judge]",
            "[judge]\nextract = { pattern = \"a\", after = \"\" }",
            "after is empty",
        ),
    ] {
        assert!(task.contains(old), "{old}");
        let text = task.replacen(old, new, 1);
        let error = Task::parse(&text, "t.toml").expect_err(&text).to_string();
        assert!(error.starts_with("the task 't.toml'") && error.contains(what), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

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
fn a_file_of_ones_own_needs_no_definition() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text, line) in [
        (
            "mine.jsonl",
            "{\"question\":\"Q?\",\"correct\":[\"a; b\"],\"incorrect\":\"c; d\"}",
            "1 [-] \"Q: Q?\\nA:\": ++\" a; b\" -\" c\" -\" d\"\n",
        ),
        (
            "mine.jsonl",
            "{\"question\":\"Q?\",\"choices\":[\"a\",\"b\"],\"answer\":\"B\"}",
            "1 [-] \"Q: Q?\\nA:\": -\" a\" ++\" b\"\n",
        ),
        (
            "mine.csv",
            "question,correct,incorrect,category\nQ?,a;b,c,x\n",
            "1 [x] \"Q: Q?\\nA:\": ++\" a\" +\" b\" -\" c\"\n",
        ),
        ("mine.tsv", "Question\tAnswer\nQ?\ta\n", "1 [-] \"Q: Q?\\nA:\": [\"a\"]\n"),
    ] {
        let path = folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        let task = Task::for_file(&path).unwrap();
        assert_eq!((task.name.as_str(), task.title.as_str()), ("mine", file));
        assert_eq!(shown(&task.documents(&path, false).unwrap()), line);
    }
    let path = folder.path().join("other.csv");
    std::fs::write(&path, "x,y\n1,2\n").unwrap();
    let error = Task::for_file(&path).unwrap_err().to_string();
    assert!(error.contains("its columns are x, y, and luge wants question with answer"), "{error}");
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

/// A file of the benchmarks as they are published, where they lie beside the workspace.
fn published(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: there is no {}", path.display());
    None
}

/// How many rows there are, what is wrong with which, and the beginnings of the first
/// question and the last.
fn excerpt(documents: &Documents) -> String {
    let good: Vec<&Document> = documents.rows.iter().flatten().collect();
    let mut text = format!("{} rows, {} questions\n", documents.rows.len(), good.len());
    for problem in documents.rows.iter().filter_map(|row| row.as_ref().err()) {
        writeln!(text, "{} {}", problem.place, problem.what).unwrap();
    }
    for document in [good.first(), good.last()].into_iter().flatten() {
        let short = |text: &str| {
            let start: String = text.chars().take(30).collect();
            let end: Vec<char> = text.chars().rev().take(12).collect();
            format!("{start:?}..{:?}", end.into_iter().rev().collect::<String>())
        };
        writeln!(text, "{} {:?} {}", document.id, document.category, short(&document.question))
            .unwrap();
        match &document.ask {
            Ask::Choice(candidates) => {
                let right = candidates.iter().filter(|candidate| candidate.right).count();
                let wrong = candidates.len() - right;
                writeln!(text, "  {right} right, {wrong} wrong").unwrap();
                for candidate in candidates.iter().filter(|candidate| candidate.best) {
                    writeln!(text, "  {}", short(&candidate.continuation)).unwrap();
                }
            }
            Ask::Answer(answers) => {
                for answer in answers {
                    writeln!(text, "  {}", short(answer)).unwrap();
                }
            }
        }
    }
    text
}

#[test]
fn the_published_files_are_read() {
    for (task, file) in [
        ("truthfulqa-mc", "TruthfulQA.csv"),
        ("factor-news", "news_factor.csv"),
        ("factor-expert", "expert_factor.csv"),
        ("gsm8k", "gsm8k_test.jsonl"),
        ("strategyqa", "strategyqa_train.json"),
        ("strategyqa", "strategyqa_dev.json"),
    ] {
        let Some(path) = published(file) else { continue };
        let task = Task::builtin(task).unwrap();
        let documents = task.documents(&path, false).unwrap();
        insta::assert_snapshot!(file, excerpt(&documents));
        // None of our examples is a question of the benchmark.
        for shot in &task.header(None).shots {
            let is_asked = documents.rows.iter().flatten().any(|row| row.question == shot.question);
            assert!(!is_asked, "{}", shot.question);
        }
    }
}

#[test]
fn the_published_files_are_read_as_the_public_scripts_do() {
    if let Some(path) = published("TruthfulQA.csv") {
        let documents = Task::builtin("truthfulqa-mc").unwrap().documents(&path, true).unwrap();
        assert_eq!(documents.rows.iter().flatten().count(), 817);
    }
    if let Some(path) = published("news_factor.csv") {
        let task = Task::builtin("factor-news").unwrap();
        // How many questions end in a blank, in a line break, and how many continuations
        // begin with a blank.
        let ends = |reference: bool| {
            let documents = task.documents(&path, reference).unwrap();
            let count = |of: fn(&Document) -> bool| {
                documents.rows.iter().flatten().filter(|row| of(row)).count()
            };
            let begins = |row: &Document| match &row.ask {
                Ask::Choice(candidates) => {
                    candidates.iter().all(|c| c.continuation.starts_with(' '))
                }
                Ask::Answer(_) => false,
            };
            (
                count(|row| row.question.ends_with(' ')),
                count(|row| row.question.ends_with('\n')),
                count(begins),
            )
        };
        assert_eq!(ends(false), (0, 906, 130));
        assert_eq!(ends(true), (130, 906, 1036));
    }
}

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
