//! Evaluations on a terminal.

use rexpect::process::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

use super::Folder;
use super::sources::Trivia;
use crate::support::{Luge, bare_luge, luge};

/// Runs it on a terminal of so many columns.
fn on_terminal(columns: u16, luge: Luge) -> PtySession {
    let shell = luge.in_shell(&format!("stty rows 40 cols {columns} && exec \"$@\""));
    spawn_command(shell.into_command(), Some(60_000)).unwrap()
}

fn exit_code(mut session: PtySession) -> i32 {
    session.exp_eof().unwrap();
    match session.process().wait().unwrap() {
        WaitStatus::Exited(_, code) => code,
        status => panic!("{status:?}"),
    }
}

fn eval(folder: &Folder, flags: &str) -> Luge {
    let eval = luge("eval -m atlas --color never").flags(flags);
    eval.arg("--out").arg(folder.path("out"))
}

#[test]
fn a_bar_shows_the_time_left_and_the_running_result() {
    let folder = Folder::new();
    let mut session = on_terminal(120, eval(&folder, "atlas --methods greedy,dola,sled+dola"));
    session.exp_string("810 documents, 3 methods; log and report in").unwrap();
    session.exp_regex(r"[0-9]+/810, [0-9a-z]+ left").unwrap();
    session.exp_regex(r"atlas acc: greedy [0-9.]+  dola [0-9.]+  sled\+dola [0-9.]+").unwrap();
    session.send_control('c').unwrap();
    session.exp_regex(r"interrupted after [0-9]+ of 810 documents: the same").unwrap();
    assert_eq!(exit_code(session), 130);
    // And the same command goes on.
    let mut session = on_terminal(120, eval(&folder, "atlas --methods greedy,dola,sled+dola"));
    session.exp_regex("810 documents, [0-9]+ of them done before").unwrap();
    session.exp_string("/810").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("interrupted after").unwrap();
    assert_eq!(exit_code(session), 130);
}

#[test]
fn tables_keep_to_the_width_of_the_terminal() {
    let folder = Folder::new();
    let shown = |columns: u16, luge: Luge| {
        let mut session = on_terminal(columns, luge);
        let text = session.exp_eof().unwrap();
        let bytes = text.chars().map(|byte| u8::try_from(byte).unwrap());
        String::from_utf8(bytes.collect()).unwrap()
    };
    for columns in [80, 120] {
        let text = shown(columns, bare_luge().flags("eval --list --color never"));
        let width = text.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(width <= usize::from(columns) && width > usize::from(columns) / 2, "{text}");
        assert!(text.contains(" truthfulqa-mc  mc1 mc2 mc3     Hugging Face  Questions"), "{text}");
    }
    let text = shown(80, eval(&folder, "-q atlas --limit 4 --methods greedy,sled"));
    let table: Vec<&str> = text.lines().skip(1).take_while(|line| line.starts_with(' ')).collect();
    assert!(table.len() > 3, "{text}");
    assert!(table.iter().all(|line| line.trim_end().chars().count() <= 80), "{text}");
    assert!(table.iter().any(|line| line.contains(" sled       ") && line.contains(")")), "{text}");
    // Where there is not room for all, names are broken, and numbers are not.
    let long = "-q atlas --limit 4 --methods sled,sled(evolution-rate=1,layers=0..8)+dola";
    let text = shown(100, eval(&Folder::new(), long));
    let opened = |line: &&str| line.contains(" to ");
    assert!(text.lines().filter(opened).all(|line| line.contains(')')), "{text}");
    assert!(text.lines().filter(opened).count() >= 4, "{text}");
}

#[test]
fn a_dataset_is_asked_for_first() {
    let trivia = Trivia::new();
    let luge = || trivia.with(eval(&Folder::new(), "triviaqa --methods greedy"));
    let mut session = on_terminal(120, luge());
    session.exp_regex("Download .*trivia_qa.*[?]").unwrap();
    session.send_line("n").unwrap();
    assert_ne!(exit_code(session), 0);
    let mut session = on_terminal(120, luge());
    session.exp_regex("Download .*trivia_qa.*[?]").unwrap();
    session.send_line("y").unwrap();
    session.exp_string("TriviaQA, closed book; 2 documents").unwrap();
    assert_eq!(exit_code(session), 0);
}
