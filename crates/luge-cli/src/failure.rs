//! How a command fails: one sentence, and an exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The exit code after Ctrl-C, as shells have it: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// The request was at fault: exit code 2.
    Usage(String),
    /// A file, the model or the machine was at fault: exit code 1.
    Run(String),
    /// Ctrl-C, where there is nothing to show for it.
    Interrupted,
    /// Standard output was closed by its reader: no failure.
    ClosedPipe,
}

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Run(_) => ExitCode::FAILURE,
            Failure::Interrupted => ExitCode::from(INTERRUPTED),
            Failure::ClosedPipe => ExitCode::SUCCESS,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(message) | Failure::Run(message) => f.write_str(message),
            Failure::Interrupted => f.write_str("interrupted"),
            Failure::ClosedPipe => f.write_str("the output was closed"),
        }
    }
}

impl From<luge::Error> for Failure {
    fn from(error: luge::Error) -> Self {
        if matches!(error, luge::Error::Llama(luge::LlamaError::Interrupted)) {
            return Failure::Interrupted;
        }
        // The message of the innermost cause says what happened.
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = inner.source();
        }
        if error.is_usage() { Failure::Usage(message) } else { Failure::Run(message) }
    }
}

impl From<luge::DecodingError> for Failure {
    fn from(error: luge::DecodingError) -> Self {
        luge::Error::from(error).into()
    }
}

impl From<luge::LlamaError> for Failure {
    fn from(error: luge::LlamaError) -> Self {
        luge::Error::from(error).into()
    }
}

impl From<luge_hub::Error> for Failure {
    fn from(error: luge_hub::Error) -> Self {
        match error {
            luge_hub::Error::Interrupted => Failure::Interrupted,
            error if error.is_usage() => Failure::Usage(error.to_string()),
            error => Failure::Run(error.to_string()),
        }
    }
}

impl From<luge_eval::Error> for Failure {
    fn from(error: luge_eval::Error) -> Self {
        if error.is_usage() {
            Failure::Usage(error.to_string())
        } else {
            Failure::Run(error.to_string())
        }
    }
}

impl From<luge_server::ServerError> for Failure {
    fn from(error: luge_server::ServerError) -> Self {
        use luge_server::ServerError;

        let message = match &error {
            ServerError::Public { .. } => format!(
                "{error} with --api-key or --api-key-file, or allow it without one with --insecure"
            ),
            ServerError::PortInUse { .. } => format!("{error}; --port 0 takes any that is free"),
            _ => error.to_string(),
        };
        if error.is_usage() { Failure::Usage(message) } else { Failure::Run(message) }
    }
}

/// Errors of writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
            _ => Failure::Run(format!("cannot write the output: {error}")),
        }
    }
}
