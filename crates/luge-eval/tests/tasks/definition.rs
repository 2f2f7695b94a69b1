//! What is wrong with a definition.

use luge_eval::Task;

use super::{ANSWER, CHOICE};

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
