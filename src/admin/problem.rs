//! Errors as problem JSON (RFC 9457).

use serde::{Deserialize, Serialize};

/// Body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem it is.
    pub title: String,
    /// One line: what, where and what to do.
    pub detail: String,
}

/// Media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";
