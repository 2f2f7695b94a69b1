//! How tokens are chosen, and when the text ends.

use serde_json::{Value, json};

use crate::support::{Luge, PROMPT, ids, model, run};

fn llama() -> Luge {
    run(model("llama")).arg(PROMPT)
}

fn completion(run: Luge) -> Vec<u64> {
    ids(&run.json()["completion_ids"])
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_seed_another() {
    let with_seed = |seed: &str| llama().flags("-n 24 --ignore-eos --temp 1.5 --seed").arg(seed);
    assert_eq!(with_seed("1").text(), with_seed("1").text());
    assert_ne!(with_seed("1").text(), with_seed("2").text());
}

#[test]
fn a_random_seed_is_told_and_can_be_given_again() {
    let run = || llama().flags("-n 24 --ignore-eos --temp 1.5");
    let object = run().json();
    let seed = object["seed"].to_string();
    assert_eq!(json!(run().arg("--seed").arg(seed).text()), object["text"]);
}

#[test]
fn without_temperature_the_seed_does_not_matter() {
    assert_eq!(llama().flags("-n 12 -s 1").text(), llama().flags("-n 12 -s 2").text());
}

#[test]
fn one_token_kept_is_the_best_token() {
    let best = llama().flags("-n 12").text();
    assert_eq!(llama().flags("-n 12 --temp 2 --top-k 1 -s 1").text(), best);
    assert_eq!(llama().flags("-n 12 --temp 2 --top-p 0 -s 1").text(), best);
    assert_eq!(llama().flags("-n 12 --temp 2 --min-p 1 -s 1").text(), best);
}

#[test]
fn a_text_ends_in_front_of_a_stop_string_and_nothing_of_it_is_shown() {
    let whole = llama().flags("-n 24 --ignore-eos").text();
    // Cut inside words, so that the stop string spans tokens.
    let (start, end) = (whole.len() / 2, whole.len() / 2 + 4);
    let stop = &whole[start..end];
    let wanted = &whole[..whole.find(stop).unwrap()];

    let stopped = || llama().flags("-n 24 --ignore-eos --stop").arg(stop);
    assert_eq!(stopped().text(), wanted);
    let object = stopped().json();
    assert_eq!(object["text"], json!(wanted));
    assert_eq!(object["finish_reason"], "stop");
    assert_eq!(llama().flags("-n 24 --ignore-eos --stop never").text(), whole);
}

#[test]
fn no_tokens_are_no_text() {
    assert_eq!(llama().flags("-n 0").stdout(), "\n");
    let object = llama().flags("-n 0").json();
    assert_eq!(object["completion_ids"], json!([]));
    assert_eq!(object["finish_reason"], "length");
}

#[test]
fn no_larger_context_is_promised_than_a_model_has_positions() {
    let outcome = run(model("gpt2")).flags("-n -1 --ignore-eos -c 128").arg(PROMPT).outcome();
    assert_eq!(outcome.stderr, "luge: the context of 128 tokens is full\n");
}

#[test]
fn without_a_limit_the_context_is_filled_and_that_is_said() {
    let outcome = llama().flags("-n -1 --ignore-eos -c 32").outcome();
    assert!(outcome.status.success());
    assert_eq!(
        outcome.stderr,
        "luge: the context of 32 tokens is full; --ctx-size makes it larger\n"
    );
    let object = llama().flags("-n -1 --ignore-eos -c 32").json();
    assert_eq!(object["finish_reason"], "context");
    assert_eq!(json!(outcome.stdout.strip_suffix('\n').unwrap()), object["text"]);
    // The last token is chosen, not computed: it needs no room.
    let tokens = ids(&object["prompt_ids"]).len() + ids(&object["completion_ids"]).len();
    assert_eq!(tokens, 32 + 1);
}

#[test]
fn the_end_token_ends_the_text_unless_it_is_ignored() {
    let ended = llama().flags("-n 5 -l 2+10000").json();
    assert_eq!(ended["finish_reason"], "eos");
    assert_eq!(ended["completion_ids"], json!([]));
    assert_eq!(ended["text"], "");

    let ignored = llama().flags("-n 5 -l 2+10000 --ignore-eos").json();
    assert_eq!(ignored["finish_reason"], "length");
    assert!(!ids(&ignored["completion_ids"]).contains(&2));
}

#[test]
fn a_token_ruled_out_does_not_come_up() {
    for method in ["greedy", "sled", "dola", "ensemble"] {
        let run = || llama().flags("-n 1 --method").arg(method);
        let best = completion(run())[0];
        let other = completion(run().arg("-l").arg(format!("{best}-inf")));
        assert_ne!(other, [best], "{method}");
    }
}

#[test]
fn penalties_keep_the_text_from_going_round_in_circles() {
    let repeats = |run: Luge| {
        let mut tokens = completion(run.flags("-n 24 --ignore-eos"));
        tokens.sort_unstable();
        tokens.windows(2).filter(|pair| pair[0] == pair[1]).count()
    };
    assert!(repeats(llama()) > 0, "nothing to see here without a repeat");
    assert_eq!(repeats(llama().flags("--repeat-penalty 100")), 0);
    assert_eq!(repeats(llama().flags("--presence-penalty 100")), 0);
    assert_eq!(repeats(llama().flags("--frequency-penalty 100")), 0);
    assert!(repeats(llama().flags("--repeat-penalty 100 --repeat-last-n 0")) > 0);
}

#[test]
fn llama_cpps_short_names_are_understood() {
    let long = "--predict 6 --ctx-size 64 --gpu-layers 0 --cache-type-k f32 --cache-type-v f32 \
                --flash-attn off --no-mmap";
    let short = "-n 6 -c 64 -ngl 0 -ctk f32 -ctv f32 -fa off --no-mmap";
    let ids = |flags: &str| -> Value { llama().flags(flags).json()["completion_ids"].take() };
    assert_eq!(ids(long), ids(short));
    assert_eq!(ids(short), ids("-n 6 -ctk=f32 -ctv=f32 -fa=off --mlock"));
}
