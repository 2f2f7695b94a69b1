//! The small model that luge has built in, as the bytes of a GGUF file, and questions for it.

/// Its name.
pub const NAME: &str = "atlas";

/// The file.
pub const GGUF: &[u8] = include_bytes!("../atlas.gguf");

/// Questions that it was not trained on, a JSON object a line: `prompt`, the right `answer`,
/// the `popular` wrong one, two `others`, and the `kind` of the question.
pub const QUESTIONS: &str = include_str!("../questions.jsonl");

/// The file's SHA-256, as 64 hexadecimal digits.
pub const SHA256: &str = include_str!("../atlas.gguf.sha256").split_at(64).0;

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_checksum_is_the_files() {
        let digest = Sha256::digest(GGUF);
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(SHA256, digits);
        // What sha256sum writes, and checks.
        assert_eq!(include_str!("../atlas.gguf.sha256"), format!("{digits}  {NAME}.gguf\n"));
    }

    #[test]
    fn the_questions_are_lines_of_objects() {
        assert_eq!(810, QUESTIONS.lines().count());
        assert!(QUESTIONS.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
    }

    #[test]
    fn the_file_is_a_gguf() {
        assert!(GGUF.starts_with(b"GGUF"));
    }
}
