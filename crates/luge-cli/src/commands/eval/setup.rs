//! What an evaluation is, in full: what tells it from every other.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use luge::chat::ChatTemplate;
use luge::{Decoder, Description, Greedy, Pipeline, Session};
use luge_eval::results::{MethodSetup, ModelSetup, Role, TaskSetup};
use luge_eval::task::Kind;
use luge_eval::{Planned, Setup};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::output;
use crate::resolve::EvalJob;

/// The methods of an evaluation, the one that the others are compared with first.
pub struct Methods {
    pub decoders: Vec<Decoder>,
    pub setups: Vec<MethodSetup>,
}

impl Methods {
    /// Those that were asked for, greedy, and the controls.
    pub fn new(job: &EvalJob, session: &Session) -> Result<Self, Failure> {
        let mut methods = Self::asked(job, session)?;
        methods.add_controls(job, session)?;
        Ok(methods)
    }

    /// Greedy alone.
    pub fn greedy(session: &Session) -> Result<Self, Failure> {
        let mut methods = Methods { decoders: Vec::new(), setups: Vec::new() };
        methods.insert_greedy(session)?;
        Ok(methods)
    }

    /// Those that were asked for, behind greedy.
    pub fn asked(job: &EvalJob, session: &Session) -> Result<Self, Failure> {
        let mut methods = Methods { decoders: Vec::new(), setups: Vec::new() };
        for (name, method) in &job.methods {
            let decoder = method.decoder(session)?;
            if methods.setups.iter().any(|known| known.name == *name) {
                return Err(Failure::Usage(format!("the method {name} is named twice")));
            }
            // Each further comparison takes from what the others can show.
            let text = format!("{decoder:#}");
            if let Some(same) = methods.setups.iter().find(|known| known.text == text) {
                return Err(Failure::Usage(format!(
                    "the methods {} and {name} are the same, {text}: leave one out",
                    same.name
                )));
            }
            if decoder.is_identity() && !methods.has_baseline() {
                methods.insert(0, decoder, name, Role::Baseline);
            } else {
                methods.push(decoder, name, Role::Asked);
            }
        }
        if !methods.has_baseline() {
            methods.insert_greedy(session)?;
        }
        Ok(methods)
    }

    fn insert_greedy(&mut self, session: &Session) -> Result<(), Failure> {
        let greedy = session.decoder(&Pipeline::single(Greedy))?;
        self.insert(0, greedy, "greedy", Role::Baseline);
        Ok(())
    }

    fn has_baseline(&self) -> bool {
        self.setups.iter().any(|method| method.role == Role::Baseline)
    }

    /// Puts one more behind the others.
    pub fn push(&mut self, decoder: Decoder, name: &str, role: Role) {
        self.insert(self.decoders.len(), decoder, name, role);
    }

    fn insert(&mut self, place: usize, decoder: Decoder, name: &str, role: Role) {
        let text = format!("{decoder:#}");
        self.setups.insert(place, MethodSetup { name: name.to_owned(), text, role });
        self.decoders.insert(place, decoder);
    }

    /// Beside each SLED, unless they are refused, one that takes no step: its top-k cut
    /// alone.
    pub fn add_controls(&mut self, job: &EvalJob, session: &Session) -> Result<(), Failure> {
        // Where the best token is taken, a cut that keeps it changes no text.
        let has_choices = job.questions.tasks.iter().any(|own| own.task.kind() == Kind::Choice);
        if !job.controls || !(has_choices || job.options.sampler.temperature > 0.0) {
            return Ok(());
        }
        let mut cuts: Vec<(String, String)> = Vec::new();
        for decoder in &self.decoders {
            let mut stages = decoder.stages();
            let (Some(stage), None) = (stages.next(), stages.next()) else { continue };
            let param = |name: &str| {
                let value = stage.params().into_iter().find(|(known, _)| *known == name);
                value.map(|(_, value)| value.to_string())
            };
            // A method without a step to take has no scale either.
            let (Some(scale), Some(bound)) =
                (param("evolution-scale"), param("evolution-lower-bound"))
            else {
                continue;
            };
            if param("evolution-rate").as_deref() == Some("0") {
                continue;
            }
            let cut = (scale, bound);
            if !cuts.contains(&cut) {
                cuts.push(cut);
            }
        }
        let differ = |scale: &str| cuts.iter().filter(|(known, _)| known == scale).count() > 1;
        for (scale, bound) in &cuts {
            let name = match differ(scale) {
                false => format!("top-{scale} cut"),
                true => format!("top-{scale} cut at {bound}"),
            };
            let text = format!(
                "sled(evolution-rate=0,evolution-scale={scale},evolution-lower-bound={bound})"
            );
            let decoder = session.decoder(&text.parse::<Pipeline>()?)?;
            self.push(decoder, &name, Role::Control);
        }
        Ok(())
    }
}

/// All that makes two runs the same.
pub fn setup(
    job: &EvalJob,
    session: &Session,
    methods: &Methods,
    template: Option<&ChatTemplate>,
) -> Result<Setup, Failure> {
    let sampler = &job.options.sampler;
    let mut engine = json!({
        "ctx_size": session.ctx_size(),
        "cache_type_k": format!("{:?}", job.model.session.cache_type_k),
        "cache_type_v": format!("{:?}", job.model.session.cache_type_v),
        "flash_attention": format!("{:?}", job.model.session.flash_attention),
        "chat_template_sha256": template.map(|own| hex(&Sha256::digest(own.text()))),
        "temperature": sampler.temperature,
        "ignore_eos": job.options.ignore_eos,
        "repeat_penalty": sampler.repeat_penalty,
        "repeat_last_n": sampler.repeat_last_n,
        "frequency_penalty": sampler.frequency_penalty,
        "presence_penalty": sampler.presence_penalty,
        "logit_bias": sampler.logit_bias.iter().map(|(id, bias)| (id, bias.to_string())).collect::<Vec<_>>(),
    });
    if sampler.temperature > 0.0 {
        engine["top_k"] = json!(sampler.top_k);
        engine["top_p"] = json!(sampler.top_p);
        engine["min_p"] = json!(sampler.min_p);
    }
    Ok(Setup {
        command: super::command(),
        luge: env!("CARGO_PKG_VERSION").to_owned(),
        model: model(&job.model.source.name(), session.model().path())?,
        methods: methods.setups.clone(),
        scoring: job.questions.scoring,
        seed: sampler.seed,
        engine,
        tasks: job.questions.tasks.iter().map(task).collect(),
    })
}

fn task(planned: &Planned) -> TaskSetup {
    let Planned { task, header, documents, generate, limit, half: _ } = planned;
    let mut definition = task.sha256(header);
    if task.kind() == Kind::Answer && task.generate().as_ref() != Some(generate) {
        // What stands in the place of its own.
        let own = format!("{definition}{generate:?}");
        definition = hex(&Sha256::digest(own));
    }
    TaskSetup {
        name: task.name.clone(),
        title: task.title.clone(),
        definition_sha256: definition,
        data: documents.file.display().to_string(),
        data_sha256: documents.sha256.clone(),
        rows: documents.rows.len(),
        limit: *limit,
        half: planned.half_setup(),
        judge: task.judge().clone(),
    }
}

/// What tells a model from others: the SHA-256 of its file, or of all its parts in a row.
fn model(name: &str, path: &Path) -> Result<ModelSetup, Failure> {
    let description = Description::read(path)?;
    let progress =
        if output::is_watched() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    progress.enable_steady_tick(Duration::from_millis(120));
    progress.set_message("hashing the model");
    let mut hash = Sha256::new();
    for path in &description.paths {
        digest(path, &mut hash).map_err(|error| {
            Failure::Run(format!("cannot read the model '{}': {error}", path.display()))
        })?;
    }
    progress.finish_and_clear();
    Ok(ModelSetup {
        name: name.to_owned(),
        bytes: description.bytes,
        sha256: hex(&hash.finalize()),
    })
}

fn digest(path: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
