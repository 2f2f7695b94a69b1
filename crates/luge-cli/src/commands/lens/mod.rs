//! `luge lens`: what every layer says at each position of a text.

mod csv;
mod depth;
mod json;
mod page;
mod table;

use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use luge::lens::Token;
use luge::{Completion, Decoder, ExitForm, FinishReason, Lens, LensOptions, LensPosition, Session};

use luge_page::LensPage;

use super::file::OutputFile;
use super::{session, tokens};
use crate::args::LensFormat;
use crate::failure::{Failure, INTERRUPTED};
use crate::output::{self, marked};
use crate::resolve::LensJob;

/// Everything there is to show.
struct Seen<'a> {
    model: String,
    decoder: &'a Decoder,
    /// `raw` or `final`.
    exit_norm: &'static str,
    seed: u64,
    prompt: Vec<u32>,
    /// The layers shown, ascending, the final one last.
    layers: Vec<usize>,
    pinned: Vec<Token>,
    positions: Vec<LensPosition>,
    /// The text of each position's token, without control tokens.
    pieces: Vec<Vec<u8>>,
    /// The index in `positions` of the one to show in depth.
    open: Option<usize>,
    /// What was generated behind the prompt.
    generated: Option<Generated>,
}

struct Generated {
    completion: Completion,
    /// Its text with the changed tokens marked.
    shown: String,
}

impl Seen<'_> {
    /// The position to show in depth, or all of them.
    fn chosen(&self) -> &[LensPosition] {
        match self.open {
            Some(index) => &self.positions[index..=index],
            None => &self.positions,
        }
    }

    /// A layer as it is called.
    fn layer_name(&self, layer: usize) -> String {
        if self.layers.last() == Some(&layer) { "final".to_owned() } else { layer.to_string() }
    }

    /// How the exits were read, and how else they could be.
    fn norm(&self) -> String {
        let other = if self.exit_norm == "raw" { " (or final: the logit lens)" } else { "" };
        format!("exit norm: {}{other}", self.exit_norm)
    }

    /// The text up to and with the token at an index of `positions`.
    fn text_to(&self, index: usize) -> String {
        String::from_utf8_lossy(&self.pieces[..=index].concat()).into_owned()
    }
}

pub fn run(job: LensJob) -> Result<ExitCode, Failure> {
    // What cannot be written is better known before the work than after it.
    let html = job.html.as_deref().map(OutputFile::create).transpose()?;
    let svg = job.svg.as_deref().map(OutputFile::create).transpose()?;
    let mut session = session(&job.model)?;
    let decoder = job.method.decoder(&session)?;
    let mut pinned = job.pin_ids.clone();
    for text in &job.pin {
        pinned.push(session.find_token(text)?);
    }
    let options = LensOptions {
        layers: job.layers.clone(),
        form: job.form,
        top: job.top,
        pinned: pinned.clone(),
        paths: html.is_some() || svg.is_some(),
    };
    let lens = session.lens(&decoder, &options)?;
    let prompt = tokens(&session, &job.prompt)?;
    if prompt.is_empty() {
        return Err(luge::Error::EmptyPrompt.into());
    }
    let room = match job.options.max_tokens {
        Some(0) => prompt.len(),
        // The last token is generated, and never looked behind.
        Some(most) => (prompt.len() + most - 1).min(session.ctx_size()),
        None => session.ctx_size(),
    };
    // Counted from the end, it may be in a text that ends early.
    if let Some(position) = job.position {
        check(position, room)?;
    }

    let mut seen = Seen {
        model: job.model.source.name().into_owned(),
        decoder: &decoder,
        exit_norm: lens.form().norm.as_str(),
        seed: job.options.sampler.seed,
        layers: lens.layers(),
        pinned: pinned.iter().map(|&id| session.token(id)).collect::<Result<_, _>>()?,
        prompt,
        positions: Vec::new(),
        pieces: Vec::new(),
        open: None,
        generated: None,
    };
    look(&mut session, &lens, &job, &mut seen)?;
    for position in &seen.positions {
        seen.pieces.push(session.model().piece(position.token.id)?);
    }
    if let Some(position) = job.position {
        seen.open = Some(check(position, seen.positions.len())?);
    }

    if html.is_some() || svg.is_some() {
        let page = page::of(&seen);
        html.map(|file| file.write(&luge_page::html(&page))).transpose()?;
        svg.map(|file| file.write(&luge_page::svg(&page))).transpose()?;
    }
    match job.format {
        None => {}
        Some(LensFormat::Json) => json::print(&seen)?,
        Some(LensFormat::Csv) => csv::print(&seen)?,
        Some(LensFormat::Text) => output::page(&match seen.open {
            Some(index) => depth::text(&seen, index),
            None => table::text(&seen),
        })?,
    }
    let is_interrupted = seen
        .generated
        .is_some_and(|generated| generated.completion.finish_reason == FinishReason::Interrupted);
    Ok(if is_interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// A text to look at.
pub struct GivenText<'a> {
    /// The model as the user calls it.
    pub model: &'a str,
    pub seed: u64,
    /// How exits are read for a method that reads none.
    pub form: ExitForm,
    pub text: Vec<u32>,
    /// Where to look.
    pub positions: Range<usize>,
}

/// Shows what every layer says at positions of a text: as a table, or in a file, which is a
/// picture if its name ends in `.svg`, and otherwise a page.
pub fn of_text(
    session: &mut Session,
    decoder: &Decoder,
    given: GivenText<'_>,
    file: Option<&Path>,
) -> Result<(), Failure> {
    let output = file.map(OutputFile::create).transpose()?;
    let options =
        LensOptions { form: given.form, paths: output.is_some(), ..LensOptions::default() };
    let lens = session.lens(decoder, &options)?;
    let mut seen = Seen {
        model: given.model.to_owned(),
        decoder,
        exit_norm: lens.form().norm.as_str(),
        seed: given.seed,
        layers: lens.layers(),
        pinned: Vec::new(),
        prompt: given.text,
        positions: Vec::new(),
        pieces: Vec::new(),
        open: None,
        generated: None,
    };
    let progress = progress(given.positions.len());
    session.look(&lens, &seen.prompt, given.positions, |position| {
        seen.positions.push(position);
        progress.inc(1);
    })?;
    progress.finish_and_clear();
    for position in &seen.positions {
        seen.pieces.push(session.model().piece(position.token.id)?);
    }
    match (output, file.and_then(Path::extension)) {
        (None, _) => output::page(&table::text(&seen)),
        (Some(output), Some(kind)) if kind == "svg" => {
            output.write(&luge_page::svg(&page::of(&seen)))
        }
        (Some(output), _) => output.write(&luge_page::html(&page::of(&seen))),
    }
}

/// What every layer says behind one position of a text, as a page's data.
pub fn page_at(
    session: &mut Session,
    decoder: &Decoder,
    options: &LensOptions,
    text: Vec<u32>,
    position: usize,
    model: &str,
) -> Result<LensPage, luge::Error> {
    let lens = session.lens(decoder, options)?;
    let mut seen = Seen {
        model: model.to_owned(),
        decoder,
        exit_norm: lens.form().norm.as_str(),
        seed: 0,
        layers: lens.layers(),
        pinned: Vec::new(),
        prompt: text,
        positions: Vec::new(),
        pieces: Vec::new(),
        open: Some(0),
        generated: None,
    };
    session.look(&lens, &seen.prompt, position..position + 1, |own| seen.positions.push(own))?;
    for position in &seen.positions {
        seen.pieces.push(session.model().piece(position.token.id)?);
    }
    Ok(page::of(&seen))
}

/// A position from the front, from 0, or, negative, from the end, as an index.
fn check(position: i64, positions: usize) -> Result<usize, Failure> {
    let from_front = if position < 0 { position + positions as i64 } else { position };
    let index = usize::try_from(from_front).ok().filter(|&index| index < positions);
    index.ok_or_else(|| {
        Failure::Usage(match positions {
            1 => format!("--position {position}: the text has position 0 alone"),
            _ => format!("--position {position}: the text has positions 0 to {}", positions - 1),
        })
    })
}

/// Looks at every position, of the prompt and of what is generated behind it.
fn look(
    session: &mut Session,
    lens: &Lens<'_>,
    job: &LensJob,
    seen: &mut Seen<'_>,
) -> Result<(), Failure> {
    let prompt = &seen.prompt;
    let generates = job.options.max_tokens != Some(0);
    // What is said behind the prompt's last token is seen where that is generated.
    let given = prompt.len() - usize::from(generates);
    let most = job.options.max_tokens.map_or(session.ctx_size(), |most| given + most);
    let progress = progress(most.min(session.ctx_size()));
    let positions = &mut seen.positions;
    session.look(lens, prompt, 0..given, |position| {
        positions.push(position);
        progress.inc(1);
    })?;
    if generates {
        let mut generation = session.generate_through(lens, prompt, &job.options)?;
        let mut shown = String::new();
        let mut count = 0;
        while let Some(piece) = generation.next() {
            let piece = piece?;
            shown.push_str(&marked(&piece.text, piece.changed));
            // The last piece may be text that was held back, and no token.
            if generation.tokens().len() > count {
                count = generation.tokens().len();
                positions.extend(generation.look()?);
                progress.inc(1);
            }
        }
        if generation.finish_reason() == Some(FinishReason::Eos) {
            // Where a grammar ended the text, the last token has been seen.
            positions.extend(generation.look()?.filter(|last| last.next.is_none()));
        }
        let completion = generation.finish()?;
        seen.generated = Some(Generated { completion, shown });
    }
    progress.finish_and_clear();
    Ok(())
}

fn progress(positions: usize) -> ProgressBar {
    if !output::is_watched() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg} {bar:30} {pos} of {len} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(positions as u64).with_style(style).with_message("looking at positions")
}
