//! `/docs`: the document of the API as a page. It is one file and asks for nothing more.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use super::openapi;
use crate::state::AppState;

const PAGE: &str = include_str!("docs.html");

pub async fn page(State(state): State<Arc<AppState>>) -> Html<String> {
    // Inside a script nothing may look like its end.
    let document = openapi::document(&state.served).to_string().replace('<', "\\u003c");
    Html(PAGE.replace("{{document}}", &document))
}
