//! Methods, parsed and checked, to be fitted to a model.

use std::sync::Once;

use luge::{Decoder, METHODS, MethodInfo, Model, ModelShape, Params, Pipeline, Session, presets};

use crate::args::{MethodArgs, MethodParams, PRESET, PresetArg};
use crate::failure::Failure;
use crate::output;

/// A method, to be fitted to a model.
pub struct Method {
    pipeline: Pipeline,
    /// What it is made from.
    text: String,
    params: Params,
    preset: Option<Preset>,
}

/// Published settings that are wanted for a method: which they are depends on the model.
struct Preset {
    wanted: PresetArg,
    /// Whether it was asked for on the command line, and not merely set.
    is_flag: bool,
}

/// The method that published settings are for.
const SLED: &str = "sled";

impl Method {
    /// The method fitted to the session's model, with what was published for it where
    /// that is wanted; which it is, is said once.
    pub fn decoder(&self, session: &Session) -> Result<Decoder, Failure> {
        match self.published(session.model())? {
            None => Ok(session.decoder(&self.pipeline)?),
            Some(_) => self.decoder_with(session, &Params::default()),
        }
    }

    /// The same with these parameters in the place of its own.
    pub fn decoder_with(&self, session: &Session, params: &Params) -> Result<Decoder, Failure> {
        let params = self.params(session)?.merged(params);
        Ok(session.decoder(&Pipeline::parse(&self.text, &params)?)?)
    }

    /// The parameters that are not as by default, and maybe some of other methods: what was
    /// published, where that is wanted, and what was given or set.
    pub fn params(&self, session: &Session) -> Result<Params, Failure> {
        self.params_for(session.model())
    }

    /// The same for a model.
    pub fn params_for(&self, model: &Model) -> Result<Params, Failure> {
        Ok(self.published(model)?.unwrap_or_default().merged(&self.params))
    }

    /// The method with these parameters, fitted to a model of this shape.
    pub fn bound(&self, shape: &ModelShape, params: &Params) -> Result<Decoder, Failure> {
        Ok(Pipeline::parse(&self.text, params)?.bind(shape)?)
    }

    /// What was published for a model, where that is wanted; it is said once.
    fn published(&self, model: &Model) -> Result<Option<Params>, Failure> {
        let Some(preset) = &self.preset else { return Ok(None) };
        match preset.row(model)? {
            None => Ok(None),
            Some(row) => {
                static SAID: Once = Once::new();
                let published = row.params();
                SAID.call_once(|| {
                    let value = |name: &str| published.get(name).unwrap_or_default().to_owned();
                    let values = presets::PARAMS.map(|name| format!("{name}={}", value(name)));
                    output::say(format_args!(
                        "SLED as published for {} on {}: {} ({})",
                        row.model,
                        row.task,
                        values.join(", "),
                        row.source,
                    ));
                });
                Ok(Some(published))
            }
        }
    }
}

impl Preset {
    /// The published settings for a model. None there are is an error where they were
    /// asked for by a flag; a setting is for all models, those with none among them.
    fn row(&self, model: &Model) -> Result<Option<&'static presets::Preset>, Failure> {
        let rows = presets::for_model(model);
        let task = match self.wanted {
            PresetArg::Auto => None,
            PresetArg::Task(task) => Some(task),
        };
        if let Some(row) = presets::choose(&rows, task) {
            return Ok(Some(row));
        }
        let tasks: Vec<_> = rows.iter().map(|row| row.task).collect();
        let there_is = match tasks.as_slice() {
            [] => "give --evolution-rate and --evolution-scale of your own, or leave --preset out"
                .to_owned(),
            tasks => format!("there are some on {}", tasks.join(", ")),
        };
        let on = task.map(|task| format!(" on {task}")).unwrap_or_default();
        let model = model.metadata("general.name").unwrap_or_else(|| {
            model.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
        });
        let message = format!("no settings of SLED are published for '{model}'{on}: {there_is}");
        if self.is_flag {
            return Err(Failure::Usage(message));
        }
        tracing::debug!("{message}");
        Ok(None)
    }
}

/// A list of methods, each as it was written, and parsed; `also` as for [`methods`].
pub fn named_methods(
    list: &str,
    params: &MethodParams,
    also: &[&str],
) -> Result<Vec<(String, Method)>, Failure> {
    let texts = Pipeline::split_list(list)?;
    let methods = methods(&texts, params, also)?;
    let names = texts.iter().map(|text| text.trim().to_owned());
    Ok(names.zip(methods).collect())
}

pub fn method(args: MethodArgs) -> Result<Method, Failure> {
    Ok(methods(&[&args.method], &args.params, &[])?.remove(0))
}

/// The methods, each with the parameters that it has. A flag that none of them has
/// would do nothing, unless it is one of `also`, which the command itself has a use
/// for: that is refused. Settings from elsewhere wait for a method that has them.
pub fn methods(
    texts: &[&str],
    params: &MethodParams,
    also: &[&str],
) -> Result<Vec<Method>, Failure> {
    let mut used: Vec<&MethodInfo> = Vec::new();
    for text in texts {
        used.extend(Pipeline::methods(text)?);
    }
    let is_used =
        |name: &str| also.contains(&name) || used.iter().any(|method| method.has_param(name));
    let mut given = params.values.names().filter(|name| params.given.has(name));
    if let Some(idle) = given.find(|name| !is_used(name)) {
        let owners = METHODS.iter().filter(|method| method.has_param(idle));
        let owners: Vec<_> = owners.map(|method| method.name).collect();
        return Err(Failure::Usage(format!(
            "--{idle} is a parameter of {} and does nothing for {}",
            owners.join(", "),
            texts.join(", "),
        )));
    }
    let has_sled = |methods: &[&MethodInfo]| methods.iter().any(|method| method.name == SLED);
    let is_flag = params.given.has(PRESET);
    if params.preset.is_some() && is_flag && !has_sled(&used) {
        return Err(Failure::Usage(format!(
            "--{PRESET} is about {SLED} and does nothing for {}",
            texts.join(", "),
        )));
    }
    let mut methods = Vec::new();
    for text in texts {
        let preset = params.preset.filter(|_| Pipeline::methods(text).is_ok_and(|m| has_sled(&m)));
        methods.push(Method {
            pipeline: Pipeline::parse(text, &params.values)?,
            text: (*text).to_owned(),
            params: params.values.clone(),
            preset: preset.map(|wanted| Preset { wanted, is_flag }),
        });
    }
    Ok(methods)
}
