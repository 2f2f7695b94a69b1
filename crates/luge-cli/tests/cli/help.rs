//! What `luge` says about itself.

use crate::support::bare_luge;

/// Flags of the specification that a person may know from llama.cpp or from
/// the papers.
const FLAGS: &str = "-m -c --ctx-size -n -t --threads -ngl -s --seed --temp --top-k --top-p --min-p \
                     --repeat-penalty --ignore-eos -ctk --cache-type-k -ctv --cache-type-v -fa \
                     --flash-attn --no-mmap --mlock --method --evolution-rate --evolution-scale \
                     --evolution-steps --evolution-temperature --evolution-lower-bound --layers \
                     --exit-norm --relative-top --prompt-ids --format --show-changes --json-schema \
                     --grammar";

// The help says what is built in.
#[cfg(feature = "atlas")]
#[test]
fn the_help_of_all_commands() {
    insta::assert_snapshot!("help", bare_luge().flags("--help").stdout());
    for command in commands() {
        let help = |flag: &str| bare_luge().flags(&command).flags(flag).stdout();
        insta::assert_snapshot!(command.clone(), help("-h"));
        insta::assert_snapshot!(format!("{command}_in_full"), help("--help"));
    }
}

/// The commands that the help names.
fn commands() -> Vec<String> {
    let help = bare_luge().flags("-h").stdout();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    lines.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn the_short_help_is_the_shorter_one() {
    for command in commands() {
        let help = |flag: &str| bare_luge().flags(&command).flags(flag).stdout();
        let (short, long) = (help("-h"), help("--help"));
        assert!(short.lines().count() < long.lines().count(), "{command}");
        assert!(!short.contains("Examples:") && long.contains("Examples:"), "{command}");
        for columns in [80, 100] {
            let luge = bare_luge().env("COLUMNS", columns.to_string()).flags(&command);
            let help = luge.flags("-h").stdout();
            assert!(help.lines().all(|line| line.chars().count() <= columns), "{help}");
        }
    }
}

#[test]
fn every_flag_of_the_specification_is_in_the_help() {
    let words = |command: &str| -> Vec<String> {
        let help = bare_luge().flags(command).flags("--help").stdout();
        let words = help.split(|c: char| !(c.is_alphanumeric() || c == '-'));
        words.map(str::to_owned).collect()
    };
    let run = words("run");
    for flag in FLAGS.split_whitespace() {
        assert!(run.iter().any(|word| word == flag), "{flag}");
    }
    let score = words("score");
    assert!(score.iter().any(|word| word == "--continuation-ids"));
}

#[test]
fn the_version_is_the_crates() {
    let wanted = format!("luge {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(bare_luge().flags("--version").stdout(), wanted);
}

#[test]
fn without_a_command_the_help_is_shown_as_a_mistake() {
    let outcome = bare_luge().outcome();
    assert_eq!(outcome.status.code(), Some(2));
    assert_eq!(outcome.stdout, "");
    assert!(outcome.stderr.contains("Usage: luge"));
    assert!(bare_luge().flags("help").failure(2).contains("luge --help names"));
    assert!(bare_luge().flags("comparr").failure(2).ends_with("'compare'"));
}
