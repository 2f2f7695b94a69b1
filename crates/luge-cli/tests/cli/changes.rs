//! `--show-changes`: tokens that the method chose against the final layer.

use serde_json::json;

use crate::support::{Luge, MODELS, ids, model, reference_prompt, run};

const ESCAPE: char = '\u{1b}';

fn sled(name: &str) -> Luge {
    run(model(name)).flags("-n 12 --prompt-ids").arg(reference_prompt(name))
}

fn changes() -> Luge {
    sled("llama").flags("--show-changes")
}

/// Text without marks or escape sequences.
fn bare(text: &str) -> String {
    let text = text.replace(['‹', '›'], "");
    let mut pieces = text.split(ESCAPE);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |bare, piece| bare + piece.split_once('m').unwrap().1)
}

#[test]
fn each_changed_token_is_marked_and_counted() {
    for name in MODELS {
        let object = sled(name).json();
        let changed = ids(&object["changed"]).len();
        assert!(changed > 0, "{name}: there is nothing to see");

        let outcome = sled(name).flags("--show-changes").outcome();
        assert_eq!(outcome.stdout.matches('‹').count(), changed, "{name}");
        assert_eq!(outcome.stdout.matches('›').count(), changed, "{name}");
        assert_eq!(json!(bare(outcome.stdout.trim_end_matches('\n'))), object["text"], "{name}");
        assert_eq!(
            outcome.stderr,
            format!("luge: {changed} of 12 tokens chosen by sled against the final layer\n")
        );
    }
}

#[test]
fn a_change_is_where_the_final_layer_would_have_gone_another_way() {
    let object = changes().json();
    let completion = ids(&object["completion_ids"]);
    let changed = ids(&object["changed"]);
    for position in 0..completion.len() {
        let before: Vec<u64> =
            ids(&object["prompt_ids"]).into_iter().chain(completion[..position].to_vec()).collect();
        let list = before.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let greedy = run(model("llama")).flags("-n 1 --method greedy --prompt-ids");
        let greedy = ids(&greedy.arg(list).json()["completion_ids"])[0];
        assert_eq!(greedy != completion[position], changed.contains(&(position as u64)));
    }
}

#[test]
fn marks_are_in_colour_where_there_is_colour() {
    let plain = changes().outcome().stdout;
    assert!(plain.contains('‹') && !plain.contains(ESCAPE));

    for coloured in [changes().flags("--color always"), changes().env("CLICOLOR_FORCE", "1")] {
        let coloured = coloured.outcome().stdout;
        assert!(coloured.contains(ESCAPE) && !coloured.contains('‹'), "{coloured:?}");
        assert_eq!(bare(&coloured), bare(&plain));
    }
}

#[test]
fn no_color_is_respected() {
    let plain = changes().outcome().stdout;
    let forced = || changes().env("CLICOLOR_FORCE", "1");
    assert_eq!(forced().env("NO_COLOR", "1").outcome().stdout, plain);
    assert_eq!(forced().flags("--color never").outcome().stdout, plain);
}

#[test]
fn nothing_is_marked_unasked() {
    let text = sled("llama").flags("--color always").text();
    assert_eq!(bare(&text), text);
}
