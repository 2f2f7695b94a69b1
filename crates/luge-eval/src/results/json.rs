//! `results.json`.

use super::Results;
use crate::Error;

impl Results {
    /// As `results.json` has it: indented, keys in the order of the types, a line end at
    /// the end. The same results are the same bytes.
    ///
    /// # Panics
    /// Never: there is nothing in it that JSON could not hold.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers, texts and lists") + "\n"
    }

    /// Reads a `results.json`. `name` is what the file is called where it is none.
    ///
    /// # Errors
    /// [`Error::NotResults`].
    pub fn from_json(json: &str, name: &str) -> Result<Self, Error> {
        let json = json.strip_prefix('\u{FEFF}').unwrap_or(json);
        serde_json::from_str(json)
            .map_err(|error| Error::NotResults { name: name.to_owned(), why: error.to_string() })
    }
}
