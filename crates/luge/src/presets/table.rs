//! The table. A new row is a new line; its numbers stand where its source says.

use super::Preset;

/// What the settings of all models for a task share.
struct Benchmark {
    task: &'static str,
    evolution_steps: usize,
    evolution_lower_bound: f32,
    source: &'static str,
}

// Rates and scales are those of the scripts that the authors of SLED ran, in their
// repository at a commit. Steps and lower bounds are what their code has for the task,
// at the same commit: `op_T` and `evolution_lower_bound` in `sled_decoding.py`, and for
// texts that are written in `transformers/src/transformers/generation/utils.py`.
const TRUTHFULQA: Benchmark = Benchmark {
    task: "truthfulqa",
    evolution_steps: 10,
    evolution_lower_bound: -100.0,
    source: "https://github.com/JayZhang42/SLED/blob/00067af/scripts/TruthfulQA.sh",
};
const FACTOR: Benchmark = Benchmark {
    task: "factor",
    evolution_steps: 1,
    evolution_lower_bound: -2500.0,
    source: "https://github.com/JayZhang42/SLED/blob/00067af/scripts/Factor.sh",
};
const STRATEGYQA: Benchmark = Benchmark {
    task: "strategyqa",
    evolution_steps: 1,
    evolution_lower_bound: -1000.0,
    source: "https://github.com/JayZhang42/SLED/blob/00067af/scripts/StrategyQA.sh",
};
const GSM8K: Benchmark = Benchmark {
    task: "gsm8k",
    evolution_steps: 1,
    evolution_lower_bound: -1000.0,
    source: "https://github.com/JayZhang42/SLED/blob/00067af/scripts/GSM8K.sh",
};

/// Every setting that we have found published.
pub const PRESETS: &[Preset] = &[
    row("Llama-2-7b-hf", TRUTHFULQA, 2.5, 75),
    row("Llama-2-7b-chat-hf", TRUTHFULQA, 2.5, 75),
    row("Llama-2-13b-hf", TRUTHFULQA, 2.5, 100),
    row("Llama-2-13b-chat-hf", TRUTHFULQA, 2.5, 50),
    row("Llama-2-70b-hf", TRUTHFULQA, 2.0, 50),
    row("Llama-2-70b-chat-hf", TRUTHFULQA, 2.0, 50),
    row("Meta-Llama-3-8B", TRUTHFULQA, 2.5, 100),
    row("Meta-Llama-3-8B-Instruct", TRUTHFULQA, 2.0, 50),
    row("Meta-Llama-3-70B", TRUTHFULQA, 2.0, 50),
    row("Meta-Llama-3-70B-Instruct", TRUTHFULQA, 2.0, 50),
    row("Mixtral-8x7B-v0.1", TRUTHFULQA, 2.0, 50),
    row("Mixtral-8x7B-Instruct-v0.1", TRUTHFULQA, 2.0, 50),
    row("Llama-2-7b-hf", FACTOR, 2.0, 10),
    row("Llama-2-7b-chat-hf", FACTOR, 2.0, 10),
    row("Llama-2-13b-hf", FACTOR, 2.0, 10),
    row("Llama-2-13b-chat-hf", FACTOR, 2.0, 10),
    row("Llama-2-70b-hf", FACTOR, 2.0, 10),
    row("Llama-2-70b-chat-hf", FACTOR, 2.0, 10),
    row("Meta-Llama-3-8B", FACTOR, 2.0, 10),
    row("Meta-Llama-3-8B-Instruct", FACTOR, 2.0, 10),
    row("Meta-Llama-3-70B", FACTOR, 2.0, 10),
    row("Meta-Llama-3-70B-Instruct", FACTOR, 2.0, 10),
    row("Mixtral-8x7B-v0.1", FACTOR, 2.0, 10),
    row("Mixtral-8x7B-Instruct-v0.1", FACTOR, 2.0, 10),
    row("Llama-2-7b-hf", STRATEGYQA, 1.75, 5),
    row("Llama-2-7b-chat-hf", STRATEGYQA, 2.5, 10),
    row("Llama-2-13b-hf", STRATEGYQA, 2.75, 5),
    row("Llama-2-13b-chat-hf", STRATEGYQA, 1.5, 10),
    row("Llama-2-70b-hf", STRATEGYQA, 0.25, 10),
    row("Llama-2-70b-chat-hf", STRATEGYQA, 0.14, 10),
    row("Llama-2-7b-hf", GSM8K, 2.0, 10),
    row("Llama-2-7b-chat-hf", GSM8K, 1.0, 5),
    row("Llama-2-13b-hf", GSM8K, 2.0, 5),
    row("Llama-2-13b-chat-hf", GSM8K, 0.25, 5),
    row("Llama-2-70b-hf", GSM8K, 2.0, 10),
    row("Llama-2-70b-chat-hf", GSM8K, 0.5, 50),
];

/// A row of a model whose architecture is llama's, which is Mixtral's too.
const fn row(
    model: &'static str,
    benchmark: Benchmark,
    evolution_rate: f32,
    evolution_scale: usize,
) -> Preset {
    Preset {
        model,
        architecture: "llama",
        task: benchmark.task,
        evolution_rate,
        evolution_scale,
        evolution_steps: benchmark.evolution_steps,
        evolution_lower_bound: benchmark.evolution_lower_bound,
        source: benchmark.source,
    }
}
