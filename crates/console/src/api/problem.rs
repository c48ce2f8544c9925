//! Refusals as RFC 9457 problem details.

use crate::{desk::DeskError, web};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// What went wrong, whose fault it is, and by its status whether a retry helps. No content, no secret.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    /// The member of the request that is at fault.
    field: Option<&'static str>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), field: None }
    }

    pub(super) fn failed(error: &dyn std::fmt::Display) -> Problem {
        tracing::error!(%error, "an answer of the admin API could not be made");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "something failed on our side; see the log")
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        if let DeskError::Failed(error) = &error {
            return Problem::failed(error);
        }
        let field = match &error {
            DeskError::Wrong { field, .. } => Some(*field),
            _ => None,
        };
        Problem { status: web::status_of(&error), detail: error.to_string(), field }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or_default();
        let mut body =
            json!({"type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail});
        if let Some(field) = self.field {
            body["field"] = json!(field);
        }
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}
