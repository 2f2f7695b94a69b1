//! The command line as clap knows it: what the structs say, with a summary of each
//! flag for `-h`, examples, and flags that turn others off.

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::{Cli, examples};

/// The command line as it is documented.
pub fn definition() -> Command {
    let command = Cli::command().mut_args(with_summary).after_help(
        "Flags can also stand in a configuration file, and in the environment as LUGE_ and their \
         name: luge config --help.",
    );
    command.mut_subcommands(|command| examples::added(command.mut_args(with_summary)))
}

/// The command line with a hidden flag for each switch that settings may turn on,
/// which turns it off again.
pub fn with_negations(command: Command, is_setting: impl Fn(&Arg) -> bool) -> Command {
    let command = negated(command, &is_setting);
    command.mut_subcommands(|command| negated(command, &is_setting))
}

fn negated(command: Command, is_setting: impl Fn(&Arg) -> bool) -> Command {
    let is_switch = |arg: &Arg| matches!(arg.get_action(), ArgAction::SetTrue) && is_setting(arg);
    let hidden = |switch: &Arg| format!("!{}", switch.get_id());
    let negations: Vec<Arg> = command
        .get_arguments()
        .filter(|arg| is_switch(arg))
        .map(|switch| {
            Arg::new(hidden(switch))
                .long(negation(switch))
                .action(ArgAction::SetTrue)
                .hide(true)
                .global(switch.is_global_set())
                .help(format!("Turn --{} off", switch.get_long().unwrap_or_default()))
                .overrides_with(switch.get_id())
        })
        .collect();
    let overridden = |switch: Arg| {
        let negation = hidden(&switch);
        switch.overrides_with(negation)
    };
    command.mut_args(|arg| if is_switch(&arg) { overridden(arg) } else { arg }).args(negations)
}

/// The name of the flag that turns a switch off: `no-x` for `x`, `x` for `no-x`.
pub fn negation(switch: &Arg) -> String {
    let name = switch.get_long().unwrap_or_default();
    name.strip_prefix("no-").map_or_else(|| format!("no-{name}"), str::to_owned)
}

/// The arguments that people see.
pub fn visible(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set())
}

/// What an argument is where nothing sets it, as text, if there is anything to tell.
pub fn default_of(arg: &Arg) -> Option<String> {
    match arg.get_action() {
        ArgAction::Set | ArgAction::Append => {}
        ArgAction::SetTrue => return Some("false".to_owned()),
        ArgAction::Count => return Some("0".to_owned()),
        _ => return None,
    }
    let values: Vec<_> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !values.is_empty() {
        return Some(values.join(","));
    }
    let help = arg.get_long_help().or(arg.get_help())?.to_string();
    let (_, default) = help.split_once("[default: ")?;
    Some(default.split(']').next().unwrap_or(default).to_owned())
}

/// The argument with the beginning of its help for `-h`, and all of it for `--help`.
fn with_summary(arg: Arg) -> Arg {
    match (arg.get_help(), arg.get_long_help()) {
        (Some(help), None) => {
            let help = help.to_string();
            arg.help(summary(&help)).long_help(help)
        }
        _ => arg,
    }
}

/// A help text up to where the particulars begin, and what stands in brackets at its
/// end.
fn summary(help: &str) -> String {
    let (text, brackets) = match help.find(" [") {
        Some(at) => help.split_at(at),
        None => (help, ""),
    };
    let is_enough = |text: &str| text.split_whitespace().count() > 1;
    let ends = ["; ", ": ", ". ", ", such as ", ", as in ", ", in place of "];
    let ends = ends.iter().filter_map(|end| text.find(end)).filter(|&at| is_enough(&text[..at]));
    let end = ends.min().unwrap_or(text.len());
    format!("{}{brackets}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::is_setting;

    #[test]
    fn no_name_stands_for_two_flags() {
        let mut command = with_negations(definition(), is_setting);
        command.build();
        for command in command.get_subcommands() {
            let mut seen: Vec<String> = Vec::new();
            for arg in command.get_arguments() {
                let long =
                    arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default());
                let short = arg.get_short_and_visible_aliases().unwrap_or_default();
                for name in long.map(str::to_owned).chain(short.iter().map(char::to_string)) {
                    assert!(!seen.contains(&name), "{} has two of {name}", command.get_name());
                    seen.push(name);
                }
            }
        }
    }

    #[test]
    fn nothing_is_kept_from_the_documents() {
        let command = definition();
        for command in [&command].into_iter().chain(command.get_subcommands()) {
            let name = command.get_name();
            assert!(!command.is_hide_set(), "{name}");
            assert!(command.get_all_aliases().eq(command.get_visible_aliases()), "{name}");
            for arg in command.get_arguments() {
                let name = format!("{name} {}", arg.get_id());
                let is_hidden = arg.is_hide_set()
                    || arg.is_hide_short_help_set()
                    || arg.is_hide_long_help_set();
                assert!(!is_hidden, "{name}");
                assert_eq!(arg.get_all_aliases(), arg.get_visible_aliases(), "{name}");
                assert_eq!(arg.get_all_short_aliases(), arg.get_visible_short_aliases(), "{name}");
            }
        }
    }

    #[test]
    fn a_summary_ends_where_the_particulars_begin() {
        let summaries = [
            ("Temperature; 0 takes the best token", "Temperature; 0 takes the best token"),
            ("The seed; the same one gives the same text [default: -1]", "The seed [default: -1]"),
            ("Type of the K cache: f32, f16 [-ctk]", "Type of the K cache [-ctk]"),
            ("Output: text, or JSON", "Output: text, or JSON"),
            ("Token ids, such as 1,2; as they are", "Token ids"),
            ("Flash attention [-fa]", "Flash attention [-fa]"),
        ];
        for (help, wanted) in summaries {
            assert_eq!(summary(help), wanted);
        }
    }

    #[test]
    fn every_argument_has_a_help_of_its_own() {
        let mut command = definition();
        command.build();
        for command in command.get_subcommands() {
            let mut seen: Vec<String> = Vec::new();
            for arg in visible(command) {
                let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
                let help = help.unwrap_or_default();
                let name = format!("{} {}", command.get_name(), arg.get_id());
                assert!(help.len() > 4 && !seen.contains(&help), "{name}: {help:?}");
                seen.push(help);
            }
        }
    }
}
