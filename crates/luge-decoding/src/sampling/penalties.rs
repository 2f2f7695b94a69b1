//! Penalties on tokens that came up before.

use std::collections::HashMap;

use super::SamplerOptions;

/// Whether the penalties can change a logit.
pub(super) fn active(options: &SamplerOptions) -> bool {
    options.repeat_last_n > 0
        && (options.repeat_penalty != 1.0
            || options.frequency_penalty != 0.0
            || options.presence_penalty != 0.0)
}

/// How often each recent token came up; none where the penalties change nothing.
pub(super) fn counts(history: &[u32], options: &SamplerOptions) -> HashMap<u32, u32> {
    let mut counts: HashMap<u32, u32> = HashMap::new();
    if active(options) {
        for &token in &history[history.len().saturating_sub(options.repeat_last_n)..] {
            *counts.entry(token).or_default() += 1;
        }
    }
    counts
}

/// A recent token's logit with the repetition penalty first, then frequency and
/// presence, as llama.cpp does. Never falls where the logit grows.
pub(super) fn lowered(logit: f32, count: u32, options: &SamplerOptions) -> f32 {
    let repeated =
        if logit > 0.0 { logit / options.repeat_penalty } else { logit * options.repeat_penalty };
    repeated - (count as f32 * options.frequency_penalty + options.presence_penalty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recent_tokens_are_penalised_and_by_count() {
        let options = SamplerOptions {
            repeat_penalty: 2.0,
            frequency_penalty: 0.5,
            presence_penalty: 0.25,
            repeat_last_n: 3,
            ..SamplerOptions::default()
        };
        // Token 3 lies outside the last three.
        let counts = counts(&[3, 1, 0, 0], &options);
        assert_eq!(counts, HashMap::from([(0, 2), (1, 1)]));
        assert_eq!(lowered(4.0, 2, &options), 2.0 - 1.25);
        assert_eq!(lowered(-4.0, 1, &options), -8.0 - 0.75);
    }
}
