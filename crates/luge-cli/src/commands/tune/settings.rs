//! The settings that are tried: the grid's, fitted to the model.

use luge::{Decoder, Params, Session};
use luge_eval::results::Role;
use luge_eval::tune::{Away, Axis, points};

use super::super::counted;
use super::super::eval::setup::Methods;
use crate::failure::Failure;
use crate::output;
use crate::resolve::{Method, TuneJob};

/// Settings with what is known of each, in the order in which they are tried.
pub struct Settings {
    /// Behind greedy, as the methods of a run.
    pub methods: Methods,
    /// How far each is from the usual one.
    pub away: Vec<Away>,
    /// Which one that is, if it is among them.
    pub usual: Option<usize>,
    /// The values of the grid's axes, in their order.
    points: Vec<Vec<String>>,
    names: Vec<String>,
}

impl Settings {
    /// Every point of the grid that the model can have. Those that are another one in other
    /// words, as `all` and `high` are for a model of one layer, are left out; so are those
    /// that the model has no layer for, and that is said.
    pub fn new(job: &TuneJob, session: &Session) -> Result<Self, Failure> {
        let usual = method(job)?.decoder(session)?;
        let usual_params = all_params(&usual);
        let usual_params: Vec<(&str, &str)> =
            usual_params.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut settings = Settings {
            methods: Methods::greedy(session)?,
            away: Vec::new(),
            usual: None,
            points: Vec::new(),
            names: job.axes.iter().map(|axis| axis.name.clone()).collect(),
        };
        let mut unfit: Vec<Failure> = Vec::new();
        for point in points(&job.axes) {
            let decoder = match method(job)?.decoder_with(session, &params(&job.axes, &point)) {
                Ok(decoder) => decoder,
                Err(failure) => {
                    unfit.push(failure);
                    continue;
                }
            };
            let text = format!("{decoder:#}");
            if settings.methods.setups.iter().any(|known| known.text == text) {
                continue;
            }
            if text == format!("{usual:#}") {
                settings.usual = Some(settings.points.len());
            }
            let own = all_params(&decoder);
            let own = own.iter().map(|(name, value)| (*name, value.as_str()));
            settings.away.push(Away::between(own, &usual_params));
            settings.points.push(point.into_iter().map(str::to_owned).collect());
            let name = match settings.of(settings.points.len() - 1).join(" ") {
                none if none.is_empty() => job.method.name.to_owned(),
                name => name,
            };
            settings.methods.push(decoder, &name, Role::Asked);
        }
        let count = unfit.len();
        match unfit.into_iter().next() {
            Some(failure) if settings.points.is_empty() => return Err(failure),
            Some(failure) => output::say(format_args!(
                "{} of the grid left out, which the model cannot have: {failure}",
                counted(count, "setting"),
            )),
            None => {}
        }
        Ok(settings)
    }

    /// The parameters of a setting that are searched, each as `name=value`.
    pub fn of(&self, number: usize) -> Vec<String> {
        let pairs = self.names.iter().zip(&self.points[number]);
        pairs.map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// A setting once more, for another run.
    pub fn decoder(
        &self,
        job: &TuneJob,
        session: &Session,
        number: usize,
    ) -> Result<Decoder, Failure> {
        method(job)?.decoder_with(session, &params(&job.axes, &self.points[number]))
    }

    /// The parameters of a setting by name: those that were searched, and those that were
    /// given, set or published.
    pub fn params(
        &self,
        job: &TuneJob,
        session: &Session,
        number: usize,
    ) -> Result<Params, Failure> {
        let usual = method(job)?.params(session)?;
        Ok(usual.merged(&params(&job.axes, &self.points[number])))
    }
}

/// The method as it is usually set.
fn method(job: &TuneJob) -> Result<&Method, Failure> {
    let only = job.eval.methods.first().map(|(_, method)| method);
    only.ok_or_else(|| Failure::Usage("name a method with --method".to_owned()))
}

fn params(axes: &[Axis], point: &[impl AsRef<str>]) -> Params {
    let mut params = Params::default();
    for (axis, value) in axes.iter().zip(point) {
        params.set(&axis.name, value.as_ref());
    }
    params
}

/// All that a method does, by name and as text.
fn all_params(decoder: &Decoder) -> Vec<(&'static str, String)> {
    let form = decoder.plan().form;
    let own = decoder.stages().flat_map(|stage| stage.params());
    let mut all: Vec<_> = own.map(|(name, value)| (name, value.to_string())).collect();
    all.push(("exit-norm", form.norm.as_str().to_owned()));
    all.push(("exit-softcap", form.softcap.to_string()));
    all
}
