//! Where models are kept and fetched from: the variables of `huggingface_hub`, and
//! ollama's.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;
use crate::client::host;

/// Where models are kept and fetched from.
#[derive(Clone)]
pub struct Settings {
    /// The cache that Hugging Face's tools share, with a folder a repository:
    /// `HF_HUB_CACHE`, or `hub` in `HF_HOME`, which is `~/.cache/huggingface`.
    pub cache: PathBuf,
    /// The hub's address without a slash at its end: `HF_ENDPOINT`.
    pub endpoint: String,
    /// What opens repositories that are not open to all: `HF_TOKEN`, or what the file
    /// named in `HF_TOKEN_PATH`, or `token` in `HF_HOME`, holds.
    pub token: Option<String>,
    /// Whether nothing is asked of the network: `HF_HUB_OFFLINE`.
    pub offline: bool,
    /// ollama's folders of models, those that may be there: the one in `OLLAMA_MODELS`, or
    /// else the user's and the service's.
    pub ollama: Vec<PathBuf>,
    /// How long to wait before the first retry; the second waits twice as long.
    pub retry: Duration,
}

/// Without the token, which is no one's business.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("cache", &self.cache)
            .field("endpoint", &self.shown_endpoint())
            .field("has_token", &self.token.is_some())
            .field("offline", &self.offline)
            .field("ollama", &self.ollama)
            .field("retry", &self.retry)
            .finish()
    }
}

impl Settings {
    /// What the environment says.
    ///
    /// # Errors
    /// [`Error::NoHome`] if neither it nor the system names a place for the cache.
    pub fn from_env() -> Result<Self, Error> {
        Settings::from_vars(|name| env::var_os(name), dirs::home_dir().as_deref())
    }

    fn from_vars(
        var: impl Fn(&str) -> Option<OsString>,
        home: Option<&Path>,
    ) -> Result<Self, Error> {
        // Empty is not set, as `huggingface_hub` has it for paths.
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let path = |name: &str| Some(expanded(PathBuf::from(var(name)?), home));
        let text = |name: &str| var(name).and_then(|value| value.into_string().ok());
        let is_on = |name: &str| {
            let value = text(name).unwrap_or_default().to_ascii_uppercase();
            matches!(value.as_str(), "1" | "ON" | "YES" | "TRUE")
        };
        let hf_home = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(home?.join(".cache")));
            Some(caches?.join("huggingface"))
        });
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(hf_home.as_ref()?.join("hub")))
            .ok_or(Error::NoHome)?;
        let token = || {
            let given = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
            let stored = || {
                let file = path("HF_TOKEN_PATH").or_else(|| Some(hf_home.as_ref()?.join("token")));
                std::fs::read_to_string(file?).ok()
            };
            // A line break, as shells and editors leave one, is not part of it.
            let token = given.or_else(stored)?.replace(['\n', '\r'], "");
            let token = token.trim();
            let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            is_token.then(|| token.to_owned())
        };
        let endpoint = text("HF_ENDPOINT");
        let endpoint = endpoint.as_deref().unwrap_or("huggingface.co");
        let endpoint = match endpoint.contains("://") {
            true => endpoint.to_owned(),
            false => format!("https://{endpoint}"),
        };
        let ollama = path("OLLAMA_MODELS").map_or_else(
            || {
                let user = home.map(|home| home.join(".ollama/models"));
                let service = PathBuf::from("/usr/share/ollama/.ollama/models");
                user.into_iter().chain([service]).collect()
            },
            |folder| vec![folder],
        );
        Ok(Settings {
            cache,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: if is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") { None } else { token() },
            offline: is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE"),
            ollama,
            retry: Duration::from_millis(500),
        })
    }

    /// The hub's host, for messages.
    pub(crate) fn host(&self) -> &str {
        host(&self.endpoint)
    }

    /// The hub's address, for messages: it may have a password in it.
    pub(crate) fn shown_endpoint(&self) -> String {
        match (self.endpoint.split_once("://"), self.endpoint.split_once('@')) {
            (Some((scheme, _)), Some(_)) => format!("{scheme}://{}", self.host()),
            _ => self.endpoint.clone(),
        }
    }
}

/// A path with `~` written out.
pub(crate) fn expanded(path: PathBuf, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(vars: &[(&str, &str)]) -> Settings {
        let var = |name: &str| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        Settings::from_vars(var, Some("/home/a".as_ref())).unwrap()
    }

    #[test]
    fn the_cache_is_where_hugging_faces_tools_have_it() {
        let caches: [(&[_], &str); 6] = [
            (&[], "/home/a/.cache/huggingface/hub"),
            (&[("HF_HOME", "")], "/home/a/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/c")], "/c/huggingface/hub"),
            (&[("HF_HOME", "~/h"), ("XDG_CACHE_HOME", "/c")], "/home/a/h/hub"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")], "/new"),
        ];
        for (vars, cache) in caches {
            assert_eq!(settings(vars).cache, Path::new(cache), "{vars:?}");
        }
        assert!(matches!(Settings::from_vars(|_| None, None), Err(Error::NoHome)));
    }

    #[test]
    fn a_token_is_given_or_stored() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        assert_eq!(settings(&[("HF_HOME", home)]).token, None);
        std::fs::write(folder.path().join("token"), "hf_stored\n").unwrap();
        let token = |vars: &[(&str, &str)]| {
            settings(&[&[("HF_HOME", home)], vars].concat()).token.unwrap_or_default()
        };
        assert_eq!(token(&[]), "hf_stored");
        assert_eq!(token(&[("HF_TOKEN", " hf_given ")]), "hf_given");
        assert_eq!(token(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), "");
        let other = folder.path().join("other");
        std::fs::write(&other, "hf_other").unwrap();
        assert_eq!(token(&[("HF_TOKEN_PATH", other.to_str().unwrap())]), "hf_other");
        // It would be sent as a header.
        assert_eq!(token(&[("HF_TOKEN", "a b")]), "");
        assert!(!format!("{:?}", settings(&[("HF_TOKEN", "hf_secret")])).contains("hf_secret"));
    }

    #[test]
    fn the_rest_of_the_variables() {
        assert_eq!(settings(&[]).endpoint, "https://huggingface.co");
        let mirror = settings(&[("HF_ENDPOINT", "https://mirror.example/hf/")]);
        assert_eq!(
            (&*mirror.endpoint, mirror.host()),
            ("https://mirror.example/hf", "mirror.example")
        );
        assert_eq!(
            settings(&[("HF_ENDPOINT", "mirror.example")]).endpoint,
            "https://mirror.example"
        );
        let offline = |value: &str| settings(&[("HF_HUB_OFFLINE", value)]).offline;
        assert_eq!(["1", "true", "0", ""].map(offline), [true, true, false, false]);
        assert_eq!(settings(&[("OLLAMA_MODELS", "/o")]).ollama, [Path::new("/o")]);
        assert_eq!(settings(&[]).ollama[0], Path::new("/home/a/.ollama/models"));
    }
}
