//! Patterns of names: `*` stands for any characters, and case makes no difference.

/// Whether a pattern stands for a name.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        // The earliest place leaves most room for what follows.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// How exactly a pattern says what it stands for: one without `*` more than any with
/// it, and then the one with more characters.
pub fn exactness(pattern: &str) -> (bool, usize) {
    (!pattern.contains('*'), pattern.chars().filter(|&c| c != '*').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for pattern in ["llama-2-7b.gguf", "LLAMA*", "*7b*", "*", "l*2*b*.gguf", "*.gguf"] {
            assert!(matches(pattern, "Llama-2-7b.gguf"), "{pattern}");
        }
        for pattern in ["llama-2-7b", "llama", "*13b*", "", "*gguf-", "llama*llama*"] {
            assert!(!matches(pattern, "Llama-2-7b.gguf"), "{pattern}");
        }
        // The two parts do not share characters.
        assert!(!matches("ab*bc", "abc"));
    }

    #[test]
    fn a_longer_pattern_is_more_exact() {
        let mut patterns = ["*", "llama-2*chat*", "b", "llama*"];
        patterns.sort_by_key(|pattern| exactness(pattern));
        assert_eq!(patterns, ["*", "llama*", "llama-2*chat*", "b"]);
    }
}
