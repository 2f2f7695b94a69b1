//! What a generated text must keep to.

use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Grammar")]
pub struct GrammarArgs {
    /// Write JSON that this schema describes: a file, or the schema itself if it begins
    /// with a brace [-jf]
    #[arg(
        short,
        long,
        visible_alias = "json-schema-file",
        value_name = "SCHEMA|FILE",
        conflicts_with_all = ["grammar", "regex"]
    )]
    pub json_schema: Option<String>,

    /// Write text that this grammar in Lark's notation describes: a file, or the grammar
    /// itself, as in 'start: "yes" | "no"'
    #[arg(
        long,
        visible_alias = "grammar-file",
        value_name = "GRAMMAR|FILE",
        conflicts_with = "regex"
    )]
    pub grammar: Option<String>,

    /// Write text that this regular expression matches as a whole
    #[arg(long, value_name = "REGEX")]
    pub regex: Option<String>,
}
