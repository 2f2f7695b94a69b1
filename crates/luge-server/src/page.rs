//! The page at `/`: to talk with the model, and to see which tokens its layers changed.
//!
//! One file, put together from `assets` and from what `luge lens` draws with. It asks for
//! nothing but this server's API, and its policy lets run what is in it and nothing else,
//! so that no text of a model can become a script.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use luge_page::assets::{CHART_JS, COMMON_JS, DEPTH_JS, LENS_CSS};
use luge_page::template::fill;
use sha2::{Digest, Sha256};

/// Names its parts by their files.
const TEMPLATE: &str = include_str!("../assets/chat.html");

/// The parts: the scripts are one module.
const PARTS: [(&str, &str); 11] = [
    ("lens.css", LENS_CSS),
    ("chat.css", include_str!("../assets/chat.css")),
    ("common.js", COMMON_JS),
    ("chart.js", CHART_JS),
    ("depth.js", DEPTH_JS),
    ("api.js", include_str!("../assets/api.js")),
    ("layers.js", include_str!("../assets/layers.js")),
    ("settings.js", include_str!("../assets/settings.js")),
    ("answer.js", include_str!("../assets/answer.js")),
    ("files.js", include_str!("../assets/files.js")),
    ("chat.js", include_str!("../assets/chat.js")),
];

/// `GET /`.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(page))
}

async fn page() -> impl IntoResponse {
    // Another version of the server has another page.
    let headers = [(CONTENT_SECURITY_POLICY, PAGE.policy.as_str()), (CACHE_CONTROL, "no-cache")];
    (headers, Html(PAGE.html.as_str()))
}

struct Page {
    html: String,
    policy: String,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let part = |name: &str| {
        let known = PARTS.iter().find(|(known, _)| *known == name);
        known.map_or_else(|| unreachable!("the template asks for {name}"), |(_, text)| *text)
    };
    let html = fill(TEMPLATE, |name| part(name).to_owned());
    let policy = format!(
        "default-src 'none'; connect-src 'self'; script-src {}; style-src {}; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(inside(&html, "<script type=\"module\">", "</script>")),
        hash(inside(&html, "<style>", "</style>")),
    );
    Page { html, policy }
});

/// What is between two marks, the first of which is there once.
fn inside<'a>(html: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = html.split_once(start).unwrap_or_default();
    rest.split_once(end).unwrap_or_default().0
}

/// A script or a style as a policy names it.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_in_it_and_in_the_order_that_they_need() {
        let places: Vec<_> = PARTS
            .iter()
            .map(|(name, text)| PAGE.html.find(text).unwrap_or_else(|| panic!("no {name}")))
            .collect();
        assert!(places.is_sorted());
        assert!(!PAGE.html.contains("{{"));
    }

    #[test]
    fn scripts_and_styles_do_not_end_early() {
        for mark in ["<script", "</script", "<style", "</style"] {
            assert_eq!(PAGE.html.matches(mark).count(), 1, "{mark}");
        }
        assert!(!PAGE.html.contains("<!--"));
    }

    #[test]
    fn the_policy_names_what_is_there() {
        let style = inside(&PAGE.html, "<style>", "</style>");
        assert!(style.starts_with(LENS_CSS));
        assert!(PAGE.policy.contains(&format!("style-src {};", hash(style))));
        assert!(!PAGE.policy.contains("unsafe"));
        assert_eq!(hash(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
    }

    #[test]
    fn nothing_is_loaded_and_no_text_becomes_markup() {
        let html = PAGE.html.replace("http://www.w3.org/2000/svg", "");
        for what in ["http://", "https://", " src=", "@import", "import ", "innerHTML", "eval("] {
            assert!(!html.contains(what), "{what}");
        }
    }
}
