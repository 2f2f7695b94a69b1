//! The tasks that are built in, in the order in which they are listed.

pub(super) const TASKS: [(&str, &str); 14] = [
    ("truthfulqa-mc", include_str!("../../tasks/truthfulqa-mc.toml")),
    ("factor-news", include_str!("../../tasks/factor-news.toml")),
    ("factor-wiki", include_str!("../../tasks/factor-wiki.toml")),
    ("factor-expert", include_str!("../../tasks/factor-expert.toml")),
    ("strategyqa", include_str!("../../tasks/strategyqa.toml")),
    ("gsm8k", include_str!("../../tasks/gsm8k.toml")),
    ("triviaqa", include_str!("../../tasks/triviaqa.toml")),
    ("nq-open", include_str!("../../tasks/nq-open.toml")),
    ("popqa", include_str!("../../tasks/popqa.toml")),
    ("hotpotqa", include_str!("../../tasks/hotpotqa.toml")),
    ("atlas", include_str!("../../tasks/atlas.toml")),
    ("atlas-open", include_str!("../../tasks/atlas-open.toml")),
    (CHOICE, include_str!("../../tasks/choice.toml")),
    (QA, include_str!("../../tasks/qa.toml")),
];

/// The task for any file with choices.
pub(super) const CHOICE: &str = "choice";

/// The task for any file with questions and answers.
pub(super) const QA: &str = "qa";
