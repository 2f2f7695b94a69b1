use super::*;
use crate::results::tests::{records, setup};

/// By another program: the first byte of the SHA-256 of the text.
#[test]
fn the_half_of_a_question_is_always_the_same() {
    let halves = HALVES;
    for (question, first_byte) in halves {
        let half = if first_byte < 128 { Half::Tuning } else { Half::HeldOut };
        assert_eq!(Half::of(question), half, "{question}");
        assert_eq!(Half::of(&format!("\n {question}\t")), half, "{question}");
    }
    assert!(halves.iter().any(|(_, byte)| *byte < 128));
    assert!(halves.iter().any(|(_, byte)| *byte >= 128));
}

const HALVES: [(&str, u8); 6] = [
    ("What is the capital of Australia?", 186),
    ("Q: Why do matadors wave red capes?\nA:", 112),
    ("Éire", 190),
    ("Where is Ölüdeniz?", 199),
    ("", 227),
    ("2 + 2 =", 21),
];

#[test]
fn the_halves_are_of_a_size() {
    let tuning = (0..4000).filter(|n| Half::of(&format!("Question {n}")) == Half::Tuning).count();
    // Four standard deviations are 127.
    assert!((1870..2130).contains(&tuning), "{tuning}");
}

#[test]
fn a_row_that_cannot_be_asked_is_in_the_report() {
    let problem = Problem { index: 0, place: "row 1".to_owned(), what: "empty".to_owned() };
    assert_eq!(Half::of_row(&Err(problem)), Half::HeldOut);
}

#[test]
fn axes_are_read_and_mistakes_told() {
    let axis = |text: &str| Axis::parse(text).map(|axis| (axis.name, axis.values));
    let wanted = |name: &str, values: &[&str]| {
        (name.to_owned(), values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(axis("evolution-rate= 0.5, 1").unwrap(), wanted("evolution-rate", &["0.5", "1"]));
    assert_eq!(axis("layers=0,2;high").unwrap(), wanted("layers", &["0,2", "high"]));
    for text in ["", "layers", "=1", "layers=", "layers=1,,2", "layers=1;"] {
        let message = axis(text).unwrap_err().to_string();
        assert!(message.contains("NAME=VALUE,VALUE"), "{message}");
    }
}

#[test]
fn points_are_all_combinations_once() {
    let axes = [Axis::parse("a=1,2").unwrap(), Axis::parse("b=x,y,z").unwrap()];
    let all: Vec<String> = points(&axes).map(|point| point.concat()).collect();
    assert_eq!(all, ["1x", "1y", "1z", "2x", "2y", "2z"]);
    assert_eq!(points(&[]).collect::<Vec<_>>(), [Vec::<&str>::new()]);
}

#[test]
fn usual_grids_have_the_larger_scales_first_and_no_value_twice() {
    for method in ["sled", "dola", "ensemble"] {
        let axes = usual_grid(method).unwrap();
        for axis in &axes {
            let mut values = axis.values.clone();
            values.sort();
            values.dedup();
            assert_eq!(values.len(), axis.values.len(), "{method}: {axis:?}");
        }
    }
    let sled = usual_grid("sled").unwrap();
    assert_eq!(sled[0].name, "evolution-scale");
    let scales: Vec<u32> = sled[0].values.iter().map(|value| value.parse().unwrap()).collect();
    assert!(scales.is_sorted_by(|a, b| a > b));
    assert!(usual_grid("greedy").is_none());
}

#[test]
fn of_equals_the_nearest_to_the_usual_setting_is_the_best() {
    let usual = [("rate", "2"), ("scale", "10"), ("layers", "all")];
    let settings = [
        [("rate", "5"), ("scale", "10"), ("layers", "all")],
        [("rate", "1"), ("scale", "20"), ("layers", "all")],
        [("rate", "3"), ("scale", "10"), ("layers", "all")],
        [("rate", "2"), ("scale", "10"), ("layers", "high")],
        [("rate", "0"), ("scale", "10"), ("layers", "all")],
    ];
    let away = settings.map(|setting| Away::between(setting, &usual));
    assert_eq!(away.map(|away| away.parameters), [1, 2, 1, 1, 1]);
    assert!((away[1].ratios - 2.0 * 2f64.ln()).abs() < 1e-12);
    // Layers are no numbers, and so no ratio off; a rate of 0 is as far as can be.
    assert_eq!(ranked(&[0.5; 5], &away), [3, 2, 0, 4, 1]);
    // What is better wins, however far it is.
    assert_eq!(ranked(&[0.5, 0.6, 0.5, 0.5, 0.6], &away), [4, 1, 3, 2, 0]);
    // Of those that are as far, the first.
    assert_eq!(ranked(&[0.5; 2], &[away[0]; 2]), [0, 1]);
}

/// Greedy has 30 of 40, SLED one more, DoLa ten less; 22 rows could not be asked.
#[test]
fn means_and_comparisons_are_those_of_the_first_metric() {
    let (setup, mut records) = (setup(), records());
    records.retain(|record| record.task == setup.tasks[0].name);
    let (means, documents) = means(&setup, &records).unwrap();
    assert_eq!((means, documents), (vec![0.75, 0.775, 0.5, 0.75], 40));
    assert_eq!(problems(&records).len(), 22);

    let [greedy, sled, dola, _] = &setup.methods[..] else { panic!("{setup:?}") };
    let versus = |this: &str, other: &str| versus(&setup, &records, this, other);
    let found = versus(&dola.name, &sled.name).unwrap();
    assert!((found.difference + 0.275).abs() < 1e-12);
    assert_eq!((found.better, found.worse), (0, 11));
    // One comparison, which needs no correction.
    assert_eq!(found.p, found.p_corrected);
    let usual =
        Results::new(setup.clone(), &records, Times { finished: String::new(), seconds: 0.0 });
    let usual = usual.tasks[0].metrics[0].methods[1].versus_greedy.clone().unwrap();
    let again = versus(&sled.name, &greedy.name).unwrap();
    assert_eq!(
        (again.difference, again.interval, again.p),
        (usual.difference, usual.interval, usual.p)
    );
    assert!(versus("no such", &greedy.name).is_none());
}

#[test]
fn of_no_documents_there_is_nothing_to_say() {
    let records: Vec<Record> = records().into_iter().filter(|r| r.index >= 40).collect();
    assert!(means(&setup(), &records).is_none());
    assert!(versus(&setup(), &records, "sled", "greedy").is_none());
}
