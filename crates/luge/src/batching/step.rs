//! One step: a batch, and what comes of it.

use std::sync::Arc;
use std::time::Instant;

use luge_decoding::{Decoder, ExitDetail, ExitLogits, ExitPlan, ExitSums, Exits, Purpose};
use luge_llama::{Batch, BatchToken, Context, ExitsAt, HeadForm, Model};

use super::slots::Slot;
use super::text::{Text, logprobs};
use super::{Batcher, StepReport, TextEnd, TextEvent, TextId, WrittenToken};
use crate::exits::{Source, SumsAt, TakenSums, head_form, sums_together};
use crate::lens::{Choice, Place};
use crate::output::Output;
use crate::session::ExitCounts;
use crate::writing::Choosing;
use crate::{Error, FinishReason, LensPosition};

/// How many tokens of a prompt are scored in a step: their final logits are held together.
const SCORED: usize = 32;

/// How many exits' logits are held together: as one product they are as fast as more, and
/// of a large vocabulary more would take gigabytes.
const EXITS: usize = 256;

/// Whom events go to.
type Emit<'a> = dyn FnMut(TextId, TextEvent) + 'a;

/// Memory that one step leaves to the next.
#[derive(Default)]
pub(super) struct Room {
    /// A position's final logits.
    last: Vec<f32>,
    /// A position's logits, as a method works on them.
    current: Vec<f32>,
    /// Exits of several positions: `[exits × vocab]`.
    exits: Vec<f32>,
}

impl Room {
    pub(super) fn memory(&self) -> usize {
        size_of::<f32>()
            * [&self.last, &self.current, &self.exits].map(|of| of.capacity()).iter().sum::<usize>()
    }
}

/// A text's part in a batch.
struct Part {
    slot: usize,
    /// The place of its first token in the batch.
    start: usize,
    /// How many tokens it has.
    length: usize,
    kind: Kind,
}

/// What a text's part is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A piece of its prompt.
    Piece,
    /// The same, with every token behind it scored.
    Scored,
    /// The text's last token, behind which the next one is chosen.
    Last,
}

/// A position where exits are needed.
struct Wish {
    slot: usize,
    /// The output.
    index: usize,
    what: What,
    /// What the method asks for first.
    asks: Asks,
}

enum What {
    /// The next token is chosen.
    Choose(Choosing),
    /// This token is scored.
    Score(u32),
}

/// What a method asks of its exits.
enum Asks {
    /// Sums, with the logits of these tokens.
    Sums(Vec<u32>),
    /// Every logit.
    Logits,
    /// Nothing: it does without.
    Nothing,
}

/// What was computed of a position's exits.
enum Have {
    Sums(TakenSums),
    /// The exits from this one on, of those that were computed together.
    Logits(usize),
    Nothing,
}

impl Batcher {
    /// Computes one step; `None` where there is nothing to do.
    ///
    /// # Errors
    /// What the engine reports. All texts that were being written have then ended with
    /// [`TextEvent::Failed`]; those that wait still do.
    pub fn step(
        &mut self,
        emit: &mut dyn FnMut(TextId, TextEvent),
    ) -> Result<Option<StepReport>, Error> {
        self.admit();
        self.settle(emit);
        let (batch, parts) = self.plan();
        if parts.is_empty() {
            // What was settled may have made room for others.
            return Ok(self.has_work().then(StepReport::default));
        }
        self.steps += 1;
        let mut report = StepReport { texts: parts.len(), ..StepReport::default() };
        let start = Instant::now();
        let computed = self.set_layers(&parts).and_then(|()| Ok(self.context.decode(&batch)?));
        if let Err(error) = computed {
            self.fail_all(&error, emit);
            return Err(error);
        }
        report.transformer = start.elapsed();
        for part in &parts {
            let tokens = &batch.tokens()[part.start..part.start + part.length];
            let slot = &mut self.slots[part.slot];
            slot.cached.extend(tokens.iter().map(|token| token.token));
            slot.last_step = self.steps;
            if part.kind != Kind::Last {
                report.prompt_tokens += part.length;
            }
        }
        let share = report.prompt_tokens as f64 / batch.tokens().len() as f64;
        report.prompt = report.transformer.mul_f64(share);

        let start = Instant::now();
        let exits = self.context.exits_computed();
        let failed = self.decide(&parts, &mut report, emit);
        if let Err(error) = failed {
            self.fail_all(&error, emit);
            return Err(error);
        }
        report.exits.evaluated = self.context.exits_computed() - exits;
        report.decoding = start.elapsed();
        self.settle(emit);
        Ok(Some(report))
    }

    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.running() > 0
    }

    /// Reports prompts that have been computed, and ends texts that are at their end.
    fn settle(&mut self, emit: &mut Emit<'_>) {
        for slot in &mut self.slots {
            let Some((id, text)) = &mut slot.text else { continue };
            let is_computed = slot.cached.len() + 1 >= text.writing.prompt().len();
            // The report comes before the first token; see `decide`.
            if !is_computed || text.writing.finished().is_none() {
                continue;
            }
            if let Some(report) = text.report() {
                emit(*id, TextEvent::Prompt(report));
            }
            let Some((id, mut text)) = slot.text.take() else { continue };
            let (rest, timings) = (text.writing.rest(), text.timings());
            let completion = text.writing.completion(timings);
            let end = TextEnd { text: rest, token: text.end, completion };
            emit(id, TextEvent::Finished(Box::new(end)));
        }
    }

    /// The next batch: the last tokens of all texts that are being written, then pieces of
    /// prompts in the order in which they came, as far as they fit.
    fn plan(&self) -> (Batch, Vec<Part>) {
        let mut planned = (Batch::new(), Vec::new());
        let texts = self.slots.iter().enumerate();
        let at_work = texts.filter_map(|(number, slot)| Some((number, slot, slot.text.as_ref()?)));
        let mut at_work: Vec<_> = at_work.collect();
        if self.context.model().is_recurrent() {
            // Exits of a recurrent model are computed for one sequence at a time: the one
            // that has waited longest.
            at_work.sort_by_key(|(_, slot, _)| slot.last_step);
            at_work.truncate(1);
        }
        at_work.sort_by_key(|(_, _, (id, _))| *id);
        let left = |slot: &Slot<Text>, text: &Text| {
            text.before_last().len().saturating_sub(slot.cached.len())
        };
        for (number, slot, (_, text)) in &at_work {
            if left(slot, text) == 0 {
                let last = &text.writing.history()[slot.cached.len()..];
                add(&mut planned, *number, slot.cached.len(), last, Kind::Last);
            }
        }
        for (number, slot, (_, text)) in &at_work {
            let left = left(slot, text);
            let is_scored = text.prompt_logprobs.is_some();
            let length = left.min(if is_scored { self.piece.min(SCORED) } else { self.piece });
            if length == 0 {
                continue;
            }
            if planned.0.tokens().len() + length > self.step_tokens {
                // Whole or not at all: where a prompt is cut does not depend on others.
                break;
            }
            let from = slot.cached.len();
            let tokens = &text.writing.history()[from..from + length];
            let kind = if is_scored { Kind::Scored } else { Kind::Piece };
            add(&mut planned, *number, from, tokens, kind);
        }
        planned
    }

    /// Has the layers captured that the parts may need.
    fn set_layers(&mut self, parts: &[Part]) -> Result<(), Error> {
        let mut layers: Vec<usize> = Vec::new();
        for part in parts.iter().filter(|part| part.kind != Kind::Piece) {
            if let Some((_, text)) = &self.slots[part.slot].text {
                let plan = if part.kind == Kind::Last { text.plan() } else { text.decoder.plan() };
                layers.extend(&plan.layers);
            }
        }
        layers.sort_unstable();
        layers.dedup();
        Ok(self.context.set_exit_layers(&layers)?)
    }

    /// Scores and chooses tokens at the outputs of the batch.
    fn decide(
        &mut self,
        parts: &[Part],
        report: &mut StepReport,
        emit: &mut Emit<'_>,
    ) -> Result<(), Error> {
        let mut wishes = Vec::new();
        for part in parts {
            match part.kind {
                Kind::Piece => {}
                Kind::Scored => self.begin_scoring(part, &mut wishes, emit),
                Kind::Last => self.begin_choosing(part, report, &mut wishes, emit),
            }
        }
        // In one form, all exits are one product.
        let mut forms: Vec<HeadForm> = wishes.iter().map(|wish| self.form(wish)).collect();
        forms.sort_unstable();
        forms.dedup();
        for form in forms {
            let (mine, others): (Vec<Wish>, Vec<Wish>) =
                wishes.into_iter().partition(|wish| self.form(wish) == form);
            wishes = others;
            let mut mine = mine.into_iter().peekable();
            while mine.peek().is_some() {
                let mut exits = 0;
                let together = std::iter::from_fn(|| {
                    let before = exits;
                    mine.next_if(|wish| {
                        exits += self.held(wish);
                        before == 0 || exits <= EXITS
                    })
                });
                let together: Vec<Wish> = together.collect();
                let have = self.compute(form, &together)?;
                for (wish, have) in together.into_iter().zip(have) {
                    self.grant(wish, have, report, emit);
                }
            }
        }
        Ok(())
    }

    fn form(&self, wish: &Wish) -> HeadForm {
        let text = self.slots[wish.slot].text.as_ref();
        text.map_or(HeadForm::default(), |(_, text)| head_form(text.plan()))
    }

    /// How many exits are held for a position.
    fn held(&self, wish: &Wish) -> usize {
        match wish.asks {
            Asks::Logits => plan(&self.slots, wish).map_or(0, |plan| plan.layers.len()),
            Asks::Sums(_) | Asks::Nothing => 0,
        }
    }

    /// Scores a stretch of a prompt, as far as that takes no exits.
    fn begin_scoring(&mut self, part: &Part, wishes: &mut Vec<Wish>, emit: &mut Emit<'_>) {
        for index in part.start..part.start + part.length {
            let Batcher { slots, context, room, .. } = self;
            let slot = &mut slots[part.slot];
            let Some((id, text)) = &mut slot.text else { return };
            // What is computed up to here: the token behind it is scored.
            let position = slot.cached.len() - part.length + (index - part.start);
            let target = text.writing.prompt()[position + 1];
            let plan = text.decoder.plan();
            let mut taken = None;
            let source = Source::Ready(&[]);
            let output =
                Output { context, taken: &mut taken, room: &mut room.last, plan, source, index };
            let result = if text.decoder.is_identity() {
                let top = text.prompt_logprobs.unwrap_or(0);
                let logits = output.final_logits();
                logits.and_then(|logits| logprobs(output.model(), logits, target, top)).map(Some)
            } else {
                output.final_logits().map(|_| None)
            };
            match result {
                Ok(Some(scored)) => text.scored(scored),
                Ok(None) => {
                    let asks = asks(&text.decoder, context, index, Purpose::Score, room);
                    wishes.push(Wish { slot: part.slot, index, what: What::Score(target), asks });
                }
                Err(error) => {
                    emit(*id, TextEvent::Failed(error));
                    slot.text = None;
                    return;
                }
            }
        }
    }

    /// Chooses a text's next token, as far as that takes no exits.
    fn begin_choosing(
        &mut self,
        part: &Part,
        report: &mut StepReport,
        wishes: &mut Vec<Wish>,
        emit: &mut Emit<'_>,
    ) {
        let Batcher { slots, context, room, .. } = self;
        let slot = &mut slots[part.slot];
        let Some((id, text)) = &mut slot.text else { return };
        if let Some(report) = text.report() {
            emit(*id, TextEvent::Prompt(report));
        }
        let index = part.start;
        let decoder = Arc::clone(&text.decoder);
        let looks = text.lens().is_some();
        let mut taken = None;
        let (plan, source) = (decoder.plan(), Source::Ready(&[][..]));
        let output =
            Output { context, taken: &mut taken, room: &mut room.last, plan, source, index };
        let skipped = text.writing.exits().skipped;
        let choosing = match text.writing.begin(&output) {
            Ok(Some(choosing)) => choosing,
            Ok(None) => {
                text.writing.finish(FinishReason::Eos);
                return;
            }
            Err(error) => {
                emit(*id, TextEvent::Failed(error));
                slot.text = None;
                return;
            }
        };
        if !looks && let Some(token) = text.writing.decided(&output, &decoder, &choosing) {
            report.exits.skipped += text.writing.exits().skipped - skipped;
            let taken = take(context.model(), *id, text, token, &choosing, None, emit);
            match taken {
                Ok(()) => report.written_tokens += 1,
                Err(error) => {
                    emit(*id, TextEvent::Failed(error));
                    slot.text = None;
                }
            }
            return;
        }
        let asks = if looks {
            Asks::Logits
        } else {
            asks(&decoder, context, index, Purpose::Generate, room)
        };
        wishes.push(Wish { slot: part.slot, index, what: What::Choose(choosing), asks });
    }

    /// Computes the exits of several positions in one form.
    fn compute(&mut self, form: HeadForm, wishes: &[Wish]) -> Result<Vec<Have>, Error> {
        let Batcher { slots, context, room, .. } = self;
        let mut have: Vec<Have> = wishes.iter().map(|_| Have::Nothing).collect();
        let mut sums = Vec::new();
        let mut logits = Vec::new();
        let mut exits = 0;
        for (number, wish) in wishes.iter().enumerate() {
            let Some(plan) = plan(slots, wish) else { continue };
            match &wish.asks {
                Asks::Nothing => {}
                Asks::Sums(tokens) => {
                    sums.push((number, SumsAt { index: wish.index, plan, tokens }));
                }
                Asks::Logits => {
                    logits.push(ExitsAt { index: wish.index, layers: &plan.layers });
                    have[number] = Have::Logits(exits);
                    exits += plan.layers.len();
                }
            }
        }
        room.exits.clear();
        if !logits.is_empty() {
            context.exit_logits_at(form, &logits, &mut room.exits)?;
        }
        let (numbers, sums): (Vec<usize>, Vec<SumsAt<'_>>) = sums.into_iter().unzip();
        if !sums.is_empty() {
            for (number, taken) in numbers.into_iter().zip(sums_together(context, form, &sums)?) {
                have[number] = Have::Sums(taken);
            }
        }
        Ok(have)
    }

    /// Scores or chooses a token, from the exits.
    fn grant(&mut self, wish: Wish, have: Have, report: &mut StepReport, emit: &mut Emit<'_>) {
        let Wish { slot, index, what, .. } = wish;
        let Batcher { slots, context, room, .. } = self;
        let slot = &mut slots[slot];
        let Some((id, text)) = &mut slot.text else { return };
        let result = match what {
            What::Score(token) => score(context, room, text, index, token, have),
            What::Choose(choosing) => {
                let position = slot.cached.len() - 1;
                choose(context, room, text, index, position, &choosing, have).and_then(
                    |(token, lens)| {
                        report.written_tokens += 1;
                        take(context.model(), *id, text, token, &choosing, lens, emit)
                    },
                )
            }
        };
        if let Err(error) = result {
            emit(*id, TextEvent::Failed(error));
            slot.text = None;
        }
    }

    /// Ends all texts that are being written, and forgets the cache.
    fn fail_all(&mut self, error: &Error, emit: &mut Emit<'_>) {
        self.context.clear();
        for slot in &mut self.slots {
            slot.cached.clear();
            if let Some((id, _)) = slot.text.take() {
                emit(id, TextEvent::Failed(again(error)));
            }
        }
    }
}

/// The exits of a position; `None` where its text has failed, and wants nothing more.
fn plan<'a>(slots: &'a [Slot<Text>], wish: &Wish) -> Option<&'a ExitPlan> {
    let (_, text) = slots[wish.slot].text.as_ref()?;
    Some(match wish.what {
        What::Choose(_) => text.plan(),
        What::Score(_) => text.decoder.plan(),
    })
}

/// Adds a text's part to a batch: tokens behind those that are cached.
fn add(
    (batch, parts): &mut (Batch, Vec<Part>),
    slot: usize,
    cached: usize,
    tokens: &[u32],
    kind: Kind,
) {
    let start = batch.tokens().len();
    parts.push(Part { slot, start, length: tokens.len(), kind });
    let sequences = slot as u32..slot as u32 + 1;
    for (index, &token) in tokens.iter().enumerate() {
        let position = (cached + index) as u32;
        let output = kind != Kind::Piece;
        batch.push(BatchToken { token, position, sequences: sequences.clone(), output });
    }
}

/// The same error once more, for each of those it concerns.
fn again(error: &Error) -> Error {
    match error {
        Error::Llama(luge_llama::Error::Interrupted) => luge_llama::Error::Interrupted.into(),
        other => luge_llama::Error::Compute(other.to_string()).into(),
    }
}

/// What a method asks of its exits first.
fn asks(
    decoder: &Decoder,
    context: &Context,
    index: usize,
    purpose: Purpose,
    room: &mut Room,
) -> Asks {
    if decoder.plan().detail == ExitDetail::Logits {
        return Asks::Logits;
    }
    /// Notes what it is asked for, and gives nothing.
    #[derive(Default)]
    struct Notes(Option<Asks>);
    impl Exits for Notes {
        fn logits(&mut self) -> Result<ExitLogits<'_>, Box<dyn std::error::Error + Send + Sync>> {
            self.0 = Some(Asks::Logits);
            Err("later".into())
        }

        fn sums(
            &mut self,
            _: &[f32],
            tokens: &[u32],
        ) -> Result<ExitSums, Box<dyn std::error::Error + Send + Sync>> {
            self.0 = Some(Asks::Sums(tokens.to_vec()));
            Err("later".into())
        }
    }
    let logits = context.logits(index);
    room.current.clear();
    room.current.extend_from_slice(logits);
    let mut notes = Notes::default();
    // Whatever is wrong shows again when the method is applied.
    let _ = decoder.apply(logits, &mut notes, purpose, &mut room.current);
    match notes.0 {
        Some(Asks::Sums(tokens)) if tokens.is_empty() => Asks::Logits,
        Some(asks) => asks,
        None => Asks::Nothing,
    }
}

/// Scores a token of a prompt, from the exits.
fn score(
    context: &mut Context,
    room: &mut Room,
    text: &mut Text,
    index: usize,
    token: u32,
    have: Have,
) -> Result<(), Error> {
    let decoder = Arc::clone(&text.decoder);
    let Room { last, current, exits } = room;
    let (mut taken, mut lazy) = (None, Vec::new());
    let source = have.source(exits, decoder.plan().layers.len(), context, &mut taken, &mut lazy);
    let mut output =
        Output { context, taken: &mut taken, room: last, plan: decoder.plan(), source, index };
    let mut counts = ExitCounts::default();
    output.decoded(&decoder, Purpose::Score, &mut counts, current)?;
    let top = text.prompt_logprobs.unwrap_or(0);
    let scored = logprobs(output.model(), current, token, top)?;
    text.scored(scored);
    Ok(())
}

/// Chooses a text's next token, from the exits, and looks at the layers where that is
/// wanted. `position` is that of the token before it.
fn choose(
    context: &mut Context,
    room: &mut Room,
    text: &mut Text,
    index: usize,
    position: usize,
    choosing: &Choosing,
    have: Have,
) -> Result<(u32, Option<Box<LensPosition>>), Error> {
    let decoder = Arc::clone(&text.decoder);
    let plan = text.plan().clone();
    let Room { last, exits, .. } = room;
    let (mut taken, mut lazy) = (None, Vec::new());
    let source = have.source(exits, plan.layers.len(), context, &mut taken, &mut lazy);
    let mut output = Output { context, taken: &mut taken, room: last, plan: &plan, source, index };
    let token = match text.writing.decided(&output, &decoder, choosing) {
        Some(token) => token,
        None => text.writing.decode(&mut output, &decoder, choosing)?,
    };
    let Some(lens) = text.lens() else { return Ok((token, None)) };
    let next = (!output.model().is_end(token)).then_some(token);
    let place = Place { position, token: text.writing.history()[position], next };
    let choice = Choice { after: token, before: choosing.own };
    let seen = output.look(&lens, place, Some(choice))?;
    Ok((token, Some(Box::new(seen))))
}

impl Have {
    /// What was computed, as a source of exits: of so many.
    fn source<'a>(
        self,
        together: &'a [f32],
        exits: usize,
        context: &Context,
        taken: &mut Option<TakenSums>,
        lazy: &'a mut Vec<f32>,
    ) -> Source<'a> {
        let vocab = context.model().n_vocab();
        match self {
            Have::Logits(first) => Source::Ready(&together[first * vocab..(first + exits) * vocab]),
            Have::Sums(sums) => {
                *taken = Some(sums);
                Source::Lazy(lazy)
            }
            Have::Nothing => Source::Lazy(lazy),
        }
    }
}

/// Puts a chosen token behind a text, and tells of it.
fn take(
    model: &Model,
    id: TextId,
    text: &mut Text,
    token: u32,
    choosing: &Choosing,
    lens: Option<Box<LensPosition>>,
    emit: &mut Emit<'_>,
) -> Result<(), Error> {
    let logprobs = match (text.logprobs, text.writing.method_logits()) {
        (Some(top), Some(logits)) => Some(logprobs(model, logits, token, top)?),
        _ => None,
    };
    text.chosen();
    let own = choosing.own;
    let released = text.writing.take(model, token, own)?;
    let is_in = released.is_some();
    let (bytes, released) = (model.piece(token)?, released.unwrap_or_default());
    let written = Box::new(WrittenToken { id: token, bytes, text: released, own, logprobs, lens });
    if is_in {
        emit(id, TextEvent::Token(written));
    } else {
        text.end = Some(written);
    }
    Ok(())
}
