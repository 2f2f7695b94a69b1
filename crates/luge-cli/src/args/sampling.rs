//! How tokens are chosen, and when to stop.

use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::Given;

#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    #[command(flatten)]
    pub given: Given,

    /// The most tokens to generate; -1 for as many as the context holds
    #[arg(
        short = 'n',
        long = "predict",
        visible_alias = "n-predict",
        value_name = "TOKENS",
        default_value_t = 256,
        allow_negative_numbers = true,
        value_parser = count_or_all
    )]
    pub predict: i64,

    /// Seed of the sampling; the same seed gives the same text; -1 for a random one
    #[arg(short, long, value_name = "SEED", default_value_t = -1, allow_negative_numbers = true, value_parser = count_or_all)]
    pub seed: i64,

    #[command(flatten)]
    pub choice: ChoiceArgs,

    /// End the text in front of this; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,

    /// Never choose a token that ends the text
    #[arg(long)]
    pub ignore_eos: bool,
}

/// How a token is chosen.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct ChoiceArgs {
    #[command(flatten)]
    pub given: Given,

    /// Temperature; 0 takes the best token by the method
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true, value_parser = at_least_zero)]
    pub temp: f32,

    /// Keep the K best tokens; 0 for all [default: 40]
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,

    /// Keep the fewest best tokens that reach this probability together; 1 for all [default: 0.95]
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = share)]
    pub top_p: Option<f32>,

    /// Keep tokens with at least this share of the best probability; 0 for all [default: 0.05]
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = share)]
    pub min_p: Option<f32>,

    /// Penalty on tokens that came up lately; 1 for none
    #[arg(long, value_name = "PENALTY", default_value_t = 1.0, allow_negative_numbers = true, value_parser = above_zero)]
    pub repeat_penalty: f32,

    /// How many of the last tokens count as lately; 0 for none, -1 for all
    #[arg(long, value_name = "TOKENS", default_value_t = 64, allow_negative_numbers = true, value_parser = count_or_all)]
    pub repeat_last_n: i64,

    /// Penalty for each time a token came up lately
    #[arg(long, value_name = "PENALTY", default_value_t = 0.0, allow_negative_numbers = true, value_parser = finite)]
    pub frequency_penalty: f32,

    /// Penalty if a token came up lately
    #[arg(long, value_name = "PENALTY", default_value_t = 0.0, allow_negative_numbers = true, value_parser = finite)]
    pub presence_penalty: f32,

    /// Add to a token's logit: 42+1.5, 42-3, or 42-inf to rule it out; may be repeated
    #[arg(short, long, value_name = "ID±BIAS")]
    pub logit_bias: Vec<LogitBias>,
}

/// When to compute early exits.
#[derive(Debug, Args)]
pub struct ExitArgs {
    /// Compute early exits only where the token may depend on them, or always; the
    /// text is the same
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Method")]
    pub exits: Exits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Exits {
    Auto,
    Always,
}

/// A token id and what is added to its logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogitBias {
    pub token: u32,
    pub bias: f32,
}

impl FromStr for LogitBias {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it takes a token id and a bias, such as 42+1.5 or 42-inf".to_owned();
        let sign = text.find(['+', '-']).ok_or_else(wrong)?;
        let token = text[..sign].trim().parse().map_err(|_| wrong())?;
        let bias: f32 = text[sign..].trim().parse().map_err(|_| wrong())?;
        if bias.is_nan() || bias == f32::INFINITY {
            return Err(wrong());
        }
        Ok(LogitBias { token, bias })
    }
}

/// A count, or −1 for no limit.
pub fn count_or_all(text: &str) -> Result<i64, String> {
    let count = text.parse().ok().filter(|&count: &i64| count >= -1);
    count.ok_or_else(|| "it takes a number of at least 0, or -1".to_owned())
}

fn number(text: &str, expected: &str, accept: impl Fn(f32) -> bool) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|&number: &f32| accept(number))
        .ok_or_else(|| format!("it takes {expected}"))
}

fn at_least_zero(text: &str) -> Result<f32, String> {
    number(text, "a number of at least 0", |number| number >= 0.0 && number.is_finite())
}

fn above_zero(text: &str) -> Result<f32, String> {
    number(text, "a number above 0", |number| number > 0.0 && number.is_finite())
}

fn share(text: &str) -> Result<f32, String> {
    number(text, "a number from 0 to 1", |number| (0.0..=1.0).contains(&number))
}

fn finite(text: &str) -> Result<f32, String> {
    number(text, "a number", f32::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logit_biases_are_written_as_in_llama_cpp() {
        let bias = |text: &str| text.parse::<LogitBias>().map(|bias| (bias.token, bias.bias));
        assert_eq!(bias("42+1.5"), Ok((42, 1.5)));
        assert_eq!(bias("7-3"), Ok((7, -3.0)));
        assert_eq!(bias("7-inf"), Ok((7, f32::NEG_INFINITY)));
        for wrong in ["7", "+1", "x+1", "7+", "7+inf", "7+nan", "-1"] {
            assert!(bias(wrong).is_err(), "{wrong}");
        }
    }
}
