//! From where on a position is settled.

use super::*;

/// All layers from the depth on have the final layer's first choice, and the one
/// below has not.
fn check(seen: &LensPosition) {
    let settled = first(final_row(seen));
    let shown: Vec<usize> = seen.layers.iter().map(|row| row.layer).collect();
    let depth = seen.settling_depth;
    let place = shown.iter().position(|&layer| layer == depth);
    let place = place.unwrap_or_else(|| panic!("{depth} is none of the layers {shown:?}"));
    assert!(seen.layers[place..].iter().all(|row| first(row) == settled), "{seen:?}");
    assert!(place == 0 || first(&seen.layers[place - 1]) != settled, "{seen:?}");
}

#[test]
fn a_position_is_settled_where_no_layer_above_disagrees() {
    for name in ALL_MODELS {
        let model = model(name);
        let text = noise(&model, 60);
        let mut session = session_of(&model, 128);
        let mut depths = BTreeSet::new();
        for form in FORMS {
            for shown in ["all", "1,3", "0"] {
                let options = LensOptions { form, layers: layers(shown), ..LensOptions::default() };
                for seen in look(&mut session, "greedy", &options, &text, 0..60) {
                    check(&seen);
                    depths.insert(seen.settling_depth);
                }
            }
        }
        assert!(depths.len() > 2, "{name}: settled at {depths:?} only");
    }
}

#[test]
fn it_does_not_depend_on_how_many_tokens_are_shown() {
    let mut session = session("llama");
    let text = noise(&model("llama"), 30);
    let mut depths = |top: usize| -> Vec<usize> {
        let options = LensOptions { top, ..LensOptions::default() };
        let seen = look(&mut session, "greedy", &options, &text, 0..30);
        seen.iter().map(|seen| seen.settling_depth).collect()
    };
    let wanted = depths(5);
    assert!(wanted.iter().any(|&depth| depth > 0));
    for top in [1, 169, 1000, 0] {
        assert_eq!(depths(top), wanted, "{top} shown");
    }
}
