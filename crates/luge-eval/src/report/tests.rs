use super::*;
use crate::document::Problem;
use crate::results::tests::{problem, records, results, setup};
use crate::tune::{Axis, Half, HalfSetup, TUNED, Tried, Tuning};

#[test]
fn the_whole_report() {
    insta::assert_snapshot!(markdown(&results()));
}

#[test]
fn the_table_of_the_terminal() {
    let tables = tables(&results());
    let mut text = String::new();
    for table in &tables {
        let widths: Vec<usize> = (0..table.header.len())
            .map(|column| {
                let rows = [&table.header].into_iter().chain(&table.rows);
                rows.map(|row| row[column].chars().count()).max().unwrap_or(0)
            })
            .collect();
        // With two blanks between columns.
        assert!(widths.iter().sum::<usize>() + 2 * widths.len() <= 100, "{widths:?}");
        text += &format!("{}\n{}\n", table.title, table.header.join("; "));
        for row in &table.rows {
            assert_eq!(row.len(), table.header.len());
            text += &format!("{}\n", row.join("; "));
        }
        text += &format!("{}\n\n", table.notes.join("\n"));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_difference_takes_an_interval_without_0_and_a_small_p() {
    let read = |interval: [f64; 2], p_corrected: f64| {
        let mut versus = results().tasks[0].metrics[0].methods[2].versus_greedy.clone().unwrap();
        (versus.interval, versus.p_corrected) = (interval, p_corrected);
        versus.difference = (interval[0] + interval[1]) / 2.0;
        reading(&versus)
    };
    assert_eq!(read([-0.2, -0.1], 0.01), "lower");
    assert_eq!(read([0.1, 0.2], 0.01), "higher");
    assert_eq!(read([0.1, 0.2], 0.05), "unclear, may be chance");
    assert_eq!(read([-0.1, 0.0], 0.01), "no difference shown");
    assert_eq!(read([-0.1, 0.3], 0.01), "no difference shown");
}

#[test]
fn a_report_of_nothing() {
    let records: Vec<_> = [problem(0)].into();
    let mut results = Results::new(setup(), &records, results().times);
    let text = markdown(&results);
    assert!(text.contains("There is no document to say anything about."));
    assert!(text.contains("1 row could not be asked"));
    assert!(!text.contains("NaN") && !text.contains("(0.0 to 0.0)"));
    assert!(tables(&results).iter().all(|table| table.rows.is_empty()));
    results.tasks.clear();
    assert!(markdown(&results).contains("## Methods") || markdown(&results).contains("| method |"));
}

/// A method alone may do without exits that it needs beside others.
#[test]
fn what_sharing_cost_is_said_as_such() {
    let mut task = results().tasks[0].clone();
    (task.cost.exits, task.cost.exits_alone) = (1420, 84);
    let sentence = sharing(&task).unwrap();
    assert!(sentence.ends_with("1,420 exits were computed instead of 84 (1,336 more)."));
}

#[test]
fn the_scoring_of_the_public_scripts_is_named() {
    let mut setup = setup();
    setup.scoring = Scoring::Reference;
    let results = Results::new(setup, &records(), results().times);
    assert!(markdown(&results).contains("as the public scripts of SLED and DoLa have it"));
    assert_eq!(scoring(&results, &results.tasks[1]), "written answers");
}

#[test]
fn numbers_for_people() {
    assert_eq!(with_interval(0.7284, [0.697, 0.7583]), "72.8 (69.7 to 75.8)");
    assert_eq!(difference_with_interval(-0.012, [-0.03, 0.0001]), "−1.2 (−3.0 to 0.0)");
    assert_eq!(signed_percent(-0.0001), "0.0");
    assert_eq!(signed_percent(0.05), "+5.0");
    let p = [0.000_4, 0.001, 0.0491, 0.05, 0.0501, 1.0].map(probability);
    assert_eq!(p, ["<0.001", "0.001", "<0.050", "0.050", "0.051", "1.000"]);
    let counts = [0, 999, 1000, 1_234_567].map(thousands);
    assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
}

/// The results as if SLED had been tuned.
fn tuned() -> Results {
    let mut results = results();
    for task in &mut results.setup.tasks {
        task.half = Some(HalfSetup { half: Half::HeldOut, rows: 62 });
    }
    let tried = |setting: &str, mean| Tried { setting: vec![setting.to_owned()], mean };
    results.tuning = Some(Tuning {
        method: "sled".to_owned(),
        metric: "mc1".to_owned(),
        grid: vec![Axis::parse("evolution-rate=1,2,3").unwrap()],
        settings: 3,
        documents: 1234,
        problems: vec![Problem { index: 3, place: "row 4".to_owned(), what: "empty".to_owned() }],
        seconds: 83.4,
        greedy: 0.71,
        usual: Some(0.70),
        best: vec![tried("evolution-rate=1", 0.72), tried("evolution-rate=2", 0.70)],
        versus_usual: None,
    });
    results
}

/// The results in which the tuned setting is beside greedy like this.
fn tuned_with(difference: f64, interval: [f64; 2], p: f64) -> Results {
    let mut results = tuned();
    let method = &mut results.tasks[0].metrics[0].methods[1];
    method.method = TUNED.to_owned();
    let versus = method.versus_greedy.as_mut().unwrap();
    (versus.difference, versus.interval, versus.p_corrected) = (difference, interval, p);
    let usual = versus.clone();
    results.tuning.as_mut().unwrap().versus_usual = Some(usual);
    results
}

#[test]
fn what_tuning_came_to() {
    let results = tuned_with(-0.01, [-0.03, 0.01], 0.4);
    let table = tables(&results).pop().unwrap();
    let rows: Vec<String> = table.rows.iter().map(|row| row.join("; ")).collect();
    let text = [table.title, table.header.join("; "), rows.join("\n"), table.notes.join("\n")];
    let markdown = markdown(&results);
    let (_, section) = markdown.split_once("## Tuning").unwrap();
    insta::assert_snapshot!(format!("{}\n\n## Tuning{section}", text.join("\n")));
    assert!(markdown.contains("of these the held-out half of 62"), "{markdown}");
    assert!(tables(&results)[0].title.contains(", held-out half; 40 documents"));
}

#[test]
fn a_tuned_setting_is_better_only_where_that_is_shown() {
    let note =
        |difference, interval, p| tuning_notes(&tuned_with(difference, interval, p)).swap_remove(0);
    assert!(note(-0.01, [-0.03, 0.01], 0.4).contains("is not better than greedy"));
    assert!(note(0.0, [-0.03, 0.03], 1.0).contains("is not better than greedy"));
    assert!(note(0.01, [-0.01, 0.03], 0.4).contains("not shown to be better than greedy"));
    assert!(note(0.02, [0.01, 0.03], 0.06).contains("not shown to be better than greedy"));
    assert!(note(0.02, [0.01, 0.03], 0.01).contains("is better than greedy"));
}

#[test]
fn a_usual_setting_that_is_the_best_is_named() {
    // There is no method "tuned" then.
    let notes = tuning_notes(&tuned());
    assert!(notes[0].contains("not shown to be better than greedy"), "{notes:?}");
    assert!(notes[1].contains("the setting that sled usually has"), "{notes:?}");
    let mut nothing = tuned();
    nothing.tasks[0].documents = 0;
    assert_eq!(tuning_notes(&nothing).len(), 1);
    assert!(tuning_notes(&results()).is_empty());
}
