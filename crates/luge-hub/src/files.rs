//! Which of a repository's files are models, which quantisation they have, and which
//! belong together.

use std::collections::BTreeMap;

use crate::Error;
use crate::error::there_are;
use crate::name::{FileChoice, nearest};

/// The quantisations that a repository without a tag is searched for, best first.
///
/// First the one that most people take, four bits with the important matrices in more;
/// then what is near it, the small ones, and last what is not quantised.
pub const DEFAULT_ORDER: [&str; 18] = [
    "Q4_K_M",
    "Q4_0",
    "Q5_K_M",
    "Q8_0",
    "Q6_K",
    "Q5_0",
    "Q4_K_S",
    "Q5_K_S",
    "Q4_1",
    "Q5_1",
    "IQ4_NL",
    "IQ4_XS",
    "MXFP4",
    "MXFP4_MOE",
    "Q3_K_M",
    "BF16",
    "F16",
    "F32",
];

/// The files of one model: one, or the parts of a split model in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileGroup {
    /// Paths inside the repository, at least one.
    pub files: Vec<String>,
    /// The quantisation in capitals, such as `Q4_K_M`, if the name tells.
    pub tag: Option<String>,
    /// How many parts it should have.
    pub parts: usize,
}

impl FileGroup {
    /// The file that names the model, its first.
    pub fn first(&self) -> &str {
        self.files.first().map_or("", String::as_str)
    }

    /// Whether no part is missing.
    pub fn is_whole(&self) -> bool {
        self.files.len() == self.parts
    }

    /// What chooses this model among all of its repository: nothing where it is the only
    /// one and its name tells no quantisation, its tag where no other has it, or its file.
    pub fn choice(&self, all: &[FileGroup]) -> FileChoice {
        let same = |group: &&FileGroup| group.tag == self.tag;
        match &self.tag {
            None if all.len() <= 1 => FileChoice::Default,
            Some(tag) if all.iter().filter(same).count() <= 1 => FileChoice::Tag(tag.clone()),
            _ => FileChoice::Path(self.first().to_owned()),
        }
    }
}

/// The models among a repository's files, by name. Projectors, importance matrices
/// and what is no GGUF file are left out.
pub fn groups<'a>(files: impl IntoIterator<Item = &'a str>) -> Vec<FileGroup> {
    // By the name without the part, and how many parts there are.
    let mut found: BTreeMap<(String, usize), Vec<(usize, String)>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| is_model(file)) {
        let (stem, part, parts) = split(file);
        found.entry((stem.to_owned(), parts)).or_default().push((part, file.to_owned()));
    }
    let group = |((stem, parts), mut files): ((String, usize), Vec<(usize, String)>)| {
        files.sort();
        files.dedup_by_key(|(part, _)| *part);
        FileGroup {
            files: files.into_iter().map(|(_, file)| file).collect(),
            tag: quantisation(&stem),
            parts,
        }
    };
    found.into_iter().map(group).collect()
}

/// Whether a path stays inside its repository, and shows as what it is. The hub tells the
/// names, and files are written by them.
///
/// Windows has drives (`C:`) and streams (`a:b`), and leaves out dots and blanks at the end
/// of a name, so that `.. ` leads up: such names are refused everywhere.
pub fn is_inside(path: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && !part.ends_with(['.', ' ']);
    path.split('/').all(is_name)
        && !path.contains(|c: char| c.is_control() || matches!(c, '\\' | ':'))
}

/// Whether a file is a model that generates text, by its name.
fn is_model(file: &str) -> bool {
    if !is_inside(file) {
        return false;
    }
    let lower = file.to_ascii_lowercase();
    let Some(stem) = lower.strip_suffix(".gguf") else { return false };
    // Models are often named for the matrix that they were made with: those have a tag.
    let is_matrix = stem.contains("imatrix") && quantisation(file).is_none();
    !stem.contains("mmproj") && !is_matrix
}

/// A file's name without `.gguf` and part, its part from 1, and the number of parts.
fn split(file: &str) -> (&str, usize, usize) {
    let whole = file.get(..file.len().saturating_sub(5)).unwrap_or(file);
    let part = || {
        let (rest, parts) = whole.rsplit_once("-of-")?;
        let (stem, part) = rest.rsplit_once('-')?;
        let number = |digits: &str| {
            let is_number = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<usize>().ok().filter(|&number| is_number && number > 0)
        };
        let (part, parts) = (number(part)?, number(parts)?);
        (part <= parts).then_some((stem, part, parts))
    };
    part().unwrap_or((whole, 1, 1))
}

/// The quantisation that a file's name tells, in capitals: the last part of its path
/// that is one, such as `Q4_K_M` in `model.Q4_K_M.gguf` or `Q8_0/model.gguf`.
pub fn quantisation(file: &str) -> Option<String> {
    let file = file.to_ascii_uppercase();
    let file = file.strip_suffix(".GGUF").unwrap_or(&file);
    file.rsplit('/').find_map(|part| {
        let words: Vec<&str> = part.split(['-', '.', ' ']).collect();
        words.iter().enumerate().rev().find_map(|(index, word)| {
            // Some put an underscore in front.
            let starts = (0..word.len()).filter(|&at| at == 0 || word.as_bytes()[at - 1] == b'_');
            let mut tags = starts.filter_map(|at| word.get(at..)).filter(|word| is_tag(word));
            let tag = tags.next()?;
            let is_dynamic = tag.len() == word.len() && index > 0 && words[index - 1] == "UD";
            Some(if is_dynamic { format!("UD-{tag}") } else { tag.to_owned() })
        })
    })
}

/// Whether a word in capitals is a quantisation.
fn is_tag(word: &str) -> bool {
    if matches!(word, "F32" | "F16" | "BF16" | "FP32" | "FP16" | "MXFP4" | "MXFP4_MOE" | "NVFP4") {
        return true;
    }
    let bits = ["IQ", "TQ", "Q"].iter().find_map(|kind| word.strip_prefix(kind));
    let Some((bits, rest)) = bits.and_then(|bits| bits.split_once('_')) else { return false };
    let is_known = |part: &str| {
        matches!(part, "0" | "1" | "K" | "S" | "M" | "L" | "XS" | "XL" | "XXS" | "XXL" | "NL" | "P")
            || part.bytes().all(|byte| byte.is_ascii_digit())
    };
    bits.len() == 1 && bits.bytes().all(|bit| bit.is_ascii_digit()) && rest.split('_').all(is_known)
}

/// The one of these models that was chosen.
///
/// # Errors
/// [`Error::NoGguf`], [`Error::NoEntry`] with the nearest, and [`Error::Ambiguous`].
pub fn choose<'a>(
    repo: &str,
    groups: &'a [FileGroup],
    choice: &FileChoice,
) -> Result<&'a FileGroup, Error> {
    let missing = |what: String, hint: String| Error::NoEntry { repo: repo.to_owned(), what, hint };
    if let FileChoice::Path(path) = choice {
        let names: Vec<&str> = groups.iter().map(FileGroup::first).collect();
        return groups.iter().find(|group| group.files.contains(path)).ok_or_else(|| {
            missing(format!("model file '{path}'"), there_are(&nearest(path, &names, 3)))
        });
    }
    if groups.is_empty() {
        return Err(Error::NoGguf { repo: repo.to_owned() });
    }
    let with_tag = |tag: &str| -> Vec<&'a FileGroup> {
        let has = |is: &dyn Fn(&str) -> bool| -> Vec<&'a FileGroup> {
            groups.iter().filter(|group| group.tag.as_deref().is_some_and(is)).collect()
        };
        // "Q4_K_XL" is enough for "UD-Q4_K_XL" where there is no other.
        let exact = has(&|of: &str| of.eq_ignore_ascii_case(tag));
        if !exact.is_empty() {
            return exact;
        }
        has(&|of: &str| of.strip_prefix("UD-").is_some_and(|of| of.eq_ignore_ascii_case(tag)))
    };
    let one = |found: Vec<&'a FileGroup>, name: &str| match found[..] {
        [group] => Ok(group),
        _ => Err(Error::Ambiguous {
            name: name.to_owned(),
            choices: found.iter().map(|group| format!("{repo}/{}", group.first())).collect(),
        }),
    };
    match choice {
        FileChoice::Tag(tag) => {
            let found = with_tag(tag);
            if found.is_empty() {
                let tags: Vec<&str> =
                    groups.iter().filter_map(|group| group.tag.as_deref()).collect();
                let near = nearest(&tag.to_ascii_uppercase(), &tags, tags.len());
                let what = format!("model of quantisation '{tag}'");
                return Err(missing(what, there_are(&near)));
            }
            one(found, &format!("{repo}:{tag}"))
        }
        _ => {
            let found =
                DEFAULT_ORDER.iter().map(|tag| with_tag(tag)).find(|found| !found.is_empty());
            match found {
                Some(found) => one(found, repo),
                None => one(groups.iter().take(1).collect(), repo),
            }
        }
    }
}

/// A number of bytes as people read it, in powers of 1000: "770 MB".
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut number = bytes as f64;
    let mut unit = 0;
    // What would be shown as 1000 is one of the next unit.
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || number >= 99.95 { 0 } else { 1 };
    format!("{number:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_quantisation() {
        let names = [
            ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", Some("Q4_K_M")),
            ("llama-2-7b.Q5_0.gguf", Some("Q5_0")),
            ("model-q8_0.gguf", Some("Q8_0")),
            ("tiny_q4_k_s.gguf", Some("Q4_K_S")),
            ("Q6_K/model-00001-of-00002.gguf", Some("Q6_K")),
            ("Qwen3-8B-UD-Q4_K_XL.gguf", Some("UD-Q4_K_XL")),
            ("x.i1-IQ2_XXS.gguf", Some("IQ2_XXS")),
            ("gpt-oss-20b-mxfp4.gguf", Some("MXFP4")),
            ("model-BF16.gguf", Some("BF16")),
            ("gemma-3-4b-it-Q4_0_4_4.gguf", Some("Q4_0_4_4")),
            ("Q2_story-Q3_K_L-imat.gguf", Some("Q3_K_L")),
            ("Qwen2.gguf", None),
            ("Q4.gguf", None),
            ("model.gguf", None),
        ];
        for (name, tag) in names {
            assert_eq!(quantisation(name).as_deref(), tag, "{name}");
        }
    }

    const FILES: [&str; 9] = [
        "README.md",
        "m-Q8_0-00002-of-00002.gguf",
        "m-Q8_0-00001-of-00002.gguf",
        "m-Q4_0.gguf",
        "m-UD-Q4_K_XL.gguf",
        "m-imatrix.gguf",
        "m-Q6_K-imatrix.gguf",
        "mmproj-m-Q8_0.gguf",
        "m-F16.gguf",
    ];

    fn chosen(choice: FileChoice) -> Result<String, String> {
        let groups = groups(FILES);
        let group = choose("o/m", &groups, &choice).map_err(|error| error.to_string())?;
        assert!(group.is_whole());
        Ok(format!("{} of {}", group.first(), group.parts))
    }

    #[test]
    fn a_tag_chooses_a_model_and_all_its_parts() {
        let tag = |tag: &str| chosen(FileChoice::Tag(tag.to_owned()));
        assert_eq!(tag("q8_0").unwrap(), "m-Q8_0-00001-of-00002.gguf of 2");
        assert_eq!(tag("Q4_K_XL").unwrap(), "m-UD-Q4_K_XL.gguf of 1");
        assert_eq!(tag("Q6_K").unwrap(), "m-Q6_K-imatrix.gguf of 1");
        assert_eq!(
            tag("Q4_1").unwrap_err(),
            "the repository 'o/m' has no model of quantisation 'Q4_1'; there are Q4_0, \
             UD-Q4_K_XL, Q6_K, Q8_0, F16"
        );
    }

    #[test]
    fn without_a_tag_the_order_decides() {
        assert_eq!(chosen(FileChoice::Default).unwrap(), "m-Q4_0.gguf of 1");
        let only = groups(["b.gguf", "a.gguf"]);
        assert_eq!(choose("o/m", &only, &FileChoice::Default).unwrap().first(), "a.gguf");
    }

    #[test]
    fn a_file_chooses_itself_and_the_parts_it_belongs_to() {
        let path = |path: &str| chosen(FileChoice::Path(path.to_owned()));
        assert_eq!(path("m-F16.gguf").unwrap(), "m-F16.gguf of 1");
        assert_eq!(path("m-Q8_0-00002-of-00002.gguf").unwrap(), "m-Q8_0-00001-of-00002.gguf of 2");
        let message = path("m-F61.gguf").unwrap_err();
        assert!(message.contains("no model file 'm-F61.gguf'; there are m-F16.gguf"), "{message}");
    }

    #[test]
    fn two_models_of_one_tag_are_told_apart_by_their_files() {
        let two = groups(["a-Q4_0.gguf", "b-Q4_0.gguf", "c-Q8_0.gguf"]);
        for choice in [FileChoice::Default, FileChoice::Tag("Q4_0".to_owned())] {
            let message = choose("o/m", &two, &choice).unwrap_err().to_string();
            assert!(message.contains("o/m/a-Q4_0.gguf, o/m/b-Q4_0.gguf"), "{message}");
        }
        let many: Vec<String> = (0..20).map(|number| format!("{number:02}-Q4_0.gguf")).collect();
        let many = groups(many.iter().map(String::as_str));
        let message = choose("o/m", &many, &FileChoice::Default).unwrap_err().to_string();
        assert!(message.ends_with("o/m/11-Q4_0.gguf, or 8 others"), "{message}");
        assert_eq!(two[0].choice(&two), FileChoice::Path("a-Q4_0.gguf".to_owned()));
        assert_eq!(two[2].choice(&two), FileChoice::Tag("Q8_0".to_owned()));
        let one = groups(["a.gguf"]);
        assert_eq!(one[0].choice(&one), FileChoice::Default);
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_files_of_a_repository() {
        let names = [
            "../a.gguf",
            "/a.gguf",
            "a/../../b.gguf",
            "a\\b.gguf",
            "a\u{1b}[2J.gguf",
            "a//b.gguf",
            "C:/a.gguf",
            "a:b.gguf",
            "a/.. /b.gguf",
            "a/.../b.gguf",
        ];
        assert_eq!(groups(names), []);
    }

    #[test]
    fn a_repository_without_models_says_so() {
        let none = groups(["model.safetensors"]);
        let error = choose("o/m", &none, &FileChoice::Default).unwrap_err();
        assert!(error.to_string().contains("m-GGUF"));
    }

    #[test]
    fn bytes_are_written_in_three_digits() {
        let shown =
            [0, 999, 1000, 1_500, 999_499, 999_500, 770_000_000, 99_960_000_000].map(human_bytes);
        let wanted = ["0 B", "999 B", "1.0 kB", "1.5 kB", "999 kB", "1.0 MB", "770 MB", "100 GB"];
        assert_eq!(shown, wanted);
    }
}
