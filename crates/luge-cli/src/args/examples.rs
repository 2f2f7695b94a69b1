//! What `--help` says beside the flags: a paragraph on each command, and examples.

use clap::Command;

use crate::settings::has_settings;

/// What a command is for, and command lines that show it.
struct Example {
    command: &'static str,
    about: &'static str,
    /// Each a remark and a command line.
    lines: &'static [(&'static str, &'static str)],
}

const EXAMPLES: &[Example] = &[
    Example {
        command: "run",
        about: "The model goes on with a text of yours, one token after the other, each chosen \
                by the method and the sampling settings. Nothing is put around the prompt: a \
                model that is made for conversations answers better in luge chat. Without a prompt, on \
                a terminal, this is luge chat.",
        lines: &[
            ("SLED on a model of your own", "luge run -m model.gguf \"The capital of Turkey is\""),
            (
                "What did the method change? End in front of the next question",
                "luge run \"Q: What is the capital of Australia? A:\" --stop Q: --show-changes",
            ),
            (
                "Two methods in a row, with parameters, as JSON",
                "luge run --method 'sled(layers=0..8)+dola' --evolution-rate 1 --format json Once",
            ),
            ("A prompt from a file, sampled", "luge run --file prompt.txt --temp 0.7 --seed 1"),
        ],
    },
    Example {
        command: "chat",
        about: "Questions are typed, and the model answers with its own chat template, remembering \
                what was said. Ctrl-C stops an answer, /? shows the commands: other methods and \
                settings, the last question under several methods, what the layers said.",
        lines: &[
            ("Talk to a model of your own", "luge chat -m model.gguf"),
            ("One question, one answer", "luge chat \"What is the capital of British Columbia?\""),
            (
                "Ordinary decoding, a little luck, and a wish",
                "luge chat --method greedy --temp 0.7 --system-prompt \"Answer in one sentence.\"",
            ),
        ],
    },
    Example {
        command: "serve",
        about: "Applications that speak the OpenAI API find it at /v1, and a person a page to chat \
                on at /. Each request may choose its method, with \"decoding\" or as in \"model\": \
                \"atlas@sled\"; the flags here are for those that do not. Where other machines \
                can reach the address, a key is needed.",
        lines: &[
            ("Serve a model of your own on this machine", "luge serve -m model.gguf"),
            (
                "For others too, eight texts at a time, with keys from a file",
                "luge serve -m model.gguf --host 0.0.0.0 --api-key-file keys.txt -np 8 -c 8192",
            ),
            (
                "Ordinary decoding where a request does not say, and a log for programs",
                "luge serve --method greedy --alias small --log-format json",
            ),
        ],
    },
    Example {
        command: "score",
        about: "Says how probable a continuation is, token by token and as a sum, by the method's \
                own distribution. Of several answers, the one with the largest sum is the one \
                that the method prefers.",
        lines: &[
            (
                "How likely is Victoria?",
                "luge score \"The capital of British Columbia is\" \" Victoria\"",
            ),
            (
                "The same by the final layer alone",
                "luge score \"The capital of British Columbia is\" \" Victoria\" --method greedy",
            ),
        ],
    },
    Example {
        command: "compare",
        about: "Every method continues the same prompt, and the answers stand side by side, with \
                the tokens marked that a method chose against the final layer.",
        lines: &[
            ("The usual three", "luge compare \"The largest city of Turkey is\" -n 40"),
            (
                "And what each layer says where the answers part; then prompts that you type",
                "luge compare \"The largest city of Turkey is\" --show-layers --interactive",
            ),
            (
                "One method with two settings",
                "luge compare --methods 'sled(evolution-rate=1),sled(evolution-rate=3)' Once",
            ),
        ],
    },
    Example {
        command: "lens",
        about: "Shows for each position what every layer would have said next, how sure it was, \
                and where the method decided otherwise than the final layer.",
        lines: &[
            ("A table in the terminal", "luge lens \"The capital of British Columbia is\""),
            (
                "A page for the browser, with ten tokens more and one followed",
                "luge lens \"The capital is\" -n 10 --pin \" Victoria\" --html lens.html",
            ),
            ("The last position in depth", "luge lens \"The capital is\" --position -1"),
        ],
    },
    Example {
        command: "bench",
        about: "Each method continues the same prompts in turns with greedy, and a table says how \
                long a token took, how much memory that was, and how many exits were skipped.",
        lines: &[
            (
                "What SLED and DoLa cost with a model",
                "luge bench -m model.gguf --methods dola,sled",
            ),
            ("On texts of yours, a line each", "luge bench --prompts prompts.txt --rounds 10"),
        ],
    },
    Example {
        command: "eval",
        about: "Asks the questions of a benchmark, or your own, under several methods at once, and \
                says how often each was right, how sure that is, and what changed beside greedy. \
                Methods share the model's work, so that three cost little more than the dearest. \
                What is done is in a log: after Ctrl-C, or a crash, the same command goes on. A \
                folder gets the report, as a page, as Markdown and as JSON.",
        lines: &[
            ("The built-in model on its own questions", "luge eval atlas"),
            (
                "A model of yours on the first hundred questions of a benchmark",
                "luge eval truthfulqa-mc -m model.gguf --data TruthfulQA.csv --limit 100",
            ),
            (
                "Two settings of SLED on questions of your own",
                "luge eval mine.jsonl --methods 'sled(evolution-rate=1),sled(evolution-rate=3)'",
            ),
            ("What would it take?", "luge eval gsm8k -m model.gguf --data test.jsonl --dry-run"),
        ],
    },
    Example {
        command: "eval-merge",
        about: "Reads the logs of all parts, checks that they are of one run and that no document \
                is missing, and writes the report that a single run would have written. Also \
                makes the report of a single run again. It is written as two words.",
        lines: &[
            ("The parts are in one folder", "luge eval merge results"),
            ("They are in several", "luge eval merge node1 node2 --out results"),
        ],
    },
    Example {
        command: "tune",
        about: "Parts the questions of a task into two halves, by what is asked and always the \
                same. Every setting of a grid answers the first half, on the same passes through \
                the model, and the best there answers the second, beside greedy and beside the \
                method as it is usually set. A folder gets the report, and the setting as a table \
                for the configuration file. Tasks with written answers take far longer than those \
                with choices: texts share what is computed only up to where they part.",
        lines: &[
            ("SLED for the built-in model on its own questions", "luge tune atlas"),
            (
                "DoLa for a model of yours on a benchmark",
                "luge tune truthfulqa-mc -m model.gguf --data TruthfulQA.csv --method dola",
            ),
            (
                "All layers, and rates of your choice",
                "luge tune mine.jsonl --layers all --grid evolution-rate=0.25,0.5,1,2,4",
            ),
        ],
    },
    Example {
        command: "pull",
        about: "Models come from Hugging Face, into the cache that its own tools share. What was \
                interrupted goes on where it ended, and what came is checked.",
        lines: &[
            (
                "The quantisation that is named",
                "luge pull bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
            ),
            ("The usual one of a repository", "luge pull bartowski/Llama-3.2-1B-Instruct-GGUF"),
        ],
    },
    Example {
        command: "list",
        about: "The built-in model, those in the cache of Hugging Face's models and those that \
                ollama has stored, each by the name that -m takes.",
        lines: &[("What is there", "luge list"), ("For a program", "luge list --format json")],
    },
    Example {
        command: "show",
        about: "Reads the head of a model's file: sizes, tensors, tokens, template, the settings \
                that were published for SLED, and what an early exit costs.",
        lines: &[
            ("The built-in model", "luge show atlas"),
            ("One that ollama has stored", "luge show ollama:llama3.2"),
            ("Its chat template, whole", "luge show model.gguf --template"),
        ],
    },
    Example {
        command: "rm",
        about: "Removes the files of a model that was fetched from Hugging Face, and says how \
                much room that made. Models of ollama, and files elsewhere, are left to those \
                who put them there.",
        lines: &[
            ("It asks first", "luge rm bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"),
            ("It does not", "luge rm --yes bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"),
        ],
    },
    Example {
        command: "config",
        about: "Flags that you always give can stand in a configuration file, and in variables \
                named LUGE_ and the flag: LUGE_CTX_SIZE for --ctx-size. What is given on the \
                command line comes first, then variables, then the file: what it says of the \
                model, of the command, and of all commands. A switch that is on there is turned \
                off by --no- and its name; --no-mmap by --mmap.",
        lines: &[
            ("What `luge run` would do", "luge config"),
            ("What another command would do with flags", "luge config compare -m model.gguf -n 40"),
            ("Where the file is", "luge config --path"),
            ("Write one with everything commented out", "luge config --init"),
        ],
    },
    Example {
        command: "completions",
        about: "The script goes where the shell looks for such, a folder that may have to be made \
                first, or is read by its start file.",
        lines: &[
            (
                "bash, for this user",
                "luge completions bash >~/.local/share/bash-completion/completions/luge",
            ),
            ("zsh, in a folder of $fpath", "luge completions zsh >~/.zfunc/_luge"),
            ("fish", "luge completions fish >~/.config/fish/completions/luge.fish"),
        ],
    },
    Example {
        command: "man",
        about: "The pages are made from the same definitions as the help.",
        lines: &[
            ("Read one", "luge man run | man -l -"),
            ("Install all of them for this user", "luge man --out ~/.local/share/man/man1"),
        ],
    },
];

/// The command with what is said of it here.
pub fn added(command: Command) -> Command {
    let Some(example) = EXAMPLES.iter().find(|example| example.command == command.get_name())
    else {
        return command;
    };
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let lines = example.lines.iter().map(|(remark, line)| format!("  # {remark}\n  {line}\n"));
    let mut help = format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n"));
    if has_settings(&command) {
        help.push_str(
            "\nWhat you always give can stand in a file or in variables: luge config --help.",
        );
    }
    command.long_about(format!("{about}.\n\n{}", example.about)).after_long_help(help)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::args::{definition, with_long_names, with_negations};
    use crate::settings::is_setting;

    /// The words of a line as a shell takes them, up to where the output goes elsewhere.
    fn words(line: &str) -> impl Iterator<Item = OsString> {
        let words = shlex::split(line).unwrap();
        words.into_iter().take_while(|word| word != "|" && !word.starts_with('>')).map(Into::into)
    }

    #[test]
    fn every_command_has_examples_and_they_parse() {
        for command in definition().get_subcommands() {
            let name = command.get_name();
            let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<_> =
                text.lines().map(str::trim).filter(|l| l.starts_with("luge ")).collect();
            assert!((2..=4).contains(&lines.len()), "{name} has {} examples", lines.len());
            for line in lines {
                assert!(line.chars().count() <= 90, "{line}");
                let parsed = with_negations(definition(), is_setting)
                    .try_get_matches_from(with_long_names(words(line)));
                let parsed = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(parsed.subcommand_name(), Some(name), "{line}");
            }
        }
    }
}
