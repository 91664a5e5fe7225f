//! Messages of the control interface, one room a noun (`wasmcloud-v1.md`, Control interface).

pub mod claims;
pub mod component;
pub mod host;
pub mod label;
pub mod link;
pub mod provider;

use serde::{Deserialize, Serialize};

/// What every control request is answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply<T = serde_json::Value> {
    /// Whether the request was carried out, or accepted to be.
    pub success: bool,
    /// What happened, for a person.
    #[serde(default)]
    pub message: String,
    /// The answer, where the request has one.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub response: Option<T>,
}

impl Reply {
    /// Carried out, with a message.
    pub fn done(message: impl Into<String>) -> Self {
        Self {
            success: true,
            message: message.into(),
            response: None,
        }
    }

    /// Not carried out, and why.
    pub fn failed(message: impl std::fmt::Display) -> Self {
        Self {
            success: false,
            message: message.to_string(),
            response: None,
        }
    }
}

impl<T> Reply<T> {
    /// Carried out, with an answer.
    pub fn with(response: T) -> Self {
        Self {
            success: true,
            message: String::new(),
            response: Some(response),
        }
    }
}

/// Annotations of what runs: who manages it and why. The same names as in 1.x.
pub type Annotations = std::collections::BTreeMap<String, String>;

/// Labels of a host, and the constraints of an auction that they must meet.
pub type Labels = std::collections::BTreeMap<String, String>;
