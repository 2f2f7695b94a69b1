//! Requests at fault: one line that says why, and exit code 2; or 1 where it
//! takes the model or a file to see it.

use tempfile::tempdir;

use crate::support::{Luge, PROMPT, bare_luge, compare, model, run, score};

fn llama(flags: &str) -> Luge {
    run(model("llama")).flags(flags)
}

/// That the message holds all of these.
#[track_caller]
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn an_unknown_name_brings_up_the_nearest() {
    let nearest = [
        ("--method sledd", "'sled'"),
        ("--method dolla", "'dola'"),
        ("--method sled+ensembel", "'ensemble'"),
        ("--method sled(evolution-rat=1)", "'evolution-rate'"),
        ("--method sled(layer=1)", "'layers'"),
        ("--evolution-rat 1", "'--evolution-rate'"),
        ("--metod sled", "'--method'"),
    ];
    for (flags, name) in nearest {
        says(&llama(flags).arg(PROMPT).failure(2), &[name]);
    }
    says(&compare(model("llama")).flags("--methods sled,greddy x").failure(2), &["'greedy'"]);
    says(&bare_luge().flags("comapre").failure(2), &["'compare'"]);
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range() {
    says(&llama("--evolution-scale 170").arg(PROMPT).failure(2), &["170", "169 tokens"]);
    for layers in ["4", "-5", "0..5", "0,1,4", "7.."] {
        let message = llama("--layers").arg(layers).arg(PROMPT).failure(2);
        says(&message, &["layers 0 to 3"]);
    }
    says(&llama("--layers 2..2").arg(PROMPT).failure(2), &["2..2", "none"]);
    says(&llama("--prompt-ids 1,169").failure(2), &["169", "0 to 168"]);
    let score = score(model("llama")).flags("--prompt-ids 5 --continuation-ids 3,4294967295");
    says(&score.failure(2), &["4294967295", "0 to 168"]);
}

#[test]
fn a_value_that_is_none_is_refused_with_its_flag() {
    let wrong = [
        ("--evolution-rate -1", "evolution-rate"),
        ("--evolution-rate nan", "evolution-rate"),
        ("--evolution-rate inf", "evolution-rate"),
        ("--evolution-scale 0", "evolution-scale"),
        ("--evolution-steps 0", "evolution-steps"),
        ("--evolution-temperature 0", "evolution-temperature"),
        ("--evolution-lower-bound -inf", "evolution-lower-bound"),
        ("--layers middle", "layers"),
        ("--layers 0..4:0", "layers"),
        ("--exit-norm half", "exit-norm"),
        ("--exits never", "--exits"),
        ("--method dola --relative-top 2", "relative-top"),
        ("--method sled(", "sled("),
        ("--method sled+", "name is missing"),
        ("--temp hot", "--temp"),
        ("--temp=-1", "--temp"),
        ("--top-p 1.5", "--top-p"),
        ("--min-p=-0.1", "--min-p"),
        ("--top-k=-1", "--top-k"),
        ("--repeat-penalty 0", "--repeat-penalty"),
        ("--seed=-2", "--seed"),
        ("-n=-2", "--predict"),
        ("-c many", "--ctx-size"),
        ("-t 0", "--threads"),
        ("-ngl some", "--gpu-layers"),
        ("-ctk f12", "--cache-type-k"),
        ("-ctv f12", "--cache-type-v"),
        ("-fa perhaps", "--flash-attn"),
        ("-l 5", "--logit-bias"),
        ("-l 5+nan", "--logit-bias"),
        ("--format xml", "--format"),
        ("--color blue", "--color"),
        ("--prompt-ids 1,x", "--prompt-ids"),
        ("--prompt-ids ,", "--prompt-ids"),
    ];
    for (flags, name) in wrong {
        says(&bare_luge().flags("run").model(model("llama")).flags(flags).failure(2), &[name]);
    }
}

#[test]
fn a_flag_that_would_do_nothing_is_refused() {
    says(
        &llama("--method greedy --layers 2").arg(PROMPT).failure(2),
        &["--layers", "does nothing for greedy"],
    );
    says(
        &llama("--method sled --relative-top 0.2").arg(PROMPT).failure(2),
        &["--relative-top", "dola", "does nothing for sled"],
    );
    says(
        &compare(model("llama")).flags("--methods greedy,dola --evolution-rate 1 x").failure(2),
        &["--evolution-rate", "does nothing for greedy, dola"],
    );
}

#[test]
fn an_empty_prompt_is_refused() {
    for run in [llama(""), llama("-").stdin("\n"), llama("").arg(""), llama("-p").arg("")] {
        says(&run.failure(2), &["the prompt is empty"]);
    }
    says(&score(model("llama")).arg("").arg(" w5").failure(2), &["the prompt is empty"]);
    says(&score(model("llama")).arg(" w5").arg("").failure(2), &["the continuation is empty"]);
}

#[test]
fn prompts_and_continuations_come_in_one_way() {
    says(&llama("-p a b").failure(2), &["--prompt", "[PROMPT]"]);
    says(&llama("--prompt-ids 5 b").failure(2), &["--prompt-ids", "[PROMPT]"]);
    let score = || score(model("llama"));
    says(&score().failure(2), &["PROMPT"]);
    says(&score().arg(" w5").failure(2), &["CONTINUATION"]);
    says(&score().flags("--prompt-ids 5").failure(2), &["--continuation-ids"]);
    score().flags("--prompt-ids 5").arg(" w5").failure(2);
}

#[test]
fn a_prompt_file_that_cannot_be_read_is_named() {
    let folder = tempdir().unwrap();
    let missing = folder.path().join("missing.txt");
    let message = llama("--file").arg(&missing).failure(1);
    says(&message, &["missing.txt", "No such file"]);
    llama("--file").arg(folder.path()).failure(1);
    // The model itself is no text.
    llama("--file").arg(model("llama")).failure(1);
}

#[test]
fn a_prompt_longer_than_the_context_is_refused() {
    says(&llama("-c 2").arg(PROMPT).failure(1), &["prompt of 3 tokens", "context of 2"]);
    let score = score(model("llama")).flags("-c 4").arg(PROMPT);
    says(&score.arg(" w1 w2 w3").failure(1), &["5 tokens", "context of 4"]);
    // GPT-2 has learned 128 positions, and there is no 129th.
    let long = vec!["5"; 129].join(",");
    says(
        &run(model("gpt2")).flags("--prompt-ids").arg(long).failure(1),
        &["129 tokens", "context of 128"],
    );
    says(&run(model("gpt2")).flags("-c 129").arg(PROMPT).failure(1), &["128 positions"]);
}

#[test]
fn a_quantised_v_cache_needs_flash_attention() {
    says(&llama("-ctv q8_0 -fa off").arg(PROMPT).failure(1), &["V cache"]);
}

#[test]
fn standard_input_is_one_prompt_or_a_prompt_a_line() {
    for prompt in ["-", "-p -"] {
        let compare = compare(model("llama")).flags("-i").flags(prompt);
        says(&compare.failure(2), &["standard input", "--interactive"]);
    }
}

#[cfg(not(feature = "atlas"))]
#[test]
fn a_model_must_be_named_where_none_is_built_in() {
    for command in ["run a", "score a b", "compare a", "bench"] {
        says(&bare_luge().flags(command).failure(2), &["no model given", "-m model.gguf"]);
        let named = bare_luge().flags(command).flags("-m atlas");
        says(&named.failure(2), &["atlas is not built in", "-m model.gguf", "./atlas"]);
    }
}

/// It once said that they come with luge.
#[cfg(not(feature = "atlas"))]
#[test]
fn the_questions_of_atlas_must_be_named_where_they_are_not_built_in() {
    let message = bare_luge().flags("eval atlas -m model.gguf").failure(2);
    says(&message, &["the questions of atlas are not built in", "--data"]);
}
