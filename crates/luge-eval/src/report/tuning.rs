//! What is said of a setting that was chosen: what it was chosen from, and what came of it
//! on the documents that it was not chosen on.

use super::{Table, counted, difference_with_interval, duration, percent, probability, reading};
use crate::results::{Comparison, Results};
use crate::tune::{Half, TUNED, Tuning};

/// The chosen setting beside greedy on the held-out half, by the first metric; none where
/// no document of it was asked.
fn versus_greedy(results: &Results) -> Option<&Comparison> {
    let task = results.tasks.first().filter(|task| task.documents > 0)?;
    let methods = &task.metrics.first()?.methods;
    // Where the best was the usual setting, it stands there under the method's own name.
    let find = |name: &str| methods.iter().find(|method| method.method == name);
    let tuning = results.tuning.as_ref()?;
    find(TUNED).or_else(|| find(&tuning.method))?.versus_greedy.as_ref()
}

/// What came of tuning, a sentence each: whether the chosen setting is better than greedy
/// on the held-out half, whether it is better than the usual one, and what its score on the
/// tuning half is not. Nothing where nothing was tuned.
pub fn tuning_notes(results: &Results) -> Vec<String> {
    let Some(tuning) = &results.tuning else { return Vec::new() };
    let Tuning { method, metric, .. } = tuning;
    let half = Half::HeldOut.name();
    let numbers = |versus: &Comparison| {
        let difference = difference_with_interval(versus.difference, versus.interval);
        format!("{metric} {difference}, p {}", probability(versus.p_corrected))
    };
    let mut notes = Vec::new();
    notes.push(match versus_greedy(results) {
        None => format!("No document of the {half} could be asked: nothing was tested."),
        Some(versus) if versus.difference <= 0.0 => format!(
            "The tuned setting is not better than greedy on the {half}: {}. Nothing here speaks \
             for it.",
            numbers(versus)
        ),
        Some(versus) if reading(versus) == "higher" => {
            format!("The tuned setting is better than greedy on the {half}: {}.", numbers(versus))
        }
        Some(versus) => format!(
            "The tuned setting is not shown to be better than greedy on the {half}: {}, which may \
             be chance.",
            numbers(versus)
        ),
    });
    notes.push(match &tuning.versus_usual {
        Some(versus) => format!(
            "Beside {method} as it is usually set: {}; {}.",
            numbers(versus),
            reading(versus)
        ),
        None if versus_greedy(results).is_some() => {
            format!("It is the setting that {method} usually has.")
        }
        None => return notes,
    });
    if tuning.settings > 1 {
        notes.push(format!(
            "Its score on the {} is that of the best of {}, and so higher than it is worth.",
            Half::Tuning.name(),
            counted(tuning.settings, "setting")
        ));
    }
    notes
}

/// The best few settings on the tuning half, for the terminal. Nothing where nothing was
/// tuned.
pub(super) fn table(results: &Results) -> Option<Table> {
    let tuning = results.tuning.as_ref()?;
    let header =
        ["", &format!("{} setting", tuning.method), &format!("{}, percent", tuning.metric)];
    Some(Table {
        title: title(tuning),
        header: header.map(str::to_owned).to_vec(),
        rows: rows(tuning),
        notes: tuning_notes(results),
    })
}

/// What was searched, and on how many documents.
pub(super) fn title(tuning: &Tuning) -> String {
    let mut title = format!(
        "Tuning {}: {} tried on the {}, {}, in {}",
        tuning.method,
        counted(tuning.settings, "setting"),
        Half::Tuning.name(),
        counted(tuning.documents, "document"),
        duration(tuning.seconds)
    );
    if !tuning.problems.is_empty() {
        title += &format!("; {} of it could not be asked", counted(tuning.problems.len(), "row"));
    }
    title
}

/// What a setting is to the others, its parameters, its score on the tuning half.
pub(super) fn rows(tuning: &Tuning) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (number, tried) in tuning.best.iter().enumerate() {
        let place = if number == 0 { TUNED.to_owned() } else { format!("{}.", number + 1) };
        let setting = match tried.setting.as_slice() {
            [] => tuning.method.clone(),
            params => params.join(" "),
        };
        rows.push(vec![place, setting, percent(tried.mean)]);
    }
    if let Some(usual) = tuning.usual {
        rows.push(vec![String::new(), "as it is usually set".to_owned(), percent(usual)]);
    }
    rows.push(vec![String::new(), "greedy".to_owned(), percent(tuning.greedy)]);
    rows
}
