//! What becomes of rows.

use std::path::Path;

use luge_eval::{DataFile, Task};

use super::{ANSWER, CHOICE, MARKED, documents, shown};

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
               Q8,,c,new\n\
               Q9,a;b;a,c;c;d,b\n";
    assert_eq!(
        shown(&documents(CHOICE, "t.csv", csv).unwrap()),
        "1 [-] \"Q1\": +\" a\" ++\" b\" -\" c\"\n\
         2 [-] \"Q2\": ++\" new\" +\" a\" -\" c\"\n\
         3 [-] \"Q3\": ++\" a\" +\" b\" -\" c\" -\" d\"\n\
         t.csv, row 4 (line 5) the column q is empty\n\
         t.csv, row 5 (line 6) has no right answer: the column right is empty\n\
         t.csv, row 6 (line 7) has no wrong answer: the column wrong is empty\n\
         t.csv, row 7 (line 8) has 'a' as a right and as a wrong answer\n\
         8 [-] \"Q8\": ++\" new\" -\" c\"\n\
         9 [-] \"Q9\": +\" a\" ++\" b\" -\" c\" -\" d\"\n"
    );
}

#[test]
fn the_public_scripts_keep_an_answer_that_is_there_twice() {
    let task = Task::parse(CHOICE, "t.toml").unwrap();
    let csv = b"q,right,wrong,best\nQ,a,a;b;b,\n".to_vec();
    let data = DataFile::from_bytes(Path::new("t.csv"), csv).unwrap();
    let documents = task.documents_of(&data, true).unwrap();
    assert_eq!(shown(&documents), "1 [-] \"Q\": ++\" a\" -\" a\" -\" b\" -\" b\"\n");
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
