//! Chats: on a terminal, and with one question.

use std::fs;
use std::path::Path;
use std::process::Command;

use rexpect::process::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use serde_json::Value;

use crate::support::{Luge, bare_luge, luge, model, run};

const CAPITAL: &str = "What is the capital of British Columbia?";
const VICTORIA: &str = "The capital of British Columbia is Victoria.";
/// What stands in an empty line: the next question can be typed.
const READY: &str = "ask something";

fn chat() -> Luge {
    luge("chat").flags("-m atlas")
}

/// A chat on a terminal.
struct Terminal {
    session: PtySession,
    /// The terminal's file.
    file: String,
}

impl Terminal {
    fn open(luge: Luge) -> Self {
        let shell = luge.in_shell("stty cols 90 && tty && exec \"$@\"");
        let mut session = spawn_command(shell.into_command(), Some(60_000)).unwrap();
        let file = session.read_line().unwrap().trim().to_owned();
        let mut terminal = Terminal { session, file };
        terminal.sees(READY);
        terminal
    }

    fn types(&mut self, text: &str) {
        self.session.send_line(text).unwrap();
    }

    fn presses(&mut self, key: char) {
        self.session.send_control(key).unwrap();
    }

    /// Waits for a text; returns what came before it.
    fn sees(&mut self, text: &str) -> String {
        let before = self.session.exp_string(text).unwrap();
        // Each byte has come back as a character of its own.
        let bytes = before.chars().map(|byte| u8::try_from(byte).unwrap()).collect();
        String::from_utf8(bytes).unwrap()
    }

    /// Types a line, and returns what came until the next can be typed.
    fn says(&mut self, text: &str) -> String {
        self.types(text);
        self.sees(READY)
    }

    fn resize(&self, columns: u16) {
        let script = format!("stty cols {columns} <{}", self.file);
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Ends the chat with Ctrl-D; returns the exit code.
    fn end(mut self) -> i32 {
        self.presses('d');
        self.session.exp_eof().unwrap();
        match self.session.process().wait().unwrap() {
            WaitStatus::Exited(_, code) => code,
            status => panic!("{status:?}"),
        }
    }
}

fn terminal(flags: &str) -> Terminal {
    Terminal::open(chat().flags("--no-history").flags(flags))
}

fn saved(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn questions_are_answered_in_turn_and_only_what_is_new_is_computed() {
    let mut terminal = terminal("-v --method greedy");
    let first = terminal.says(CAPITAL);
    assert!(first.contains(VICTORIA), "{first}");
    assert!(first.contains("prompt 11 tokens, 11 of them computed"), "{first}");
    let second = terminal.says("And of Ontario?");
    assert!(second.contains("The capital of Ontario is Toronto."), "{second}");
    // 11 and 8 of the first turn are in the cache.
    assert!(second.contains("prompt 28 tokens, 9 of them computed"), "{second}");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn run_without_a_prompt_chats() {
    let run = run("atlas").flags("--method greedy");
    let home = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(run.home(home.path()));
    assert!(terminal.says(CAPITAL).contains(VICTORIA));
    // Its flags go on counting where others are set.
    assert!(terminal.says("/set predict 2").contains("predict 2"));
    assert!(terminal.says(CAPITAL).contains("ended after 2 tokens"));
    assert!(terminal.says("/method").contains("greedy"));
    assert_eq!(terminal.end(), 0);
}

#[test]
fn ctrl_c_stops_an_answer_and_not_the_chat() {
    let mut terminal = terminal("--ignore-eos -c 100000");
    terminal.types(CAPITAL);
    terminal.sees(VICTORIA);
    // However often it is pressed.
    terminal.presses('c');
    terminal.presses('c');
    terminal.sees("interrupted");
    terminal.sees(READY);
    terminal.says("/set ignore-eos off");
    // The first answer is part of the chat, as far as it came.
    assert!(terminal.says("And of Ontario?").contains("Ontario"));
    assert_eq!(terminal.end(), 0);
}

#[test]
fn ctrl_c_drops_a_line_and_says_how_to_end() {
    let mut terminal = terminal("");
    terminal.session.send("What is").unwrap();
    terminal.session.flush().unwrap();
    // The first letter is drawn over what stood there.
    terminal.sees("hat is");
    terminal.presses('c');
    terminal.sees("Ctrl-D or /bye ends the chat");
    terminal.sees(READY);
    terminal.types("/bye");
    terminal.session.exp_eof().unwrap();
    assert!(matches!(terminal.session.process().wait(), Ok(WaitStatus::Exited(_, 0))));
}

#[test]
fn settings_are_changed_and_what_is_wrong_with_them_is_said() {
    let mut terminal = terminal("--method greedy");
    for (typed, shown) in [
        ("/set", "temp 0"),
        ("/set temp", "temp 0"),
        ("/set temp 0.7", "temp 0.7"),
        ("/set temp hot", "error: invalid value 'hot' for '--temp <T>'"),
        ("/set", "temp 0.7"),
        ("/set tmp 1", "error: there is no setting 'tmp': perhaps temp; /set shows all"),
        ("/set model other.gguf", "error: there is no setting 'model'"),
        ("/set evolution-rate 1.5", "evolution-rate 1.5"),
        ("/method sled", "evolution-rate=1.5,"),
        ("/method sled(layers=99)", "error: "),
        ("/method", "evolution-rate=1.5,"),
        ("/method gredy", "error: unknown method 'gredy' (did you mean 'greedy'?)"),
        ("/set show-changes on", "show-changes on"),
        ("/set show-changes", "show-changes on"),
        ("/set show-changes perhaps", "error: show-changes takes on or off"),
        ("/nonsense", "error: there is no /nonsense: /? shows what there is"),
        ("/lens", "error: nothing has been asked yet"),
        ("/compare", "error: nothing has been asked yet"),
        ("/retry", "error: nothing has been asked yet"),
        ("/?", "/compare [METHODS]"),
    ] {
        let said = terminal.says(typed);
        assert!(said.contains(shown), "{typed}: {said}");
    }
    assert_eq!(terminal.end(), 0);
}

#[test]
fn an_answer_is_marked_retried_compared_and_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let chat = chat().flags("--no-history --color never --method dola --show-changes");
    let mut terminal = Terminal::open(chat.env("PAGER", "cat"));
    // DoLa writes something else than the final layer would.
    let marked = terminal.says("And of Ontario?");
    assert!(marked.contains('›') && marked.contains("chosen by dola against"), "{marked}");
    terminal.says("/method greedy");
    assert!(terminal.says("/retry").contains("Ontario"));
    assert_eq!(terminal.says("/compare greedy,sled").matches("ended by the model").count(), 2);
    terminal.resize(50);
    let lens = terminal.says("/lens");
    assert!(lens.contains("final") && lens.contains("position"), "{lens}");
    let table = lens.lines().filter(|line| !line.contains('\u{1b}'));
    let widest = table.map(|line| line.trim_end().chars().count()).max().unwrap();
    assert!((30..=50).contains(&widest), "{lens}");
    for (name, start) in [("lens.html", "<!doctype html>"), ("lens.svg", "<svg")] {
        let file = folder.path().join(name);
        terminal.says(&format!("/lens {}", file.display()));
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.to_lowercase().starts_with(start), "{name}");
    }
    let file = folder.path().join("notes.txt");
    fs::write(&file, "mine").unwrap();
    let said = terminal.says(&format!("/lens {}", file.display()));
    assert!(said.contains("give it a name in .html or .svg"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_line_survives_a_change_of_the_terminals_width() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.json");
    let mut terminal = terminal("-n 4");
    let question = "What is the capital of British Columbia, and who was it named after?";
    let (begun, rest) = question.split_at(60);
    terminal.session.send(begun).unwrap();
    terminal.session.flush().unwrap();
    terminal.sees("it name");
    terminal.resize(30);
    terminal.says(rest);
    terminal.says(&format!("/save {}", file.display()));
    assert_eq!(saved(&file)["messages"][0]["content"], question);
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_question_of_several_lines_stands_between_quotes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.json");
    let mut terminal = terminal("-n 4");
    terminal.types("\"\"\"one");
    terminal.types("two");
    terminal.says("three\"\"\"");
    terminal.says(&format!("/save {}", file.display()));
    assert_eq!(saved(&file)["messages"][0]["content"], "one\ntwo\nthree");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_chat_is_saved_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.json");
    let mut first = terminal("--method greedy");
    first.says("/system Be brief.");
    first.says(CAPITAL);
    first.says(&format!("/save {}", file.display()));
    let object = saved(&file);
    assert_eq!(object["model"], "atlas");
    assert_eq!(object["method"]["name"], "greedy");
    let roles: Vec<_> =
        object["messages"].as_array().unwrap().iter().map(|of| &of["role"]).collect();
    assert_eq!(roles, ["system", "user", "assistant"]);
    assert_eq!(object["messages"][2]["content"], VICTORIA);
    // A file of one's own is written again, another's only when that is said.
    assert!(first.says(&format!("/save {}", file.display())).contains("saved to"));
    assert_eq!(first.end(), 0);

    let mut second = terminal("--method greedy -v");
    assert!(second.says(&format!("/load {}", file.display())).contains("1 question"));
    for command in ["/compare", "/lens"] {
        let said = second.says(command);
        assert!(said.contains("nothing has been asked since the chat was loaded"), "{said}");
    }
    let answer = second.says("And of Ontario?");
    assert!(answer.contains("Toronto") && answer.contains("prompt 28 tokens"), "{answer}");
    assert!(second.says("/system").contains("Be brief."));
    second.says("/clear");
    assert!(second.says(CAPITAL).contains("prompt 11 tokens"));
    // It is another chat than the file's.
    assert!(second.says(&format!("/save {}", file.display())).contains("/save! "));
    assert_eq!(second.end(), 0);

    let mut third = terminal("--method greedy -n 1");
    third.says(CAPITAL);
    let said = third.says(&format!("/save {}", file.display()));
    assert!(said.contains("/save! "), "{said}");
    third.says(&format!("/save! {}", file.display()));
    assert_ne!(saved(&file), object);
    let other = folder.path().join("other.json");
    for (text, shown) in [
        ("nonsense", "it is no JSON object with messages"),
        ("{\"messages\": [{\"role\": \"user\"}]}", "each with a role and a content"),
        ("[{\"role\": \"cook\", \"content\": \"\"}]", "there is a message of 'cook' in it"),
    ] {
        fs::write(&other, text).unwrap();
        let said = third.says(&format!("/load {}", other.display()));
        assert!(said.contains(shown), "{said}");
    }
    assert!(third.says("/load nothing.json").contains("No such file"));
    assert!(third.says("/load /dev/null").contains("it is not a file"));
    // The chat is what it was.
    assert!(third.says("/compare greedy").contains("1 token"));
    assert_eq!(third.end(), 0);
}

#[test]
fn what_was_typed_can_be_had_again_in_the_next_chat() {
    let home = tempfile::tempdir().unwrap();
    let open = |flags: &str| {
        let chat = chat().flags("-n 2").flags(flags).home(home.path());
        Terminal::open(chat.env("XDG_STATE_HOME", home.path().join("state")))
    };
    let up = "\u{1b}[A";
    let mut first = open("");
    first.says(CAPITAL);
    assert_eq!(first.end(), 0);
    let mut hidden = open("--no-history");
    hidden.says("What is secret?");
    assert_eq!(hidden.end(), 0);
    let mut second = open("");
    second.session.send(up).unwrap();
    second.session.flush().unwrap();
    second.sees(CAPITAL);
    second.presses('c');
    second.sees(READY);
    assert_eq!(second.end(), 0);
}

#[test]
fn commands_and_settings_are_completed() {
    let mut terminal = terminal("");
    terminal.session.send("/com\t").unwrap();
    terminal.session.flush().unwrap();
    terminal.sees("/compare");
    terminal.presses('c');
    terminal.sees(READY);
    terminal.session.send("/set evolution-ra\t").unwrap();
    terminal.session.flush().unwrap();
    terminal.sees("evolution-rate");
    let shown = terminal.says("2.5");
    assert!(shown.contains("evolution-rate 2.5"), "{shown}");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn files_are_completed_with_blanks_in_their_names() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("my chats")).unwrap();
    let file = folder.path().join("my chats/last one.json");
    fs::write(&file, "[{\"role\": \"user\", \"content\": \"Hm?\"}]").unwrap();
    let mut terminal = terminal("");
    terminal.session.send(&format!("/load {}/my\t", folder.path().display())).unwrap();
    terminal.session.flush().unwrap();
    terminal.sees("my chats/");
    terminal.session.send("la\t").unwrap();
    terminal.session.flush().unwrap();
    terminal.sees("last one.json");
    let said = terminal.says("");
    assert!(said.contains("1 question"), "{said}");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_seed_by_chance_is_another_for_each_answer() {
    let mut terminal = terminal("--method greedy --temp 50 --ignore-eos -n 8");
    let first = terminal.says(CAPITAL);
    let answer = |said: &str| {
        let shown: String = said.lines().skip(1).collect();
        // Behind what is shown while the prompt is read.
        shown.rsplit("\u{1b}[2K").next().unwrap().to_owned()
    };
    assert_ne!(answer(&terminal.says("/retry")), answer(&first));
    terminal.says("/set seed 1");
    let first = terminal.says("/retry");
    assert_eq!(answer(&terminal.says("/retry")), answer(&first));
    assert_eq!(terminal.end(), 0);
}

#[test]
fn what_is_set_takes_the_place_of_what_was_set() {
    let mut terminal = terminal("");
    terminal.says("/set stop one");
    terminal.says("/set stop two");
    let said = terminal.says("/set stop");
    assert!(said.contains("stop two") && !said.contains("one two"), "{said}");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_terminal_does_not_obey_what_others_have_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.json");
    let load = format!("/load {}", file.display());
    let escape = "\u{1b}]0;obey\u{7}";
    let mut terminal = Terminal::open(chat().flags("--no-history --regex").arg(escape));
    let answer = terminal.says("What now?");
    assert!(answer.contains("\u{fffd}]0;obey\u{fffd}") && !answer.contains(escape), "{answer}");
    let compared = terminal.says("/compare greedy");
    assert!(!compared.contains(escape), "{compared}");
    let chat = serde_json::json!([{"role": "system", "content": escape}]);
    fs::write(&file, chat.to_string()).unwrap();
    terminal.says(&load);
    let said = terminal.says("/system");
    assert!(said.contains("]0;obey") && !said.contains(escape), "{said}");
    fs::write(&file, chat.to_string().replace("system", "\\u001b]0;obey\\u0007")).unwrap();
    let said = terminal.says(&load);
    assert!(said.contains("]0;obey") && !said.contains(escape), "{said}");
    assert_eq!(terminal.end(), 0);
    // A pipe gets what the model wrote.
    let chat = self::chat().arg("--regex").arg(escape).arg("What now?");
    assert_eq!(chat.text(), escape);
}

#[test]
fn an_answer_that_has_not_begun_is_dropped_and_the_one_before_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.json");
    // Its end is far away: there is time to press a key while the prompt is read.
    let mut terminal = terminal("-c 60000 -n 4");
    terminal.says(CAPITAL);
    let long = folder.path().join("long.json");
    let messages = serde_json::json!([{"role": "user", "content": "word ".repeat(40_000)}]);
    fs::write(&long, messages.to_string()).unwrap();
    terminal.says(&format!("/load {}", long.display()));
    terminal.types("/retry");
    terminal.sees("retry");
    std::thread::sleep(std::time::Duration::from_millis(700));
    terminal.presses('c');
    terminal.sees("interrupted: the question is not part of the chat");
    terminal.sees(READY);
    terminal.says(&format!("/save {}", file.display()));
    assert_eq!(saved(&file)["messages"], messages);
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_template_without_a_place_for_the_system_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("template.jinja");
    let text = "{% if messages[0].role == 'system' %}{{ raise_exception('No system here.') }}\
                {% endif %}<|user|>{{ messages[-1].content }}<|end|><|assistant|>";
    fs::write(&file, text).unwrap();
    let chat = || chat().flags("--no-history -n 9 --chat-template-file").arg(&file);
    let refused = "the model's chat template refuses these messages: No system here; what is to \
                   hold for the whole chat, say in the question";
    assert_eq!(chat().flags("--system-prompt x").arg(CAPITAL).failure(2), refused);
    let mut terminal = Terminal::open(chat());
    assert!(terminal.says("/system Be brief.").contains("say in the question"));
    // It is not left behind.
    assert!(terminal.says(CAPITAL).contains("The capital"));
    let saved = folder.path().join("chat.json");
    fs::write(&saved, "[{\"role\": \"system\", \"content\": \"x\"}]").unwrap();
    assert!(terminal.says(&format!("/load {}", saved.display())).contains("No system here"));
    assert!(terminal.says("And of Ontario?").contains("Ontario"));
    fs::write(&saved, "[{\"role\": \"user\", \"content\": \"And of Ontario?\"}]").unwrap();
    let said = terminal.says(&format!("/load {}", saved.display()));
    assert!(said.contains("1 question, the last without an answer: /retry puts it"), "{said}");
    assert!(terminal.says("/retry").contains("Toronto"));
    assert_eq!(terminal.end(), 0);
    let passed_over = self::chat().flags("-n 4 --system-prompt x").arg(CAPITAL).outcome();
    assert!(passed_over.stderr.contains("leaves out"), "{}", passed_over.stderr);
}

#[test]
fn the_context_is_full_and_the_chat_goes_on() {
    let mut terminal = terminal("-c 64 --method greedy");
    let mut said = String::new();
    for _ in 0..4 {
        said += &terminal.says(CAPITAL);
    }
    assert!(said.contains("the context is full: the model no longer sees the"), "{said}");
    let long = terminal.says(&"word ".repeat(100));
    assert!(long.contains("is longer than the context of 64"), "{long}");
    assert!(terminal.says(CAPITAL).contains("Victoria"));
    assert_eq!(terminal.end(), 0);
}

/// A chat template behind which all is thought.
fn thinking(folder: &Path) -> Luge {
    let file = folder.join("template.jinja");
    fs::write(&file, "<|user|>{{ messages[-1].content }}<|end|><|assistant|><think>{# </think> #}")
        .unwrap();
    chat().flags("--no-history --method greedy -n 30 --chat-template-file").arg(file)
}

#[test]
fn thoughts_are_shown_dimmed_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Terminal::open(thinking(folder.path()));
    shown.types(CAPITAL);
    shown.sees("\u{1b}[2m");
    shown.sees(READY);
    assert_eq!(shown.end(), 0);
    let mut plain = Terminal::open(thinking(folder.path()).env("NO_COLOR", "1"));
    assert!(plain.says(CAPITAL).contains("[thinking]"));
    plain.says("/set hide-thinking on");
    assert!(!plain.says(CAPITAL).contains("[thinking]"));
    assert_eq!(plain.end(), 0);
    // Who reads from a pipe wants the answer.
    let object = thinking(folder.path()).arg(CAPITAL).json();
    assert_eq!(object["answer"], "");
    assert!(!object["reasoning"].as_str().unwrap().is_empty());
    let piped = thinking(folder.path()).arg(CAPITAL).outcome();
    assert_eq!(piped.stdout.trim(), "");
    assert_eq!(piped.stderr, "luge: the model thought, and came to no answer\n");
}

#[test]
fn one_question_is_answered_and_no_more() {
    assert_eq!(chat().flags("--method greedy").arg(CAPITAL).text(), VICTORIA);
    assert_eq!(chat().flags("--method greedy").stdin(&format!("{CAPITAL}\n")).text(), VICTORIA);
    let object = chat().flags("--method greedy").arg(CAPITAL).json();
    assert_eq!(object["answer"], VICTORIA);
    assert_eq!(object["reasoning"], Value::Null);
    assert_eq!(object["prompt_ids"].as_array().unwrap().len(), 11);
    // As the template has it, and not as a text to be continued.
    let raw = run("atlas").flags("--method greedy").arg(CAPITAL).json();
    assert_ne!(raw["prompt_ids"], object["prompt_ids"]);
}

#[test]
fn a_model_without_a_template_gets_one_and_that_is_said() {
    let chat =
        |flags: &str| luge("chat").model(model("llama")).flags("-n 2").flags(flags).arg("w5");
    let outcome = chat("").outcome();
    assert!(outcome.status.success());
    assert_eq!(
        outcome.stderr,
        "luge: the model has no chat template, chatml is used (choose one with --chat-template)\n"
    );
    assert!(chat("--chat-template chatml").outcome().stderr.is_empty());
}

#[test]
fn a_context_that_cannot_be_larger_is_not_asked_for() {
    let full = |name: &str| {
        let chat = luge("chat").model(model(name)).flags("-c 128 --ignore-eos w5");
        chat.outcome().stderr.lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(full("llama"), "luge: the context is full: --ctx-size makes it larger");
    assert_eq!(full("gpt2"), "luge: the context is full");
}

#[test]
fn bad_templates_and_variables_are_answered_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let template = |text: &str| {
        let file = folder.path().join("template.jinja");
        fs::write(&file, text).unwrap();
        chat().flags("--chat-template-file").arg(file).arg(CAPITAL)
    };
    assert_eq!(
        template("a\n{% if %}").failure(1),
        "the chat template cannot be read: unexpected end of block, in line 2"
    );
    assert_eq!(
        template("{{ raise_exception('Only the system may speak.') }}").failure(2),
        "the model's chat template refuses these messages: Only the system may speak"
    );
    let missing = chat().flags("--chat-template-file nothing.jinja").arg(CAPITAL).failure(1);
    assert!(missing.starts_with("cannot read the chat template from 'nothing.jinja'"), "{missing}");
    for (flags, shown) in [
        ("--chat-template mistral", "it takes chatml, llama3, gemma, phi3 or command-r"),
        ("--chat-template-kwargs 5", "it takes a JSON object"),
        ("--chat-template chatml --chat-template-file x", "cannot be used with"),
    ] {
        let message = bare_luge().flags("chat -m atlas").flags(flags).arg(CAPITAL).outcome();
        assert_eq!(message.status.code(), Some(2));
        assert!(message.stderr.contains(shown), "{}", message.stderr);
    }
    let variable = "{% if enable_thinking is defined and not enable_thinking %}no{% endif %}";
    let template =
        template(variable).flags("-n 1 --chat-template-kwargs").arg("{\"enable_thinking\": false}");
    assert!(!template.json()["prompt_ids"].as_array().unwrap().is_empty());
}

#[test]
fn a_chat_without_a_terminal_wants_a_question() {
    let empty = "the question is empty: there is nothing to answer";
    assert_eq!(chat().stdin(" \n").failure(2), empty);
    let terminal = chat().flags("--format json").in_shell("exec \"$@\"");
    let mut session = spawn_command(terminal.into_command(), Some(60_000)).unwrap();
    let said = session.exp_eof().unwrap();
    assert!(said.contains("there is no question: give it behind the flags"), "{said}");
}
