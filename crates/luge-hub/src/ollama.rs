//! Models that ollama has stored.
//!
//! ollama keeps a manifest a model, `manifests/HOST/USER/MODEL/TAG`, that lists layers by
//! their checksums, and the layers in `blobs/sha256-CHECKSUM`. The layer with the weights
//! is a GGUF file, which is used where it lies. Of the others, the template, the
//! parameters and the system prompt change nothing about the model; adapters and
//! projectors would, and luge does not use them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cache::walk;
use crate::name::{OllamaName, nearest};
use crate::{Error, Settings};

/// A manifest is shorter than this, in bytes.
const LONGEST_MANIFEST: u64 = 1 << 20;

/// The models that ollama has stored.
pub struct Ollama {
    folders: Vec<PathBuf>,
}

/// A model that ollama has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OllamaModel {
    /// Its name.
    pub name: OllamaName,
    /// The GGUF file.
    pub path: PathBuf,
    /// Layers that belong to the model and that luge does not use: "adapter",
    /// "projector".
    pub unused: Vec<&'static str>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
}

impl Ollama {
    /// The store that the settings name.
    pub fn new(settings: &Settings) -> Self {
        Ollama { folders: settings.ollama.clone() }
    }

    /// Looks for a model.
    ///
    /// # Errors
    /// [`Error::NoOllama`] with what is near, and [`Error::Ollama`] if it is damaged, or
    /// is none that has weights.
    pub fn find(&self, name: &OllamaName) -> Result<OllamaModel, Error> {
        for (folder, known, manifest) in self.manifests() {
            // ollama's names know no case.
            if known.to_string().eq_ignore_ascii_case(&name.to_string()) {
                return read(&folder, known, &manifest);
            }
        }
        let there: Vec<String> =
            self.manifests().iter().map(|(_, name, _)| format!("ollama:{name}")).collect();
        let there: Vec<&str> = there.iter().map(String::as_str).collect();
        let near = nearest(&format!("ollama:{name}"), &there, 3);
        let hint = match near.is_empty() {
            true => format!("; ollama pull {name} fetches it"),
            false => format!("; it has {}", near.join(", ")),
        };
        Err(Error::NoOllama { name: name.to_string(), hint })
    }

    /// All models by name, those that cannot be used with the reason.
    pub fn models(&self) -> Vec<(OllamaName, Result<OllamaModel, Error>)> {
        let read = |(folder, name, manifest): (PathBuf, OllamaName, PathBuf)| {
            (name.clone(), read(&folder, name, &manifest))
        };
        let mut models: Vec<_> = self.manifests().into_iter().map(read).collect();
        models.sort_by_cached_key(|(name, _)| name.to_string());
        models.dedup_by(|(a, _), (b, _)| a == b);
        models
    }

    /// The names of all models.
    pub fn names(&self) -> Vec<OllamaName> {
        self.manifests().into_iter().map(|(_, name, _)| name).collect()
    }

    /// Every manifest, with the folder of models that it lies in and its name.
    fn manifests(&self) -> Vec<(PathBuf, OllamaName, PathBuf)> {
        let mut found = Vec::new();
        for folder in &self.folders {
            let root = folder.join("manifests");
            let mut files = Vec::new();
            walk(&root, 3, &mut files);
            found.extend(files.into_iter().filter_map(|file| {
                let inside = file.strip_prefix(&root).ok()?;
                let parts: Option<Vec<&str>> = inside.iter().map(|part| part.to_str()).collect();
                let [host, namespace, model, tag] = parts?[..] else { return None };
                let name = OllamaName {
                    host: host.to_owned(),
                    namespace: namespace.to_owned(),
                    model: model.to_owned(),
                    tag: tag.to_owned(),
                };
                // Other files lie there too, such as .DS_Store.
                let is_name = OllamaName::parse(&name.to_string()).as_ref() == Some(&name);
                is_name.then(|| (folder.clone(), name, file))
            }));
        }
        found
    }
}

fn read(folder: &Path, name: OllamaName, manifest: &Path) -> Result<OllamaModel, Error> {
    let refused =
        |reason: &str| Error::Ollama { name: name.to_string(), reason: reason.to_owned() };
    let failed = |source| Error::Io { what: "read", path: manifest.to_owned(), source };
    let data = fs::metadata(manifest).map_err(failed)?;
    // A pipe would have this wait for its other end.
    if !data.is_file() || data.len() > LONGEST_MANIFEST {
        return Err(refused("its manifest is no manifest"));
    }
    let text = fs::read(manifest).map_err(failed)?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|_| refused("its manifest is damaged; ollama pull writes it anew"))?;
    let of = |kind: &str| -> Vec<&Layer> {
        let wanted = format!("application/vnd.ollama.image.{kind}");
        manifest.layers.iter().filter(|layer| layer.media_type == wanted).collect()
    };
    let layer = match of("model")[..] {
        [layer] => layer,
        [] => return Err(refused("it has no weights on this machine")),
        _ => return Err(refused("its weights are in several files, which luge cannot join")),
    };
    let digest = layer.digest.strip_prefix("sha256:").unwrap_or_default();
    if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(refused("its manifest names a layer that is none"));
    }
    // Older versions had a colon in the name.
    let blobs =
        ["sha256-", "sha256:"].map(|kind| folder.join("blobs").join(format!("{kind}{digest}")));
    let path = blobs.into_iter().find(|path| path.is_file());
    let path = path.ok_or_else(|| refused("its weights are missing; ollama pull fetches them"))?;
    let mut unused = Vec::new();
    for kind in ["adapter", "projector"] {
        if !of(kind).is_empty() {
            unused.push(kind);
        }
    }
    Ok(OllamaModel { name, path, unused })
}
