//! Where the prompt comes from.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Prompt")]
#[group(id = "prompt_source", multiple = false)]
pub struct PromptArgs {
    /// Text to continue; '-' or none at all reads it from standard input
    #[arg(value_name = "PROMPT")]
    pub prompt: Option<String>,

    /// Text to continue, as llama.cpp's flag
    #[arg(short = 'p', long = "prompt", value_name = "PROMPT")]
    pub prompt_flag: Option<String>,

    /// File with the text to continue; a last line break is dropped
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Token ids to continue, such as 1,2,3, taken as they are
    #[arg(long, value_name = "IDS")]
    pub prompt_ids: Option<IdList>,
}

impl PromptArgs {
    /// Whether no prompt was given.
    pub fn is_empty(&self) -> bool {
        let texts = self.prompt.is_some() || self.prompt_flag.is_some();
        !(texts || self.file.is_some() || self.prompt_ids.is_some())
    }

    /// Whether the prompt is said to be all of standard input.
    pub fn is_stdin(&self) -> bool {
        [&self.prompt, &self.prompt_flag].into_iter().flatten().any(|text| text == "-")
    }
}

/// Token ids separated by commas or blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdList(pub Vec<u32>);

impl FromStr for IdList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split([',', ' '])
            .filter(|id| !id.is_empty())
            .map(|id| id.parse().map_err(|_| format!("'{id}' is not a token id")))
            .collect::<Result<Vec<u32>, String>>()
            .and_then(|ids| if ids.is_empty() { Err("it holds no id".to_owned()) } else { Ok(ids) })
            .map(IdList)
    }
}
