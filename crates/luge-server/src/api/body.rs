//! From the bytes of a body to a JSON object.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::error::ApiError;
use super::fields::Fields;

/// The bytes of a body that says it is JSON.
///
/// # Errors
/// 415 for another content type, or none: a page of another site could send that without
/// being asked for permission. 413 for a body that is too large.
pub fn bytes(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str());
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_lowercase();
    let is_json = |name: String| {
        name == "application/json" || name.starts_with("application/") && name.ends_with("+json")
    };
    if !matches!(content_type, Some(Ok(text)) if is_json(essence(text))) {
        let message = "the body's content type is not JSON: send it with the header \
                       'Content-Type: application/json'";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(ApiError::refused(status, "unsupported_media_type", message));
    }
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the body is larger than the server takes: send less at a time",
        ),
        status => {
            let message = "the body did not arrive as a whole: send it again";
            ApiError::refused(status, "body_incomplete", message)
        }
    })
}

/// The object that a body holds.
///
/// # Errors
/// 400 for what is not UTF-8, not JSON, or no object, with line and column.
pub fn object(body: &[u8]) -> Result<Fields, ApiError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let before = &body[..error.valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let column = before.len() - start + 1;
        ApiError::bad_request(format!(
            "the body is not UTF-8 at line {line}, byte {column}: encode it so"
        ))
    })?;
    let value: Value = serde_json::from_str(text)
        .map_err(|error| ApiError::bad_request(format!("the body is not JSON: {error}")))?;
    match value {
        Value::Object(map) => Ok(Fields::new(String::new(), map)),
        _ => Err(ApiError::bad_request("the body is not a JSON object: give one with fields")),
    }
}
