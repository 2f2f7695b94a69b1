//! What is typed in a chat: a question, or a command that begins with a slash.

use crate::settings::nearest;

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed<'a> {
    Nothing,
    Question(String),
    Command(Command<'a>),
}

/// A command, with what stands behind it.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Help,
    Method(Option<&'a str>),
    /// Nothing, a name, or a name and a value.
    Set(Option<(&'a str, Option<&'a str>)>),
    System(Option<&'a str>),
    Compare(Option<&'a str>),
    Lens(Option<&'a str>),
    Retry,
    Clear,
    Save {
        file: &'a str,
        replaces: bool,
    },
    Load(&'a str),
    End,
}

/// What stands in front of and behind a question of several lines.
pub const QUOTES: &str = "\"\"\"";

/// The commands: what is typed, what may stand behind it, and what it does.
pub const COMMANDS: [(&str, &str, &str); 11] = [
    ("/method", "[METHOD]", "decode with another method: sled, dola, ensemble, greedy, sled+dola"),
    ("/set", "[NAME [VALUE]]", "change a setting, such as evolution-rate or temp; or show them"),
    ("/system", "[TEXT]", "what is to hold for the whole chat; - for nothing"),
    ("/compare", "[METHODS]", "answer the last question with several methods, side by side"),
    ("/lens", "[FILE]", "what every layer said in the last answer; as a page in FILE.html"),
    ("/retry", "", "answer the last question anew"),
    ("/clear", "", "forget the chat, but for what /system says"),
    ("/save", "FILE", "write the chat to a file, as JSON; /save! replaces one"),
    ("/load", "FILE", "go on with a chat from a file"),
    ("/bye", "", "end the chat; so does Ctrl-D"),
    ("/?", "", "show this"),
];

/// Reads what was typed.
///
/// # Errors
/// For a command that does not exist, or lacks what it needs.
pub fn read(text: &str) -> Result<Typed<'_>, String> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix(QUOTES) {
        let inner = inner.strip_suffix(QUOTES).unwrap_or(inner).trim_matches(['\n', '\r']);
        return Ok(if inner.trim().is_empty() {
            Typed::Nothing
        } else {
            Typed::Question(inner.to_owned())
        });
    }
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    // "/etc/hosts" begins a question, and so does "/*" of a program.
    let is_command = |name: &str| {
        !name.contains('/') && !name.starts_with(|c: char| c != '?' && c.is_ascii_punctuation())
    };
    if !word.strip_prefix('/').is_some_and(is_command) {
        return Ok(match text {
            "" => Typed::Nothing,
            text => Typed::Question(text.to_owned()),
        });
    }
    let rest = Some(rest.trim()).filter(|rest| !rest.is_empty());
    let file = || rest.ok_or_else(|| format!("{word} takes the name of a file"));
    Ok(Typed::Command(match word {
        "/?" | "/help" => Command::Help,
        "/method" => Command::Method(rest),
        "/set" => Command::Set(rest.map(|rest| match rest.split_once([' ', '=', '\t']) {
            Some((name, value)) => (name, Some(value.trim())),
            None => (rest, None),
        })),
        "/system" => Command::System(rest),
        "/compare" => Command::Compare(rest),
        "/lens" => Command::Lens(rest),
        "/retry" => Command::Retry,
        "/clear" => Command::Clear,
        "/save" => Command::Save { file: file()?, replaces: false },
        "/save!" => Command::Save { file: file()?, replaces: true },
        "/load" => Command::Load(file()?),
        "/bye" | "/exit" | "/quit" => Command::End,
        unknown => return Err(unknown_command(unknown)),
    }))
}

fn unknown_command(word: &str) -> String {
    match nearest(word, COMMANDS.iter().map(|&(name, ..)| name)) {
        Some(name) => format!("there is no {word}: perhaps {name}; /? shows all"),
        None => format!("there is no {word}: /? shows what there is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_commands_are_told_apart() {
        let question = |text: &str| Ok(Typed::Question(text.to_owned()));
        let command = |command| Ok(Typed::Command(command));
        assert_eq!(read(" Hello! "), question("Hello!"));
        assert_eq!(read("   "), Ok(Typed::Nothing));
        assert_eq!(read("\"\"\"\ntwo\n lines\n\"\"\""), question("two\n lines"));
        assert_eq!(read("\"\"\"one\"\"\""), question("one"));
        assert_eq!(read("\"\"\"\"\"\""), Ok(Typed::Nothing));
        assert_eq!(read("\"\"\" \n \"\"\""), Ok(Typed::Nothing));
        assert_eq!(read("/etc/hosts is what?"), question("/etc/hosts is what?"));
        assert_eq!(read("/* What is this? */"), question("/* What is this? */"));
        assert_eq!(read("/?"), command(Command::Help));
        assert_eq!(read("/set"), command(Command::Set(None)));
        assert_eq!(read("/set temp"), command(Command::Set(Some(("temp", None)))));
        let rate = Some(("evolution-rate", Some("1.5")));
        assert_eq!(read("/set evolution-rate 1.5"), command(Command::Set(rate)));
        assert_eq!(read("/set evolution-rate=1.5 "), command(Command::Set(rate)));
        assert_eq!(read("/system Be brief."), command(Command::System(Some("Be brief."))));
        let save = |replaces| Command::Save { file: "a b.json", replaces };
        assert_eq!(read("/save a b.json"), command(save(false)));
        assert_eq!(read("/save! a b.json"), command(save(true)));
    }

    #[test]
    fn what_is_wrong_with_a_command_is_said() {
        assert_eq!(
            read("/methd sled").unwrap_err(),
            "there is no /methd: perhaps /method; /? shows all"
        );
        assert_eq!(read("/zzz").unwrap_err(), "there is no /zzz: /? shows what there is");
        assert_eq!(read("/load").unwrap_err(), "/load takes the name of a file");
    }
}
