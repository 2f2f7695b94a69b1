//! The files of the benchmarks, where they are beside the checkout.

use super::{Folder, real};

const METHODS: &str = "greedy,dola,sled,ensemble,sled+dola";

/// Every task that has a file there comes to a report, in the context that it needs.
#[test]
fn every_benchmark_runs_to_a_report() {
    let Some(data) = real() else { return };
    let folder = Folder::new();
    let tasks = ["truthfulqa-mc", "factor-news", "factor-expert", "strategyqa", "gsm8k"];
    for task in tasks {
        let eval = || {
            // Written answers are short here: the model says nothing of worth in any case.
            let eval = folder.eval(task).flags(task).arg("--data").arg(&data);
            eval.flags("--limit 6 -n 8 -c 3072 --methods").flags(METHODS)
        };
        let printed = eval().json();
        let results = folder.results(task);
        assert_eq!(printed["tasks"], results["tasks"]);
        let own = &results["tasks"][0];
        assert_eq!((own["task"].as_str(), own["documents"].as_u64()), (Some(task), Some(6)));
        for metric in own["metrics"].as_array().unwrap() {
            // With the control of SLED's cut, where there are choices.
            assert!(metric["methods"].as_array().unwrap().len() >= 5, "{task}");
            for method in metric["methods"].as_array().unwrap() {
                assert!((0.0..=1.0).contains(&method["mean"].as_f64().unwrap()), "{task}");
            }
        }
        let text = eval().stdout();
        assert!(text.contains("; 6 documents; "), "{text}");
        assert!(folder.text(task, "report.md").contains("## "));
        assert!(folder.text(task, "report.html").ends_with("</html>\n"));
    }
}

/// What does not fit into the context is told, row by row.
#[test]
fn long_articles_are_told_where_the_context_is_short() {
    let Some(data) = real() else { return };
    let folder = Folder::new();
    let eval = folder.eval("out").flags("factor-news --limit 8 --methods greedy").arg("--data");
    eval.arg(&data).outcome();
    let results = folder.results("out");
    let problems = super::problems(&results, 0);
    assert!(!problems.is_empty());
    let asked = results["tasks"][0]["documents"].as_u64().unwrap();
    assert_eq!(asked + problems.len() as u64, 8);
    for problem in problems {
        assert!(problem.starts_with("news_factor.csv, row "), "{problem}");
        assert!(problem.contains("than the context of 512 holds"), "{problem}");
    }
}
