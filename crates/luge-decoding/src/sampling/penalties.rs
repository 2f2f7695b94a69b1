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

/// Lowers the logits of recent tokens: the repetition penalty first, then
/// frequency and presence, as llama.cpp does.
pub(super) fn apply(logits: &mut [f32], history: &[u32], options: &SamplerOptions) {
    if !active(options) {
        return;
    }
    let recent = &history[history.len().saturating_sub(options.repeat_last_n)..];
    let mut counts: HashMap<u32, u32> = HashMap::new();
    for &token in recent {
        *counts.entry(token).or_default() += 1;
    }
    for (token, count) in counts {
        let Some(logit) = logits.get_mut(token as usize) else { continue };
        if *logit > 0.0 {
            *logit /= options.repeat_penalty;
        } else {
            *logit *= options.repeat_penalty;
        }
        *logit -= count as f32 * options.frequency_penalty + options.presence_penalty;
    }
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
        let mut logits = [4.0f32, -4.0, 4.0, 4.0];
        // Token 3 lies outside the last three; token 9 outside the vocabulary.
        apply(&mut logits, &[3, 1, 0, 0], &options);
        assert_eq!(logits, [2.0 - 1.25, -8.0 - 0.75, 4.0, 4.0]);
        apply(&mut logits, &[9], &options);
    }
}
