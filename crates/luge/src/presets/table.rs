//! The table. A new row is a new line; its numbers stand where its source says.

use super::Preset;

// The scripts that the authors of SLED ran, in their repository at a commit.
const TRUTHFULQA: &str = "https://github.com/JayZhang42/SLED/blob/00067af/scripts/TruthfulQA.sh";
const FACTOR: &str = "https://github.com/JayZhang42/SLED/blob/00067af/scripts/Factor.sh";
const STRATEGYQA: &str = "https://github.com/JayZhang42/SLED/blob/00067af/scripts/StrategyQA.sh";
const GSM8K: &str = "https://github.com/JayZhang42/SLED/blob/00067af/scripts/GSM8K.sh";

/// Every setting that we have found published.
pub const PRESETS: &[Preset] = &[
    row("Llama-2-7b-hf", "truthfulqa", 2.5, 75, TRUTHFULQA),
    row("Llama-2-7b-chat-hf", "truthfulqa", 2.5, 75, TRUTHFULQA),
    row("Llama-2-13b-hf", "truthfulqa", 2.5, 100, TRUTHFULQA),
    row("Llama-2-13b-chat-hf", "truthfulqa", 2.5, 50, TRUTHFULQA),
    row("Llama-2-70b-hf", "truthfulqa", 2.0, 50, TRUTHFULQA),
    row("Llama-2-70b-chat-hf", "truthfulqa", 2.0, 50, TRUTHFULQA),
    row("Meta-Llama-3-8B", "truthfulqa", 2.5, 100, TRUTHFULQA),
    row("Meta-Llama-3-8B-Instruct", "truthfulqa", 2.0, 50, TRUTHFULQA),
    row("Meta-Llama-3-70B", "truthfulqa", 2.0, 50, TRUTHFULQA),
    row("Meta-Llama-3-70B-Instruct", "truthfulqa", 2.0, 50, TRUTHFULQA),
    row("Mixtral-8x7B-v0.1", "truthfulqa", 2.0, 50, TRUTHFULQA),
    row("Mixtral-8x7B-Instruct-v0.1", "truthfulqa", 2.0, 50, TRUTHFULQA),
    row("Llama-2-7b-hf", "factor", 2.0, 10, FACTOR),
    row("Llama-2-7b-chat-hf", "factor", 2.0, 10, FACTOR),
    row("Llama-2-13b-hf", "factor", 2.0, 10, FACTOR),
    row("Llama-2-13b-chat-hf", "factor", 2.0, 10, FACTOR),
    row("Llama-2-70b-hf", "factor", 2.0, 10, FACTOR),
    row("Llama-2-70b-chat-hf", "factor", 2.0, 10, FACTOR),
    row("Meta-Llama-3-8B", "factor", 2.0, 10, FACTOR),
    row("Meta-Llama-3-8B-Instruct", "factor", 2.0, 10, FACTOR),
    row("Meta-Llama-3-70B", "factor", 2.0, 10, FACTOR),
    row("Meta-Llama-3-70B-Instruct", "factor", 2.0, 10, FACTOR),
    row("Mixtral-8x7B-v0.1", "factor", 2.0, 10, FACTOR),
    row("Mixtral-8x7B-Instruct-v0.1", "factor", 2.0, 10, FACTOR),
    row("Llama-2-7b-hf", "strategyqa", 1.75, 5, STRATEGYQA),
    row("Llama-2-7b-chat-hf", "strategyqa", 2.5, 10, STRATEGYQA),
    row("Llama-2-13b-hf", "strategyqa", 2.75, 5, STRATEGYQA),
    row("Llama-2-13b-chat-hf", "strategyqa", 1.5, 10, STRATEGYQA),
    row("Llama-2-70b-hf", "strategyqa", 0.25, 10, STRATEGYQA),
    row("Llama-2-70b-chat-hf", "strategyqa", 0.14, 10, STRATEGYQA),
    row("Llama-2-7b-hf", "gsm8k", 2.0, 10, GSM8K),
    row("Llama-2-7b-chat-hf", "gsm8k", 1.0, 5, GSM8K),
    row("Llama-2-13b-hf", "gsm8k", 2.0, 5, GSM8K),
    row("Llama-2-13b-chat-hf", "gsm8k", 0.25, 5, GSM8K),
    row("Llama-2-70b-hf", "gsm8k", 2.0, 10, GSM8K),
    row("Llama-2-70b-chat-hf", "gsm8k", 0.5, 50, GSM8K),
];

/// A row of a model whose architecture is llama's, which is Mixtral's too.
const fn row(
    model: &'static str,
    task: &'static str,
    evolution_rate: f32,
    evolution_scale: usize,
    source: &'static str,
) -> Preset {
    Preset { model, architecture: "llama", task, evolution_rate, evolution_scale, source }
}
