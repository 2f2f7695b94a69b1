//! What people write to name a model.
//!
//! In this order:
//!
//! 1. an existing file is that file, whatever else it may look like;
//! 2. an alias is what it stands for;
//! 3. `ollama:…` is a model of ollama's;
//! 4. `hf:…`, `hf.co/…` and addresses of huggingface.co are repositories there;
//! 5. what is written as a path (`./x`, `/x`, `~/x`), and what ends in `.gguf` and has at
//!    most one folder in front, or one that is there, is a file that is not there;
//! 6. `org/name` is a repository of Hugging Face, with `:TAG`, `@revision` or the path of
//!    a `.gguf` file behind it;
//! 7. and a single word is a mistake, which is answered with what is near it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use crate::Error;
use crate::error::there_are;
use crate::files::is_inside;
use crate::settings::expanded;
use crate::source::{Kind, Source};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A file; whether it is there, its opening will show.
    Path(PathBuf),
    /// A model in a repository of Hugging Face.
    Hub(HubName),
    /// A model that ollama has stored.
    Ollama(OllamaName),
    /// A word that is none of these. The caller may know what is near it.
    Unknown(String),
}

/// A model in a repository of Hugging Face.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubName {
    /// The repository, `org/name`.
    pub repo: String,
    /// A branch, a tag, or a commit; `None` for what is newest.
    pub revision: Option<String>,
    /// Which of its files.
    pub file: FileChoice,
}

/// Which model of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChoice {
    /// By the order of [`crate::DEFAULT_ORDER`].
    Default,
    /// The one of this quantisation.
    Tag(String),
    /// The one that this file belongs to.
    Path(String),
}

/// A model that ollama has stored, `registry/user/model:tag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OllamaName {
    /// The host that it comes from, `registry.ollama.ai` unless said otherwise.
    pub host: String,
    /// Whose it is, `library` unless said otherwise.
    pub namespace: String,
    /// The model.
    pub model: String,
    /// The variant, `latest` unless said otherwise.
    pub tag: String,
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        match &self.file {
            FileChoice::Default => Ok(()),
            FileChoice::Tag(tag) => write!(f, ":{tag}"),
            FileChoice::Path(path) => write!(f, "/{path}"),
        }
    }
}

/// As ollama writes it, without what goes without saying.
impl fmt::Display for OllamaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_usual = self.host == REGISTRY;
        if !is_usual {
            write!(f, "{}/", self.host)?;
        }
        if !is_usual || self.namespace != LIBRARY {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.model)?;
        if self.tag != LATEST {
            write!(f, ":{}", self.tag)?;
        }
        Ok(())
    }
}

const REGISTRY: &str = "registry.ollama.ai";
const LIBRARY: &str = "library";
const LATEST: &str = "latest";

/// How addresses of Hugging Face begin, as people paste them.
const HUB_PREFIXES: [&str; 12] = [
    "https://huggingface.co/",
    "http://huggingface.co/",
    "https://www.huggingface.co/",
    "https://hf.co/",
    "http://hf.co/",
    "www.huggingface.co/",
    "huggingface.co/",
    "hf.co/",
    "hf://",
    "hf:",
    "huggingface://",
    "huggingface:",
];

impl Name {
    /// Reads a name. The aliases are names for names.
    ///
    /// # Errors
    /// [`Error::Name`] for what can be no name, and [`Error::AliasCycle`].
    pub fn parse(text: &Path, aliases: &BTreeMap<String, String>) -> Result<Self, Error> {
        // What is no UTF-8 can only be a path.
        let Some(mut text) = text.to_str() else { return Ok(Name::Path(text.to_owned())) };
        let mut passed: Vec<String> = Vec::new();
        loop {
            if Path::new(text).is_file() {
                return Ok(Name::Path(text.into()));
            }
            // Shells write it out. Who writes aliases and settings has none.
            if text.starts_with("~/") {
                return Ok(Name::Path(expanded(text.into(), dirs::home_dir().as_deref())));
            }
            let Some(meant) = aliases.get(text) else { return Name::parse_literal(text) };
            passed.push(text.to_owned());
            if passed.contains(meant) {
                passed.push(meant.clone());
                passed.drain(..passed.iter().position(|name| name == meant).unwrap_or(0));
                return Err(Error::AliasCycle(passed));
            }
            text = meant;
        }
    }

    fn parse_literal(text: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Name { name: text.to_owned(), reason: reason.to_owned() };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if let Some(rest) = text.strip_prefix("ollama:") {
            return OllamaName::parse(rest.trim_start_matches("//")).map(Name::Ollama).ok_or_else(
                || wrong("ollama's are written as ollama:model:tag or ollama:user/model:tag"),
            );
        }
        if let Some(rest) = hub_address(text) {
            return HubName::parse(rest, true).map(Name::Hub).map_err(|reason| wrong(&reason));
        }
        if text.contains("://") {
            return Err(wrong(
                "only addresses of huggingface.co are known; download the file, and give its path",
            ));
        }
        let is_path =
            text.starts_with(['.', '/', '~', '\\']) || text.contains('\\') || text.contains("//");
        let ends_as_file = text.to_ascii_lowercase().ends_with(".gguf");
        let slashes = text.matches('/').count();
        // Beside files that are there, more likely a slip of the pen than a repository.
        let is_beside = || Path::new(text).parent().is_some_and(Path::is_dir);
        if is_path || (ends_as_file && (slashes < 2 || is_beside())) {
            return Ok(Name::Path(text.into()));
        }
        if slashes == 0 {
            // A folder or a pipe has its own error.
            let exists = Path::new(text).exists();
            return Ok(if exists {
                Name::Path(text.into())
            } else {
                Name::Unknown(text.to_owned())
            });
        }
        match HubName::parse(text, false) {
            Ok(name) => Ok(Name::Hub(name)),
            // With several slashes, more likely a file than a repository.
            Err(_) if slashes > 1 => Ok(Name::Path(text.into())),
            Err(reason) => Err(wrong(&reason)),
        }
    }
}

impl HubName {
    /// Reads `org/name`, with what may stand behind it. Addresses have more forms.
    fn parse(text: &str, is_address: bool) -> Result<Self, String> {
        const FORM: &str =
            "repositories are written as org/name, org/name:Q4_K_M or org/name/file.gguf";
        let mut parts = text.splitn(3, '/');
        let (Some(org), Some(second)) = (parts.next(), parts.next()) else {
            return Err(FORM.to_owned());
        };
        let rest = parts.next();
        // `name@revision:tag`: the revision may have slashes, and no colon.
        let (name, revision, tag, path) = match second.split_once('@') {
            Some((name, begin)) => {
                let behind = rest.map_or(begin.to_owned(), |rest| format!("{begin}/{rest}"));
                let (behind, tag) = tagged(&behind);
                let (revision, path) = revision_and_path(behind);
                (name, Some(revision.to_owned()), tag.map(str::to_owned), path.map(str::to_owned))
            }
            None => {
                let (name, tag) = tagged(second);
                match rest {
                    Some(_) if tag.is_some() => return Err(FORM.to_owned()),
                    Some(rest) => {
                        let (revision, path) = address(rest, is_address);
                        (name, revision, None, path)
                    }
                    None => (name, None, tag.map(str::to_owned), None),
                }
            }
        };
        if !is_word(org) || !is_word(name) {
            return Err(FORM.to_owned());
        }
        if revision.as_deref().is_some_and(|revision| !revision.split('/').all(is_word)) {
            return Err("behind the @ stands a branch, a tag or a commit".to_owned());
        }
        let file = match (tag, path) {
            (Some(tag), None) if tag.eq_ignore_ascii_case(LATEST) => FileChoice::Default,
            (Some(tag), None) if is_word(&tag) => FileChoice::Tag(tag),
            (None, None) => FileChoice::Default,
            (None, Some(path)) => {
                if !is_inside(&path) || !path.to_ascii_lowercase().ends_with(".gguf") {
                    return Err(format!("'{path}' is no GGUF file, and luge reads no others"));
                }
                FileChoice::Path(path)
            }
            _ => return Err("behind the colon stands a quantisation, as in :Q4_K_M".to_owned()),
        };
        Ok(HubName { repo: format!("{org}/{name}"), revision, file })
    }

    /// The repository that it is in.
    pub(crate) fn source(&self) -> Source {
        let (repo, revision) = (self.repo.clone(), self.revision.clone());
        Source { kind: Kind::Model, repo, revision }
    }
}

/// What stands behind an address of Hugging Face or a prefix for it, without what browsers
/// put at the end; none where there is no such prefix.
pub(crate) fn hub_address(text: &str) -> Option<&str> {
    let prefix = HUB_PREFIXES.iter().find(|prefix| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    })?;
    let rest = &text[prefix.len()..];
    Some(rest.split(['?', '#']).next().unwrap_or(rest).trim_end_matches('/'))
}

/// Whether a text may be the name of a repository, or a part of a revision.
pub(crate) fn is_word(word: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !word.is_empty() && !word.starts_with('.') && !word.contains("..") && word.chars().all(known)
}

/// What is in front of the colon, and the tag behind it.
fn tagged(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(text, tag)| (text, Some(tag)))
}

/// A revision, and the path of a file behind it. `refs/pr/1` is one revision.
pub(crate) fn revision_and_path(text: &str) -> (&str, Option<&str>) {
    let parts = if text.starts_with("refs/") { 3 } else { 1 };
    match text.match_indices('/').nth(parts - 1) {
        Some((at, _)) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// What stands behind the repository: a path, or in an address `resolve/main/path`.
pub(crate) fn address(rest: &str, is_address: bool) -> (Option<String>, Option<String>) {
    let verb =
        ["resolve/", "blob/", "tree/", "raw/"].iter().find_map(|verb| rest.strip_prefix(verb));
    match verb.filter(|_| is_address) {
        Some(behind) => {
            let (revision, path) = revision_and_path(behind);
            // What everyone has at the end of a pasted address means: the newest.
            let decoded = |path| percent_decode_str(path).decode_utf8_lossy().into_owned();
            let revision = Some(decoded(revision)).filter(|revision| revision != "main");
            (revision, path.map(decoded))
        }
        None if is_address && rest == "tree" => (None, None),
        None => (None, Some(rest.to_owned())),
    }
}

impl OllamaName {
    /// Reads what stands behind `ollama:`; `None` for what ollama would not take.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (path, tag) = match text.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (text, LATEST),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (host, namespace, model) = match parts[..] {
            [model] => (REGISTRY, LIBRARY, model),
            [namespace, model] => (REGISTRY, namespace, model),
            [host, namespace, model] => (host, namespace, model),
            _ => return None,
        };
        // They become names of folders.
        let is_name = |name: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
            !name.is_empty() && !name.starts_with('.') && name.chars().all(known)
        };
        let is_fine = [host, namespace, model, tag].into_iter().all(is_name);
        is_fine.then(|| OllamaName {
            host: host.to_owned(),
            namespace: namespace.to_owned(),
            model: model.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

/// The error of a file that is not there, if there are models beside its place that may
/// be meant. Without such, its opening tells what is wrong.
pub fn files_near(path: &Path) -> Option<Error> {
    if path.symlink_metadata().is_ok() {
        return None;
    }
    let folder = path.parent()?;
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names: Vec<String> = crate::cache::entries(here)
        .filter(|file| file.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf")))
        .filter_map(|file| Some(folder.join(file.file_name()?).to_str()?.to_owned()))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let near = nearest(path.to_str()?, &names, 3);
    (!near.is_empty()).then(|| Error::NoFile { path: path.to_owned(), hint: there_are(&near) })
}

/// The names that look most like a text, nearest first, each once and at most so many.
/// Where there are not more than that, all.
pub fn nearest(text: &str, names: &[&str], most: usize) -> Vec<String> {
    let text = text.to_lowercase();
    let likeness = |name: &str| {
        let name = name.to_lowercase();
        // "llama3.2" is in "bartowski/Llama-3.2-1B-Instruct-GGUF".
        let plain = |text: &str| text.replace(['-', '_', '.', ' '], "");
        let is_part = plain(&name).contains(&plain(&text));
        strsim::jaro_winkler(&text, &name) + f64::from(u8::from(is_part))
    };
    let mut rated: Vec<(f64, &str)> = names.iter().map(|name| (likeness(name), *name)).collect();
    rated.sort_by(|(a, first), (b, second)| b.total_cmp(a).then(first.cmp(second)));
    rated.dedup_by(|(_, a), (_, b)| a == b);
    rated.into_iter().take(most).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Name, String> {
        Name::parse(text.as_ref(), &BTreeMap::new()).map_err(|error| error.to_string())
    }

    /// The name as it is written in full.
    fn hub(text: &str) -> String {
        match parsed(text) {
            Ok(Name::Hub(name)) => name.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn repositories_are_written_in_many_ways() {
        let ways = [
            ("org/name", "org/name"),
            ("org/name:q4_k_m", "org/name:q4_k_m"),
            ("org/name:latest", "org/name"),
            ("hf:org/name:Q8_0", "org/name:Q8_0"),
            ("hf.co/org/name", "org/name"),
            ("HF.co/org/name:Q8_0", "org/name:Q8_0"),
            ("org/name/a.gguf", "org/name/a.gguf"),
            ("org/name/folder/a.GGUF", "org/name/folder/a.GGUF"),
            ("org/name@v1.0:Q4_0", "org/name@v1.0:Q4_0"),
            ("org/name@refs/pr/3:Q4_0", "org/name@refs/pr/3:Q4_0"),
            ("org/name@refs/pr/3", "org/name@refs/pr/3"),
            ("org/name@dev/b/a.gguf", "org/name@dev/b/a.gguf"),
            ("https://huggingface.co/org/name", "org/name"),
            ("https://huggingface.co/org/name/", "org/name"),
            ("https://huggingface.co/org/name/tree/main", "org/name"),
            ("https://huggingface.co/org/name/tree/dev", "org/name@dev"),
            ("https://huggingface.co/org/name?show_file_info=a.gguf", "org/name"),
            (
                "https://huggingface.co/org/name/resolve/main/a-Q4_0.gguf?download=true",
                "org/name/a-Q4_0.gguf",
            ),
            ("https://huggingface.co/org/name/blob/dev/b/a.gguf", "org/name@dev/b/a.gguf"),
            ("https://hf.co/org/name/tree/refs%2Fpr%2F3", "org/name@refs/pr/3"),
            ("https://hf.co/org/name/blob/main/a%20b%2B.gguf", "org/name/a b+.gguf"),
        ];
        for (written, meant) in ways {
            assert_eq!(hub(written), meant, "{written}");
        }
    }

    #[test]
    fn files_that_are_not_there_are_still_files() {
        for path in ["model.gguf", "models/a.gguf", "./a", "/a/b", "~a/b", "a/b/c/d", "a\\b.gguf"] {
            assert_eq!(parsed(path), Ok(Name::Path(path.into())), "{path}");
        }
        let home = dirs::home_dir().unwrap();
        assert_eq!(parsed("~/a/b"), Ok(Name::Path(home.join("a/b"))));
        assert_eq!(parsed("llama3.2"), Ok(Name::Unknown("llama3.2".to_owned())));
        assert_eq!(parsed("llama3.2:1b"), Ok(Name::Unknown("llama3.2:1b".to_owned())));
    }

    #[test]
    fn in_a_folder_that_is_there_a_name_is_a_file() {
        // The tests run in the folder of the crate.
        assert_eq!(parsed("tests/support/a.gguf"), Ok(Name::Path("tests/support/a.gguf".into())));
        assert_eq!(hub("hf:tests/support/a.gguf"), "tests/support/a.gguf");
    }

    #[test]
    fn a_file_that_is_there_wins_over_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("name");
        std::fs::write(&file, "").unwrap();
        let aliases = BTreeMap::from([(file.to_str().unwrap().to_owned(), "org/name".to_owned())]);
        assert_eq!(Name::parse(&file, &aliases).unwrap(), Name::Path(file));
    }

    #[test]
    fn ollamas_names_are_filled_up() {
        let names = [
            ("ollama:llama3.2", "registry.ollama.ai library llama3.2 latest", "llama3.2"),
            ("ollama:llama3.2:1b", "registry.ollama.ai library llama3.2 1b", "llama3.2:1b"),
            ("ollama:user/model:tag", "registry.ollama.ai user model tag", "user/model:tag"),
            ("ollama:hf.co/org/m-GGUF:Q4_0", "hf.co org m-GGUF Q4_0", "hf.co/org/m-GGUF:Q4_0"),
            // ollama keeps the two apart.
            (
                "ollama:huggingface.co/org/m:Q4_0",
                "huggingface.co org m Q4_0",
                "huggingface.co/org/m:Q4_0",
            ),
            ("ollama:localhost:5000/a/b", "localhost:5000 a b latest", "localhost:5000/a/b"),
        ];
        for (written, parts, shown) in names {
            let Ok(Name::Ollama(name)) = parsed(written) else { panic!("{written}") };
            let found = [&name.host, &name.namespace, &name.model, &name.tag];
            assert_eq!(found.map(String::as_str).join(" "), parts);
            assert_eq!(name.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_name_is_told_why() {
        let wrong = [
            ("", "empty"),
            ("ollama:", "ollama:model:tag"),
            ("ollama:../x", "ollama:model:tag"),
            ("ollama:a/b/c/d", "ollama:model:tag"),
            ("hf:name", "org/name"),
            ("org/na me", "org/name"),
            ("org/name:", "quantisation"),
            ("org/name:Q4 0", "quantisation"),
            ("org/name@:Q4_0", "branch"),
            ("hf:org/name@a..b", "branch"),
            ("hf:org/../a.gguf", "org/name"),
            ("hf:org/name/../a.gguf", "no GGUF file"),
            ("hf:org/name/config.json", "no GGUF file"),
            ("https://huggingface.co/org", "org/name"),
            ("https://example.com/a.gguf", "only addresses of huggingface.co"),
        ];
        for (name, reason) in wrong {
            let message = parsed(name).unwrap_err();
            assert!(message.contains(reason) && message.contains(name), "{message}");
        }
    }

    #[test]
    fn aliases_are_followed_and_never_in_circles() {
        let pairs =
            [("a", "b"), ("b", "org/name:Q8_0"), ("x", "y"), ("y", "z"), ("z", "y"), ("s", "s")];
        let aliases = pairs.map(|(name, meant)| (name.to_owned(), meant.to_owned())).into();
        let parsed = |text: &str| Name::parse(text.as_ref(), &aliases);
        assert_eq!(parsed("a").unwrap(), parsed("org/name:Q8_0").unwrap());
        assert!(parsed("x").unwrap_err().to_string().ends_with("itself: y → z → y"));
        assert!(parsed("s").unwrap_err().to_string().ends_with("itself: s → s"));
    }

    proptest::proptest! {
        /// Whatever is written, a repository's name is shown as it can be written again.
        #[test]
        fn names_of_repositories_mean_what_they_show(
            prefix in "(hf:|hf.co/|https://huggingface.co/)?(o/n)?",
            text in "[a-z0-9A-Z/:@.#?%~ é-]{0,20}",
            end in "(.gguf)?",
        ) {
            let text = format!("{prefix}{text}{end}");
            if let Ok(Name::Hub(name)) = parsed(&text) {
                let again = HubName::parse(&name.to_string(), false);
                proptest::prop_assert_eq!(again, Ok(name));
            }
        }
    }

    #[test]
    fn the_nearest_comes_first() {
        let names = ["ollama:qwen3", "bartowski/Llama-3.2-1B-GGUF:Q4_0", "atlas"];
        assert_eq!(nearest("llama3.2", &names, 1), [names[1]]);
        assert_eq!(nearest("atlsa", &names, 1), ["atlas"]);
    }
}
