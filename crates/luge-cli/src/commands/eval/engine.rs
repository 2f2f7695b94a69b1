//! The model under an evaluation: a session with all methods at once.

use luge::chat::ChatTemplate;
use luge::{
    Decoder, DecodingError, Error, FinishReason, GenerateOptions, LensOptions, LlamaError, Message,
    Session, Together,
};
use luge_eval::{
    Answered, Candidate, Cost, Engine, EngineError, Generate, Header, Layers, Prompt, Scored, Sums,
};

use super::super::lens;

/// A session that answers.
pub struct SessionEngine<'a> {
    session: &'a mut Session,
    methods: Together<'a>,
    /// For written answers, less what tasks say.
    options: GenerateOptions,
    chat: Option<ChatTemplate>,
    /// The model's name, for what the layers said.
    model: String,
    /// The header of the last document, and the tokens that every prompt with it begins
    /// with.
    header: Option<(Header, Vec<u32>)>,
}

impl<'a> SessionEngine<'a> {
    pub fn new(
        session: &'a mut Session,
        decoders: &'a [Decoder],
        options: GenerateOptions,
        chat: Option<ChatTemplate>,
        model: String,
    ) -> Self {
        let methods = Together::new(decoders);
        SessionEngine { session, methods, options, chat, model, header: None }
    }

    /// How the model is given a prompt.
    fn text(&self, header: &Header, question: &str) -> Result<String, Error> {
        let Some(template) = &self.chat else { return Ok(header.text() + question) };
        let mut messages = Vec::new();
        let mut first = header.description.clone();
        if !first.is_empty() && !first.ends_with('\n') {
            first += "\n\n";
        }
        for shot in &header.shots {
            messages.push(Message::user(first + shot.question.trim()));
            messages.push(Message::assistant(shot.answer.trim()));
            first = String::new();
        }
        messages.push(Message::user(first + question.trim()));
        template.render(&messages, &[], true)
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, Error> {
        let model = self.session.model();
        match &self.chat {
            // The template writes what begins a text, and means control tokens as such.
            Some(_) => Ok(model.tokenize(text, false, true)?),
            None => Ok(model.tokenize_prompt(text)?),
        }
    }

    /// A continuation as it follows the prompt: an answer in a chat begins without a blank.
    fn continuation<'t>(&self, text: &'t str) -> &'t str {
        if self.chat.is_some() { text.trim_start() } else { text }
    }

    /// The tokens that all prompts with a header begin with.
    fn header(&mut self, header: &Header) -> Result<Vec<u32>, Error> {
        if let Some((known, tokens)) = &self.header
            && known == header
        {
            return Ok(tokens.clone());
        }
        // Where the question begins, a token may hold something of both.
        let [one, other] = ["A", "9"]
            .map(|question| self.text(header, question).and_then(|text| self.tokens(&text)));
        let (one, other) = (one?, other?);
        let shared = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
        let tokens = one[..shared].to_vec();
        self.header = Some((header.clone(), tokens.clone()));
        Ok(tokens)
    }

    /// The tokens of a prompt and of what is scored behind it.
    fn pair(&self, prompt: &str, continuation: &str) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let continuation = self.continuation(continuation);
        if self.chat.is_none() {
            return self.session.tokenize_pair(prompt, continuation);
        }
        let own = self.tokens(prompt)?;
        let mut whole = self.tokens(&format!("{prompt}{continuation}"))?;
        let shared = own.iter().zip(&whole).take_while(|(a, b)| a == b).count();
        let behind = whole.split_off(shared);
        Ok((whole, behind))
    }

    /// Makes an error known. Where it was numbers that are none, none of them stays in the
    /// cache: what a back end masks by a factor of 0 would still be none.
    fn failed(&mut self, error: Error) -> EngineError {
        if is_not_a_number(&error) {
            self.session.clear();
        }
        told(error)
    }

    fn looked(
        &mut self,
        prompt: Prompt<'_>,
        texts: [&str; 2],
        method: usize,
    ) -> Result<Option<Layers>, Error> {
        let before = self.text(prompt.header, prompt.question)?;
        let [one, other] = texts.map(|text| {
            let (mut tokens, behind) = self.pair(&before, text)?;
            tokens.extend(behind);
            Ok::<_, Error>(tokens)
        });
        let (one, mut other) = (one?, other?);
        let shared = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
        // What is said behind the last token that they share; with the next one, if the
        // second text has one.
        let Some(position) = shared.checked_sub(1) else { return Ok(None) };
        other.truncate(shared + 1);
        let decoder = self.methods.decoders()[method];
        let options = LensOptions { paths: true, ..LensOptions::default() };
        let page = lens::page_at(self.session, decoder, &options, other, position, &self.model)?;
        let page = serde_json::to_value(page).ok();
        Ok(page.map(|page| Layers { method, page }))
    }
}

impl Engine for SessionEngine<'_> {
    fn score(
        &mut self,
        prompt: Prompt<'_>,
        candidates: &[Candidate],
    ) -> Result<(Vec<Scored>, Cost), EngineError> {
        let text = self.text(prompt.header, prompt.question).map_err(told)?;
        let pairs: Vec<_> = candidates
            .iter()
            .map(|candidate| self.pair(&text, &candidate.continuation))
            .collect::<Result<_, _>>()
            .map_err(told)?;
        let header = self.header(prompt.header).map_err(told)?;
        let together = self.session.score_together(&self.methods, &header, &pairs);
        let (scores, cost) = together.map_err(|error| self.failed(error))?;
        let mut all = Vec::new();
        for ((candidate, (_, tokens)), scores) in candidates.iter().zip(&pairs).zip(scores) {
            if scores.iter().any(|sums| !(sums.logit.is_finite() && sums.logprob.is_finite())) {
                // A number that no file could hold, and no average survive.
                return Err(EngineError::Document(format!(
                    "the model rules '{}' out altogether",
                    candidate.text
                )));
            }
            let sums = scores.iter().map(|own| Sums { logit: own.logit, logprob: own.logprob });
            all.push(Scored {
                text: candidate.text.clone(),
                right: candidate.right,
                best: candidate.best,
                tokens: tokens.len(),
                bytes: self.continuation(&candidate.continuation).len(),
                scores: sums.collect(),
            });
        }
        Ok((all, cost_of(cost)))
    }

    fn generate(
        &mut self,
        prompt: Prompt<'_>,
        how: &Generate,
    ) -> Result<(Vec<Answered>, Cost), EngineError> {
        let text = self.text(prompt.header, prompt.question).map_err(told)?;
        let tokens = self.tokens(&text).map_err(told)?;
        let header = self.header(prompt.header).map_err(told)?;
        let options = GenerateOptions {
            max_tokens: Some(how.max_tokens),
            stop: how.stop.clone(),
            ..self.options.clone()
        };
        let together = self.session.generate_together(&self.methods, &header, &tokens, &options);
        let (completions, cost) = together.map_err(|error| self.failed(error))?;
        let answer = |completion: luge::Completion| Answered {
            text: completion.text,
            tokens: completion.tokens.len(),
            changed: completion.changed.len(),
            finish_reason: match completion.finish_reason {
                FinishReason::Eos => "eos",
                FinishReason::Stop => "stop",
                FinishReason::Length => "length",
                FinishReason::Context => "context",
                FinishReason::Interrupted => "interrupted",
            }
            .to_owned(),
        };
        Ok((completions.into_iter().map(answer).collect(), cost_of(cost)))
    }

    fn look(
        &mut self,
        prompt: Prompt<'_>,
        texts: [&str; 2],
        method: usize,
    ) -> Result<Option<Layers>, EngineError> {
        match self.looked(prompt, texts, method) {
            // The scores are there all the same: a model may let no one look at its layers.
            Err(Error::Llama(LlamaError::NoTaps { .. } | LlamaError::UnknownHead { .. })) => {
                Ok(None)
            }
            // The text was written up to the end of the context.
            Err(Error::TooLong { .. }) => Ok(None),
            // It looks at layers that no method reads.
            Err(error) if is_not_a_number(&error) => {
                self.session.clear();
                Ok(None)
            }
            result => result.map_err(told),
        }
    }
}

/// Which documents, and how many, an error concerns.
fn told(error: Error) -> EngineError {
    match error {
        Error::Llama(LlamaError::Interrupted) => EngineError::Interrupted,
        Error::TooLong { tokens, context, .. } => EngineError::Document(format!(
            "its {tokens} tokens are more than the context of {context} holds: give a larger one \
             with --ctx-size"
        )),
        Error::EmptyPrompt => EngineError::Document("the prompt has no tokens".to_owned()),
        Error::EmptyContinuation => {
            EngineError::Document("an answer has no tokens of its own".to_owned())
        }
        Error::Merged => {
            EngineError::Document("the tokens of prompt and answer cannot be told apart".to_owned())
        }
        error @ (Error::TemplateRefuses { .. } | Error::TemplateFails { .. }) => {
            EngineError::Document(error.to_string())
        }
        // One text may be too much for a model that is sound with others.
        error if is_not_a_number(&error) => EngineError::Document(error.to_string()),
        error => EngineError::Failed(Box::new(error)),
    }
}

fn is_not_a_number(error: &Error) -> bool {
    matches!(error, Error::Decoding(DecodingError::NotANumber { .. }))
}

/// A document's cost, which must not depend on those before it: the header's is left out.
fn cost_of(cost: luge::Cost) -> Cost {
    let luge::Cost { tokens, header: _, tokens_alone, exits, exits_alone } = cost;
    Cost { tokens, tokens_alone, exits, exits_alone }
}
