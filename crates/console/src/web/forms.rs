//! Fields of a form, and the token that shows it to come from a page of the same session: in the form's `csrf` field, or in
//! the header `X-CSRF-Token` where a script sends.

use crate::people::Session;
use axum::http::HeaderMap;

/// A form's fields, in order.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The field's value; empty where it is missing.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Whether a request's header bears the session's token.
pub(crate) fn bears_token(session: &Session, headers: &HeaderMap) -> bool {
    headers.get("x-csrf-token").and_then(|value| value.to_str().ok()).is_some_and(|sent| session.fits(sent))
}
