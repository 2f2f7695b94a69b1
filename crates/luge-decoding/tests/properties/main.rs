//! Properties of the decoding methods, most of them against the literal
//! reference in `reference.rs`.

mod contrast_and_mixture;
mod ground;
mod looking;
mod masks;
mod models;
mod pipelines;
mod reference;
mod sampling;
mod skipping;
mod sled;
mod text;

use luge_decoding::{
    Bounds, Dola, Ensemble, Error, ExitLogits, Exits, LayerRange, LayerSelection, Limits, Method,
    ModelShape, Params, Pipeline, Position, Purpose, Sampler, SamplerOptions, Sled, TokenMask,
    gumbel, layer_vote,
};
use models::{Case, Noise, cases, dolas, ensembles, purposes, sleds, these, with};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestCaseError};
use reference::{self as literal, At, Expected, Settings};

type Checked = Result<(), TestCaseError>;

/// The same cases in every run, unless PROPTEST_RNG_SEED asks for others.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(2411_02433),
        fixed => fixed,
    };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..default }
}

/// Every logit lies within the slack of the reference's, and 2e-6 of its size.
fn check(got: &[f32], expected: &Expected) -> Checked {
    prop_assert_eq!(got.len(), expected.logits.len());
    for (token, (&got, &wanted)) in got.iter().zip(&expected.logits).enumerate() {
        let got = f64::from(got);
        let slack = expected.slack + 2e-6 * wanted.abs();
        prop_assert!(
            got == wanted || (got - wanted).abs() <= slack,
            "token {token} has {got}, not {wanted} to within {slack:e}"
        );
    }
    Ok(())
}

/// The pipeline of these stages gives what the reference says.
fn check_pipeline(case: &Case, stages: &[Settings], purpose: Purpose) -> Checked {
    let model = case.model();
    let Some(expected) = literal::pipeline(&At::new(&model, purpose), stages) else {
        return Err(TestCaseError::reject("rounding decides"));
    };
    check(&model.run(&literal::built(stages), purpose)?, &expected)
}

/// As [`check_pipeline`], but where rounding decides there is nothing to check.
/// For tests of several pipelines a case.
fn check_pipeline_if_clear(case: &Case, stages: &[Settings], purpose: Purpose) -> Checked {
    match check_pipeline(case, stages, purpose) {
        Err(TestCaseError::Reject(_)) => Ok(()),
        checked => checked,
    }
}

fn parse(text: &str) -> Pipeline {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// One stage with the settings of any method.
fn any_stage(case: &Case) -> impl Strategy<Value = Settings> + use<> {
    prop_oneof![
        sleds(case).prop_map(Settings::Sled),
        dolas(case).prop_map(Settings::Dola),
        ensembles(case).prop_map(Settings::Ensemble),
    ]
}
