//! The commands and their flags as documents: manual pages, and Markdown for
//! `docs/commands.md`. Both are made from the definition that is parsed.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

use crate::args::{default_of, definition, negation, visible};
use crate::failure::Failure;
use crate::settings::{has_settings, is_setting, variable};

/// The manual pages of luge and of its commands, each with its file's name.
pub fn pages() -> Vec<(String, Vec<u8>)> {
    let command = built();
    let commands = [&command].into_iter().chain(command.get_subcommands());
    commands.map(|command| (format!("{}.1", title(command)), render(command))).collect()
}

/// The manual page of a command, or of luge itself.
pub fn page(name: Option<&str>) -> Result<Vec<u8>, Failure> {
    let command = built();
    let Some(name) = name else { return Ok(render(&command)) };
    let names = || command.get_subcommands().map(Command::get_name).collect::<Vec<_>>().join(", ");
    let command = command.find_subcommand(name).ok_or_else(|| {
        Failure::Usage(format!("there is no command '{name}'; there are {}", names()))
    })?;
    Ok(render(command))
}

/// `luge-run` for `luge run`.
fn title(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

/// `luge run [OPTIONS] [PROMPT]`.
fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage: ").to_owned()
}

fn built() -> Command {
    let mut command = definition();
    command.build();
    command
}

fn render(command: &Command) -> Vec<u8> {
    let is_root = command.has_subcommands();
    let documented = command.clone().mut_args(|arg| {
        let mut help = help_of(&arg);
        // A default that clap does not know: what the flag is without one is the program's.
        let is_unsaid = arg.get_action().takes_values() && arg.get_default_values().is_empty();
        if let Some(default) = default_of(&arg).filter(|_| is_unsaid) {
            help.push_str(&format!(". Default: {default}"));
        }
        for remark in remarks(command, &arg, "") {
            help.push_str(". ");
            help.push_str(&remark);
        }
        arg.long_help(help)
    });
    let documented = documented.override_usage(usage(command));
    let page = clap_mangen::Man::new(documented)
        .title(title(command))
        .manual("luge")
        .source(format!("luge {}", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    let sections = [
        clap_mangen::Man::render_title,
        clap_mangen::Man::render_name_section,
        clap_mangen::Man::render_synopsis_section,
        clap_mangen::Man::render_description_section,
        clap_mangen::Man::render_options_section,
    ];
    for section in sections {
        // Nothing fails in memory.
        let _ = section(&page, &mut text);
    }
    if is_root {
        let _ = page.render_subcommands_section(&mut text);
    }
    let lines = examples(command);
    if !lines.is_empty() {
        let mut roff = roff::Roff::new();
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in lines {
            roff.text([roff::roman(line)]);
        }
        roff.control("fi", []);
        let _ = roff.to_writer(&mut text);
    }
    text
}

/// Everything there is to know of all commands, as Markdown.
pub fn markdown() -> String {
    let command = built();
    let mut text = "# Commands\n\nMade by `luge man --format markdown` from the definitions that \
                    luge parses: `make docs` makes it anew. \
                    [configuration.md](configuration.md) says how settings work.\n"
        .to_owned();
    for command in [&command].into_iter().chain(command.get_subcommands()) {
        // Writing to a String cannot fail.
        let _ = describe(&mut text, command);
    }
    text
}

fn describe(text: &mut String, command: &Command) -> std::fmt::Result {
    let is_root = command.has_subcommands();
    let name = command.get_bin_name().unwrap_or(command.get_name());
    writeln!(text, "\n## {name}\n")?;
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        writeln!(text, "{about}\n")?;
    }
    writeln!(text, "```text\n{}\n```", usage(command))?;
    let lines = examples(command);
    if !lines.is_empty() {
        writeln!(text, "\n```sh\n{}\n```", lines.join("\n"))?;
    }
    if is_root {
        writeln!(text)?;
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let name = command.get_name();
            writeln!(text, "- [`{name}`](#luge-{name}): {about}")?;
        }
    }
    // Those of all commands are said once.
    let args: Vec<&Arg> = visible(command).filter(|arg| is_root || !arg.is_global_set()).collect();
    let heading = |arg: &Arg| match arg.get_help_heading() {
        Some(heading) => heading.to_owned(),
        None if arg.is_global_set() => "For all commands".to_owned(),
        None => "Other".to_owned(),
    };
    let mut headings: Vec<String> = Vec::new();
    for arg in &args {
        if !headings.contains(&heading(arg)) {
            headings.push(heading(arg));
        }
    }
    for shown in headings {
        writeln!(text, "\n**{shown}**\n")?;
        for arg in args.iter().filter(|arg| heading(arg) == shown) {
            let mut line = format!("- {}: {}.", spelled(arg), help_of(arg));
            let values: Vec<String> = arg
                .get_possible_values()
                .iter()
                .filter(|value| {
                    !value.is_hide_set() && arg.get_num_args().is_some_and(|n| n.takes_values())
                })
                .map(|value| format!("`{}`", value.get_name()))
                .collect();
            if !values.is_empty() {
                write!(line, " One of {}.", values.join(", "))?;
            }
            if let Some(default) =
                default_of(arg).filter(|_| arg.get_num_args().is_some_and(|n| n.takes_values()))
            {
                write!(line, " Default: {default}.")?;
            }
            for remark in remarks(command, arg, "`") {
                write!(line, " {remark}.")?;
            }
            writeln!(text, "{line}")?;
        }
    }
    Ok(())
}

/// The ways to write a flag, or the name of what stands without one.
fn spelled(arg: &Arg) -> String {
    let value = match arg.get_value_names() {
        Some(names) if arg.get_num_args().is_some_and(|n| n.takes_values()) => {
            format!("<{}>", names.join(" "))
        }
        _ => String::new(),
    };
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let mut names = if names.is_empty() { vec![value.clone()] } else { names };
    if let Some(last) = names.last_mut().filter(|last| **last != value && !value.is_empty()) {
        last.push(' ');
        last.push_str(&value);
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The whole help without the default at its end, which is told apart.
fn help_of(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let help = match (help.find(" [default: "), help.rfind(']')) {
        (Some(start), Some(end)) if start < end => {
            format!("{}{}", &help[..start], &help[end + 1..])
        }
        _ => help,
    };
    // A range such as -4.. ends with two.
    match help.strip_suffix('.') {
        Some(rest) if !rest.ends_with('.') => rest.to_owned(),
        _ => help,
    }
}

/// What else is to be said of a flag: its other names, and how it is set. What is to be
/// typed stands between two of `mark`.
fn remarks(command: &Command, arg: &Arg, mark: &str) -> Vec<String> {
    let marked = |text: &str| format!("{mark}{text}{mark}");
    let mut remarks = Vec::new();
    let others = arg.get_visible_aliases().unwrap_or_default();
    if !others.is_empty() {
        let names: Vec<_> = others.iter().map(|name| marked(&format!("--{name}"))).collect();
        remarks.push(format!("Also {}", names.join(", ")));
    }
    // luge itself has the flags of all commands.
    if is_setting(arg) && (has_settings(command) || arg.is_global_set()) {
        let name = arg.get_long().unwrap_or_default();
        let variable = variable(name);
        remarks.push(format!("Setting {}, variable {}", marked(name), marked(&variable)));
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            remarks.push(format!("Turned off by {}", marked(&format!("--{}", negation(arg)))));
        }
    }
    remarks
}

/// The lines of the examples in a command's help.
fn examples(command: &Command) -> Vec<String> {
    let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let is_example = |line: &&str| line.starts_with("  ") || line.is_empty();
    let lines: Vec<_> = text.lines().skip(1).take_while(is_example).map(str::trim).collect();
    lines.join("\n").trim_end().lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command's own text in the reference.
    fn section<'a>(text: &'a str, name: &str) -> &'a str {
        let start = text.find(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("{name}"));
        let rest = &text[start + 1..];
        rest[1..].find("\n## ").map_or(rest, |end| &rest[..=end])
    }

    /// Every way in which people may write a flag.
    fn names(arg: &Arg) -> Vec<String> {
        let long = arg.get_long().into_iter().chain(arg.get_visible_aliases().unwrap_or_default());
        let long = long.map(|name| format!("--{name}"));
        let short = arg.get_short_and_visible_aliases().unwrap_or_default();
        long.chain(short.into_iter().map(|name| format!("-{name}"))).collect()
    }

    fn is_word(text: &str, name: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '-';
        text.match_indices(name).any(|(at, _)| {
            !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part)
        })
    }

    #[test]
    fn every_flag_is_in_the_reference_and_in_its_manual_page() {
        let text = markdown();
        let pages = pages();
        let root = built();
        for command in [&root].into_iter().chain(root.get_subcommands()) {
            let name = command.get_bin_name().unwrap_or(command.get_name());
            let section = section(&text, name);
            let file = format!("{}.1", name.replace(' ', "-"));
            let (_, page) = pages.iter().find(|(name, _)| *name == file).unwrap();
            let page = String::from_utf8_lossy(page)
                .replace("\\-", "-")
                .replace("\\fR", " ")
                .replace("\\fB", " ");
            for arg in visible(command) {
                let default = default_of(arg).filter(|_| arg.get_action().takes_values());
                if let Some(default) = default {
                    let named = [format!("[default: {default}]"), format!("Default: {default}")];
                    let id = arg.get_id();
                    assert!(named.iter().any(|text| page.contains(text)), "{file}: {id}");
                }
                for name in names(arg) {
                    assert!(is_word(&page, &name), "{file} lacks {name}");
                    if command.has_subcommands() || !arg.is_global_set() {
                        assert!(is_word(section, &name), "{section} lacks {name}");
                    }
                }
                let known = is_setting(arg) && has_settings(command) && !arg.is_global_set();
                if known && !command.has_subcommands() {
                    let variable = variable(arg.get_long().unwrap());
                    assert!(section.contains(&variable), "{section} lacks {variable}");
                    assert!(page.contains(&variable), "{file} lacks {variable}");
                }
            }
        }
    }

    // The help says what is built in.
    #[cfg(feature = "atlas")]
    #[test]
    fn the_reference_in_the_docs_is_what_is_generated() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
        let committed = std::fs::read_to_string(file).unwrap_or_default();
        assert!(committed == markdown(), "docs/commands.md is not up to date: make docs");
    }
}
