//! How a server is set up, and what can be wrong with that.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::uri::Authority;
use tokio::net::{TcpListener, lookup_host};

use super::AccessLog;
use super::guard::bare;

/// How a server is set up.
#[derive(Clone)]
pub struct ServerOptions {
    /// The address to listen at, or the name of one.
    pub host: String,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// Keys of which each request must have one; with none of them, anyone may ask.
    pub keys: Vec<String>,
    /// Whether other machines may ask without a key.
    pub insecure: bool,
    /// Pages that may use the server beside its own: origins, as in
    /// `https://chat.example.org`, or `*` for all.
    pub cors_origins: Vec<String>,
    /// Names beside `localhost` and its addresses that the server goes by. Where there are
    /// any, or where it listens at this machine alone without a key, requests that name
    /// another are refused.
    pub allowed_hosts: Vec<String>,
    /// The largest body of a request, in bytes.
    pub max_body: usize,
    /// The most connections at a time; more wait until one is closed.
    pub max_connections: usize,
    /// How long a connection may stand still: between requests, in the middle of one, or
    /// while what was written for it is not read.
    pub patience: Duration,
    /// How long requests may go on when the server is to end.
    pub grace: Duration,
    /// What is told of each request, at its end.
    pub log: Option<AccessLog>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            host: "127.0.0.1".to_owned(),
            port: 8080,
            keys: Vec::new(),
            insecure: false,
            cors_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            max_body: 8 << 20,
            max_connections: 1024,
            patience: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            log: None,
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The host has no address.
    #[error("there is no address for '{host}': {reason}")]
    UnknownHost {
        /// The host.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// Something else listens there.
    #[error("port {port} of {host} is in use: choose another one, or end what listens there")]
    PortInUse {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// The port cannot be had.
    #[error("cannot listen at port {port} of {host}: {reason}")]
    Unbound {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the system says.
        reason: String,
    },
    /// Other machines could ask, and there is no key.
    #[error("other machines can reach {address}, and would need no key: set one")]
    Public {
        /// Where it would listen.
        address: SocketAddr,
    },
    /// The engine made a mistake, and writes no more.
    #[error("the server has broken down over a mistake of its own, told of above: start it again")]
    Broken,
    /// A key that no request could have.
    #[error(
        "key number {number} cannot be sent with a request: it takes letters, digits and signs of \
         ASCII without blanks, at least one"
    )]
    BadKey {
        /// Which one, from 1 on: a key is not for the screen.
        number: usize,
    },
    /// An origin that no page has.
    #[error("'{origin}' is no origin: it takes one such as https://chat.example.org, or * for all")]
    BadOrigin {
        /// As it was given.
        origin: String,
    },
    /// A name that no request could give its host.
    #[error(
        "'{host}' is no name of a host: it takes one such as luge.example.org, without https:// in \
         front of it and without a port"
    )]
    BadHost {
        /// As it was given.
        host: String,
    },
}

impl ServerError {
    /// Whether the request for it was at fault, and not the machine.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            ServerError::Public { .. }
                | ServerError::BadKey { .. }
                | ServerError::BadOrigin { .. }
                | ServerError::BadHost { .. }
        )
    }
}

/// The origins of other pages that may use the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    All,
    These(Vec<HeaderValue>),
}

impl ServerOptions {
    pub(super) fn checked_keys(&self) -> Result<&[String], ServerError> {
        let is_sendable =
            |key: &String| !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
        match self.keys.iter().position(|key| !is_sendable(key)) {
            None => Ok(&self.keys),
            Some(at) => Err(ServerError::BadKey { number: at + 1 }),
        }
    }

    pub(super) fn check_hosts(&self) -> Result<(), ServerError> {
        // An address of version 6 has colons of its own.
        let is_host = |host: &&String| {
            bare(host).parse::<IpAddr>().is_ok()
                || host.parse::<Authority>().is_ok_and(|name| name.host() == host.as_str())
        };
        match self.allowed_hosts.iter().find(|host| !is_host(host)) {
            None => Ok(()),
            Some(host) => Err(ServerError::BadHost { host: host.clone() }),
        }
    }

    pub(super) fn checked_origins(&self) -> Result<Origins, ServerError> {
        if self.cors_origins.iter().any(|origin| origin == "*") {
            return Ok(Origins::All);
        }
        let checked = |origin: &String| {
            // Browsers send neither a path nor capitals.
            let origin = origin.strip_suffix('/').unwrap_or(origin).to_ascii_lowercase();
            let is_one = origin.split_once("://").is_some_and(|(scheme, host)| {
                !scheme.is_empty() && !host.is_empty() && !host.contains('/')
            });
            HeaderValue::from_str(&origin).ok().filter(|_| is_one)
        };
        let origins = self.cors_origins.iter().map(|origin| {
            checked(origin).ok_or_else(|| ServerError::BadOrigin { origin: origin.clone() })
        });
        Ok(Origins::These(origins.collect::<Result<_, _>>()?))
    }

    /// Listens at the first of the host's addresses that can be had.
    pub(super) async fn listener(&self) -> Result<TcpListener, ServerError> {
        // As in a URL.
        let host = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = host.unwrap_or(&self.host);
        let unknown = |reason: String| ServerError::UnknownHost { host: self.host.clone(), reason };
        let addresses = lookup_host((host, self.port)).await;
        let addresses: Vec<_> = addresses.map_err(|error| unknown(error.to_string()))?.collect();
        match TcpListener::bind(addresses.as_slice()).await {
            Ok(listener) => Ok(listener),
            Err(_) if addresses.is_empty() => Err(unknown("it has none".to_owned())),
            Err(error) => Err(self.unbound(&error)),
        }
    }

    /// Why the port is not ours.
    pub(super) fn unbound(&self, error: &io::Error) -> ServerError {
        let (host, port) = (self.host.clone(), self.port);
        match error.kind() {
            ErrorKind::AddrInUse => ServerError::PortInUse { host, port },
            kind => {
                let reason = match kind {
                    ErrorKind::PermissionDenied => {
                        "this user may not: choose one above 1023".to_owned()
                    }
                    ErrorKind::AddrNotAvailable => {
                        "it is no address of this machine: choose one that is, or 0.0.0.0 for all"
                            .to_owned()
                    }
                    _ => error.to_string(),
                };
                ServerError::Unbound { host, port, reason }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_origins(origins: &[&str]) -> Result<Origins, ServerError> {
        let cors_origins = origins.iter().map(|&origin| origin.to_owned()).collect();
        ServerOptions { cors_origins, ..ServerOptions::default() }.checked_origins()
    }

    #[test]
    fn origins_are_as_browsers_send_them() {
        assert_eq!(with_origins(&["http://a.org", "*"]).unwrap(), Origins::All);
        let these = ["https://chat.example.org", "http://localhost:3000"];
        let expected = Origins::These(these.map(HeaderValue::from_static).to_vec());
        let given = with_origins(&["https://Chat.Example.org/", "http://localhost:3000"]);
        assert_eq!(given.unwrap(), expected);
        for wrong in ["example.org", "https://", "://a", "https://a.org/page", "https://a\n"] {
            let error = with_origins(&[wrong]).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(wrong), "{error}");
        }
    }

    #[test]
    fn a_name_that_no_request_gives_is_refused() {
        let with_host = |host: &str| {
            let allowed_hosts = vec!["luge.test".to_owned(), host.to_owned()];
            ServerOptions { allowed_hosts, ..ServerOptions::default() }.check_hosts()
        };
        for right in ["localhost", "Luge.Example.org", "10.0.0.7", "::1", "[::1]", "box_1"] {
            assert!(with_host(right).is_ok(), "{right}");
        }
        for wrong in ["https://a.org", "a.org:8080", "a.org/", "", "a b", "me@a.org", "[::1]:80"] {
            let error = with_host(wrong).unwrap_err();
            let quoted = format!("'{wrong}' is no name");
            assert!(error.is_usage() && error.to_string().starts_with(&quoted), "{error}");
        }
    }

    #[test]
    fn a_port_that_cannot_be_had_says_what_can() {
        let said = |kind: ErrorKind| {
            let options = ServerOptions { port: 80, ..ServerOptions::default() };
            options.unbound(&kind.into()).to_string()
        };
        let denied = "cannot listen at port 80 of 127.0.0.1: this user may not: choose one above \
                      1023";
        assert_eq!(said(ErrorKind::PermissionDenied), denied);
        assert!(said(ErrorKind::AddrNotAvailable).contains("0.0.0.0 for all"));
        assert!(said(ErrorKind::AddrInUse).contains("in use"));
    }

    #[test]
    fn a_key_that_cannot_be_sent_is_not_shown() {
        for wrong in ["", "two words", "tab\t", "schlüssel"] {
            let keys = vec!["fine".to_owned(), wrong.to_owned()];
            let options = ServerOptions { keys, ..ServerOptions::default() };
            let error = options.checked_keys().unwrap_err().to_string();
            assert!(error.starts_with("key number 2 cannot"), "{error}");
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }
}
