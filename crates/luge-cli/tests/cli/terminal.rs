//! What is different on a terminal.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rexpect::process::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

use crate::hub::Fault;
use crate::pull::Setting;
use crate::support::{Luge, PROMPT, bench, compare, lens, model, reference_prompt, run};

/// What a command shows on a terminal of so many columns.
fn shown(columns: u16, luge: Luge) -> String {
    shown_by(luge.in_shell(&format!("stty cols {columns} && exec \"$@\"")))
}

/// The same without what it says on standard error.
fn printed(columns: u16, luge: Luge) -> String {
    shown_by(luge.in_shell(&format!("stty cols {columns} && exec \"$@\" 2>/dev/null")))
}

fn shown_by(shell: Luge) -> String {
    let mut session = spawn_command(shell.into_command(), Some(60_000)).unwrap();
    let text = session.exp_eof().unwrap();
    // Each byte has come back as a character of its own.
    let bytes = text.chars().map(|byte| u8::try_from(byte).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

fn changes() -> Luge {
    run(model("llama")).flags("-n 12 --show-changes --prompt-ids").arg(reference_prompt("llama"))
}

#[test]
fn a_terminal_shows_colour() {
    let text = shown(100, changes());
    assert!(text.contains("\u{1b}[") && !text.contains('‹'), "{text:?}");
}

#[test]
fn a_terminal_shows_no_colour_to_who_wants_none() {
    for luge in [changes().env("NO_COLOR", "1"), changes().flags("--color never")] {
        let text = shown(100, luge);
        assert!(text.contains('‹') && !text.contains("\u{1b}["), "{text:?}");
    }
}

#[test]
fn answers_are_compared_over_the_width_of_the_terminal() {
    let table = |columns: u16| {
        let compare = compare(model("llama")).flags("-n 12 --color never --methods");
        shown(columns, compare.arg("greedy,sled").arg(PROMPT))
    };
    for columns in [60, 120] {
        let text = table(columns);
        let border = text.lines().find_map(|line| line.split_once('╞')).unwrap().1;
        assert_eq!(border.trim_end().chars().count() + 1, usize::from(columns), "{text}");
    }
    assert!(!table(40).contains('╞'), "two columns of twenty are too narrow to read");
}

/// A conversation on a terminal, with a prompt typed and these words shown.
fn conversation(flags: &str, shown: &str) -> PtySession {
    let compare = compare(model("llama")).flags("-i --methods greedy --color never").flags(flags);
    let mut session = spawn_command(compare.into_command(), Some(60_000)).unwrap();
    session.exp_string("type a prompt of your own").unwrap();
    session.exp_string("> ").unwrap();
    session.send_line(PROMPT).unwrap();
    session.exp_string(shown).unwrap();
    session
}

/// Ends the conversation with this key; returns the exit code.
fn end(mut session: PtySession, key: char) -> i32 {
    session.send_control(key).unwrap();
    session.exp_eof().unwrap();
    match session.process().wait().unwrap() {
        WaitStatus::Exited(_, code) => code,
        status => panic!("{status:?}"),
    }
}

#[test]
fn prompts_are_typed_until_the_end_of_input() {
    let mut session = conversation("-n 4", "4 tokens");
    session.exp_string("> ").unwrap();
    session.send_line(PROMPT).unwrap();
    session.exp_string("4 tokens").unwrap();
    session.exp_string("> ").unwrap();
    assert_eq!(end(session, 'd'), 0);
}

#[test]
fn ctrl_c_at_the_prompt_ends_the_program() {
    let mut session = conversation("-n 4", "4 tokens");
    session.exp_string("> ").unwrap();
    assert_eq!(end(session, 'c'), 130);
}

#[test]
fn ctrl_c_ends_an_answer_and_not_the_conversation() {
    // A text without an end, whose length is shown as it grows.
    let mut session = conversation("-n -1 --ignore-eos -c 100000", "tokens");
    session.send_control('c').unwrap();
    session.exp_string("interrupted").unwrap();
    session.exp_string("> ").unwrap();
    assert_eq!(end(session, 'd'), 0);
}

#[test]
fn measurements_are_shown_in_as_many_tables_as_fit() {
    let tables = |columns: u16| {
        let bench = bench(model("llama")).flags("-r 1 -n 2 --color never");
        let text = shown(columns, bench);
        let (_, text) = text.split_once("1 round of 2 tokens").unwrap();
        let table: Vec<_> = text.lines().take_while(|line| !line.contains("random")).collect();
        assert!(table.iter().all(|line| line.chars().count() <= usize::from(columns)), "{text}");
        assert!(["greedy", "dola", "sled"].iter().all(|name| text.contains(name)), "{text}");
        text.matches("tokens changed").count()
    };
    assert_eq!([tables(100), tables(52), tables(40)], [1, 2, 3]);
}

#[test]
fn ctrl_c_ends_a_measurement_with_the_rounds_so_far() {
    let bench = bench(model("llama")).flags("-r 100000 -n 4 --methods sled --color never");
    let mut session = spawn_command(bench.into_command(), Some(60_000)).unwrap();
    session.exp_regex("round [0-9]+ of 100000: ").unwrap();
    session.exp_regex("round [0-9]{2,} of 100000: ").unwrap();
    session.send_control('c').unwrap();
    session.exp_regex("[0-9]+ of 100000 rounds of 4 tokens").unwrap();
    session.exp_string("decode, ms/token").unwrap();
    session.exp_eof().unwrap();
    let status = session.process().wait().unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 130)), "{status:?}");
}

#[test]
fn layers_are_shown_over_the_width_of_the_terminal() {
    let text = " w5 w17 w3".repeat(8);
    let lens = |flags: &str| lens(model("llama")).flags("--color never").flags(flags).arg(&text);
    let shown = |columns: u16, luge: Luge| printed(columns, luge.env("PAGER", "cat"));
    let mut blocks = Vec::new();
    for columns in [40, 80, 160] {
        let table = shown(columns, lens(""));
        let lines: Vec<_> = table.lines().take_while(|line| !line.starts_with("each")).collect();
        blocks.push(lines.iter().filter(|line| line.trim_start().starts_with("position")).count());
        let widest = lines.iter().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(widest <= usize::from(columns) && widest + 15 > usize::from(columns), "{table}");
    }
    assert!(blocks[0] > blocks[1] && blocks[1] > blocks[2] && blocks[2] > 1, "{blocks:?}");
    // In depth fewer candidates a layer, and then fewer columns behind them.
    let depth = |columns: u16, flags: &str| {
        let text = shown(columns, lens(flags));
        let widest = text.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(widest <= usize::from(columns), "{text}");
        ["#1 ", "#3 ", "vote", "of 5 shown"].map(|part| text.contains(part))
    };
    assert_eq!(depth(120, "--position -1"), [true, true, true, false]);
    assert_eq!(depth(70, "--position -1"), [true, false, true, true]);
    assert_eq!(depth(40, "--position -1 --pin-ids 9"), [true, false, false, true]);
}

#[test]
fn a_table_goes_through_the_pager_and_data_do_not() {
    let paged = |format: &str, pager: &str| {
        let lens = lens(model("llama")).flags("--color never --format").arg(format).arg(PROMPT);
        shown(80, lens.env("PAGER", pager))
    };
    assert!(paged("text", "sed s/^/>>/").contains(">>position 0"));
    assert!(!paged("csv", "sed s/^/>>/").contains(">>"));
    // Without it, the table is shown all the same.
    for pager in ["", "cat", "no-such-pager", "false"] {
        assert!(paged("text", pager).contains("position 0"), "{pager:?}");
    }
}

/// Ctrl-C is the pager's own, however often: ended by it, luge left the terminal to a
/// pager that no one waited for.
#[test]
fn ctrl_c_in_the_pager_is_the_pagers() {
    let folder = tempfile::tempdir().unwrap();
    let pager = folder.path().join("pager");
    // Shows what it gets, and then waits for a line, whatever comes.
    let script = "#!/bin/sh\ntrap 'echo caught' INT\ncat\necho ready\n\
                  until read line </dev/tty; do :; done\necho \"read $line\"\n";
    fs::write(&pager, script).unwrap();
    fs::set_permissions(&pager, PermissionsExt::from_mode(0o755)).unwrap();
    let lens = lens(model("llama")).flags("--color never").arg(PROMPT);
    let command = lens.env("PAGER", &pager).into_command();
    let mut session = spawn_command(command, Some(60_000)).unwrap();
    session.exp_string("position 0").unwrap();
    session.exp_string("ready").unwrap();
    for _ in 0..3 {
        session.send_control('c').unwrap();
        session.exp_string("caught").unwrap();
    }
    session.send_line("enough").unwrap();
    session.exp_string("read enough").unwrap();
    session.exp_eof().unwrap();
    let status = session.process().wait().unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
}

#[test]
fn a_dumb_terminal_has_no_pager() {
    let lens = lens(model("llama")).flags("--color never").arg(PROMPT);
    let text = shown(80, lens.env("PAGER", "sed s/^/>>/").env("TERM", "dumb"));
    assert!(text.contains("position 0") && !text.contains(">>"), "{text}");
}

#[test]
fn looking_shows_how_far_it_is() {
    let lens = lens(model("llama")).flags("--color never").arg(" w5 w17 w3".repeat(30));
    let text = shown(100, lens.env("PAGER", "cat"));
    assert!(text.contains("looking at positions"), "{text:?}");
    // And is gone where the table begins.
    let (_, table) = text.split_once("position 0").unwrap();
    assert!(!table.contains("looking"), "{text:?}");
}

#[test]
fn quiet_shows_no_progress() {
    let lens = lens(model("llama")).flags("-q --color never").arg(" w5 w17 w3".repeat(30));
    let text = shown(100, lens.env("PAGER", "cat"));
    assert!(text.contains("position 0") && !text.contains("looking"), "{text:?}");
}

#[test]
fn ctrl_c_ends_a_text_under_the_lens_with_what_was_seen() {
    let lens = lens(model("llama")).flags("-n -1 --ignore-eos -c 100000 --format json");
    let mut session = spawn_command(lens.arg(PROMPT).into_command(), Some(60_000)).unwrap();
    session.exp_regex("looking at positions [^\n]* [0-9]{3,} of 100000").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("\"generated\":true").unwrap();
    session.exp_string("\"finish_reason\":\"interrupted\"").unwrap();
    session.exp_eof().unwrap();
    let status = session.process().wait().unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 130)), "{status:?}");
}

/// What is shown of a first use of a model that is not there, answered so.
fn first_use(answer: &str) -> (Setting, String, i32) {
    let setting = Setting::new();
    let luge = setting.with(run("org/tiny-GGUF").flags("-n 4 --color never").arg(PROMPT));
    let mut session = spawn_command(luge.into_command(), Some(60_000)).unwrap();
    session.exp_string("Download org/tiny-GGUF:Q8_0 (137 kB) into ~/").unwrap();
    session.exp_string("? [Y/n] ").unwrap();
    session.send_line(answer).unwrap();
    let shown = session.exp_eof().unwrap();
    match session.process().wait().unwrap() {
        WaitStatus::Exited(_, code) => (setting, shown, code),
        status => panic!("{status:?}"),
    }
}

#[test]
fn a_model_is_fetched_for_who_says_yes() {
    for answer in ["", "y"] {
        let (setting, shown, code) = first_use(answer);
        assert!(code == 0 && shown.contains("tiny-Q8_0.gguf is there"), "{shown}");
        let text = setting.with(run("org/tiny-GGUF").flags("-n 4").arg(PROMPT)).text();
        assert!(shown.contains(text.trim()), "{shown}");
    }
}

#[test]
fn a_model_is_not_fetched_for_who_says_no() {
    for answer in ["n", "not now"] {
        let (setting, shown, code) = first_use(answer);
        assert!(code == 1 && shown.contains("nothing was downloaded"), "{shown}");
        assert!(setting.server.ranges().is_empty());
    }
}

#[test]
fn ctrl_c_answers_too() {
    let setting = Setting::new();
    let luge = setting.with(run("org/tiny-GGUF").flags("-n 4 --color never").arg(PROMPT));
    let mut session = spawn_command(luge.into_command(), Some(60_000)).unwrap();
    session.exp_string("? [Y/n] ").unwrap();
    assert_eq!(end(session, 'c'), 130);
    assert!(setting.server.ranges().is_empty());
}

#[test]
fn a_download_shows_how_far_it_is() {
    let setting = Setting::new();
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Halt(100_000));
    let pull = setting.luge("pull org/tiny-GGUF:Q8_0").into_command();
    let mut session = spawn_command(pull, Some(60_000)).unwrap();
    session.exp_string("100.00 kB of 137.02 kB").unwrap();
    setting.server.release();
    session.exp_string("tiny-Q8_0.gguf is there, 137 kB").unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn ctrl_c_leaves_a_download_at_once() {
    let setting = Setting::new();
    setting.server.fault("GET /org/tiny-GGUF/tiny", Fault::Halt(100_000));
    let pull = setting.luge("pull org/tiny-GGUF:Q8_0").into_command();
    let mut session = spawn_command(pull, Some(60_000)).unwrap();
    session.exp_string("100.00 kB of").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("luge: what came is kept").unwrap();
    session.exp_eof().unwrap();
    let status = session.process().wait().unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 130)), "{status:?}");
}

#[test]
fn removing_is_asked_about() {
    let setting = Setting::new();
    setting.luge("pull org/tiny-GGUF:Q8_0").outcome();
    let removal = |answer: &str| {
        let command = setting.luge("rm org/tiny-GGUF --color never").into_command();
        let mut session = spawn_command(command, Some(60_000)).unwrap();
        session.exp_string("Remove org/tiny-GGUF:Q8_0 (it frees 137 kB)? [y/N] ").unwrap();
        session.send_line(answer).unwrap();
        session.exp_eof().unwrap()
    };
    for answer in ["", "n"] {
        assert!(removal(answer).contains("nothing was removed"));
    }
    assert!(removal("y").contains("is removed"));
}

#[test]
fn a_narrow_terminal_lists_fewer_columns_and_whole_names() {
    let setting = Setting::new();
    setting.luge("pull org/tiny-GGUF:Q8_0").outcome();
    let columns = |width: u16| {
        let text = shown(width, setting.luge("list --color never").env("PAGER", "cat"));
        assert!(text.contains("org/tiny-GGUF:Q8_0"), "{text}");
        let heading = text.lines().find(|line| line.contains("model")).unwrap();
        assert!(width == 20 || heading.trim_end().len() <= usize::from(width), "{text}");
        heading.split_whitespace().count()
    };
    assert_eq!([columns(120), columns(80), columns(20)], [8, 5, 2]);
}
