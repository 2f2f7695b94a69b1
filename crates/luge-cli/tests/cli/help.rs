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
    for command in ["run", "score", "compare", "lens", "bench"] {
        insta::assert_snapshot!(command, bare_luge().flags(command).flags("--help").stdout());
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
}
