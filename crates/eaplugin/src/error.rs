//! Errors with advice.

use std::fmt::Write as _;

use thiserror::Error;

/// What went wrong, and what to do about it.
#[derive(Debug, Error)]
#[error("{what}")]
struct Explained {
    what: String,
    hint: String,
}

/// An error with advice.
pub(crate) fn explained(what: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Explained { what: what.into(), hint: hint.into() }.into()
}

/// The lines that people read: the error with all that caused it, and the advice.
#[must_use]
pub fn rendered(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error:#}");
    for cause in error.chain() {
        if let Some(explained) = cause.downcast_ref::<Explained>() {
            // Writing to memory does not fail.
            let _ = write!(text, "\nhint: {}", explained.hint);
        }
    }
    text
}
