//! The routes, and what stands around all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use super::Shared;
use super::options::Origins;
use super::record::{REQUEST_ID, record};
use crate::api::ApiError;
use crate::{AppState, Metrics, account, page};

/// The one route that needs no key: what watches over the server has none.
const HEALTH: &str = "/health";

/// When to ask again while the model is being loaded, in seconds.
const LOADING_RETRY: u64 = 2;

/// What a page of ours may do: no network but this server, no frame around it.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src \
                           'unsafe-inline'; img-src data: 'self'; connect-src 'self'; base-uri \
                           'none'; form-action 'none'; frame-ancestors 'none'";

/// How much of a body that is too large is read all the same, as a multiple of what is
/// allowed: most clients read the answer only when they have sent everything.
const EXCESS: usize = 8;

/// Everything that the server answers.
pub fn of_server(shared: &Arc<Shared>) -> Router {
    let routes = Router::new()
        .route(HEALTH, get(health))
        .route("/metrics", get(metrics))
        // There while the model is loading: it asks again.
        .merge(page::routes())
        .fallback(ask_model)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(tell_route))
        .layer(from_fn_with_state(Arc::clone(shared), guard))
        .layer(CatchPanicLayer::custom(|_| broken()))
        .layer(from_fn(secure));
    let routes = match cors(&shared.guard.origins) {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes.layer(from_fn_with_state(Arc::clone(shared), record)).with_state(Arc::clone(shared))
}

/// The routes of a model at work.
pub fn of_model(routes: Router<Arc<AppState>>, state: Arc<AppState>) -> Router {
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(tell_route))
        // Bodies have been read, and their sizes looked at.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

/// Writes the route down in the request's account.
async fn tell_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    if let (Some(route), Some(account)) = (route, account::current()) {
        account.routed(route.as_str());
    }
    next.run(request).await
}

async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let is_open = request.uri().path() == HEALTH;
    match shared.guard.refuses(request.method(), request.headers(), is_open) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

/// Tells browsers not to guess what an answer is, nor to tell others of it, and not to let
/// a page do what ours do not.
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let is_page = headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/html"));
    if is_page {
        let policy = headers.entry(CONTENT_SECURITY_POLICY);
        policy.or_insert(HeaderValue::from_static(PAGE_POLICY));
    }
    response
}

fn cors(origins: &Origins) -> Option<CorsLayer> {
    let cors = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID, RETRY_AFTER])
        .max_age(Duration::from_secs(600));
    match origins {
        Origins::All => Some(cors.allow_origin(Any)),
        Origins::These(origins) if origins.is_empty() => None,
        Origins::These(origins) => Some(cors.allow_origin(origins.clone())),
    }
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let status = |status: &str| Json(serde_json::json!({ "status": status }));
    if shared.model.get().is_some_and(|model| model.engine.is_broken()) {
        return (StatusCode::SERVICE_UNAVAILABLE, status("broken")).into_response();
    }
    if shared.is_ending.load(Ordering::Acquire) {
        return (StatusCode::SERVICE_UNAVAILABLE, status("shutting down")).into_response();
    }
    match shared.model.get() {
        Some(_) => status("ok").into_response(),
        None => later((StatusCode::SERVICE_UNAVAILABLE, status("loading model")).into_response()),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match shared.model.get() {
        Some(_) => ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], shared.metrics.text()).into_response(),
        None => loading(),
    }
}

async fn ask_model(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let Some(model) = shared.model.get() else { return loading() };
    let options = &shared.options;
    let request = match with_body(request, options.max_body, options.patience).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let Ok(response) = model.routes.clone().oneshot(request).await;
    response
}

/// The request with all of its body, which is at most so many bytes long.
async fn with_body(request: Request, most: usize, patience: Duration) -> Result<Request, Response> {
    let (parts, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    let reading = async {
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(cut_off()) };
            let Ok(data) = frame.into_data() else { continue };
            size += data.len();
            if size <= most {
                bytes.extend_from_slice(&data);
            } else if size > most.saturating_mul(EXCESS) {
                break;
            }
        }
        if size > most { Err(too_large(most)) } else { Ok(()) }
    };
    let read = tokio::time::timeout(patience, reading).await;
    read.map_err(|_| too_slow(patience))??;
    Ok(Request::from_parts(parts, Body::from(Bytes::from(bytes))))
}

fn later(mut response: Response) -> Response {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(LOADING_RETRY));
    response
}

fn loading() -> Response {
    let message = "the model is being loaded: try again in a moment";
    later(
        ApiError::refused(StatusCode::SERVICE_UNAVAILABLE, "loading_model", message)
            .into_response(),
    )
}

fn broken() -> Response {
    let message = "the server has made a mistake, which is in its log: please report it";
    ApiError::refused(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message).into_response()
}

fn cut_off() -> Response {
    let message = "the body of the request ended before its end: send it again";
    ApiError::refused(StatusCode::BAD_REQUEST, "body_incomplete", message).into_response()
}

fn too_slow(patience: Duration) -> Response {
    let seconds = patience.as_secs_f64();
    let message =
        format!("the body of the request was not there within {seconds} s: send it again");
    ApiError::refused(StatusCode::REQUEST_TIMEOUT, "body_timeout", message).into_response()
}

fn too_large(most: usize) -> Response {
    let message =
        format!("the body of the request is larger than {most} bytes: send a shorter one");
    ApiError::refused(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message).into_response()
}

async fn no_route(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("there is nothing at {method} {path}: /docs describes what there is");
    ApiError::refused(StatusCode::NOT_FOUND, "unknown_url", message).into_response()
}

async fn wrong_method(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("{path} does not take {method}: /docs describes what it takes");
    ApiError::refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).into_response()
}
