//! Damaged files, whatever the damage: never a panic, an abort or a signal.

use std::fs;
use std::process::ExitStatus;

use crate::gguf::{self, Gguf};
use crate::support::{MODELS, run};

/// Mutated files of each model.
const FILES: usize = 100;

/// Knuth's MMIX generator: the same mutations on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % limit as u64) as usize
    }
}

#[test]
fn bytes_changed_in_header_and_tensor_table() {
    for (seed, name) in (1..).zip(MODELS) {
        let mut random = Random(seed);
        let (original, parts) = Gguf::parity(name).to_bytes();
        let file = gguf::file(&original);
        let mut refused = 0;
        for number in 0..FILES {
            let mut bytes = original.clone();
            let changes: Vec<(usize, u8)> = (0..=random.below(3))
                .map(|_| {
                    // Most of a header is vocabulary: half of the changes go to
                    // its beginning, a quarter to the table.
                    let at = match number % 4 {
                        0 | 1 => random.below(1500),
                        2 => random.below(parts.tensor_table),
                        _ => parts.metadata + random.below(parts.tensor_table - parts.metadata),
                    };
                    let byte = match random.below(4) {
                        0 => 0,
                        1 => 0xff,
                        2 => bytes[at] ^ (1 << random.below(8)),
                        _ => random.below(256) as u8,
                    };
                    (at, byte)
                })
                .collect();
            for &(at, byte) in &changes {
                bytes[at] = byte;
            }
            fs::write(file.path(), &bytes).unwrap();
            let outcome = run(file.path()).flags("-n 1 -c 32 --prompt-ids 5,6").outcome();
            let code = ended(outcome.status);
            assert!(code.is_some(), "{name} with {changes:?}: {outcome:#?}");
            refused += usize::from(code != Some(0));
        }
        assert!((FILES / 4..FILES).contains(&refused), "{name}: {refused} of {FILES} refused");
    }
}

/// The exit code, if it is one that `luge` gives.
fn ended(status: ExitStatus) -> Option<i32> {
    status.code().filter(|code| (0..=2).contains(code))
}
