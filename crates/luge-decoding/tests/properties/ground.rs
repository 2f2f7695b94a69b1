//! The numeric ground.

use super::*;

proptest! {
    #![proptest_config(config(300))]

    /// Values from a few, so that many tie, both zeros among them.
    #[test]
    fn top_k_is_a_stable_sort(
        values in vec(select(vec![-1.0f32, -0.0, 0.0, 1.0, 2.0, f32::NEG_INFINITY]), 0..300),
        k in 0usize..320,
    ) {
        let wanted: Vec<u32> =
            literal::best(&literal::wide(&values), k).iter().map(|&index| index as u32).collect();
        prop_assert_eq!(luge_decoding::top_k(&values, k), wanted);
    }

    #[test]
    fn log_sum_exp_is_the_literal_one(case in cases(), constant in -1e4f32..1e4) {
        let values: Vec<f32> = case.model().last.iter().map(|z| z + constant).collect();
        let wanted = literal::log_sum_exp(&literal::wide(&values));
        prop_assert!((luge_decoding::log_sum_exp(&values) - wanted).abs() < literal::NORM_ROUNDING);
    }
}

#[test]
fn top_k_of_any_k_is_everything() {
    assert_eq!(luge_decoding::top_k(&[1.0, 3.0, 2.0], usize::MAX), [1, 2, 0]);
}
