//! What tells two runs from each other.

use serde_json::Value;

use crate::results::{Scoring, Setup, TaskSetup};

/// The first part in which two runs differ, for people, such as `its model is a, not b`;
/// none where they have the same results. Names of models and of files make no
/// difference: their checksums do.
pub fn difference(its: &Setup, this: &Setup) -> Option<String> {
    let is_not = |what: &str, its: &str, this: &str| {
        (its != this).then(|| format!("its {what} is {its}, not {this}"))
    };
    let are_not = |what: &str, names: fn(&Setup) -> Vec<&str>| {
        let [its, this] = [its, this].map(|setup| names(setup).join(", "));
        (its != this).then(|| format!("its {what} are {its}, not {this}"))
    };
    let model = || {
        if (its.model.bytes, &its.model.sha256) == (this.model.bytes, &this.model.sha256) {
            return None;
        }
        let other = || format!("its model is another file than {} is now", this.model.name);
        is_not("model", &its.model.name, &this.model.name).or_else(|| Some(other()))
    };
    let tasks = || {
        are_not("tasks", |setup| setup.tasks.iter().map(|task| &*task.name).collect()).or_else(
            || its.tasks.iter().zip(&this.tasks).find_map(|(its, this)| of_task(its, this)),
        )
    };
    let methods = || {
        are_not("methods", |setup| setup.methods.iter().map(|method| &*method.name).collect())
            .or_else(|| {
                let mut pairs = its.methods.iter().zip(&this.methods).filter(|(a, b)| a != b);
                let (its, this) = pairs.next()?;
                let role = || format!("its method {} has another role", its.name);
                is_not(&format!("method {}", its.name), &its.text, &this.text)
                    .or_else(|| Some(role()))
            })
    };
    let scoring = || is_not("scoring", scoring(its.scoring), scoring(this.scoring));
    let seed = || is_not("seed", &its.seed.to_string(), &this.seed.to_string());
    let version = || is_not("version of luge", &its.luge, &this.luge);
    model()
        .or_else(tasks)
        .or_else(methods)
        .or_else(scoring)
        .or_else(seed)
        .or_else(|| engine(&its.engine, &this.engine))
        .or_else(version)
}

fn of_task(its: &TaskSetup, this: &TaskSetup) -> Option<String> {
    let name = &this.name;
    if its.definition_sha256 != this.definition_sha256 {
        return Some(format!("the definition of its task {name} is another"));
    }
    if (&its.data_sha256, its.rows) != (&this.data_sha256, this.rows) {
        return Some(format!("the data of its task {name} are another file than {}", this.data));
    }
    if its.limit != this.limit {
        return Some(format!("its limit for the task {name} is {}, not {}", its.limit, this.limit));
    }
    let half = |task: &TaskSetup| match task.half {
        Some(half) => format!("the {}", half.half.name()),
        None => "all rows".to_owned(),
    };
    (its.half != this.half)
        .then(|| format!("it has {} of the task {name}, not {}", half(its), half(this)))
}

/// Names the first key whose values differ.
fn engine(its: &Value, this: &Value) -> Option<String> {
    if its == this {
        return None;
    }
    let value = |object: &Value, key: &str| {
        object.get(key).map_or_else(|| "not set".to_owned(), Value::to_string)
    };
    let keys = |object: &'_ Value| -> Vec<String> {
        object.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect()
    };
    let keys = keys(its).into_iter().chain(keys(this));
    let mut differing = keys.filter(|key| its.get(key) != this.get(key));
    Some(match differing.next() {
        Some(key) => format!("its {key} is {}, not {}", value(its, &key), value(this, &key)),
        None => format!("its settings are {its}, not {this}"),
    })
}

fn scoring(scoring: Scoring) -> &'static str {
    match scoring {
        Scoring::Normalised => "normalised",
        Scoring::Reference => "reference",
    }
}
