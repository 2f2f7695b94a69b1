//! Completions, manual pages, and how much `luge` says.

use std::fs;
use std::process::Command;

use tempfile::tempdir;

use crate::support::{PROMPT, bare_luge, model, run};

/// Whether a program is there to test with.
fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn there_are_completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = bare_luge().flags("completions").flags(shell).stdout();
        for word in ["luge", "compare", "evolution-rate", "no-mmap"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    assert!(bare_luge().flags("completions bsh").failure(2).contains("'bash'"));
}

/// What bash offers for the last of these words.
#[cfg(unix)]
fn completed(script: &std::path::Path, words: &[&str]) -> Vec<String> {
    let program = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); \
                   _luge luge \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                   printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", program, "bash"]).arg(script).args(words);
    let output = bash.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn bash_completes_commands_flags_and_values() {
    if !has("bash") {
        return;
    }
    let folder = tempdir().unwrap();
    let script = folder.path().join("luge.bash");
    fs::write(&script, bare_luge().flags("completions bash").stdout()).unwrap();
    let check = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(check.status.success() && check.stderr.is_empty(), "{check:?}");

    assert_eq!(completed(&script, &["luge", "comp"]), ["compare", "completions"]);
    assert_eq!(completed(&script, &["luge", "run", "--evolution-r"]), ["--evolution-rate"]);
    assert_eq!(completed(&script, &["luge", "run", "--method", "d"]), ["dola"]);
    assert_eq!(completed(&script, &["luge", "run", "--preset", "g"]), ["gsm8k"]);
    assert_eq!(completed(&script, &["luge", "lens", "--format", "c"]), ["csv"]);
    assert_eq!(completed(&script, &["luge", "completions", "z"]), ["zsh"]);
    assert_eq!(completed(&script, &["luge", "bench", "--methods", "s"]), ["sled"]);
    assert_eq!(completed(&script, &["luge", "run", "--cache-type-k", "q8"]), ["q8_0"]);
    assert_eq!(completed(&script, &["luge", "chat", "--chat-template", "g"]), ["gemma"]);
    assert_eq!(completed(&script, &["luge", "config", "b"]), ["bench"]);
    assert_eq!(completed(&script, &["luge", "man", "r"]), ["run", "rm"]);
}

#[test]
fn a_manual_page_is_printed_or_all_are_written() {
    let page = bare_luge().flags("man run").stdout();
    assert!(page.contains(".TH luge-run 1") && page.contains("EXAMPLES"), "{page}");
    assert!(bare_luge().flags("man").stdout().contains(".TH luge 1"));
    assert!(bare_luge().flags("man rum").failure(2).contains("no command 'rum'"));

    let folder = tempdir().unwrap();
    let pages = folder.path().join("man1");
    bare_luge().flags("-q man --out").arg(&pages).stdout();
    let listed = fs::read_dir(&pages).unwrap().count();
    let help = bare_luge().flags("-h").stdout();
    let commands =
        help.lines().filter(|line| line.starts_with("  ") && !line.trim().starts_with('-'));
    // One for each command, and luge's own.
    assert_eq!(listed, commands.count() + 1, "{help}");
    assert_eq!(fs::read_to_string(pages.join("luge-run.1")).unwrap(), page);
    // A file lies where the folder would be.
    assert!(bare_luge().flags("man --out").arg(pages.join("luge.1")).failure(1).contains("luge.1"));
}

#[test]
fn a_formatter_has_nothing_to_remark_on_in_the_pages() {
    if !has("groff") {
        return;
    }
    let folder = tempdir().unwrap();
    bare_luge().flags("-q man --out").arg(folder.path()).stdout();
    for page in fs::read_dir(folder.path()).unwrap() {
        let page = page.unwrap().path();
        let output = Command::new("groff")
            .args(["-man", "-Tutf8", "-Kutf8", "-ww", "-z"])
            .arg(&page)
            .output();
        let output = output.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{page:?}: {output:?}");
    }
}

#[test]
fn the_reference_is_one_text() {
    let text = bare_luge().flags("man --format markdown").stdout();
    assert!(text.starts_with("# Commands\n") && text.contains("\n## luge run\n"), "{text}");
    bare_luge().flags("man run --format markdown").failure(2);
}

#[test]
fn quiet_leaves_out_all_but_errors() {
    let luge = || run(model("llama")).flags("-n 2 --show-changes").arg(PROMPT);
    assert!(luge().outcome().stderr.contains("against the final layer"));
    luge().flags("--quiet").stdout();
    luge().flags("-q").env("LUGE_LOG", "trace").stdout();
    // What went wrong is said in any case.
    assert!(run("no-such-file").flags("-q x").failure(1).contains("no-such-file"));
    assert!(bare_luge().flags("run -q -v x").failure(2).contains("--verbose"));
}

/// The lines of the log on standard error.
fn logged(flags: &str, filter: &str) -> Vec<String> {
    let luge = run(model("llama")).flags("-n 1").flags(flags).env("LUGE_LOG", filter);
    let outcome = luge.arg(PROMPT).outcome();
    assert!(outcome.status.success(), "{outcome:#?}");
    outcome.stderr.lines().map(str::to_owned).collect()
}

#[test]
fn the_log_is_chosen_by_part_and_level() {
    let has = |lines: &[String], part: &str| lines.iter().any(|line| line.contains(part));
    let all = logged("-v", "");
    assert!(has(&all, "DEBUG llama.cpp: ") && has(&all, "DEBUG luge::"), "{all:?}");
    let own = logged("", "luge=debug");
    assert!(!has(&own, "llama.cpp") && has(&own, "DEBUG luge::"), "{own:?}");
    let engine = logged("", "llama.cpp=debug");
    assert!(has(&engine, "DEBUG llama.cpp: ") && !has(&engine, "luge::"), "{engine:?}");
    assert_eq!(logged("", ""), [""; 0]);
    let wrong = logged("", "llama.cpp=loud");
    assert!(wrong.len() == 1 && has(&wrong, "LUGE_LOG is passed over"), "{wrong:?}");
}

#[test]
fn warnings_of_llama_cpp_are_told_from_the_rest() {
    // Half of the context that the model was trained with is worth a warning to it.
    let warned = |flags: &str| {
        let lines = logged(&format!("{flags} -c 64"), "");
        lines.iter().any(|line| line.contains(" WARN llama.cpp: "))
    };
    assert_eq!([warned("-v"), warned("")], [true, false]);
}
