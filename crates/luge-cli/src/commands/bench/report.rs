//! What was measured, as JSON and as a table.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use luge::{Decoder, ExitCounts, ExitPolicy};
use serde::Serialize;

use super::{Bench, Contestant, Turn};
use crate::args::Format;
use crate::commands::counted;
use crate::failure::Failure;
use crate::output::{self, ASIDE, HEADING, print_json};
use crate::resolve::BenchPrompts;

/// What stands where there is no number.
const NONE: &str = "–";

/// What stands in front of each line of the table.
const LABELS: [&str; 11] = [
    "prompt, tokens/s",
    "decode, ms/token",
    "decode, tokens/s",
    "time, × greedy's",
    "smallest to largest",
    "exits evaluated",
    "exits skipped",
    "tokens",
    "tokens changed",
    "peak memory",
    "memory for exits",
];

#[derive(Serialize)]
struct BenchObject<'a> {
    model: ModelObject<'a>,
    threads: u32,
    rounds: usize,
    /// As many were asked for.
    #[serde(skip)]
    wanted_rounds: usize,
    /// The most of a text; None for as many as the context holds.
    tokens: Option<usize>,
    seed: u64,
    temperature: f32,
    /// The file of the prompts; `None` for random tokens.
    prompts: Option<String>,
    exits: ExitPolicy,
    methods: Vec<MethodObject<'a>>,
}

#[derive(Serialize)]
struct ModelObject<'a> {
    name: &'a str,
    architecture: &'a str,
    layers: usize,
    vocab: usize,
}

/// A method over all rounds. Times are medians.
#[derive(Serialize)]
struct MethodObject<'a> {
    #[serde(skip)]
    name: &'a str,
    method: &'a Decoder,
    prompt_tokens_per_second: Option<f64>,
    decode_ms_per_token: Option<f64>,
    tokens_per_second: Option<f64>,
    ratio_to_greedy: Option<Ratio>,
    exits: ExitCounts,
    changed_tokens: usize,
    tokens: usize,
    peak_memory: Option<u64>,
    extra_peak_memory: Option<i64>,
    exit_memory: usize,
    rounds: Vec<RoundObject>,
}

/// Time for a token, against greedy's in the same round.
#[derive(Serialize)]
struct Ratio {
    median: f64,
    min: f64,
    max: f64,
}

#[derive(Serialize)]
struct RoundObject {
    prompt_tokens: usize,
    prompt_tokens_per_second: Option<f64>,
    decode_ms_per_token: Option<f64>,
    ratio_to_greedy: Option<f64>,
    exits: ExitCounts,
    changed_tokens: usize,
    tokens: usize,
    peak_memory: Option<u64>,
}

pub fn print(bench: &Bench<'_>) -> Result<(), Failure> {
    let job = bench.job;
    let model = bench.session.model();
    let greedy = &bench.contestants[bench.greedy];
    let methods = bench.contestants.iter().map(|method| MethodObject::new(method, greedy));
    let object = BenchObject {
        model: ModelObject {
            name: &job.model.source.name(),
            architecture: model.architecture(),
            layers: model.n_layers(),
            vocab: model.n_vocab(),
        },
        threads: bench.session.threads(),
        rounds: bench.rounds(),
        wanted_rounds: job.rounds,
        tokens: job.options.max_tokens,
        seed: job.options.sampler.seed,
        temperature: job.options.sampler.temperature,
        prompts: match &job.prompts {
            BenchPrompts::Random(_) => None,
            BenchPrompts::File(path, _) => Some(path.display().to_string()),
        },
        exits: job.options.exits,
        methods: methods.collect(),
    };
    match job.format {
        Format::Text => object.print_table(matches!(job.prompts, BenchPrompts::Random(_)))?,
        Format::Json => print_json(&object)?,
    }
    let timeless = object.methods.iter().filter(|method| method.decode_ms_per_token.is_none());
    let timeless: Vec<_> = timeless.map(|method| method.name).collect();
    if !timeless.is_empty() {
        output::say(format_args!(
            "there is no time per token of {}: no text went beyond its first token (see -n, -c and \
             --ignore-eos)",
            timeless.join(", "),
        ));
    }
    Ok(())
}

impl<'a> MethodObject<'a> {
    fn new(contestant: &'a Contestant<'_>, greedy: &Contestant<'_>) -> Self {
        let turns = &contestant.turns;
        let rounds: Vec<_> =
            turns.iter().zip(&greedy.turns).map(|(own, greedy)| own.ratio_to(greedy)).collect();
        let ratios = rounds.iter().copied().flatten();
        let decode = median(turns.iter().filter_map(|turn| turn.decode_ms_per_token));
        let peak = peak_memory(turns);
        MethodObject {
            name: contestant.name,
            method: &contestant.decoder,
            prompt_tokens_per_second: rounded(median(turns.iter().filter_map(Turn::prompt_speed))),
            decode_ms_per_token: rounded(decode),
            tokens_per_second: rounded(decode.map(|ms| 1000.0 / ms)),
            ratio_to_greedy: Ratio::of(ratios),
            exits: ExitCounts {
                evaluated: turns.iter().map(|turn| turn.exits.evaluated).sum(),
                skipped: turns.iter().map(|turn| turn.exits.skipped).sum(),
            },
            changed_tokens: turns.iter().map(|turn| turn.changed).sum(),
            tokens: turns.iter().map(|turn| turn.tokens).sum(),
            peak_memory: peak,
            extra_peak_memory: peak
                .zip(peak_memory(&greedy.turns))
                .map(|(own, greedy)| own as i64 - greedy as i64),
            exit_memory: turns.iter().map(|turn| turn.exit_memory).max().unwrap_or(0),
            rounds: turns.iter().zip(rounds).map(|(turn, ratio)| turn.object(ratio)).collect(),
        }
    }

    /// The cells of its column.
    fn cells(&self) -> [String; LABELS.len()] {
        let number = |number: Option<f64>| number.map_or(NONE.to_owned(), digits);
        let ratio = self.ratio_to_greedy.as_ref();
        let exits = self.exits.evaluated + self.exits.skipped;
        // The others show how much more.
        let is_greedy = self.method.is_identity();
        [
            number(self.prompt_tokens_per_second),
            number(self.decode_ms_per_token),
            number(self.tokens_per_second),
            ratio.map_or(NONE.to_owned(), |ratio| format!("{:.2}", ratio.median)),
            match ratio {
                Some(_) if is_greedy => String::new(),
                Some(ratio) => format!("{:.2} to {:.2}", ratio.min, ratio.max),
                None => NONE.to_owned(),
            },
            self.exits.evaluated.to_string(),
            with_share(self.exits.skipped, exits),
            self.tokens.to_string(),
            with_share(self.changed_tokens as u64, self.tokens as u64),
            match (self.peak_memory, self.extra_peak_memory) {
                (Some(peak), _) if is_greedy => size(peak),
                (_, Some(extra)) => {
                    format!("{}{}", if extra < 0 { '−' } else { '+' }, size(extra.unsigned_abs()))
                }
                _ => NONE.to_owned(),
            },
            size(self.exit_memory as u64),
        ]
    }
}

impl Turn {
    /// Tokens of the prompt a second.
    fn prompt_speed(&self) -> Option<f64> {
        let seconds = self.prompt.as_secs_f64();
        (seconds > 0.0).then(|| self.prompt_tokens as f64 / seconds)
    }

    /// Time for a token, against another turn's.
    fn ratio_to(&self, other: &Turn) -> Option<f64> {
        let other = other.decode_ms_per_token.filter(|&ms| ms > 0.0)?;
        Some(self.decode_ms_per_token? / other)
    }

    fn object(&self, ratio: Option<f64>) -> RoundObject {
        RoundObject {
            prompt_tokens: self.prompt_tokens,
            prompt_tokens_per_second: rounded(self.prompt_speed()),
            decode_ms_per_token: rounded(self.decode_ms_per_token),
            ratio_to_greedy: rounded(ratio),
            exits: self.exits,
            changed_tokens: self.changed,
            tokens: self.tokens,
            peak_memory: self.peak_memory,
        }
    }
}

impl Ratio {
    fn of(ratios: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        Some(Ratio {
            median: rounded(median(ratios.clone()))?,
            min: rounded(ratios.clone().reduce(f64::min))?,
            max: rounded(ratios.reduce(f64::max))?,
        })
    }
}

impl BenchObject<'_> {
    /// A column a method, in as many tables as it takes to be no wider than the
    /// terminal.
    fn print_table(&self, is_random: bool) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        writeln!(out, "{}", self.title())?;
        let columns: Vec<_> =
            self.methods.iter().map(|method| (method.name, method.cells())).collect();
        let widths = columns.iter().map(|(name, cells)| {
            let texts = cells.iter().map(String::as_str).chain([*name]);
            texts.map(|text| text.chars().count()).max().unwrap_or(0) + 2
        });
        let widths: Vec<usize> = widths.collect();
        let labels = LABELS.iter().map(|label| label.chars().count()).max().unwrap_or(0) + 2;
        let width = if io::stdout().is_terminal() { Table::new().width() } else { None };
        let room = usize::from(width.unwrap_or(100)).saturating_sub(labels);
        let mut next = 0;
        while next < columns.len() {
            let mut used = 0;
            let fitting = widths[next..].iter().take_while(|&&width| {
                used += width;
                used <= room
            });
            let end = next + fitting.count().max(1);
            writeln!(out, "\n{}", table(&columns[next..end]).trim_fmt())?;
            next = end;
        }
        if is_random {
            writeln!(
                out,
                "{ASIDE}prompts: random tokens; with real ones (--prompts) other exits are \
                 skipped{ASIDE:#}",
            )?;
        }
        out.flush()?;
        Ok(())
    }

    /// What was measured on.
    fn title(&self) -> String {
        let ModelObject { name, layers, vocab, .. } = self.model;
        let file = Path::new(name).file_name().map_or(name.into(), |file| file.to_string_lossy());
        let tokens = match self.tokens {
            Some(tokens) => counted(tokens, "token"),
            None => "as many tokens as the context holds".to_owned(),
        };
        let rounds = counted(self.wanted_rounds, "round");
        let rounds = match self.rounds {
            all if all == self.wanted_rounds => rounds,
            some => format!("{some} of {rounds}"),
        };
        format!(
            "{HEADING}{file}{HEADING:#}: {}, vocabulary {vocab}, {}, {rounds} of {tokens}",
            counted(layers, "layer"),
            counted(self.threads as usize, "thread"),
        )
    }
}

fn table(columns: &[(&str, [String; LABELS.len()])]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let names = columns.iter().map(|(name, _)| format!("{HEADING}{name}{HEADING:#}"));
    table.set_header(std::iter::once(String::new()).chain(names));
    for (row, label) in LABELS.iter().enumerate() {
        let label = format!("{ASIDE}{label}{ASIDE:#}");
        table.add_row(
            std::iter::once(label).chain(columns.iter().map(|(_, cells)| cells[row].clone())),
        );
    }
    for number in 1..=columns.len() {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn peak_memory(turns: &[Turn]) -> Option<u64> {
    turns.iter().filter_map(|turn| turn.peak_memory).max()
}

fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let above = *numbers.get(numbers.len() / 2)?;
    let below = numbers[(numbers.len() - 1) / 2];
    Some((below + above) / 2.0)
}

/// With the digits that JSON has.
fn rounded(number: Option<f64>) -> Option<f64> {
    number.map(|number| (number * 1e6).round() / 1e6)
}

/// With three digits or more.
fn digits(number: f64) -> String {
    match number {
        number if number < 1.0 => format!("{number:.3}"),
        number if number < 10.0 => format!("{number:.2}"),
        number if number < 100.0 => format!("{number:.1}"),
        number => format!("{number:.0}"),
    }
}

/// "1440 (75%)", or without a share where that would be of nothing.
fn with_share(part: u64, all: u64) -> String {
    if all == 0 {
        return part.to_string();
    }
    format!("{part} ({:.0}%)", 100.0 * part as f64 / all as f64)
}

fn size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        1..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn numbers_have_as_many_digits_as_they_need() {
        let numbers = [0.0123, 1.234, 12.34, 123.4, 12345.6].map(digits);
        assert_eq!(numbers, ["0.012", "1.23", "12.3", "123", "12346"]);
        assert_eq!([0, 49_152, 1_250_000].map(size), ["0", "49 kB", "1.2 MB"]);
        assert_eq!(with_share(3, 4), "3 (75%)");
        assert_eq!(with_share(0, 0), "0");
    }
}
