//! Links: putting one.

use serde::{Deserialize, Serialize};

use crate::link::Link;

/// Puts a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutLink {
    /// The link.
    #[serde(flatten)]
    pub link: Link,
    /// Ours: when the link is there with another target, it is replaced at once instead of refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
}
