//! A text with each of several methods, which stay together as long as they agree.

use luge_decoding::ExitPlan;

use super::{Cost, Together};
use crate::chooser::{Chooser, Step};
use crate::session::ExitCounts;
use crate::text::{Released, TextStream};
use crate::{Completion, Error, FinishReason, GenerateOptions, Session, Timings};

/// A text that some methods have come to.
#[derive(Clone)]
struct Branch {
    /// Their numbers.
    methods: Vec<usize>,
    /// The exits that they read.
    plan: ExitPlan,
    /// Prompt and generated tokens.
    history: Vec<u32>,
    stream: TextStream,
    text: String,
    changed: Vec<usize>,
    finished: Option<FinishReason>,
}

impl Session {
    /// Generates a text with each of several methods, in their order. Each is the text
    /// that [`Session::generate`] gives with that method, and tokens that methods have in
    /// common from the beginning are computed once.
    ///
    /// `header` is kept in the KV cache for the next call: the tokens that this prompt
    /// and others begin with, or none. A grammar is not among what `options` may ask for.
    /// The completions' timings say nothing of single methods and are zero, but for the
    /// number of tokens.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::TooLong`], [`Error::OtherModel`],
    /// [`luge_llama::Error::Interrupted`], and what the engine reports.
    ///
    /// # Panics
    /// If the options have a grammar.
    pub fn generate_together(
        &mut self,
        methods: &Together<'_>,
        header: &[u32],
        prompt: &[u32],
        options: &GenerateOptions,
    ) -> Result<(Vec<Completion>, Cost), Error> {
        assert!(options.grammar.is_none(), "methods together keep to no grammar");
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        self.check_room("the prompt", prompt.len())?;
        let biased = options.sampler.logit_bias.iter().map(|(token, _)| token);
        prompt.iter().chain(biased).try_for_each(|&token| self.model().check_token(token))?;
        methods.decoders.iter().try_for_each(|decoder| self.check_decoder(decoder))?;

        let mut completions: Vec<Option<Completion>> = vec![None; methods.decoders.len()];
        let mut cost = Cost::default();
        for group in &methods.groups {
            cost.header += self.begin_behind(header, prompt)? as u64;
            let mut work = Work {
                methods,
                options,
                prompt: prompt.len(),
                chooser: Chooser::new(self.model(), options),
                exits: vec![ExitCounts::default(); methods.decoders.len()],
                branches: vec![Branch {
                    methods: group.members.clone(),
                    plan: group.plan.clone(),
                    history: prompt.to_vec(),
                    stream: TextStream::new(&options.stop),
                    text: String::new(),
                    changed: Vec::new(),
                    finished: (options.max_tokens == Some(0)).then_some(FinishReason::Length),
                }],
                cost: &mut cost,
            };
            // The last to part shares most with the text in the cache.
            while let Some(branch) = work.branches.pop() {
                let (branch, finish_reason) = work.run(self, branch)?;
                for (method, completion) in work.completions(branch, finish_reason) {
                    completions[method] = Some(completion);
                }
            }
        }
        // Every method is in a group, and every branch has come to an end.
        Ok((completions.into_iter().flatten().collect(), cost))
    }
}

/// The methods of a group at work.
struct Work<'a> {
    methods: &'a Together<'a>,
    options: &'a GenerateOptions,
    /// The length of the prompt.
    prompt: usize,
    chooser: Chooser,
    /// Of each method.
    exits: Vec<ExitCounts>,
    /// Those that wait.
    branches: Vec<Branch>,
    cost: &'a mut Cost,
}

impl Work<'_> {
    /// Runs a branch to the end of its text. Methods that leave it become branches of
    /// their own.
    fn run(
        &mut self,
        session: &mut Session,
        mut branch: Branch,
    ) -> Result<(Branch, FinishReason), Error> {
        loop {
            if let Some(finish_reason) = branch.finished {
                return Ok((branch, finish_reason));
            }
            session.set_exits(&branch.plan)?;
            let (&last, before) = branch.history.split_last().ok_or(Error::EmptyPrompt)?;
            self.cost.tokens += session.fill(before)? as u64 + 1;
            session.extend(&[last], true)?;
            if session.is_interrupted() {
                return Err(luge_llama::Error::Interrupted.into());
            }
            let number = (branch.history.len() - self.prompt) as u64;
            let at = Step { allowed: None, history: &branch.history, number };
            let (output, _) = session.output(&branch.plan, 0);
            let Some(own) = self.chooser.own(&output, &at)? else {
                branch.finished = Some(FinishReason::Eos);
                continue;
            };
            let mut ways = self.ways(session, &branch, own)?;
            // Those that go the first one's way stay.
            let (token, methods) = ways.remove(0);
            let parts = !ways.is_empty();
            for (token, methods) in ways.into_iter().rev() {
                let plan = self.methods.plan(&methods);
                let mut other = Branch { methods, plan, ..branch.clone() };
                self.take(session, &mut other, token, own)?;
                self.branches.push(other);
            }
            if parts {
                // What only the others read is computed no more.
                branch.plan = self.methods.plan(&methods);
            }
            branch.methods = methods;
            self.take(session, &mut branch, token, own)?;
        }
    }

    /// What each of a branch's methods chooses behind its text: the tokens, each with the
    /// methods that chose it, at least one.
    fn ways(
        &mut self,
        session: &mut Session,
        branch: &Branch,
        own: u32,
    ) -> Result<Vec<(u32, Vec<usize>)>, Error> {
        let number = (branch.history.len() - self.prompt) as u64;
        let at = Step { allowed: None, history: &branch.history, number };
        let mut ways: Vec<(u32, Vec<usize>)> = Vec::new();
        let exits_before = session.exits_computed();
        for &method in &branch.methods {
            let decoder = self.methods.decoders[method];
            let mut exits = ExitCounts::default();
            let (mut output, _) = session.output(&branch.plan, 0);
            let token = self.chooser.choose(&mut output, decoder, own, &at, &mut exits)?;
            self.exits[method].evaluated += exits.evaluated;
            self.exits[method].skipped += exits.skipped;
            match ways.iter_mut().find(|(way, _)| *way == token) {
                Some((_, methods)) => methods.push(method),
                None => ways.push((token, vec![method])),
            }
        }
        self.cost.exits += session.exits_computed() - exits_before;
        Ok(ways)
    }

    /// Puts a token behind a branch's text, or ends it there.
    fn take(
        &self,
        session: &Session,
        branch: &mut Branch,
        token: u32,
        own: u32,
    ) -> Result<(), Error> {
        let model = session.model();
        if model.is_end(token) {
            branch.finished = Some(FinishReason::Eos);
            return Ok(());
        }
        let generated = branch.history.len() - self.prompt;
        branch.history.push(token);
        if token != own {
            branch.changed.push(generated);
        }
        if Some(generated + 1) == self.options.max_tokens {
            branch.finished = Some(FinishReason::Length);
        } else if branch.history.len() > session.ctx_size() {
            branch.finished = Some(FinishReason::Context);
        }
        let is_shown = self.options.shown_tokens.contains(&token);
        let bytes = if is_shown { model.label(token) } else { model.piece(token) }?;
        match branch.stream.push(&bytes) {
            Released::Text(text) => branch.text += &text,
            Released::Stopped(text) => {
                branch.text += &text;
                branch.finished = Some(FinishReason::Stop);
            }
        }
        Ok(())
    }

    /// What the methods of a branch have written, each with its number.
    fn completions(
        &mut self,
        mut branch: Branch,
        finish_reason: FinishReason,
    ) -> Vec<(usize, Completion)> {
        if finish_reason != FinishReason::Stop {
            branch.text += &branch.stream.finish();
        }
        let tokens = branch.history.split_off(self.prompt);
        // A token that ended the text was chosen, but is not computed; nor is the last one.
        let ended = finish_reason == FinishReason::Eos;
        let computed = self.prompt + if ended { tokens.len() } else { tokens.len().max(1) - 1 };
        let methods = branch.methods.iter().map(|&method| {
            self.cost.tokens_alone += computed as u64;
            self.cost.exits_alone += self.exits[method].evaluated;
            let completion = Completion {
                timings: Timings { tokens: tokens.len(), ..Timings::default() },
                tokens: tokens.clone(),
                text: branch.text.clone(),
                finish_reason,
                changed: branch.changed.clone(),
                exits: self.exits[method],
            };
            (method, completion)
        });
        methods.collect()
    }
}
