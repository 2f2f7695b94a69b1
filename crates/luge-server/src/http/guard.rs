//! Who may ask.
//!
//! Three things are looked at, in this order:
//!
//! * The **host** that the request names. A page of the internet can have its name point to
//!   127.0.0.1 once it is open (DNS rebinding), and then reads what the server answers: it
//!   is of the same origin. What it cannot change is that its requests name its own host.
//!   Looked at where nothing else keeps such a page out: at this machine's own addresses
//!   without a key.
//! * The **origin** of what is not a mere reading. Pages may send each other's servers
//!   requests, whose answers they do not see, but which cost time. Only the server's own
//!   page may, and those of `cors_origins`.
//! * The **key**, as a bearer token or as the password of basic authentication, which lets
//!   a person in with a browser. Keys are compared as SHA-256 hashes and in constant time,
//!   so that the time tells neither their length nor how much of one was right.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::ServerOptions;
use super::options::Origins;
use crate::api::ApiError;

/// What a request must have to be let in.
pub struct Guard {
    keys: Vec<[u8; 32]>,
    /// Names of the server, in small letters; `None` where any will do.
    hosts: Option<Vec<String>>,
    pub origins: Origins,
}

impl Guard {
    pub fn new(
        options: &ServerOptions,
        address: IpAddr,
        keys: &[String],
        origins: Origins,
    ) -> Self {
        let only_here = address.is_loopback() && keys.is_empty();
        let has_hosts = only_here || !options.allowed_hosts.is_empty();
        let named = options.allowed_hosts.iter().chain([&options.host]);
        let hosts = named.map(|host| bare(host)).collect();
        Guard {
            keys: keys.iter().map(|key| hash(key.as_bytes())).collect(),
            hosts: has_hosts.then_some(hosts),
            origins,
        }
    }

    /// Refuses a request that may not be answered. `is_open` is a route that needs no key.
    pub fn refuses(&self, method: &Method, headers: &HeaderMap, is_open: bool) -> Option<Response> {
        self.wrong_host(headers)
            .or_else(|| self.wrong_origin(method, headers))
            .or_else(|| if is_open { None } else { self.wrong_key(headers) })
    }

    fn wrong_host(&self, headers: &HeaderMap) -> Option<Response> {
        let hosts = self.hosts.as_ref()?;
        // A browser always names one.
        let given = headers.get(HOST)?;
        let host = given.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
        let is_ours = host.as_ref().is_some_and(|host| {
            let host = bare(host.host());
            let is_local = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
            is_local || host == "localhost" || hosts.contains(&host)
        });
        (!is_ours).then(|| {
            let given = String::from_utf8_lossy(given.as_bytes()).into_owned();
            let message = format!(
                "this server does not go by the name '{given}': ask it at the address that it \
                 listens at, or start it with this name among its allowed hosts"
            );
            ApiError::refused(StatusCode::FORBIDDEN, "host_not_allowed", message).into_response()
        })
    }

    fn wrong_origin(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return None;
        }
        let origin = headers.get(ORIGIN)?;
        let is_allowed = match &self.origins {
            Origins::All => true,
            Origins::These(origins) => origins.contains(origin),
        };
        let host_of = |value: &HeaderValue| Some(value.to_str().ok()?.to_ascii_lowercase());
        let own = headers.get(HOST).and_then(host_of);
        let page = host_of(origin);
        let page = page.as_deref().and_then(|page| page.split_once("://"));
        // Whether by http or https, a proxy in front of us may know.
        let is_own = page.is_some_and(|(_, host)| own.as_deref() == Some(host));
        (!is_allowed && !is_own).then(|| {
            let page = String::from_utf8_lossy(origin.as_bytes()).into_owned();
            let message = format!(
                "pages of '{page}' may not use this server: start it with this origin among those \
                 for CORS to let them"
            );
            ApiError::refused(StatusCode::FORBIDDEN, "origin_not_allowed", message).into_response()
        })
    }

    fn wrong_key(&self, headers: &HeaderMap) -> Option<Response> {
        if self.keys.is_empty() {
            return None;
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| presented(value.as_bytes()));
        let message = match given {
            Some(key) if self.knows(&key) => return None,
            Some(_) => "the API key is none of this server's: check the one that was sent",
            None => {
                "this server needs an API key: send it in the header 'Authorization: Bearer KEY'"
            }
        };
        let mut response =
            ApiError::refused(StatusCode::UNAUTHORIZED, "invalid_api_key", message).into_response();
        // Asked for a page, a browser is to ask its user; a page's script is not to make
        // it do so.
        let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let challenge = match accepts.is_some_and(|accepts| accepts.contains("text/html")) {
            true => {
                "Basic realm=\"luge: any name, and the API key as password\", charset=\"UTF-8\""
            }
            false => "Bearer",
        };
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        Some(response)
    }

    fn knows(&self, key: &[u8]) -> bool {
        let given = hash(key);
        // All are compared, whichever it is.
        let any = self.keys.iter().fold(Choice::from(0), |any, key| any | key.ct_eq(&given));
        any.into()
    }
}

fn hash(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// The key in a header: `Bearer KEY`, or `Basic` with `NAME:KEY` in base 64.
fn presented(header: &[u8]) -> Option<Vec<u8>> {
    let at = header.iter().position(|&byte| byte == b' ')?;
    let (scheme, value) = (&header[..at], header[at..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(value.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = BASE64.decode(value).ok()?;
    let colon = pair.iter().position(|&byte| byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}

/// A host without the brackets around an address, in small letters.
pub fn bare(host: &str) -> String {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host).trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(address: &str, options: &ServerOptions) -> Guard {
        let origins = options.checked_origins().unwrap();
        Guard::new(options, address.parse().unwrap(), &options.keys, origins)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |&(name, value): &(&'static str, &str)| {
            (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    /// The status with which a request is refused.
    fn status(guard: &Guard, method: Method, pairs: &[(&'static str, &str)]) -> Option<u16> {
        let refusal = guard.refuses(&method, &headers(pairs), false)?;
        Some(refusal.status().as_u16())
    }

    #[test]
    fn without_a_key_this_machine_answers_to_its_own_names_only() {
        let options = ServerOptions {
            host: "Here.example".to_owned(),
            allowed_hosts: vec!["luge.test".to_owned()],
            ..ServerOptions::default()
        };
        let guard = guard("127.0.0.1", &options);
        let names =
            ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:80", "LOCALHOST.", "127.9.9.9"];
        for host in names.into_iter().chain(["here.example:8080", "luge.test"]) {
            assert_eq!(status(&guard, Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in
            ["evil.org", "localhost.evil.org", "192.168.0.1", "", "a b", "localhost@evil.org"]
        {
            let status = status(&guard, Method::GET, &[("host", host)]);
            assert_eq!(status, Some(403), "{host}");
        }
    }

    #[test]
    fn hosts_are_looked_at_where_nothing_else_keeps_pages_out() {
        let evil = [("host", "evil.org"), ("authorization", "Bearer k")];
        let keyed = ServerOptions { keys: vec!["k".to_owned()], ..ServerOptions::default() };
        let insecure = ServerOptions { insecure: true, ..ServerOptions::default() };
        let named = ServerOptions { allowed_hosts: vec!["luge.test".to_owned()], ..keyed.clone() };
        assert_eq!(status(&guard("127.0.0.1", &keyed), Method::GET, &evil), None);
        assert_eq!(status(&guard("0.0.0.0", &insecure), Method::GET, &evil), None);
        assert_eq!(status(&guard("0.0.0.0", &named), Method::GET, &evil), Some(403));
    }

    #[test]
    fn other_pages_may_not_post() {
        let options = ServerOptions {
            cors_origins: vec!["https://chat.example.org".to_owned()],
            ..ServerOptions::default()
        };
        let guard = guard("127.0.0.1", &options);
        let post = |origin: &str| {
            let headers = [("host", "localhost:8080"), ("origin", origin)];
            status(&guard, Method::POST, &headers)
        };
        for allowed in
            ["http://localhost:8080", "https://Localhost:8080", "https://chat.example.org"]
        {
            assert_eq!(post(allowed), None, "{allowed}");
        }
        for refused in ["http://localhost:3000", "null", "https://evil.org", "localhost:8080"] {
            assert_eq!(post(refused), Some(403), "{refused}");
        }
        // Reading is safe: a browser shows it to no other page.
        let get = [("host", "localhost:8080"), ("origin", "https://evil.org")];
        assert_eq!(status(&guard, Method::GET, &get), None);
    }

    #[test]
    fn keys_are_taken_as_bearer_and_as_password() {
        let keys = vec!["first".to_owned(), "sk-second:2".to_owned()];
        let guard = guard("0.0.0.0", &ServerOptions { keys, ..ServerOptions::default() });
        let basic = |pair: &str| format!("Basic {}", BASE64.encode(pair));
        let with = |value: &str| status(&guard, Method::GET, &[("authorization", value)]);
        let right = [
            "Bearer first",
            "bearer sk-second:2",
            "Bearer   first",
            &basic("me:first"),
            &basic(":sk-second:2"),
        ];
        for value in right {
            assert_eq!(with(value), None, "{value}");
        }
        let wrong = [
            "Bearer",
            "Bearer ",
            "Bearer firs",
            "Bearer firstt",
            "Bearer First",
            "first",
            "Basic first",
            "Token first",
            &basic("first"),
            &basic("first:"),
            "",
        ];
        for value in wrong {
            assert_eq!(with(value), Some(401), "{value}");
        }
        assert_eq!(status(&guard, Method::GET, &[]), Some(401));
        assert!(guard.refuses(&Method::GET, &headers(&[]), true).is_none());
    }

    #[test]
    fn a_browser_is_told_to_ask_for_the_key_but_a_script_is_not() {
        let keys = vec!["k".to_owned()];
        let guard = guard("127.0.0.1", &ServerOptions { keys, ..ServerOptions::default() });
        let challenge = |accept: &str| {
            let refusal = guard.refuses(&Method::GET, &headers(&[("accept", accept)]), false);
            refusal.unwrap().headers()[WWW_AUTHENTICATE].to_str().unwrap().to_owned()
        };
        assert!(challenge("text/html,application/xhtml+xml").starts_with("Basic realm="));
        assert_eq!(challenge("*/*"), "Bearer");
    }
}
