//! Lines with a checksum.
//!
//! The checksum is the CRC-32 of zlib, gzip and PNG, over the bytes of the line from its
//! beginning to the comma before the key `crc32`, without that comma, as a decimal number:
//!
//! ```text
//! {"task":"atlas","index":0,…,"seconds":0.25,"crc32":305419896}
//! └────────────── covered ─────────────────┘
//! ```
//!
//! It finds every change within four bytes in a row, and of all others all but one in four
//! thousand million.

use std::io;

use serde::{Deserialize, Serialize};

use crate::log::Shard;
use crate::results::Setup;

/// What stands between a line's content and its checksum.
const KEY: &str = ",\"crc32\":";

/// The first line of a log.
#[derive(Serialize, Deserialize)]
pub struct First {
    pub shard: Shard,
    pub setup: Setup,
}

/// An object with at least one key as a line, with its checksum and its end.
///
/// # Errors
/// Where it is nothing that JSON can say.
pub fn sealed(object: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(object)?;
    line.pop();
    let rest = rest(&line);
    line.extend_from_slice(rest.as_bytes());
    line.push(b'\n');
    Ok(line)
}

/// Whether a line, without its end, is as it was written.
pub fn is_sound(line: &[u8]) -> bool {
    let at = line.windows(KEY.len()).rposition(|part| part == KEY.as_bytes());
    let parts = at.map(|at| line.split_at(at));
    // As bytes, not as numbers: there is one way to write it.
    parts.is_some_and(|(content, found)| found == rest(content).as_bytes())
}

/// The last key of a line with this content, and its closing brace.
fn rest(content: &[u8]) -> String {
    format!("{KEY}{}}}", crc32fast::hash(content))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Computed by Python: `zlib.crc32(b'{"a":1')`.
    #[test]
    fn the_checksum_is_that_of_zlib_over_what_stands_before_its_comma() {
        let line = sealed(&json!({ "a": 1 })).unwrap();
        assert_eq!(line, b"{\"a\":1,\"crc32\":2801990766}\n");
    }

    #[test]
    fn a_key_of_the_same_name_within_is_none() {
        let object = json!({ "text": ",\"crc32\":1}", "inner": { "a": 1, "crc32": 7 } });
        let line = sealed(&object).unwrap();
        assert!(is_sound(&line[..line.len() - 1]));
    }

    #[test]
    fn what_is_written_otherwise_is_not_believed() {
        let line = sealed(&json!({ "a": 1 })).unwrap();
        let text = String::from_utf8_lossy(&line[..line.len() - 1]).into_owned();
        assert!(is_sound(text.as_bytes()));
        let others = [
            text.replace("32\":", "32\": "),
            text.replace("32\":", "32\":0"),
            text.replace('}', " }"),
            text.replace("a\":1", "a\":2"),
            format!("{text} "),
            String::new(),
            "{}".to_owned(),
        ];
        for other in others {
            assert!(!is_sound(other.as_bytes()), "{other}");
        }
    }
}
