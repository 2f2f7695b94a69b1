//! Running `luge` and looking at what came of it.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The models of the parity set.
pub const MODELS: [&str; 3] = ["llama", "gemma2", "gpt2"];

/// A prompt for any of them.
pub const PROMPT: &str = " w5 w17 w3";

/// Longer than any command here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file of the parity set.
fn parity(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity").join(name)
}

/// The reference numbers of a model of the parity set.
pub fn reference(name: &str) -> Value {
    let file = parity(&format!("{name}.json"));
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// A prompt of the reference, as ids: what greedy, SLED and DoLa make of it
/// differs, and by so much that it is the same on every machine.
pub fn reference_prompt(name: &str) -> String {
    list(&reference(name)["prompts"][0]["ids"])
}

/// The path of a model of the parity set.
pub fn model(name: &str) -> PathBuf {
    parity(&format!("{name}.gguf"))
}

/// `luge run` on a model.
pub fn run(model: impl AsRef<Path>) -> Luge {
    luge("run").model(model)
}

/// `luge score` on a model.
pub fn score(model: impl AsRef<Path>) -> Luge {
    luge("score").model(model)
}

/// `luge compare` on a model.
pub fn compare(model: impl AsRef<Path>) -> Luge {
    luge("compare").model(model)
}

/// `luge lens` on a model.
pub fn lens(model: impl AsRef<Path>) -> Luge {
    luge("lens").model(model)
}

/// `luge bench` on a model.
pub fn bench(model: impl AsRef<Path>) -> Luge {
    luge("bench").model(model)
}

/// A command of `luge`, on one thread: several tests run side by side.
pub fn luge(command: &str) -> Luge {
    bare_luge().flags(command).flags("--threads 1")
}

/// `luge` without anything, in a plain environment and with a cache that is not
/// the user's.
pub fn bare_luge() -> Luge {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luge"));
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"] {
        command.env_remove(name);
    }
    // The settings of whoever runs the tests; the kernel is for the tests too.
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| name.starts_with("LUGE_"));
        if is_ours && name != "LUGE_EXIT_KERNEL" {
            command.env_remove(name);
        }
    }
    command.env("TERM", "xterm-256color");
    // Nor with the user's models, their tokens and the network.
    for name in [
        "HF_HOME",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_TOKEN_PATH",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
        "ALL_PROXY",
        "all_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
    ] {
        command.env_remove(name);
    }
    // The port of a service that throws everything away, and hardly runs anywhere.
    command.env("HF_ENDPOINT", "http://127.0.0.1:9");
    let luge = Luge { command, stdin: Vec::new() };
    luge.home(env!("CARGO_TARGET_TMPDIR"))
}

/// A command line in the making.
pub struct Luge {
    command: Command,
    stdin: Vec<u8>,
}

impl Luge {
    pub fn model(self, path: impl AsRef<Path>) -> Self {
        self.arg("-m").arg(path.as_ref())
    }

    /// One argument, as it is.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Arguments that hold no blanks.
    pub fn flags(mut self, flags: &str) -> Self {
        self.command.args(flags.split_whitespace());
        self
    }

    /// With a home, for the cache, that it shares with no one.
    pub fn home(self, folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref();
        // macOS has its caches at home, whatever the other one says.
        self.env("HOME", folder)
            .env("XDG_CACHE_HOME", folder.join("Library/Caches"))
            .env("XDG_CONFIG_HOME", folder.join(".config"))
            .env("OLLAMA_MODELS", folder.join(".ollama/models"))
    }

    /// Run by a shell, at the place of `exec "$@"` in a script.
    #[cfg(unix)]
    pub fn in_shell(self, script: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg("sh");
        shell.arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Luge { command: shell, stdin: self.stdin }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn stdin(self, text: &str) -> Self {
        self.stdin_bytes(text.as_bytes())
    }

    pub fn stdin_bytes(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.to_vec();
        self
    }

    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it with both outputs piped.
    pub fn spawn(&mut self) -> Child {
        let piped = self.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
        // Not every command reads its input: whether it does is not asked here.
        let _ = child.stdin.take().unwrap().write_all(&self.stdin);
        child
    }

    /// Runs it to its end.
    pub fn outcome(mut self) -> Outcome {
        let mut child = self.spawn();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let status = wait(&mut child).unwrap_or_else(|| panic!("no end of {:?}", self.command));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is UTF-8");
        let outcome = Outcome {
            command: format!("{:?}", self.command),
            status,
            stdout: text(stdout.join().unwrap()),
            stderr: text(stderr.join().unwrap()),
        };
        assert!(!outcome.stderr.contains("panicked"), "{outcome:#?}");
        outcome
    }

    /// What it prints, if it succeeds without a word on standard error.
    pub fn stdout(self) -> String {
        let outcome = self.outcome();
        assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:#?}");
        outcome.stdout
    }

    /// The text it decodes: what it prints, without the line break at the end.
    pub fn text(self) -> String {
        let stdout = self.stdout();
        stdout.strip_suffix('\n').expect("the text ends with a line break").to_owned()
    }

    /// The object it prints as JSON.
    pub fn json(self) -> Value {
        serde_json::from_str(&self.flags("--format json").stdout()).unwrap()
    }

    /// What it says when it fails with this exit code: one line on standard
    /// error, and nothing on standard output.
    pub fn failure(self, code: i32) -> String {
        let outcome = self.outcome();
        assert_eq!(outcome.status.code(), Some(code), "{outcome:#?}");
        assert_eq!(outcome.stdout, "", "{outcome:#?}");
        let line = outcome.stderr.strip_suffix('\n').filter(|line| !line.contains('\n'));
        let message = line.and_then(|line| line.strip_prefix("luge: error: "));
        message.unwrap_or_else(|| panic!("not one line: {outcome:#?}")).to_owned()
    }
}

/// What came of a command.
#[derive(Debug)]
pub struct Outcome {
    /// For messages of failed tests.
    #[expect(dead_code, reason = "shown by Debug only")]
    pub command: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Waits for a child's end; kills it, and returns nothing, where that does not
/// come.
pub fn wait(child: &mut Child) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// Reads to the end, on another thread.
pub fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// The ids of a JSON array.
pub fn ids(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

/// Ids as they are written on the command line.
pub fn list(ids: &Value) -> String {
    self::ids(ids).iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

/// The keys of a JSON object, in order of the alphabet.
pub fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
