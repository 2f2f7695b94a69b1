use proptest::prelude::*;

use super::text::{normalised, number, yes_no};
use super::*;
use crate::judge::{Compare, Extract, Reference};
use crate::record::{Answered, Sums};

fn judge(metrics: &[Metric]) -> Judge {
    Judge {
        metrics: metrics.to_vec(),
        norm: Norm::Tokens,
        extract: None,
        compare: Compare::Text,
        reference: Reference::default(),
    }
}

/// As TruthfulQA is judged.
fn multiple_choice() -> Judge {
    Judge {
        reference: Reference { raw: true, rescale: true, ties: false },
        ..judge(&[Metric::Mc1, Metric::Mc2, Metric::Mc3])
    }
}

/// The first right one is the best. The log-probability is the score, the logit ten more.
fn choice(right: &[f64], wrong: &[f64]) -> Outcome {
    let candidate = |index: usize, score: f64, right: bool| Scored {
        text: format!("{} {index}", if right { "right" } else { "wrong" }),
        right,
        best: right && index == 0,
        tokens: 2,
        bytes: 8,
        scores: vec![Sums { logit: score + 10.0, logprob: score }],
    };
    let right = right.iter().enumerate().map(|(index, &score)| candidate(index, score, true));
    let wrong = wrong.iter().enumerate().map(|(index, &score)| candidate(index, score, false));
    Outcome::Choice { candidates: right.chain(wrong).collect(), layers: Vec::new() }
}

fn written(text: &str, references: &[&str]) -> Outcome {
    let answer =
        Answered { text: text.to_owned(), tokens: 1, changed: 0, finish_reason: "stop".to_owned() };
    Outcome::Answer {
        references: references.iter().map(|&text| text.to_owned()).collect(),
        answers: vec![answer],
        layers: Vec::new(),
    }
}

fn normalised_values(judge: &Judge, outcome: &Outcome) -> Vec<f64> {
    values(judge, Scoring::Normalised, outcome, 0)
}

#[track_caller]
fn close(values: &[f64], expected: &[f64]) {
    let is_close = |(value, expected): (&f64, &f64)| (value - expected).abs() < 1e-12;
    assert!(
        values.len() == expected.len() && values.iter().zip(expected).all(is_close),
        "{values:?} is not {expected:?}"
    );
}

/// Right: 0.1 (the best) and 0.4, wrong: 0.2 and 0.1. The best stands below 0.2, one right
/// answer of two above; (0.1 + 0.4) / (0.1 + 0.4 + 0.2 + 0.1) = 0.5 / 0.8.
#[test]
fn multiple_choice_by_hand() {
    let ln = |values: &[f64]| values.iter().map(|value: &f64| value.ln()).collect::<Vec<_>>();
    let outcome = choice(&ln(&[0.1, 0.4]), &ln(&[0.2, 0.1]));
    close(&normalised_values(&multiple_choice(), &outcome), &[0.0, 0.625, 0.5]);
}

/// Scores of −2000 and less: every exponent is 0 in float64, their ratios are not.
/// (1 + e^−1) / (1 + e^−1 + e^−2), and MC1 and MC3 are 1.
#[test]
fn long_answers_do_not_underflow() {
    let outcome = choice(&[-2000.0, -2001.0], &[-2002.0]);
    let mc2 = (1.0 + (-1.0_f64).exp()) / (1.0 + (-1.0_f64).exp() + (-2.0_f64).exp());
    close(&normalised_values(&multiple_choice(), &outcome), &[1.0, mc2, 1.0]);
}

/// Right −810 and −820, with 10 more as they are: −800 and −810, e^−800 = 0 in float64.
/// Halved once, −400 and −405. Wrong −1600 halved twice: −400. The public scripts make of
/// it (e^−400 + e^−405) / (2 e^−400 + e^−405) = (1 + e^−5) / (2 + e^−5), about a half;
/// in truth the right ones have all but e^−800 of it.
#[test]
fn the_public_scripts_halve_right_and_wrong_apart() {
    let outcome = choice(&[-810.0, -820.0], &[-1610.0]);
    let reference = values(&multiple_choice(), Scoring::Reference, &outcome, 0);
    let e5 = (-5.0_f64).exp();
    close(&reference, &[1.0, (1.0 + e5) / (2.0 + e5), 1.0]);
    close(&normalised_values(&multiple_choice(), &outcome), &[1.0, 1.0, 1.0]);
}

/// Logits above 709 overflow: the public scripts find NaN and write 0. They would halve
/// −∞ for ever.
#[test]
fn the_public_scripts_without_their_hanging() {
    let reference = |right: &[f64], wrong: &[f64]| {
        values(&multiple_choice(), Scoring::Reference, &choice(right, wrong), 0)
    };
    close(&reference(&[800.0], &[700.0]), &[1.0, 0.0, 1.0]);
    close(&reference(&[f64::NEG_INFINITY], &[-1.0]), &[0.0, 0.0, 0.0]);
    close(&reference(&[f64::NEG_INFINITY], &[f64::NEG_INFINITY]), &[0.0, 0.0, 0.0]);
}

/// Sums: right −6, wrong −5: wrong. By tokens, 4 and 2: −1.5 and −2.5. By bytes, 10 and
/// 20: −0.6 and −0.25.
#[test]
fn accuracy_by_length() {
    let mut outcome = choice(&[-6.0], &[-5.0]);
    let Outcome::Choice { candidates, .. } = &mut outcome else { unreachable!() };
    (candidates[0].tokens, candidates[0].bytes) = (4, 10);
    (candidates[1].tokens, candidates[1].bytes) = (2, 20);
    let mut judge = judge(&[Metric::Acc, Metric::AccNorm]);
    close(&normalised_values(&judge, &outcome), &[0.0, 1.0]);
    assert_eq!(answer(&judge, Scoring::Normalised, &outcome, 0), "wrong 0");
    judge.norm = Norm::Bytes;
    close(&normalised_values(&judge, &outcome), &[0.0, 0.0]);
    judge.norm = Norm::Tokens;
    judge.metrics.reverse();
    assert_eq!(answer(&judge, Scoring::Normalised, &outcome, 0), "right 0");

    // A length of 0 divides nothing.
    let Outcome::Choice { candidates, .. } = &mut outcome else { unreachable!() };
    candidates[0].tokens = 0;
    close(&normalised_values(&judge, &outcome), &[0.0, 0.0]);
}

#[test]
fn who_is_level_is_not_above() {
    let outcome = choice(&[-3.0, -4.0], &[-3.0]);
    let mut judge = judge(&[Metric::Mc1, Metric::Mc3, Metric::Acc]);
    judge.reference.ties = true;
    close(&normalised_values(&judge, &outcome), &[0.0, 0.0, 0.0]);
    close(&values(&judge, Scoring::Reference, &outcome, 0), &[1.0, 0.5, 1.0]);
    // The answer is the one that the metrics go by, and of several the first.
    assert_eq!(chosen(&judge, Scoring::Normalised, &[], 0), None);
    let answer = |scoring, right: &[f64], wrong: &[f64]| {
        super::answer(&judge, scoring, &choice(right, wrong), 0)
    };
    assert_eq!(answer(Scoring::Normalised, &[-3.0, -3.0], &[-3.0, -3.0]), "wrong 0");
    assert_eq!(answer(Scoring::Normalised, &[-3.0, -3.0], &[-4.0]), "right 0");
    assert_eq!(answer(Scoring::Reference, &[-4.0, -3.0, -3.0], &[-3.0]), "right 1");
    assert_eq!(answer(Scoring::Reference, &[-4.0], &[-3.0, -3.0]), "wrong 0");
}

#[test]
fn what_was_not_asked_has_no_values() {
    let problem = Outcome::Problem { place: "a.csv, row 1".to_owned(), what: "empty".to_owned() };
    let mc = multiple_choice();
    assert!(normalised_values(&mc, &problem).is_empty());
    assert_eq!(answer(&mc, Scoring::Normalised, &problem, 0), "");
    assert!(values(&mc, Scoring::Normalised, &choice(&[-1.0], &[-2.0]), 1).is_empty());
    assert!(normalised_values(&mc, &written("yes", &["yes"])).is_empty());
    let em = judge(&[Metric::ExactMatch]);
    assert!(normalised_values(&em, &choice(&[-1.0], &[-2.0])).is_empty());
    assert!(values(&em, Scoring::Normalised, &written("yes", &["yes"]), 1).is_empty());
}

/// "The cat sat on a mat." is `cat sat on mat`, "cat on the mat" `cat on mat`: 3 words in
/// common, precision 3/4, recall 3/3, F1 = 2 · 3/4 / (7/4) = 6/7.
#[test]
fn words_in_common_by_hand() {
    let judge = judge(&[Metric::ExactMatch, Metric::F1]);
    let value =
        |text: &str, references: &[&str]| normalised_values(&judge, &written(text, references));
    close(&value("The cat sat on a mat.", &["cat on the mat"]), &[0.0, 6.0 / 7.0]);
    // b and c once each, of three and three.
    close(&value("b b c", &["b c c"]), &[0.0, 2.0 / 3.0]);
    // The one that fits best, and any that is the same.
    close(&value("an Elephant", &["cat", "elephant!"]), &[1.0, 1.0]);
    close(&value("Victoria, B.C.", &["Victoria", "vancouver"]), &[0.0, 2.0 / 3.0]);
    // Empty answers, and those that are nothing but articles and punctuation.
    close(&value("", &["cat"]), &[0.0, 0.0]);
    close(&value("The.", &["a"]), &[1.0, 1.0]);
    close(&value("cat", &[""]), &[0.0, 0.0]);
    close(&value("cat", &[]), &[0.0, 0.0]);
}

#[test]
fn texts_are_compared_as_python_does() {
    for (text, expected) in [
        ("The  Great\tGatsby!", "great gatsby"),
        ("a-b the-end", "ab theend"),
        ("ÉCOLE, l'école", "école lécole"),
        ("ΟΔΟΣ", "οδος"),
        ("İstanbul", "i\u{307}stanbul"),
        ("a\u{301} an", "\u{301}"),
        ("the_a a_ 1a a1", "thea 1a a1"),
        ("one\u{1f}two\u{a0}three\u{3000}four", "one two three four"),
        ("“quoted” – dash", "“quoted” – dash"),
        ("a a a", ""),
        ("Ⓐ a", "ⓐ"),
    ] {
        assert_eq!(normalised(text), expected, "{text:?}");
    }
}

#[test]
fn numbers_have_one_spelling() {
    for (text, expected) in [
        ("1,000.0", Some("1000")),
        ("-$1,000.50", Some("-1000.5")),
        ("$-3", Some("-3")),
        (" 18. ", Some("18")),
        ("007", Some("7")),
        ("-0.00", Some("0")),
        (".5", Some("0.5")),
        ("+5%", Some("5")),
        ("−4", Some("-4")),
        ("12345678901234567890", Some("12345678901234567890")),
        ("", None),
        (".", None),
        ("-", None),
        ("1.2.3", None),
        ("1/2", None),
        ("1 2", None),
        ("twelve", None),
        ("1e5", None),
        ("--1", None),
    ] {
        assert_eq!(number(text).as_deref(), expected, "{text:?}");
    }
    assert_eq!([" Yes.", "TRUE", "no!", "False"].map(yes_no), [true, true, false, false].map(Some));
    assert_eq!(["", "yes and no", "maybe"].map(yes_no), [None; 3]);
}

/// As GSM8K is judged.
fn arithmetic() -> Judge {
    Judge {
        extract: Some(Extract {
            after: Some("the answer is".to_owned()),
            pattern: r"-?\$?[0-9][0-9,]*(?:\.[0-9]+)?".to_owned(),
            reference_after: Some("#### ".to_owned()),
        }),
        compare: Compare::Number,
        ..judge(&[Metric::ExactMatch])
    }
}

#[test]
fn numbers_are_found() {
    let judge = arithmetic();
    let found = |text: &str| answer(&judge, Scoring::Normalised, &written(text, &[]), 0);
    // The first behind the words, in any letters, whatever comes before and after.
    assert_eq!(found("3 + 4 = 7. The Answer is $1,007.00. Q: 8?"), "1007");
    assert_eq!(found("The answer is 5. The answer is 6."), "5");
    // The last where the words are missing.
    assert_eq!(found("3 + 4 = 7, and 1,000 more."), "1000");
    // None behind them is none at all.
    assert_eq!(found("There are 7. The answer is unknown."), "");
    assert_eq!(found(""), "");
    // Letters that are longer in capitals do not shift what is found.
    assert_eq!(found("ßİßİ the answer is 12"), "12");
    let reference = "Natalia sold 48/2 = 24.\n#### 1,072";
    close(&normalised_values(&judge, &written("so the answer is 1072.0", &[reference])), &[1.0]);
    close(&normalised_values(&judge, &written("so the answer is 1073", &[reference])), &[0.0]);
    close(&normalised_values(&judge, &written("I do not know", &[reference, ""])), &[0.0]);
    // A reference that is no number is compared as it is, without its signs it is not 12.
    close(&normalised_values(&judge, &written("the answer is 12", &["1/2"])), &[0.0]);
}

#[test]
fn yes_and_no_are_found() {
    let judge = Judge {
        extract: Some(Extract {
            after: Some("answer is".to_owned()),
            pattern: r"(?i)\b(yes|no)\b".to_owned(),
            reference_after: None,
        }),
        compare: Compare::YesNo,
        ..judge(&[Metric::ExactMatch])
    };
    let value =
        |text: &str, reference: &str| normalised_values(&judge, &written(text, &[reference]));
    close(&value("Hamsters are prey. So the answer is Yes.", "true"), &[1.0]);
    close(&value("So the answer is no.", "false"), &[1.0]);
    close(&value("So the answer is no.", "True"), &[0.0]);
    // Nothing was found: that is not a no.
    close(&value("I cannot tell.", "false"), &[0.0]);
}

#[test]
fn a_pattern_with_a_group_and_one_that_is_none() {
    let with = |pattern: &str| Judge {
        extract: Some(Extract { after: None, pattern: pattern.to_owned(), reference_after: None }),
        ..judge(&[Metric::ExactMatch])
    };
    let found =
        |judge: &Judge, text: &str| answer(judge, Scoring::Normalised, &written(text, &[]), 0);
    assert_eq!(found(&with(r"A: (.*)"), "A: one\nA: two "), "two");
    assert_eq!(found(&with(r"A: (x)?"), "A: y"), "");
    assert_eq!(found(&with("("), "A: y"), "");
    // The pattern is read anew where it is another.
    assert_eq!(found(&with("[a-z]+"), "one 2"), "one");
    assert_eq!(found(&with("[0-9]+"), "one 2"), "2");
}

#[test]
fn a_metric_says_which_sums_it_compares() {
    let judge = multiple_choice();
    let about = |scoring| Metric::Mc2.about(&judge, scoring);
    assert!(about(Scoring::Normalised).ends_with("sums of log-probabilities."));
    assert!(about(Scoring::Reference).contains("halved"));
    assert!(about(Scoring::Reference).contains("output as it is"));
    for metric in [Metric::Mc1, Metric::Acc, Metric::AccNorm, Metric::Mc3] {
        assert!(metric.about(&judge, Scoring::Normalised).contains("higher than"));
    }
    let json = serde_json::to_value(Metric::AccNorm).unwrap();
    assert_eq!(json, Metric::AccNorm.name());
}

fn any_score() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -3000.0..900.0,
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-1000.0)],
    ]
}

proptest! {
    /// Whatever the scores are.
    #[test]
    fn values_are_shares(
        right in prop::collection::vec(any_score(), 0..5),
        wrong in prop::collection::vec(any_score(), 0..5),
    ) {
        let all = [Metric::Mc1, Metric::Mc2, Metric::Mc3, Metric::Acc, Metric::AccNorm];
        let judge = Judge { metrics: all.to_vec(), ..multiple_choice() };
        for scoring in [Scoring::Normalised, Scoring::Reference] {
            let values = values(&judge, scoring, &choice(&right, &wrong), 0);
            prop_assert_eq!(values.len(), all.len());
            prop_assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "{:?}", values);
        }
    }

    /// A constant more for all candidates changes nothing.
    #[test]
    fn only_differences_count(
        right in prop::collection::vec(-50.0..0.0, 1..5),
        wrong in prop::collection::vec(-50.0..0.0, 1..5),
        less in 0.0..5000.0,
    ) {
        let lower = |scores: &[f64]| scores.iter().map(|score| score - less).collect::<Vec<_>>();
        let here = normalised_values(&multiple_choice(), &choice(&right, &wrong));
        let there = normalised_values(&multiple_choice(), &choice(&lower(&right), &lower(&wrong)));
        prop_assert!((here[1] - there[1]).abs() < 1e-9);
        // Right and wrong in each other's place have what is left.
        let other = normalised_values(&multiple_choice(), &choice(&wrong, &right));
        prop_assert!((here[1] + other[1] - 1.0).abs() < 1e-9);
    }

    /// Exact match implies F1 of 1, both are symmetric, and no text is too odd.
    #[test]
    fn texts_compare_both_ways(one in "\\PC{0,12}", other in "[aàthe .,]{0,12}") {
        let judge = judge(&[Metric::ExactMatch, Metric::F1]);
        for (one, other) in [(&one, &other), (&one, &one)] {
            let forth = normalised_values(&judge, &written(one, &[other]));
            let back = normalised_values(&judge, &written(other, &[one]));
            prop_assert_eq!(&forth, &back);
            prop_assert!(forth[0] <= forth[1]);
        }
        prop_assert_eq!(normalised(&normalised(&one)), normalised(&one));
    }
}
