//! Files of one's own, whole and broken, and how they are asked.

use std::path::Path;

use serde_json::{Value, json};

use super::{Folder, capitals, problems, written};
use crate::gguf::Gguf;
use crate::support::{bare_luge, luge, model};

const HEADER: &str = "question,correct,incorrect\n";
const PARIS: &str = "What is the capital of France?,Paris,Rome;Madrid\n";

#[test]
fn what_cannot_be_asked_is_named_by_file_and_row() {
    let folder = Folder::new();
    let rows = [
        HEADER,
        PARIS,
        "\"a \"broken\" quote\",a,b\n",
        "only,two\n",
        "\"Two\nlines?\",,x\n",
        "Same?,a,a\n",
        "Nothing wrong?,a,\n",
        PARIS,
    ];
    let choices = folder.file("choices.csv", rows.concat());
    let long = json!({ "question": "long ".repeat(700), "answer": "x" });
    let rows = [
        &json!({ "question": "What is the capital of France?", "answer": "Paris" }).to_string(),
        "{\"question\": \"broken",
        "[1, 2]",
        "",
        "{\"question\": \"no answer\"}",
        "{\"question\": \"\", \"answer\": \"x\"}",
        "{\"question\": \"q\", \"answer\": []}",
        &long.to_string(),
    ];
    let written = folder.file("written.jsonl", rows.join("\n"));
    let text = folder.eval("out").arg(choices).arg(written).stdout();
    let results = folder.results("out");
    let wanted = [
        "choices.csv, row 2 (line 3): has a quote in the midst of a field: write \"\" for one \
         quote inside of quotes",
        "choices.csv, row 3 (line 4): has 2 fields, and the header 3",
        "choices.csv, row 4 (line 5): has no right answer: the column correct is empty",
        "choices.csv, row 5 (line 7): has 'a' as a right and as a wrong answer",
        "choices.csv, row 6 (line 8): has no wrong answer: the column incorrect is empty",
    ];
    assert_eq!(problems(&results, 0), wanted);
    assert_eq!(results["tasks"][0]["documents"], 2);
    assert!(text.contains("5 rows could not be asked; they are in no number:\n"), "{text}");
    assert!(text.contains("row 2 (line 3): has a quote"), "{text}");
    assert!(text.contains("and 2 more, in results.json"), "{text}");
    let markdown = folder.text("out", "report.md");
    assert!(markdown.contains("* choices.csv, row 6 (line 8): has no wrong"), "{markdown}");

    let own = problems(&results, 1);
    let wanted = [
        ("row 2 (line 2)", "is no JSON"),
        ("row 3 (line 3)", "is an array, not an object"),
        ("row 4 (line 5)", "is missing or empty"),
        ("row 5 (line 6)", "the column question is empty"),
        ("row 6 (line 7)", "is empty"),
        ("row 7", "tokens are more than the context of 512 holds"),
    ];
    assert_eq!(own.len(), wanted.len(), "{own:#?}");
    for (own, (place, what)) in own.iter().zip(wanted) {
        assert!(own.starts_with(&format!("written.jsonl, {place}")), "{own}");
        assert!(own.contains(what), "{own}");
    }
    assert_eq!(results["tasks"][1]["documents"], 1);
    // All of it is in the page too.
    let page = folder.text("out", "report.html");
    assert!(page.contains("has 2 fields, and the header 3"));
}

#[test]
fn where_nothing_can_be_asked_the_command_fails_with_a_report() {
    let folder = Folder::new();
    let none = folder.file("none.jsonl", "{\"question\": \"\", \"answer\": \"x\"}\n{\"a\": 1}\n");
    for _ in 0..2 {
        let outcome = folder.eval("out").arg(&none).outcome();
        assert_eq!(outcome.status.code(), Some(1), "{outcome:#?}");
        assert!(outcome.stderr.contains("none of the rows could be asked (none.jsonl, row 1"));
        assert!(outcome.stdout.contains("2 rows could not be asked"), "{outcome:#?}");
    }
    assert_eq!(problems(&folder.results("out"), 0).len(), 2);
    let message = folder.eval("dry").arg(&none).flags("--dry-run").failure(1);
    assert!(message.contains("none of the rows that were tried can be asked"), "{message}");
    // Beside a task with documents it is none of the run's business.
    let outcome = folder.eval("both").arg(&none).arg(written(&folder)).outcome();
    assert!(outcome.status.success(), "{outcome:#?}");
}

#[test]
fn encodings_are_read_or_named() {
    let folder = Folder::new();
    let text = format!("{HEADER}{PARIS}Wo liegt Köln?,Deutschland,Italien;Spanien\n");
    let utf16 = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(order).collect()
    };
    let latin1: Vec<u8> = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let files = [
        ("plain", text.clone().into_bytes()),
        ("mark", format!("\u{feff}{text}").into_bytes()),
        ("windows", text.replace('\n', "\r\n").into_bytes()),
        ("little", utf16(u16::to_le_bytes)),
        ("big", utf16(u16::to_be_bytes)),
    ];
    let mut found = Vec::new();
    for (name, bytes) in files {
        let file = folder.file(&format!("{name}.csv"), bytes);
        folder.eval(name).arg(file).flags("--methods greedy,dola").stdout();
        let results = folder.results(name);
        assert_eq!(results["tasks"][0]["documents"], 2, "{name}");
        found.push(results["tasks"][0]["metrics"].clone());
    }
    assert!(found.iter().all(|own| *own == found[0]));
    let file = folder.file("latin1.csv", latin1);
    folder.eval("latin1").arg(file).stdout();
    let problem = "latin1.csv, row 2 (line 3): is not UTF-8: convert the file, for instance with \
                   iconv -f latin1 -t utf-8";
    assert_eq!(problems(&folder.results("latin1"), 0), [problem]);
}

#[test]
fn a_file_that_is_none_is_refused_in_a_sentence() {
    let folder = Folder::new();
    let files: [(&str, &[u8], &str); 6] = [
        ("empty.csv", b"", "it is empty"),
        ("header.csv", HEADER.as_bytes(), "it has no rows"),
        ("columns.csv", b"a,b\n1,2\n", "its columns are a, b"),
        ("packed.csv", b"\x1f\x8b\x08", "unpack it first"),
        ("broken.parquet", b"PAR1", "cannot be used"),
        ("twice.csv", b"question,question\n1,2\n", "twice"),
    ];
    for (name, bytes, what) in files {
        let file = folder.file(name, bytes);
        let message = folder.eval("out").arg(file).failure(1);
        assert!(message.contains(name) && message.contains(what), "{message}");
    }
    let message = folder.eval("out").arg(folder.path("nothing.jsonl")).failure(1);
    assert!(message.contains("cannot read") && message.contains("nothing.jsonl"), "{message}");
    let definition = folder.file("wrong.toml", "name = \"wrong\"\nkind = \"chioce\"\n");
    let message = folder.eval("out").arg(definition).failure(1);
    assert!(message.contains("wrong.toml"), "{message}");
    assert!(!folder.path("out").exists());
}

#[test]
fn own_files_of_each_form_are_asked() {
    let folder = Folder::new();
    let choice = json!([
        { "question": "Capital of France?", "choices": ["Rome", "Paris"], "answer": 1 },
        { "question": "Capital of Italy?", "choices": ["Rome", "Paris"], "answer": "A" },
    ]);
    let files = [
        folder.file("a.json", choice.to_string()),
        folder.file("b.tsv", "question\tcorrect\tincorrect\nCapital of Spain?\tMadrid\tOslo\n"),
        folder.file("c.csv", "question;answer\nCapital of Spain?;Madrid\n"),
        folder
            .file("d.jsonl", "{\"question\": \"Capital of Spain?\", \"answers\": [\"Madrid\"]}\n"),
    ];
    let eval = files.iter().fold(folder.eval("out"), |eval, file| eval.arg(file));
    eval.flags("--methods greedy,sled+dola").stdout();
    let results = folder.results("out");
    let tasks = results["tasks"].as_array().unwrap();
    let documents: Vec<&Value> = tasks.iter().map(|task| &task["documents"]).collect();
    assert_eq!(documents, [2, 1, 1, 1]);
    assert_eq!(tasks[0]["metrics"][0]["name"], "acc");
    assert_eq!(tasks[3]["metrics"][1]["name"], "f1");
    // Written answers have no controls, and one for all is there where there are choices.
    let names: Vec<&Value> =
        results["setup"]["methods"].as_array().unwrap().iter().map(|own| &own["name"]).collect();
    assert_eq!(names, ["greedy", "sled+dola"]);
}

#[test]
fn what_is_asked_can_be_chosen() {
    let folder = Folder::new();
    let (definition, data) = capitals(&folder);
    let primer = folder.file("primer.txt", "Q: What is the capital of Chad?\nA: N'Djamena\n\n");
    let run = |out: &str, flags: &str| {
        let eval = folder.eval(out).arg(&definition).arg("--data").arg(&data).flags("--limit 4");
        eval.flags(flags).stdout();
        folder.results(out)
    };
    let tokens = |results: &Value| results["tasks"][0]["cost"]["tokens_alone"].as_u64().unwrap();
    let plain = run("plain", "--methods greedy");
    assert_eq!(plain["tasks"][0]["documents"], 4);
    assert_eq!(plain["setup"]["tasks"][0]["limit"], 4);
    assert_eq!(plain["setup"]["tasks"][0]["rows"], 13);

    // A shorter header takes fewer tokens.
    let primer = format!("--methods greedy --primer {}", primer.display());
    assert!(tokens(&run("primer", &primer)) < tokens(&plain));
    let chat = run("chat", "--methods greedy --apply-chat-template");
    assert!(chat["setup"]["engine"]["chat_template_sha256"].is_string());
    assert_ne!(tokens(&chat), tokens(&plain));

    let names = |results: &Value| -> Vec<String> {
        let methods = results["setup"]["methods"].as_array().unwrap();
        methods.iter().map(|own| own["name"].as_str().unwrap().to_owned()).collect()
    };
    // Greedy is there in any case, and in front.
    assert_eq!(names(&run("control", "--methods sled")), ["greedy", "sled", "top-10 cut"]);
    assert_eq!(names(&run("order", "--methods dola,greedy --no-controls")), ["greedy", "dola"]);
    assert_eq!(names(&run("bare", "--methods sled --no-controls")), ["greedy", "sled"]);
    let reference = run("reference", "--methods greedy --scoring reference");
    assert_eq!(reference["setup"]["scoring"], "reference");
    let text = folder.text("reference", "report.md");
    assert!(text.contains("as the public scripts of SLED and DoLa have it"), "{text}");
}

#[test]
fn a_method_counts_once() {
    let folder = Folder::new();
    let eval = |methods: &str| {
        folder.eval("out").flags("atlas --limit 1 --methods").arg(methods).failure(2)
    };
    assert_eq!(eval("sled,sled"), "the method sled is named twice");
    assert_eq!(eval("greedy,greedy"), "the method greedy is named twice");
    let message = eval("sled,sled(evolution-rate=2)");
    assert!(message.starts_with("the methods sled and sled(evolution-rate=2) are the same, sled("));
    assert!(eval("sledd").contains("sled"));
}

#[test]
fn settings_reach_the_methods() {
    let folder = Folder::new();
    let config = folder.file("config.toml", "evolution-rate = 1\nmethods = \"greedy,sled\"\n");
    let eval = |out: &str| folder.eval(out).flags("atlas --limit 1");
    eval("file").arg("--config").arg(config).stdout();
    eval("variables").env("LUGE_EVOLUTION_RATE", "1").env("LUGE_METHODS", "greedy,sled").stdout();
    eval("flags").flags("--evolution-rate 1 --methods greedy,sled").stdout();
    let methods = |out: &str| folder.results(out)["setup"]["methods"].clone();
    let text = methods("flags")[1]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("sled(evolution-rate=1,"), "{text}");
    assert_eq!(methods("file"), methods("flags"));
    assert_eq!(methods("variables"), methods("flags"));
    // The command makes the run again where the settings are not in force.
    for out in ["file", "variables"] {
        let command = folder.results(out)["setup"]["command"].as_str().unwrap().replace('\'', "");
        assert!(command.starts_with("LUGE_EVOLUTION_RATE=1 luge eval -m atlas "), "{command}");
        assert!(command.ends_with(" --methods=greedy,sled"), "{command}");
        assert!(!command.contains("config"), "{command}");
    }
}

/// Of fewer tokens than answers are computed at once.
#[test]
fn a_context_may_be_small() {
    let folder = Folder::new();
    let rows = "{\"question\": \"A\", \"choices\": [\" b\", \" c\"], \"answer\": 0}\n";
    let rows = folder.file("own.jsonl", rows);
    for (size, documents) in [("1", 0), ("8", 1), ("32", 1)] {
        let outcome = folder.eval(size).arg(&rows).flags("--ctx-size").arg(size).outcome();
        assert_eq!(folder.results(size)["tasks"][0]["documents"], documents, "{outcome:#?}");
    }
}

#[test]
fn flags_about_written_answers_are_remarked_on_where_there_are_none() {
    let folder = Folder::new();
    let said = |task: &str| {
        let eval = luge("eval -m atlas --limit 1 --methods greedy -n 5 --stop X").arg(task);
        eval.arg("--out").arg(folder.path(task)).outcome().stderr
    };
    let choice = said("atlas");
    assert!(choice.contains("--predict does nothing where no answer is written"), "{choice}");
    assert!(choice.contains("--stop does nothing where no answer is written"), "{choice}");
    let written = said("atlas-open");
    assert!(!written.contains("does nothing"), "{written}");
}

/// As flags, settings that no method has a use for would be refused.
#[test]
fn the_command_of_a_run_with_idle_settings_runs() {
    let folder = Folder::new();
    let config =
        "relative-top = 0.3\npreset = true\nlayers = [0, 2, 4]\nstop = [\"it's\", \"A:\"]\n";
    let config = folder.file("config.toml", config);
    let flags = "atlas --limit 2 --methods sled";
    folder.eval("out").flags(flags).arg("--config").arg(config).stdout();
    let results = folder.results("out");
    let command = results["setup"]["command"].as_str().unwrap();
    let again = command.replacen("luge eval", "\"$1\" eval -q", 1) + " --out \"$2\"";
    bare_luge().arg(folder.path("again")).in_shell(&again).stdout();
    assert_eq!(folder.results("again")["setup"]["methods"], results["setup"]["methods"]);
}

#[test]
fn the_estimate_is_near_what_the_run_takes() {
    let folder = Folder::new();
    let eval = |out: &str| folder.eval(out).flags("atlas --limit 40");
    let estimate = eval("dry").flags("--dry-run").json();
    assert!(!folder.path("dry").exists());
    assert_eq!((&estimate["documents"], &estimate["methods"]), (&json!(40), &json!(4)));
    eval("run").stdout();
    let cost = folder.results("run")["tasks"][0]["cost"].clone();
    for (estimated, name) in [(&estimate["tokens"], "tokens"), (&estimate["exits"], "exits")] {
        let ratio = estimated.as_f64().unwrap() / cost[name].as_f64().unwrap();
        assert!((0.5..2.0).contains(&ratio), "{name}: {ratio}");
    }
    let text = eval("dry").flags("--dry-run").stdout();
    assert!(text.starts_with("40 documents, 4 methods: about "), "{text}");
}

#[test]
fn the_list_says_what_there_is() {
    let text = bare_luge().flags("eval --list").stdout();
    for word in ["truthfulqa-mc", "mc1 mc2 mc3", "built in", "Hugging Face", "a file", "yours"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let list = bare_luge().flags("eval --list").json();
    let atlas = list.as_array().unwrap().iter().find(|task| task["name"] == "atlas").unwrap();
    assert_eq!((&atlas["kind"], &atlas["data"]), (&json!("choice"), &json!("built in")));
    assert!(luge("eval").failure(2).contains("luge eval --list"));
    let message = luge("eval truthfulqa").failure(2);
    assert!(message.contains("did you mean 'truthfulqa-mc'"), "{message}");
}

#[test]
fn the_page_and_the_table_have_the_same_numbers() {
    let folder = Folder::new();
    let file = written(&folder);
    let text = folder.eval("out").arg(&file).stdout();
    assert!(text.contains("written.jsonl; 6 documents; written answers"), "{text}");
    assert!(text.contains(&format!("'{}' has all of it", show(&folder.path("out")))), "{text}");
    let results = folder.results("out");
    let mean = results["tasks"][0]["metrics"][0]["methods"][0]["mean"].as_f64().unwrap();
    assert!(text.contains(&format!("{:.1} (", 100.0 * mean)), "{text}");
    let printed = folder.eval("out").arg(&file).json();
    assert_eq!(printed["tasks"], results["tasks"]);
}

fn show(folder: &Path) -> String {
    folder.join("report.html").display().to_string()
}

/// A model may be sound but for some texts: these are named, and leave no trace in others.
#[test]
fn a_document_that_is_too_much_for_the_model_is_a_problem_of_its_own() {
    /// Of the character z.
    const TOKEN: usize = 154;
    let folder = Folder::new();
    let rows = ["abc", "ab zzz zzz zzz zzz", "abc", "bca", "zzz"]
        .map(|question| format!("{question},x,y\n"));
    let choices = folder.file("choices.csv", HEADER.to_owned() + &rows.concat());
    let written =
        folder.file("written.csv", "question,answer\nabc,x\nab zzz zzz zzz zzz,x\ncab,x\n");
    let unsound = Gguf::parity("llama").fill_row("token_embd.weight", TOKEN, f32::NAN).file();
    for (out, model) in [("unsound", unsound.path()), ("sound", &model("llama"))] {
        let command = luge("eval -q -n 4 -fa off").model(model).arg("--out").arg(folder.path(out));
        command.arg(&choices).arg(&written).stdout();
    }
    let results = folder.results("unsound");
    for (task, places) in
        [(0, &["choices.csv, row 2", "choices.csv, row 5"][..]), (1, &["written.csv, row 2"])]
    {
        let found = problems(&results, task);
        assert_eq!(found.len(), places.len(), "{found:?}");
        for (problem, place) in found.iter().zip(places) {
            assert!(problem.starts_with(place) && problem.contains("NaN"), "{problem}");
        }
    }
    // But for what the layers said, which has the model's name in it.
    let outcomes = |out: &str| -> Vec<Value> {
        let log = folder.text(out, "documents.jsonl");
        let lines = log.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut outcomes: Vec<Value> = lines.map(|mut line| line["outcome"].take()).collect();
        for kind in ["choice", "answer"] {
            outcomes.iter_mut().filter_map(|own| own.get_mut(kind)).for_each(|own| {
                own.as_object_mut().unwrap().remove("layers");
            });
        }
        outcomes
    };
    let (unsound, sound) = (outcomes("unsound"), outcomes("sound"));
    assert_eq!((unsound.len(), sound.len()), (8, 8));
    for (unsound, sound) in unsound.iter().zip(sound) {
        assert!(unsound["problem"].is_object() || *unsound == sound, "{unsound} {sound}");
    }
}
