//! What is to be tuned: one task, one method, and the values to try.

use luge::{MethodInfo, Params, Pipeline};
use luge_eval::Shard;
use luge_eval::tune::{Axis, usual_grid};

use super::eval::questions;
use super::method::named_methods;
use super::{EvalJob, model, sampling};
use crate::args::TuneArgs;
use crate::failure::Failure;

/// More settings than this are for no one: their log would be larger than the model.
const MOST: usize = 1000;

/// The parameter whose larger values come first: what is computed for them serves the
/// smaller ones.
const SCALE: &str = "evolution-scale";

/// The search for a setting.
pub struct TuneJob {
    /// What is asked, with one task and, as it is usually set, one method.
    pub eval: EvalJob,
    pub method: &'static MethodInfo,
    pub axes: Vec<Axis>,
}

pub fn tune(args: TuneArgs) -> Result<TuneJob, Failure> {
    let name = args.method.trim();
    let Some(usual) = usual_grid(name) else {
        return Err(Failure::Usage(format!(
            "'{}' cannot be tuned: name one method with --method, sled, dola or ensemble, and give \
             parameters that are to stay as flags",
            args.method
        )));
    };
    let method = MethodInfo::find(name)?;
    let mut axes = usual;
    let mut named: Vec<String> = Vec::new();
    for text in &args.grid {
        let axis = Axis::parse(text)?;
        if !method.has_param(&axis.name) {
            let known: Vec<&str> = method.params.iter().map(|param| param.name).collect();
            return Err(Failure::Usage(format!(
                "--grid {text}: {name} has no parameter '{}', it has {}",
                axis.name,
                known.join(", ")
            )));
        }
        for value in &axis.values {
            let mut alone = Params::default();
            alone.set(&axis.name, value);
            Pipeline::parse(name, &alone)?;
        }
        let what = match () {
            () if named.contains(&axis.name) => "a second time",
            () if args.params.given.has(&axis.name) => "and as a flag, which is to stay",
            () => "",
        };
        if !what.is_empty() {
            return Err(Failure::Usage(format!("--grid {text}: {} is given {what}", axis.name)));
        }
        named.push(axis.name.clone());
        match axes.iter_mut().find(|known| known.name == axis.name) {
            Some(known) => *known = axis,
            None => axes.push(axis),
        }
    }
    axes.retain(|axis| !args.params.given.has(&axis.name));
    if let Some(at) = axes.iter().position(|axis| axis.name == SCALE) {
        let mut scale = axes.remove(at);
        scale.values.sort_by_key(|value| std::cmp::Reverse(value.parse::<usize>().ok()));
        axes.insert(0, scale);
    }
    let count = axes.iter().fold(1usize, |count, axis| count.saturating_mul(axis.values.len()));
    if count > MOST {
        return Err(Failure::Usage(format!(
            "the grid has {count} settings, and {MOST} are the most: give fewer values with --grid, \
             or the parameter itself as a flag"
        )));
    }
    let methods = named_methods(name, &args.params, &[])?;
    let stop = args.sampling.stop.clone();
    let most = usize::try_from(args.sampling.predict).ok();
    let tasks = std::slice::from_ref(&args.task);
    let questions = questions(tasks, args.questions, most, &stop, args.model.fetch)?;
    questions.remark_on_idle(&args.sampling.given);
    Ok(TuneJob {
        eval: EvalJob {
            questions,
            model: model(args.model, &args.context)?,
            methods,
            controls: !args.no_controls,
            options: sampling(args.sampling),
            out: args.out,
            shard: Shard::WHOLE,
            dry_run: false,
            format: args.format,
        },
        method,
        axes,
    })
}
