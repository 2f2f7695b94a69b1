//! Flags from the environment and from a configuration file.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::gguf::{self, Gguf};
use crate::support::{Luge, PROMPT, bare_luge, bench, compare, lens, model, reference_prompt, run};

/// A home with a configuration file.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new(config: &str) -> Self {
        let home = Home { folder: tempdir().unwrap() };
        fs::create_dir_all(home.file().parent().unwrap()).unwrap();
        fs::write(home.file(), config).unwrap();
        home
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(".config/luge/config.toml")
    }

    fn of(&self, luge: Luge) -> Luge {
        luge.home(self.folder.path())
    }

    /// What `luge config` says of a command line: value and source.
    fn config(&self, line: &str) -> impl Fn(&str) -> (Value, String) + use<> {
        in_force(self.of(bare_luge()), line)
    }

    /// What is wrong with the file, behind its name.
    #[track_caller]
    fn failure(&self, code: i32) -> String {
        let message = self.of(bare_luge()).flags("run x").failure(code);
        let file = format!("{}:", self.file().display());
        message.strip_prefix(&file).unwrap_or_else(|| panic!("{message}")).to_owned()
    }
}

fn in_force(luge: Luge, line: &str) -> impl Fn(&str) -> (Value, String) + use<> {
    let config = luge.flags("config --format json").flags(line).stdout();
    let config: Value = serde_json::from_str(&config).unwrap();
    move |name: &str| {
        let settings = config["settings"].as_array().unwrap();
        let setting = settings.iter().find(|setting| setting["name"] == name).unwrap();
        let source = match (&setting["variable"], &setting["line"], &setting["table"]) {
            (Value::String(variable), _, _) => variable.clone(),
            (_, Value::Number(line), Value::String(table)) => format!("{line} [{table}]"),
            (_, Value::Number(line), _) => line.to_string(),
            _ => setting["source"].as_str().unwrap().to_owned(),
        };
        (setting["value"].clone(), source)
    }
}

/// A value, and where it comes from.
fn is(value: impl Into<Value>, source: &str) -> (Value, String) {
    (value.into(), source.to_owned())
}

#[test]
fn settings_are_in_force_in_their_order() {
    let home = Home::new(
        "temp = 0.1\ntop-k = 1\nseed = 1\npredict = 1\nmin-p = 0.1\n[run]\ntemp = 0.2\ntop-k = 2\n\
         seed = 2\npredict = 2\n[models.'*.gguf']\ntemp = 0.3\ntop-k = 3\nseed = 3\n",
    );
    let luge = home.of(bare_luge()).env("LUGE_TEMP", "0.4").env("LUGE_TOP_K", "4");
    let config = in_force(luge, "run -m folder/model.gguf --temp 0.5");
    assert_eq!(config("temp"), is("0.5", "flag"));
    assert_eq!(config("top-k"), is("4", "LUGE_TOP_K"));
    assert_eq!(config("seed"), is("3", "14 [models.\"*.gguf\"]"));
    assert_eq!(config("predict"), is("2", "10 [run]"));
    assert_eq!(config("min-p"), is("0.1", "5"));
    assert_eq!(config("top-p"), is("0.95", "default"));
    let config = home.config("compare");
    assert_eq!(config("temp"), is("0.1", "1"));
}

#[test]
fn what_is_set_is_what_runs() {
    let prompt = reference_prompt("llama");
    let decode = |luge: Luge| luge.flags("-n 8 --prompt-ids").arg(&prompt).text();
    let greedy = decode(run(model("llama")).flags("--method greedy"));
    let sled = decode(run(model("llama")));
    assert_ne!(greedy, sled);
    let home = Home::new("method = 'greedy'\n");
    assert_eq!(decode(home.of(run(model("llama")))), greedy);
    assert_eq!(decode(home.of(run(model("llama"))).flags("--method sled")), sled);
    assert_eq!(decode(home.of(run(model("llama"))).env("LUGE_METHOD", "sled")), sled);
    assert_eq!(decode(home.of(run(model("llama"))).flags("--no-config")), sled);
    // A variable without a value is none.
    assert_eq!(decode(run(model("llama")).env("LUGE_METHOD", "")), sled);
}

#[test]
fn lists_repeat_a_flag_or_are_its_text() {
    let home =
        Home::new("logit-bias = ['1+1', '2-inf']\nlayers = [0, 2]\nmethods = ['sled', 'dola']\n");
    let config = home.config("compare");
    let biases = ["1+1", "2-inf"].map(Value::from).to_vec();
    assert_eq!(config("logit-bias"), is(biases, "1"));
    assert_eq!(config("layers"), is("0,2", "2"));
    assert_eq!(config("methods"), is("sled,dola", "3"));
    let object = home.of(compare(model("llama"))).flags("-n 1").arg(PROMPT).json();
    assert_eq!(object["results"].as_array().unwrap().len(), 2);
    // In a variable, one a line.
    let config = in_force(bare_luge().env("LUGE_STOP", "a\nb c"), "run");
    assert_eq!(config("stop"), is(["a", "b c"].map(Value::from).to_vec(), "LUGE_STOP"));
}

#[test]
fn numbers_may_be_written_in_all_ways_of_toml() {
    let home = Home::new("ctx-size = 1_024\nthreads = 0x10\ntemp = 1e-1\n");
    let config = home.config("run");
    assert_eq!(config("ctx-size"), is("1024", "1"));
    assert_eq!(config("threads"), is("16", "2"));
    assert_eq!(config("temp"), is("1e-1", "3"));
}

#[test]
fn a_switch_is_turned_off_by_its_negation() {
    let home = Home::new("no-mmap = true\nshow-changes = true\n[run]\nignore-eos = true\n");
    let config = home.config("run");
    for name in ["no-mmap", "show-changes", "ignore-eos"] {
        assert_eq!(config(name).0, "true", "{name}");
    }
    let config = home.config("run --mmap --no-show-changes --no-ignore-eos");
    for name in ["no-mmap", "show-changes", "ignore-eos"] {
        assert_eq!(config(name), is("false", "flag"), "{name}");
    }
    // The last one counts.
    assert_eq!(home.config("run --mmap --no-mmap")("no-mmap"), is("true", "flag"));
    assert_eq!(home.config("run --no-mmap --mmap")("no-mmap"), is("false", "flag"));
    let config = in_force(home.of(bare_luge()).env("LUGE_NO_MMAP", "0"), "run");
    assert_eq!(config("no-mmap"), is("false", "LUGE_NO_MMAP"));
    // And the program does as the settings say.
    let changes = |flags: &str| {
        let luge = home.of(run(model("llama"))).flags("-n 2").flags(flags).arg(PROMPT);
        luge.outcome().stderr.contains("against the final layer")
    };
    assert_eq!([changes(""), changes("--no-show-changes")], [true, false]);
}

#[test]
fn profiles_are_chosen_by_the_model() {
    let config = "[aliases]\nsmall = 'folder/Llama-2-7b.Q4_0.gguf'\n[models.'LLAMA-2*']\ntemp = 0.1\n\
                  top-k = 1\n[models.'llama-2-7b*']\ntemp = 0.2\n[models.small]\nseed = 7\n";
    let home = Home::new(config);
    for name in ["small", "folder/Llama-2-7b.Q4_0.gguf", "llama-2-7b"] {
        let config = home.config(&format!("run -m {name}"));
        assert_eq!(config("temp"), is("0.2", "7 [models.\"llama-2-7b*\"]"), "{name}");
        assert_eq!(config("top-k"), is("1", "5 [models.\"LLAMA-2*\"]"), "{name}");
        assert_eq!(config("seed").0 == "7", name == "small", "{name}");
    }
    let config = home.config("run -m llama-3-8b");
    assert_eq!(config("temp"), is("0", "default"));
    // By the repository, however it is written, and through several aliases.
    let home = Home::new(
        "[aliases]\na = 'b'\nb = 'hf:Org/Name:Q8_0'\nc = 'd'\nd = 'c'\n\
         [models.'org/name']\nseed = 1\n[models.'llama3.2']\nseed = 2\n",
    );
    for (name, seed) in [
        ("a", "1"),
        ("org/name", "1"),
        ("org/name:Q4_0", "1"),
        ("org/name/model.gguf", "1"),
        ("https://huggingface.co/org/name", "1"),
        ("ollama:llama3.2:1b", "2"),
        ("ollama:llama3.2", "2"),
        ("org/names", "-1"),
        ("c", "-1"),
    ] {
        assert_eq!(home.config(&format!("run -m {name}"))("seed").0, seed, "{name}");
    }
    // The model may be a setting itself.
    let home = Home::new("model = 'b'\n[models.a]\nseed = 1\n[models.b]\nseed = 2\n");
    assert_eq!(home.config("run")("seed"), is("2", "5 [models.\"b\"]"));
    assert_eq!(in_force(home.of(bare_luge()).env("LUGE_MODEL", "a"), "run")("seed").0, "1");
}

#[test]
fn an_alias_stands_for_a_model() {
    let home = Home::new(&format!("[aliases]\ntiny = {:?}\n", model("llama")));
    let object = home.of(run("tiny")).flags("-n 1").arg(PROMPT).json();
    assert_eq!(object["model"], model("llama").to_str().unwrap());
}

#[test]
fn settings_that_a_call_has_no_use_for_wait() {
    let home = Home::new("relative-top = 0.2\nevolution-rate = 1\ntop-k = 5\nrounds = 2\n");
    // On the command line each of these is refused or remarked on.
    let luge = home.of(run(model("llama"))).flags("-n 1 --method greedy --temp 0");
    luge.arg(PROMPT).stdout();
    let message =
        home.of(run(model("llama"))).flags("--method greedy --evolution-rate 1 x").failure(2);
    assert!(message.contains("does nothing for greedy"), "{message}");
}

#[test]
fn a_flag_wins_over_a_setting_that_it_conflicts_with() {
    let folder = tempdir().unwrap();
    let prompts = folder.path().join("prompts.txt");
    fs::write(&prompts, "w5 w17\n").unwrap();
    let home = Home::new("n-prompt = 7\nquiet = true\n");
    let luge = || home.of(bench(model("llama"))).flags("-r 1 -n 2 --methods greedy");
    luge().flags("--prompts").arg(&prompts).stdout();
    assert_eq!(home.config("bench")("n-prompt"), is("7", "1"));
    let config = home.config(&format!("bench --prompts {}", prompts.display()));
    assert_eq!(config("n-prompt"), is("32", "default"));
    let config = home.config("run -v");
    assert_eq!([config("quiet").0, config("verbose").0], ["false", "1"]);
    // Of two settings, the one that comes first.
    let config = in_force(home.of(bare_luge()).env("LUGE_VERBOSE", "1"), "run");
    assert_eq!([config("quiet").0, config("verbose").0], ["false", "1"]);
    let config = in_force(home.of(bare_luge()).env("LUGE_VERBOSE", "0"), "run");
    assert_eq!([config("quiet").0, config("verbose").0], ["true", "0"]);
    let config = in_force(bare_luge().env("LUGE_VERBOSE", "yes"), "run");
    assert_eq!(config("verbose"), is("1", "LUGE_VERBOSE"));
}

#[test]
fn of_two_settings_that_conflict_one_has_to_win() {
    let home = Home::new("quiet = true\nverbose = 1\n");
    let message = "quiet does not go together with verbose, which is set too: leave one of them \
                   out";
    assert!(home.failure(2).ends_with(message));
    assert_eq!(home.config("run -v")("quiet"), is("false", "default"));
    assert_eq!(home.config("run --no-quiet")("verbose"), is("1", "2"));
    let luge = bare_luge().env("LUGE_GRAMMAR", "x").env("LUGE_REGEX", "x").flags("run x");
    assert!(luge.failure(2).contains("LUGE_GRAMMAR: grammar does not go together with regex"));
    // The table of one model is more exact than that of many.
    let home = Home::new("[models.'*']\nregex = 'a'\n[models.'a*']\ngrammar = 'b'\n");
    let config = home.config("run -m atlas");
    assert_eq!([config("regex").1, config("grammar").1], ["default", "4 [models.\"a*\"]"]);
}

#[test]
fn another_file_is_named_by_a_flag_or_a_variable() {
    let home = Home::new("seed = 1\n");
    let other = home.folder.path().join("other.toml");
    fs::write(&other, "seed = 2\n").unwrap();
    let path = other.to_str().unwrap();
    let seed = |luge: Luge, line: &str| in_force(luge, line)("seed").0;
    assert_eq!(seed(home.of(bare_luge()), "run"), "1");
    assert_eq!(seed(home.of(bare_luge()), &format!("run --config {path}")), "2");
    assert_eq!(seed(home.of(bare_luge()).flags(&format!("--config {path}")), "run"), "2");
    assert_eq!(seed(home.of(bare_luge()).env("LUGE_CONFIG", path), "run"), "2");
    assert_eq!(seed(home.of(bare_luge()), "run --no-config"), "-1");
    assert_eq!(seed(home.of(bare_luge()), "--no-config run"), "-1");
    assert_eq!(seed(home.of(bare_luge()).flags("--no-config"), "run"), "-1");
    let config = in_force(bare_luge().flags("-q --color never"), "run");
    assert_eq!([config("quiet"), config("color")], [is("true", "flag"), is("never", "flag")]);
    let message = bare_luge().flags("run x --config no-such-file").failure(1);
    assert!(message.contains("no-such-file") && message.contains("--no-config"), "{message}");
}

#[test]
fn what_is_wrong_in_the_file_is_said_with_its_line() {
    let wrong = [
        ("ctx-sise = 1", "1: there is no setting 'ctx-sise'; did you mean 'ctx-size'?"),
        ("\n\ntemp = 'hot'", "3: temp = 'hot': it takes a number of at least 0"),
        ("evolution-rate = -1", "1: evolution-rate = '-1': it takes a number of at least 0"),
        ("flash-attn = 'perhaps'", "1: flash-attn = 'perhaps': it takes on, off, auto"),
        (
            "format = 'csv'",
            "1: format = 'csv': it takes text, json; for lens alone, put it into [lens]",
        ),
        ("no-mmap = 'yes'", "1: no-mmap: it takes true or false"),
        ("verbose = 1000", "1: verbose: it takes a small number"),
        ("[run]\nrounds = 1", "2: run has no 'rounds', which is of bench"),
        ("[rum]\n", "1: there is no command for the table [rum]; did you mean [run]?"),
        ("[temp]\n", "1: 'temp' takes a value, no table"),
        ("run = 1", "1: 'run' is a command: its settings stand in a table, [run]"),
        ("prompt = 'a'", "1: 'prompt' is about one call: give --prompt on the command line"),
        ("n-predict = 1", "1: 'n-predict' is called 'predict' here"),
        ("temp = 1979-05-27", "1: 'temp' takes a text, a number, true or false, or a list of them"),
        ("aliases = 1", "1: 'aliases' takes a table, [aliases]"),
        ("[aliases]\na = 1", "2: the alias 'a' takes a model's name"),
        ("[aliases]\natlas = 'a'", "2: 'atlas' is the model that is built in, and no alias"),
        ("temp = \"a\\nb\"", "1: temp = 'a b': it takes a number of at least 0"),
        ("[models]\na = 1", "2: here stand tables named after models, as in [models.\"llama-2*\"]"),
        ("[models.a]\nmodel = 'b'", "2: a model's settings cannot choose the model"),
        ("a = [", "1: this is no TOML: unclosed array, expected `]`"),
    ];
    for (config, message) in wrong {
        assert_eq!(Home::new(config).failure(2), message, "{config}");
    }
    // Bytes that are no text.
    let home = Home::new("");
    fs::write(home.file(), b"\xff").unwrap();
    let message = home.of(bare_luge()).flags("run x").failure(1);
    assert!(message.contains("config.toml") && message.contains("UTF-8"), "{message}");
}

#[test]
fn a_file_at_fault_does_not_stop_what_does_not_need_it() {
    let home = Home::new("a = [");
    for line in
        ["--help", "run --help", "config --path", "completions bash", "man", "run --version"]
    {
        let outcome = home.of(bare_luge()).flags(line).outcome();
        assert_eq!(outcome.status.success(), line != "run --version", "{outcome:#?}");
    }
}

#[test]
fn what_is_wrong_in_the_environment_is_said_with_its_name() {
    let failure = |name: &str, value: &str| bare_luge().env(name, value).flags("run x").failure(2);
    assert_eq!(
        failure("LUGE_TEMP", "hot"),
        "LUGE_TEMP: temp = 'hot': it takes a number of at least 0"
    );
    assert_eq!(
        failure("LUGE_MLOCK", "perhaps"),
        "LUGE_MLOCK: mlock = 'perhaps': it takes true or false"
    );
    assert!(failure("LUGE_METHOD", "sledd").contains("did you mean 'sled'"));
}

#[test]
fn a_variable_of_nearly_the_name_is_remarked_on() {
    let said = |name: &str| {
        let luge = run(model("llama")).env(name, "1").flags("-n 1").arg(PROMPT);
        luge.outcome().stderr
    };
    assert_eq!(
        said("LUGE_CTX_SISE"),
        "luge: LUGE_CTX_SISE is no setting; did you mean LUGE_CTX_SIZE?\n"
    );
    for other in ["LUGE_OF_ANOTHER_PROGRAM", "LUGE_CACHE", "LUGE"] {
        assert_eq!(said(other), "", "{other}");
    }
    assert_eq!(said("LUGE_YES"), "luge: LUGE_YES does nothing: give --yes on the command line\n");
    run(model("llama")).env("LUGE_CTX_SISE", "1").flags("-q -n 1").arg(PROMPT).stdout();
}

#[test]
fn the_table_says_where_each_value_comes_from() {
    let home = Home::new("evolution-rate = 1.5\nstop = [\"\\n\", 'b c']\n[run]\npredict = 12\n");
    let luge = home.of(bare_luge()).env("LUGE_TEMP", "0.7").flags("config run -s 3");
    let text = luge.stdout().replace(home.folder.path().to_str().unwrap(), "HOME");
    insta::assert_snapshot!(text);
}

#[test]
fn the_first_file_is_written_once_and_sets_nothing() {
    let folder = tempdir().unwrap();
    let luge = |line: &str| bare_luge().home(folder.path()).flags(line);
    let path = luge("config --path").stdout();
    let file = PathBuf::from(path.trim_end());
    assert_eq!(file, folder.path().join(".config/luge/config.toml"));
    let outcome = luge("config --init").outcome();
    assert!(outcome.status.success() && outcome.stderr.contains("commented out"), "{outcome:#?}");
    let text = fs::read_to_string(&file).unwrap();
    let config = in_force(luge(""), "run");
    assert_eq!(config("temp"), is("0", "default"));
    assert!(luge("config --init").failure(2).contains("is there already"));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);

    // With its examples in force, each of them is one that holds.
    let examples: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&file, examples).unwrap();
    let config = in_force(luge(""), "run -m llama-2-7b");
    assert_eq!([config("predict").0, config("temp").0], ["400", "0.7"]);
    assert_eq!(config("preset").0, "true");
    assert_eq!(in_force(luge(""), "run -m small")("evolution-scale").0, "20");
    assert_eq!(in_force(luge(""), "bench")("rounds").0, "10");
}

#[test]
fn an_unknown_command_has_no_settings() {
    assert!(bare_luge().flags("config rum").failure(2).contains("'run'"));
    assert!(bare_luge().flags("config man").failure(2).contains("man has no settings"));
    assert!(bare_luge().flags("config --path run").failure(2).contains("--path"));
    assert!(bare_luge().flags("config run --temp hot").failure(2).contains("--temp"));
    assert!(bare_luge().flags("config run --help").failure(2).contains("leave them out"));
}

/// The model of the parity set under another name.
fn named(name: &str) -> tempfile::NamedTempFile {
    let mut gguf = Gguf::parity("llama");
    gguf.set("general.name", gguf::Value::string(name));
    gguf::file(&gguf.to_bytes().0)
}

#[test]
fn published_settings_are_used_and_named() {
    let model = named("Llama-2-7b-hf");
    let outcome = |luge: Luge| {
        let outcome = luge.flags("-n 1 --format json").arg(PROMPT).outcome();
        assert!(outcome.status.success(), "{outcome:#?}");
        let object: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let stage = &object["method"]["stages"][0];
        let names = ["rate", "scale", "steps", "lower_bound"];
        let values = names.map(|name| stage[format!("evolution_{name}")].to_string());
        (values.join(" "), outcome.stderr)
    };
    let run = || run(model.path());
    let (settings, said) = outcome(run().flags("--preset truthfulqa"));
    assert_eq!(settings, "2.5 75 10 -100.0");
    assert_eq!(
        said,
        "luge: SLED as published for Llama-2-7b-hf on truthfulqa: evolution-rate=2.5, \
         evolution-scale=75, evolution-steps=10, evolution-lower-bound=-100 (https://github.com/JayZhang42/SLED/blob/00067af/scripts/TruthfulQA.sh)\n"
    );
    assert_eq!(outcome(run().flags("--preset auto")).0, "1.75 5 1 -1000.0");
    // What is given beside it wins, and what is written at the method.
    assert_eq!(outcome(run().flags("--preset auto --evolution-scale 7")).0, "1.75 7 1 -1000.0");
    let method = "--preset auto --method sled(evolution-rate=3)";
    assert_eq!(outcome(run().flags(method)).0, "3.0 5 1 -1000.0");
    // As a setting, it goes before what ranks behind it.
    let home = Home::new("evolution-rate = 1\n[run]\npreset = true\n");
    assert_eq!(outcome(home.of(run())).0, "1.75 5 1 -1000.0");
    assert_eq!(
        outcome(home.of(run()).flags("--preset none")),
        ("1.0 10 1 -1000.0".to_owned(), String::new())
    );
    assert_eq!(outcome(home.of(run()).env("LUGE_EVOLUTION_RATE", "3")).0, "3.0 5 1 -1000.0");
}

#[test]
fn published_settings_are_among_those_in_force() {
    let model = named("Llama-2-7b-hf");
    let config =
        in_force(bare_luge(), &format!("run -m {} --preset gsm8k", model.path().display()));
    assert_eq!(config("evolution-rate"), is("2", "preset"));
    assert_eq!(config("evolution-scale"), is("10", "preset"));
    let home = Home::new(&format!(
        "preset = true
[aliases]
mine = {:?}
",
        model.path()
    ));
    let config = home.config("run -m mine --evolution-scale 7");
    assert_eq!(config("evolution-rate"), is("1.75", "preset"));
    assert_eq!(config("evolution-scale"), is("7", "flag"));
    assert_eq!(home.config("run -m other")("evolution-rate"), is("2", "default"));
}

#[test]
fn published_settings_are_shown_with_the_model() {
    let model = named("Llama-2-7b-hf");
    let show = || bare_luge().flags("show").arg(model.path());
    let text = show().stdout();
    let line = "evolution-rate 2.5, evolution-scale 75, evolution-steps 10, \
                evolution-lower-bound -100 (https://";
    assert!(text.lines().any(|l| l.starts_with("truthfulqa") && l.contains(line)), "{text}");
    let object = show().json();
    assert_eq!(object["presets"].as_array().unwrap().len(), 4);
    let text = bare_luge().flags("show").arg(crate::support::model("llama")).stdout();
    assert!(!text.contains("Published"), "{text}");
}

#[test]
fn published_settings_are_said_once_for_all_methods() {
    let model = named("Llama-2-7b-hf");
    let luge = compare(model.path()).flags("-n 1 --methods sled,greedy,sled+dola --preset gsm8k");
    let outcome = luge.arg(PROMPT).outcome();
    assert!(outcome.status.success(), "{outcome:#?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    lens(model.path()).flags("--preset gsm8k -q").arg(PROMPT).stdout();
}

#[test]
fn a_model_without_published_settings_is_no_match() {
    let message = run(model("llama")).flags("--preset auto").arg(PROMPT).failure(2);
    assert!(
        message.contains("are published for") && message.contains("leave --preset out"),
        "{message}"
    );
    let model = named("Meta-Llama-3-8B");
    let message = run(model.path()).flags("--preset gsm8k").arg(PROMPT).failure(2);
    assert!(message.contains("on gsm8k") && message.contains("truthfulqa, factor"), "{message}");
    let message = run(model.path()).flags("--preset gsm8k --method dola").arg(PROMPT).failure(2);
    assert!(message.contains("does nothing for dola"), "{message}");
    // A setting is for all models, and methods.
    let home = Home::new("preset = 'gsm8k'\n");
    for method in ["sled", "dola"] {
        home.of(run(model.path())).flags("-n 1 --method").arg(method).arg(PROMPT).stdout();
    }
}
