//! What goes wrong, in OpenAI's shape:
//! `{"error": {"message", "type", "param", "code"}}`.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::Busy;

/// A request that is not answered. Its message is one sentence that names the thing and the
/// way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    /// The path of the field that is at fault, as in `messages[2].content`.
    param: Option<String>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        // One line, whatever it quotes of the request.
        let message = message.into().replace(char::is_control, "\u{fffd}");
        ApiError { status, kind, message, param: None, code: None, retry_after: None }
    }

    /// 400: the request as a whole is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// 400: a field is wrong; `param` is its path.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        ApiError { param: Some(param.into()), ..ApiError::bad_request(message) }
    }

    /// 400: a text does not fit the context.
    pub fn too_long(param: &str, tokens: usize, context: usize) -> Self {
        let message = format!(
            "the prompt has {tokens} tokens, and the context has room for {context}: give a \
             shorter one, or start the server with a larger --ctx-size"
        );
        let code = Some("context_length_exceeded");
        ApiError { code, ..ApiError::invalid(param, message) }
    }

    /// 404: there is no such model.
    pub fn no_model(message: impl Into<String>) -> Self {
        let (param, code) = (Some("model".to_owned()), Some("model_not_found"));
        ApiError { param, code, ..ApiError::new(StatusCode::NOT_FOUND, "not_found_error", message) }
    }

    /// What is refused before anyone asks what it says: with a word for programs.
    pub fn refused(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::REQUEST_TIMEOUT => "timeout_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        ApiError { code: Some(code), ..ApiError::new(status, kind, message) }
    }

    /// 504: it took longer than the server allows.
    pub fn timeout() -> Self {
        let message = "the request took longer than the server allows: ask for fewer tokens, or \
                       start the server with a longer --timeout";
        let code = Some("timeout");
        ApiError { code, ..ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout_error", message) }
    }

    /// 500: something in the server failed.
    pub fn server(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// 503: the server cannot answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message)
    }

    /// What the library says of a request; `param` is the field it is about.
    pub fn of(error: &luge::Error, param: &str) -> Self {
        match error {
            luge::Error::TooLong { tokens, context, .. } => {
                ApiError::too_long(param, *tokens, *context)
            }
            luge::Error::Llama(luge::LlamaError::Interrupted) => {
                ApiError::unavailable(Busy::Ending.to_string())
            }
            luge::Error::TemplateFails { .. }
            | luge::Error::GrammarStuck
            | luge::Error::GrammarTooComplex(_)
            | luge::Error::GrammarVocabulary(_) => ApiError::invalid(param, error.to_string()),
            error if error.is_usage() => ApiError::invalid(param, error.to_string()),
            error => ApiError::server(error.to_string()),
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The path of the field that is at fault.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// The body.
    pub fn body(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }
}

impl From<Busy> for ApiError {
    fn from(busy: Busy) -> Self {
        let message = busy.to_string();
        match busy {
            Busy::Full { retry_after } => {
                let (status, kind) = (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error");
                let retry_after = Some(retry_after);
                ApiError { retry_after, ..ApiError::new(status, kind, message) }
            }
            Busy::Ending | Busy::Broken => ApiError::unavailable(message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(after) = self.retry_after {
            // Whole seconds, and not before the time.
            let seconds = HeaderValue::from(after.as_secs_f64().ceil() as u64);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
