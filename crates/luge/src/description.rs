//! What a model's file says about the model, without loading it.
//!
//! Only the header is read: metadata, vocabulary and the table of tensors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use luge_llama::{Gguf, TensorInfo};
use serde::Serialize;

use crate::Error;

/// What a model's file says about the model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// The name that its makers gave it.
    pub name: Option<String>,
    /// The architecture, such as `llama` or `gemma2`.
    pub architecture: String,
    /// How many numbers its tensors hold.
    pub parameters: u64,
    /// The quantisation as the file calls it, such as `Q4_K_M`; where it does not, the
    /// type that most of its bytes have.
    pub quantisation: String,
    /// The types of its tensors, the one with the most bytes first.
    pub tensors: Vec<TensorKind>,
    /// The size of its files, in bytes.
    pub bytes: u64,
    /// The context length it was trained with, in tokens.
    pub context: Option<u64>,
    /// The width of a hidden state.
    pub width: Option<u64>,
    /// Attention heads, where all blocks have as many.
    pub heads: Option<u64>,
    /// Heads of keys and values, where all blocks have as many.
    pub kv_heads: Option<u64>,
    /// L, the number of transformer blocks, and of exits that a method can read.
    pub layers: Option<u64>,
    /// Experts in a block, and how many of them a token takes.
    pub experts: Option<Experts>,
    /// The size of the vocabulary, in tokens.
    pub vocab: Option<u64>,
    /// The tokenizer, such as `gpt2, llama-bpe`.
    pub tokenizer: Option<String>,
    /// The LM head; none where the file is no language model.
    pub head: Option<Head>,
    /// What an exit costs; none where there is no head.
    pub exits: Option<ExitCost>,
    /// Tokens with a meaning of their own.
    pub special_tokens: Vec<SpecialToken>,
    /// The licence as the file names it.
    pub license: Option<String>,
    /// The template that makes a conversation a prompt.
    pub chat_template: Option<String>,
    /// Its files, the first part first.
    pub paths: Vec<PathBuf>,
}

/// Tensors of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorKind {
    /// The type as ggml calls it, such as `f16` or `q4_K`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many tensors have it.
    pub count: usize,
    /// Their size together, in bytes.
    pub bytes: u64,
}

/// Experts of a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Experts {
    /// How many a block has.
    pub count: u64,
    /// How many of them a token takes.
    pub used: u64,
}

/// The matrix from a hidden state to logits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// The type of its numbers, such as `q6_K`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its shape, `[width, vocab]`.
    pub shape: [u64; 2],
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it is the embedding matrix.
    pub tied: bool,
}

/// What reading layers costs for each token, beside the ordinary computation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ExitCost {
    /// How many exits SLED reads by default: all.
    pub count: u64,
    /// Multiply-adds for one of them: width times vocabulary.
    pub multiply_adds: u64,
    /// Bytes of the head, which are read once for all of them.
    pub head_bytes: u64,
    /// Bytes of weights that an ordinary token reads, the head's among them; of a
    /// mixture, those of the experts that a token takes.
    pub token_bytes: u64,
}

/// A token with a meaning of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpecialToken {
    /// What it is for, such as `bos` or `eos`.
    pub role: String,
    /// Its id.
    pub id: u64,
    /// How it is written, if the vocabulary tells.
    pub text: Option<String>,
}

impl Description {
    /// Reads the header of a GGUF file, and those of a split model's other parts.
    ///
    /// # Errors
    /// What [`Gguf::open`] and [`Gguf::other_parts`] report.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let gguf = Gguf::open(path)?;
        let mut tensors: Vec<TensorInfo> = gguf.tensors().collect();
        let mut paths = vec![path.to_owned()];
        for part in gguf.other_parts()? {
            tensors.extend(Gguf::open(&part)?.tensors());
            paths.push(part);
        }
        let architecture = gguf.string("general.architecture").unwrap_or_default();
        let number = |key: &str| gguf.unsigned(&format!("{architecture}.{key}"));
        let experts = match (number("expert_count"), number("expert_used_count")) {
            (Some(count), Some(used)) if count > 0 && used <= count => {
                Some(Experts { count, used })
            }
            _ => None,
        };
        let kinds = kinds(&tensors);
        let head = head(&tensors);
        let layers = number("block_count");
        let exits = head.as_ref().zip(layers).map(|(head, layers)| ExitCost {
            count: layers,
            multiply_adds: head.shape[0].saturating_mul(head.shape[1]),
            head_bytes: head.bytes,
            token_bytes: token_bytes(&tensors, head, experts),
        });
        let file_type = gguf.u32("general.file_type").and_then(file_type).map(str::to_owned);
        let most = || kinds.first().map_or_else(String::new, |most| most.kind.to_ascii_uppercase());
        Ok(Description {
            name: gguf.string("general.name"),
            parameters: tensors.iter().map(elements).fold(0, u64::saturating_add),
            quantisation: file_type.unwrap_or_else(most),
            tensors: kinds,
            bytes: paths.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum(),
            context: number("context_length"),
            width: number("embedding_length"),
            heads: number("attention.head_count"),
            kv_heads: number("attention.head_count_kv"),
            layers,
            experts,
            vocab: head
                .as_ref()
                .map(|head| head.shape[1])
                .or_else(|| gguf.array_len("tokenizer.ggml.tokens")),
            tokenizer: tokenizer(&gguf),
            exits,
            head,
            special_tokens: special_tokens(&gguf),
            license: gguf.string("general.license"),
            chat_template: gguf.string("tokenizer.chat_template"),
            paths,
            architecture,
        })
    }
}

/// How many numbers a tensor holds.
fn elements(tensor: &TensorInfo) -> u64 {
    tensor.shape.iter().fold(1, |product, axis| product.saturating_mul(*axis))
}

fn kinds(tensors: &[TensorInfo]) -> Vec<TensorKind> {
    let mut kinds: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for tensor in tensors {
        let (count, bytes) = kinds.entry(&tensor.kind).or_default();
        *count += 1;
        *bytes = bytes.saturating_add(tensor.bytes);
    }
    let kind =
        |(kind, (count, bytes)): (&str, _)| TensorKind { kind: kind.to_owned(), count, bytes };
    let mut kinds: Vec<TensorKind> = kinds.into_iter().map(kind).collect();
    kinds.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.kind.cmp(&b.kind)));
    kinds
}

fn head(tensors: &[TensorInfo]) -> Option<Head> {
    let tensor = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
    let own = tensor("output.weight");
    let head = own.or_else(|| tensor("token_embd.weight"))?;
    Some(Head {
        kind: head.kind.clone(),
        shape: [head.shape[0], head.shape[1]],
        bytes: head.bytes,
        tied: own.is_none(),
    })
}

/// The bytes of weights that a token reads. Of a table of embeddings it takes a row,
/// which is as good as nothing.
fn token_bytes(tensors: &[TensorInfo], head: &Head, experts: Option<Experts>) -> u64 {
    const TABLES: [&str; 4] = [
        "token_embd.weight",
        "position_embd.weight",
        "per_layer_token_embd.weight",
        "output.weight",
    ];
    let share = |tensor: &TensorInfo| match experts {
        Some(Experts { count, used }) if tensor.name.contains("_exps.") => {
            tensor.bytes / count * used
        }
        _ => tensor.bytes,
    };
    let weights = tensors.iter().filter(|tensor| !TABLES.contains(&tensor.name.as_str()));
    weights.map(share).fold(head.bytes, u64::saturating_add)
}

fn tokenizer(gguf: &Gguf) -> Option<String> {
    let model = gguf.string("tokenizer.ggml.model")?;
    Some(match gguf.string("tokenizer.ggml.pre") {
        Some(pre) => format!("{model}, {pre}"),
        None => model,
    })
}

fn special_tokens(gguf: &Gguf) -> Vec<SpecialToken> {
    // llama.cpp's name, and the one that people know where that is another.
    const ROLES: [(&str, &str); 11] = [
        ("bos", "bos"),
        ("eos", "eos"),
        ("eot", "eot"),
        ("eom", "eom"),
        ("unknown", "unk"),
        ("separator", "sep"),
        ("padding", "pad"),
        ("mask", "mask"),
        ("fim_pre", "fim prefix"),
        ("fim_suf", "fim suffix"),
        ("fim_mid", "fim middle"),
    ];
    let token = |(key, role): (&str, &str)| {
        // The key of one version has a "seperator".
        let keys = match key {
            "separator" => vec!["separator", "seperator"],
            key => vec![key],
        };
        let id =
            keys.iter().find_map(|key| gguf.unsigned(&format!("tokenizer.ggml.{key}_token_id")))?;
        let text = gguf.array_string("tokenizer.ggml.tokens", id);
        Some(SpecialToken { role: role.to_owned(), id, text })
    };
    ROLES.into_iter().filter_map(token).collect()
}

/// The names of llama.cpp's file types, as files on Hugging Face are called.
fn file_type(number: u32) -> Option<&'static str> {
    const NAMES: [(u32, &str); 36] = [
        (0, "F32"),
        (1, "F16"),
        (2, "Q4_0"),
        (3, "Q4_1"),
        (7, "Q8_0"),
        (8, "Q5_0"),
        (9, "Q5_1"),
        (10, "Q2_K"),
        (11, "Q3_K_S"),
        (12, "Q3_K_M"),
        (13, "Q3_K_L"),
        (14, "Q4_K_S"),
        (15, "Q4_K_M"),
        (16, "Q5_K_S"),
        (17, "Q5_K_M"),
        (18, "Q6_K"),
        (19, "IQ2_XXS"),
        (20, "IQ2_XS"),
        (21, "Q2_K_S"),
        (22, "IQ3_XS"),
        (23, "IQ3_XXS"),
        (24, "IQ1_S"),
        (25, "IQ4_NL"),
        (26, "IQ3_S"),
        (27, "IQ3_M"),
        (28, "IQ2_S"),
        (29, "IQ2_M"),
        (30, "IQ4_XS"),
        (31, "IQ1_M"),
        (32, "BF16"),
        (36, "TQ1_0"),
        (37, "TQ2_0"),
        (38, "MXFP4_MOE"),
        (39, "NVFP4"),
        (40, "Q1_0"),
        (41, "Q2_0"),
    ];
    NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Description {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
        Description::read(&folder.join(name)).unwrap()
    }

    #[test]
    fn the_numbers_are_those_of_the_loaded_model() {
        for name in ["parity/llama.gguf", "parity/gemma2.gguf", "parity/gpt2.gguf"] {
            let read = read(name);
            let model = crate::Model::load(&read.paths[0], &crate::ModelParams::default()).unwrap();
            assert_eq!(read.architecture, model.architecture());
            let count = |number: Option<u64>| number.map(|number| number as usize);
            assert_eq!(count(read.layers), Some(model.n_layers()));
            assert_eq!(count(read.width), Some(model.n_embd()));
            assert_eq!(count(read.vocab), Some(model.n_vocab()));
            assert_eq!(read.context, Some(u64::from(model.n_ctx_train())));
            let head = read.head.unwrap();
            assert_eq!(head.tied, model.tied());
            assert_eq!(head.shape.map(|axis| axis as usize), [model.n_embd(), model.n_vocab()]);
        }
    }

    #[test]
    fn an_exit_costs_the_head() {
        let llama = read("parity/llama.gguf");
        let exits = llama.exits.unwrap();
        assert_eq!(Some(exits.count), llama.layers);
        let [width, vocab] = llama.head.as_ref().unwrap().shape;
        assert_eq!(exits.multiply_adds, width * vocab);
        // The table of embeddings is not read, the head is.
        let all: u64 = llama.tensors.iter().map(|kind| kind.bytes).sum();
        assert!(exits.head_bytes < exits.token_bytes && exits.token_bytes < all);
    }

    #[test]
    fn of_a_mixture_only_the_experts_taken_count() {
        let mixture = read("architectures/qwen3moe.gguf");
        let Experts { count, used } = mixture.experts.unwrap();
        assert!(used < count);
        let all: u64 = mixture.tensors.iter().map(|kind| kind.bytes).sum();
        assert!(mixture.exits.unwrap().token_bytes < all - mixture.head.unwrap().bytes);
    }
}
