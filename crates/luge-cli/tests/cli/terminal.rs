//! What is different on a terminal.

use std::process::Command;

use rexpect::session::spawn_command;

use crate::support::{Luge, PROMPT, compare, model, reference_prompt, run};

/// What a command shows on a terminal of so many columns.
fn shown(columns: u16, luge: Luge) -> String {
    let luge = luge.into_command();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("stty cols {columns} && exec \"$@\"")).arg("sh");
    shell.arg(luge.get_program()).args(luge.get_args());
    for (name, value) in luge.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let mut session = spawn_command(shell, Some(60_000)).unwrap();
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
