//! How a call can fail, the same on every route.

use std::borrow::Cow;

use trellis_lattice::Within;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The caller has no link for what it calls.
    #[error(
        "no link: {source_id} has no link named {link_name:?} for {interface}; put one with `trellis link put {source_id} TARGET {interface}` or a link trait in the manifest"
    )]
    MissingLink {
        /// The component that called.
        source_id: String,
        /// The link's name.
        link_name: String,
        /// `namespace:package/interface`.
        interface: String,
    },
    /// Nobody serves the target now.
    #[error("nobody in the lattice serves {target:?}: it is not running, or its host is cut off")]
    NoResponder {
        /// The component or provider that was called.
        target: String,
    },
    /// The link's residency bound: its caller is outside it, or nobody within it serves the target. Calls never leave it.
    #[error("{0}")]
    OutOfBounds(String),
    /// The target does not have that function.
    #[error("{target:?} does not export {operation}")]
    UnknownFunction {
        /// The component or provider that was called.
        target: String,
        /// `instance.function`.
        operation: String,
    },
    /// The target has that function with other types: it was built against another version of the interface.
    #[error(
        "{target:?} exports {operation} with other types than its caller expects: {difference}; build both against the same version of the interface"
    )]
    TypesDiffer {
        /// The component that was called.
        target: String,
        /// `instance.function`.
        operation: String,
        /// Where they differ, and what either side has there.
        difference: String,
    },
    /// The deadline passed. The call may or may not have had its effect.
    #[error("deadline passed after {after_ms} ms")]
    DeadlineExceeded {
        /// How long the caller waited, in milliseconds.
        after_ms: u64,
    },
    /// The caller gave up.
    #[error("cancelled by the caller")]
    Cancelled,
    /// The target is at its limit and refused at once.
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// The target ran and failed: a trap, or the provider's own error.
    #[error("{0}")]
    Failed(String),
    /// A message or value went past a bound.
    #[error("{what} has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// What was too large.
        what: Cow<'static, str>,
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The bytes do not fit the type.
    #[error("malformed values: {0}")]
    Malformed(String),
    /// The way there broke: connection lost, messages lost.
    #[error("transport: {0}")]
    Transport(String),
}

impl CallError {
    /// The kind's name on the wire (header [`trellis_lattice::header::ERROR_KIND`]).
    pub fn kind(&self) -> &'static str {
        match self {
            Self::MissingLink { .. } => "missing-link",
            Self::NoResponder { .. } => "no-responder",
            Self::OutOfBounds(_) => "out-of-bounds",
            Self::UnknownFunction { .. } => "unknown-function",
            Self::TypesDiffer { .. } => "types-differ",
            Self::DeadlineExceeded { .. } => "deadline-exceeded",
            Self::Cancelled => "cancelled",
            Self::Overloaded(_) => "overloaded",
            Self::Failed(_) => "failed",
            Self::TooLarge { .. } => "too-large",
            Self::Malformed(_) => "malformed",
            Self::Transport(_) => "transport",
        }
    }

    /// Nobody within a residency bound serves a target.
    pub(crate) fn nobody_within(within: &Within, target: &impl std::fmt::Display) -> Self {
        Self::OutOfBounds(format!(
            "nobody within {within} serves \"{target}\", and its link is kept there: start it on a host with that label, or take the bound off the link"
        ))
    }

    /// What a callee without a word for it says by sending no results: that it failed (1.x does so).
    pub(crate) fn without_results() -> Self {
        Self::Failed("the callee ended the call without a result and without a reason".to_owned())
    }

    /// What a gap in the numbers of messages means.
    pub(crate) fn lost(expected: u64, found: u64) -> Self {
        Self::Transport(format!(
            "messages were lost: number {found} came where {expected} was due"
        ))
    }

    /// The error a callee sent: the kind if we know it, its message in any case.
    pub fn from_wire(kind: Option<&str>, message: String) -> Self {
        match kind {
            Some("overloaded") => Self::Overloaded(strip(&message, "overloaded: ")),
            Some("cancelled") => Self::Cancelled,
            Some("malformed") => Self::Malformed(strip(&message, "malformed values: ")),
            Some("transport") => Self::Transport(strip(&message, "transport: ")),
            Some("deadline-exceeded") => Self::DeadlineExceeded {
                after_ms: first_number(&message),
            },
            // The others' fields are in their message; a caller acts on none of them.
            _ => Self::Failed(message),
        }
    }

    /// Whether the callee cannot have started: trying again elsewhere is safe.
    pub fn not_started(&self) -> bool {
        matches!(
            self,
            Self::NoResponder { .. }
                | Self::OutOfBounds(_)
                | Self::Overloaded(_)
                | Self::MissingLink { .. }
        )
    }
}

/// The message without the prefix that displaying it would put there again.
fn strip(message: &str, prefix: &str) -> String {
    message.strip_prefix(prefix).unwrap_or(message).to_owned()
}

/// The number in "deadline passed after 2000 ms".
fn first_number(message: &str) -> u64 {
    message
        .split(' ')
        .find_map(|word| word.parse().ok())
        .unwrap_or_default()
}
