//! Methods, layers and settings as text.

use super::*;

/// Pieces of pipelines, in an order that makes sense only by chance.
fn fragments() -> impl Strategy<Value = String> {
    let pieces = vec![
        "sled",
        "dola",
        "ensemble",
        "greedy",
        "(",
        ")",
        ",",
        "=",
        "+",
        " ",
        "layers",
        "..",
        ":",
        "evolution-rate",
        "evolution-scale",
        "relative-top",
        "mature-layer",
        "exit-norm",
        "all",
        "low",
        "final",
        "linear",
        "0",
        "2",
        "-1",
        "nan",
        "inf",
        "1e39",
        "é",
        "99999999999999999999",
    ];
    vec(select(pieces), 0..14).prop_map(|pieces| pieces.concat())
}

/// Pipelines of the right form, with values that may not be.
fn plausible() -> impl Strategy<Value = String> {
    let names = vec![
        "layers",
        "evolution-rate",
        "evolution-scale",
        "evolution-steps",
        "evolution-temperature",
        "evolution-lower-bound",
        "relative-top",
        "mature-layer",
        "ensemble-weights",
        "exit-norm",
        "exit-softcap",
    ];
    let values = vec![
        "0",
        "1",
        "2",
        "0.5",
        "-1",
        "1e38",
        "1e-38",
        "-0",
        "inf",
        "nan",
        "all",
        "low",
        "high",
        "0,1",
        "0..",
        "..2:2",
        "-2..",
        "3..1",
        "final",
        "raw",
        "on",
        "linear",
        "1,1,1",
        "0,0,1",
        "18446744073709551615",
        "9223372036854775807",
        "-9223372036854775808",
    ];
    let param = (select(names), select(values)).prop_map(|(name, value)| format!("{name}={value}"));
    let params = vec(param, 0..4).prop_map(|params| params.join(","));
    let name = select(vec!["sled", "dola", "ensemble", "greedy", "slde"]);
    let stage = (name, params).prop_map(|(name, params)| format!("{name}({params})"));
    vec(stage, 1..4).prop_map(|stages| stages.join("+"))
}

proptest! {
    #![proptest_config(config(2000))]

    /// Any text is a pipeline or an error, and any pipeline fits a model, gives
    /// an error, or decodes.
    #[test]
    fn no_text_is_too_strange(
        text in prop_oneof![".*", fragments(), plausible()],
        defaults in vec((fragments(), fragments()), 0..3),
        layers in 0usize..6, vocab in 0usize..20, tied: bool, purpose in purposes(),
    ) {
        let mut params = Params::default();
        defaults.into_iter().for_each(|(name, value)| params.set(name, value));
        let _ = Pipeline::split_list(&text);
        let named = Pipeline::methods(&text);
        prop_assert!(named.is_ok() || text.parse::<Pipeline>().is_err());
        let Ok(pipeline) = Pipeline::parse(&text, &params) else { return Ok(()) };
        let Ok(decoder) = pipeline.bind(&ModelShape { layers, vocab, tied }) else { return Ok(()) };
        prop_assert_eq!(decoder.stages().len(), named.map_or(0, |named| named.len()));
        let (exits, sizes) = (layers.max(1), vocab.max(1));
        let case = Case { vocab: sizes, exits, spread: 2.0, sureness: 0.0, seed: 0 };
        let mut model = case.model();
        model.last.truncate(vocab);
        let mut current = model.last.clone();
        let _ = decoder.apply(&model.last, &mut model.serve(&decoder), purpose, &mut current);
    }
}

/// An index into a model of up to `exits` exits, often one out of its range.
fn bounds() -> impl Strategy<Value = Option<i64>> {
    let index = prop_oneof![
        8 => -12i64..12,
        1 => select(vec![i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]),
        1 => any::<i64>(),
    ];
    proptest::option::weighted(0.8, index)
}

fn ranges() -> impl Strategy<Value = LayerRange> {
    let step = prop_oneof![4 => 1usize..4, 1 => 1..=usize::MAX, 1 => Just(usize::MAX)];
    (bounds(), bounds(), step).prop_map(|(start, end, step)| LayerRange { start, end, step })
}

fn selections() -> impl Strategy<Value = LayerSelection> {
    let simple = select(vec![LayerSelection::All, LayerSelection::Low, LayerSelection::High]);
    prop_oneof![1 => simple, 4 => vec(ranges(), 1..4).prop_map(LayerSelection::List)]
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn a_selections_text_reads_as_the_selection(selection in selections()) {
        prop_assert_eq!(selection.to_string().parse::<LayerSelection>()?, selection);
    }

    #[test]
    fn selections_resolve_in_order_and_in_range(
        selection in selections(), exits in prop_oneof![0usize..3, 0usize..100], tied: bool,
    ) {
        if let Ok(layers) = selection.resolve(exits, tied) {
            prop_assert!(!layers.is_empty());
            prop_assert!(layers.windows(2).all(|pair| pair[0] < pair[1]), "{layers:?}");
            prop_assert!(layers.iter().all(|&layer| layer < exits), "{layers:?}");
        } else {
            prop_assert!(exits == 0 || matches!(selection, LayerSelection::List(_)));
        }
    }

    /// A range holds start, start + step, … below its end, counted from the end
    /// where negative, and nothing else.
    #[test]
    fn a_range_holds_every_step_from_its_start(range in ranges(), exits in 1usize..12) {
        let from_end = |index: i64| index as i128 + if index < 0 { exits as i128 } else { 0 };
        let start = from_end(range.start.unwrap_or(0));
        let end = range.end.map_or(exits as i128, from_end);
        let inside = (0..exits as i128).contains(&start) && (0..=exits as i128).contains(&end);
        let member = |&layer: &usize| {
            let layer = layer as i128;
            inside && start <= layer && layer < end && (layer - start) % range.step as i128 == 0
        };
        let wanted: Vec<usize> = (0..exits).filter(member).collect();
        let resolved = LayerSelection::List(vec![range]).resolve(exits, false);
        prop_assert_eq!(resolved.unwrap_or_default(), wanted);
    }

    #[test]
    fn settings_as_text_are_the_settings(
        (case, sled) in with(sleds), relative_top in 0.0f32..=1.0,
    ) {
        let text = format!(
            "sled(evolution-rate={},evolution-scale={}, evolution-steps={},\
             evolution-temperature={},evolution-lower-bound={},layers={}) \
             + dola(layers=all,relative-top={relative_top})",
            sled.rate, sled.scale, sled.steps, sled.temperature, sled.lower_bound, sled.layers,
        );
        let dola = Dola { layers: LayerSelection::All, relative_top, ..Dola::default() };
        let built = Pipeline::single(sled).then(dola);
        let bound = |pipeline: Pipeline| pipeline.bind(&case.shape());
        prop_assert_eq!(
            format!("{:?}", bound(parse(&text))?),
            format!("{:?}", bound(built)?)
        );
    }
}
