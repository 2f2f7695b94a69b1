//! What made-up layers say at one position.

use luge_page::{LensPage, Position};

/// Layers that turn from one word to another on their way up, and a method that goes back
/// to the first: as the page of `luge lens` has it.
pub fn layers(
    method: (&str, &str),
    context: &[&str],
    [early, late]: [&str; 2],
) -> serde_json::Value {
    const ROWS: usize = 17;
    const OTHERS: [&str; 4] = [" the", " a", " not", "\n"];
    let words = context.len() as u32;
    let [early_id, late_id] = [words, words + 1];
    let mut tokens: std::collections::BTreeMap<u32, String> =
        (0u32..).zip(context.iter().map(|word| (*word).to_owned())).collect();
    tokens.insert(early_id, early.to_owned());
    tokens.insert(late_id, late.to_owned());
    tokens.extend((words + 2..).zip(OTHERS.map(str::to_owned)));

    let row = |row: usize| {
        let sure = 1.0 / (1.0 + (-(row as f64 - 9.0) / 2.0).exp());
        let mut row = vec![(early_id, 0.05 + 0.33 * sure), (late_id, 0.01 + 0.4 * sure * sure)];
        let rest = 1.0 - row.iter().map(|(_, prob)| prob).sum::<f64>();
        row.extend((words + 2..words + 6).zip([0.3, 0.2, 0.1, 0.05].map(|part| part * rest)));
        row
    };
    let rows: Vec<Vec<(u32, f64)>> = (0..ROWS).map(row).collect();
    let top: Vec<Vec<(u32, f64)>> = rows
        .iter()
        .map(|row| {
            let mut row = row.clone();
            row.sort_by(|a, b| b.1.total_cmp(&a.1));
            row
        })
        .collect();
    let path = |i: usize| (rows[0][i].0, rows.iter().map(|row| row[i].1).collect());
    let entropy =
        rows.iter().map(|row| -row.iter().map(|(_, p)| p * p.ln()).sum::<f64>()).collect();
    let page = LensPage {
        title: "where the answers part".into(),
        version: "0.1.0".into(),
        model: "sample".into(),
        method: method.1.into(),
        method_name: method.0.into(),
        exit_norm: "raw".into(),
        layers: (0..ROWS).collect(),
        tokens,
        positions: vec![Position {
            position: context.len() - 1,
            id: words - 1,
            before: top[ROWS - 1][0],
            after: (early_id, 0.44),
            changed: true,
            settling_depth: top.iter().rposition(|row| row[0] != top[ROWS - 1][0]).unwrap_or(0) + 1,
            entropy,
            jsd: (0..ROWS).map(|row| 0.6 * (1.0 - row as f64 / (ROWS - 1) as f64)).collect(),
            paths: (0..6).map(path).collect(),
            top,
            margins: Some([-0.06, 0.31, 0.37]),
            carried: vec![(10, 0.12), (11, 0.1), (9, 0.08), (12, 0.04)],
            ..Position::default()
        }],
        ..LensPage::default()
    };
    serde_json::to_value(page).unwrap_or_default()
}
