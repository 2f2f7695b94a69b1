//! Ctrl-C and closed pipes, in the middle of a text without an end.

use std::io::Read;
use std::process::{Child, Command};

use crate::support::{Luge, PROMPT, bench, collect, compare, lens, model, run, score, wait};

/// A text of a hundred thousand tokens, which takes minutes.
fn endless() -> Luge {
    run(model("llama")).flags("-n -1 --ignore-eos -c 100000").arg(PROMPT)
}

fn interrupt(child: &Child) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status();
    assert!(status.unwrap().success());
}

#[test]
fn ctrl_c_ends_the_text_with_what_was_printed_so_far() {
    let mut child = endless().spawn();
    let mut stdout = child.stdout.take().unwrap();
    let mut text = vec![0; 20];
    stdout.read_exact(&mut text).unwrap();
    let rest = collect(stdout);
    let stderr = collect(child.stderr.take().unwrap());
    interrupt(&child);

    let status = wait(&mut child).expect("the program ends");
    assert_eq!(status.code(), Some(130));
    text.extend(rest.join().unwrap());
    assert!(String::from_utf8(text).unwrap().ends_with('\n'));
    assert_eq!(String::from_utf8(stderr.join().unwrap()).unwrap(), "");
}

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let mut child = endless().spawn();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 20]).unwrap();
    drop(stdout);
    let stderr = collect(child.stderr.take().unwrap());

    let status = wait(&mut child).expect("the program ends");
    assert!(status.success(), "{status}");
    assert_eq!(String::from_utf8(stderr.join().unwrap()).unwrap(), "");
}

#[test]
fn a_pipe_closed_from_the_start_ends_the_program_quietly() {
    for format in ["text", "json"] {
        let commands = [
            run(model("llama")).flags("-n 4").arg(PROMPT),
            compare(model("llama")).flags("-n 4").arg(PROMPT),
            score(model("llama")).arg(PROMPT).arg(" w4"),
            lens(model("llama")).arg(PROMPT),
            bench(model("llama")).flags("-n 4 -r 1"),
        ];
        for command in commands {
            let mut child = command.flags("--format").arg(format).spawn();
            drop(child.stdout.take());
            let stderr = collect(child.stderr.take().unwrap());
            assert!(wait(&mut child).expect("the program ends").success(), "{format}");
            assert_eq!(String::from_utf8(stderr.join().unwrap()).unwrap(), "", "{format}");
        }
    }
}

/// Waits until a child listens to Ctrl-C. It says nothing then, so the system
/// is asked.
#[cfg(target_os = "linux")]
fn wait_for_handler(child: &Child) {
    const SIGINT: u64 = 1 << (2 - 1);
    let listens = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        Some(u64::from_str_radix(mask.trim(), 16).ok()? & SIGINT != 0)
    };
    for _ in 0..10_000 {
        if listens() == Some(true) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("no handler for Ctrl-C");
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_json_with_one_whole_object() {
    let commands = [
        (endless(), "/finish_reason"),
        (
            compare(model("llama"))
                .flags("-n -1 --ignore-eos -c 100000 --methods sled")
                .arg(PROMPT),
            "/results/0/finish_reason",
        ),
    ];
    for (command, reason) in commands {
        let mut child = command.flags("--format json").spawn();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        wait_for_handler(&child);
        interrupt(&child);

        let status = wait(&mut child).expect("the program ends");
        assert_eq!(status.code(), Some(130));
        let object: serde_json::Value = serde_json::from_slice(&stdout.join().unwrap()).unwrap();
        assert_eq!(object.pointer(reason).unwrap(), "interrupted");
        assert_eq!(String::from_utf8(stderr.join().unwrap()).unwrap(), "");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_what_has_nothing_to_show_without_a_word() {
    let continuation = vec!["9"; 30_000].join(",");
    let score = score(model("llama")).flags("-c 100000 --prompt-ids 5,6");
    let commands = [
        score.arg("--continuation-ids").arg(&continuation),
        bench(model("llama")).flags("-n -1 -c 100000"),
        lens(model("llama")).flags("-c 100000 --prompt-ids").arg(&continuation),
    ];
    for mut command in commands {
        let mut child = command.spawn();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        wait_for_handler(&child);
        interrupt(&child);

        assert_eq!(wait(&mut child).expect("the program ends").code(), Some(130));
        assert_eq!(String::from_utf8(stdout.join().unwrap()).unwrap(), "");
        assert_eq!(String::from_utf8(stderr.join().unwrap()).unwrap(), "");
    }
}
