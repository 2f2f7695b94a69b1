use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

/// Whole numbers from 0 up to `below`, as fair as it takes.
fn throw(random: &mut ChaCha8Rng, below: u32) -> u32 {
    ((u64::from(random.next_u32()) * u64::from(below)) >> 32) as u32
}

/// The sum as it stands in books, in numbers that do not overflow up to 60 documents.
fn binomial(better: usize, worse: usize) -> f64 {
    let thrown = better + worse;
    let ways =
        |k: usize| (1..=k).fold(1_u128, |ways, i| ways * (thrown - k + i) as u128 / i as u128);
    let sum: u128 = (0..=better.min(worse)).map(ways).sum();
    (2.0 * sum as f64 / (1_u128 << thrown) as f64).min(1.0)
}

#[test]
fn mcnemar_is_the_sum_of_the_binomial() {
    for better in 0..=30 {
        for worse in 0..=30 {
            let (p, expected) = (mcnemar(better, worse), binomial(better, worse));
            assert!((p - expected).abs() < 1e-12 * expected, "{better} {worse}: {p} {expected}");
        }
    }
    // By hand: 1 of 6, 2 · (1 + 6) / 64; none of 5, 2 / 32.
    assert!((mcnemar(5, 1) - 14.0 / 64.0).abs() < 1e-15);
    assert!((mcnemar(0, 5) - 0.0625).abs() < 1e-15);
    assert_eq!(mcnemar(0, 0), 1.0);
    assert_eq!(mcnemar(7, 7), 1.0);
}

#[test]
fn mcnemar_of_very_many() {
    assert_eq!(mcnemar(1_000_000, 1_000_000), 1.0);
    assert_eq!(mcnemar(0, 100_000), f64::MIN_POSITIVE);
    // What SciPy's binomtest says; a million logarithms add up to a few parts in 10^8.
    for (better, worse, expected) in [
        (61, 89, 0.027_152_590_737_646_025),
        (5200, 5000, 0.048_787_963_126_822_34),
        (700, 40, 9.032_172_775_440_534e-157),
        (501_501, 498_500, 0.002_699_791_631_395_513),
    ] {
        let p = mcnemar(better, worse);
        assert!((p - expected).abs() < 1e-7 * expected, "{better} {worse}: {p}");
    }
}

#[test]
fn holm_by_hand() {
    // 0.01 · 4, then 0.02 · 3, then 0.03 · 2 no less than that, then 0.5.
    let corrected = holm(&[0.5, 0.01, 0.03, 0.02]);
    let expected = [0.5, 0.04, 0.06, 0.06];
    assert!(corrected.iter().zip(expected).all(|(p, expected)| (p - expected).abs() < 1e-15));
    assert!(holm(&[]).is_empty());
    assert_eq!(holm(&[0.3]), [0.3]);
    assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
}

#[test]
fn few_documents_and_none() {
    let none = [vec![], vec![]];
    let bootstrap = Bootstrap::new(&none, 1);
    assert_eq!((bootstrap.mean(0), bootstrap.interval(0)), (0.0, [0.0, 0.0]));
    assert_eq!((bootstrap.difference_interval(1, 0), bootstrap.p(1, 0)), ([0.0, 0.0], 1.0));

    // Drawing from one document gives that one, which proves nothing.
    let one = [vec![0.25], vec![1.0]];
    let bootstrap = Bootstrap::new(&one, 1);
    assert_eq!((bootstrap.mean(1), bootstrap.interval(1)), (1.0, [1.0, 1.0]));
    assert_eq!((bootstrap.difference(1, 0), bootstrap.p(1, 0)), (0.75, 1.0));

    // Five that differ in one direction: a test of signs has 2 · 2^−5.
    let five = [vec![0.0; 5], vec![0.1, 0.2, 0.3, 0.4, 0.5]];
    assert_eq!(Bootstrap::new(&five, 1).p(1, 0), 0.0625);

    let alike = [vec![0.3; 50], vec![0.3; 50]];
    let bootstrap = Bootstrap::new(&alike, 1);
    assert_eq!((bootstrap.difference_interval(1, 0), bootstrap.p(1, 0)), ([0.0, 0.0], 1.0));

    let [low, high] = Bootstrap::new(&alike, 1).interval(0);
    assert_eq!(low, high);
    assert!((low - 0.3).abs() < 1e-12);
}

/// 300 of 1,000 right: the normal distribution's interval is 0.3 ± 1.96 · √(0.3 · 0.7 /
/// 1000) = 0.3 ± 0.0284.
#[test]
fn the_interval_of_a_share() {
    let series = [(0..1000).map(|i| f64::from(u8::from(i % 10 < 3))).collect::<Vec<_>>()];
    let [low, high] = Bootstrap::new(&series, 7).interval(0);
    assert!((low - 0.2716).abs() < 0.002 && (high - 0.3284).abs() < 0.002, "{low} {high}");
}

/// Where the truth is known: of 400 samples of 60 documents, how many intervals hold it?
/// The bootstrap's are a little short on so few; 400 throws of 0.94 stay within 0.90 to 0.97.
/// Under no difference, a p below 0.05 comes about as often as that.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (mut held, mut difference_held, mut found) = (0, 0, 0);
    for seed in 0..400 {
        // A pair that hangs together: the same base, and noise of its own. The means are
        // both 0.5.
        let mut pair = [Vec::new(), Vec::new()];
        for _ in 0..60 {
            let base = throw(&mut random, 1001);
            for series in &mut pair {
                series.push(f64::from(base + throw(&mut random, 1001)) / 2000.0);
            }
        }
        let bootstrap = Bootstrap::new(&pair, seed);
        let holds = |[low, high]: [f64; 2], truth: f64| low <= truth && truth <= high;
        held += i32::from(holds(bootstrap.interval(0), 0.5));
        difference_held += i32::from(holds(bootstrap.difference_interval(1, 0), 0.0));
        found += i32::from(bootstrap.p(1, 0) < 0.05);
    }
    assert!((360..=390).contains(&held), "{held}");
    assert!((360..=390).contains(&difference_held), "{difference_held}");
    assert!((8..=40).contains(&found), "{found}");
}

#[test]
fn the_seed_says_it_all() {
    let series = [(0..100).map(|i| f64::from(i % 7) / 7.0).collect::<Vec<_>>()];
    let interval = |seed| Bootstrap::new(&series, seed).interval(0);
    assert_eq!(interval(3), interval(3));
    assert_ne!(interval(3), interval(4));
    // Another series beside it changes nothing.
    let beside = [series[0].clone(), vec![0.5; 100]];
    assert_eq!(Bootstrap::new(&beside, 3).interval(0), interval(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn methods_in_each_others_place_flip_signs(
        pairs in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 1..20),
        seed: u64,
    ) {
        let (one, other): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let forth = [one, other];
        let bootstrap = Bootstrap::new(&forth, seed);
        let (there, back) = (bootstrap.difference_interval(0, 1), bootstrap.difference_interval(1, 0));
        prop_assert_eq!(bootstrap.difference(0, 1), -bootstrap.difference(1, 0));
        prop_assert!((there[0] + back[1]).abs() < 1e-12 && (there[1] + back[0]).abs() < 1e-12);
        prop_assert!(there[0] <= there[1]);
        let p = bootstrap.p(0, 1);
        prop_assert_eq!(p, bootstrap.p(1, 0));
        prop_assert!(p > 0.0 && p <= 1.0);

        // The order of the documents is nothing to the mean.
        let reversed = forth.clone().map(|series| series.into_iter().rev().collect::<Vec<_>>());
        let mean = Bootstrap::new(&reversed, seed).mean(0);
        prop_assert!((mean - bootstrap.mean(0)).abs() < 1e-12);
        let [low, high] = bootstrap.interval(0);
        let (least, most) = (forth[0].iter().copied().fold(1.0, f64::min), forth[0].iter().copied().fold(0.0, f64::max));
        prop_assert!(low >= least - 1e-12 && high <= most + 1e-12);
    }

    #[test]
    fn a_correction_makes_nothing_smaller_and_keeps_the_order(
        p in prop::collection::vec(0.0..=1.0_f64, 0..8),
    ) {
        let corrected = holm(&p);
        for (index, &one) in corrected.iter().enumerate() {
            prop_assert!(one >= p[index] && one <= 1.0);
            for (other, &another) in corrected.iter().enumerate() {
                prop_assert!(p[index] > p[other] || one <= another);
            }
        }
    }
}
