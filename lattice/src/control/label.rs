//! Labels of a host.

use serde::{Deserialize, Serialize};

/// Puts a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutLabel {
    /// The label's key.
    pub key: String,
    /// The label's value.
    pub value: String,
}

/// Takes a label off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteLabel {
    /// The label's key.
    pub key: String,
}

/// Labels of the host program itself; they can't be changed.
pub const RESERVED_PREFIX: &str = "hostcore.";
