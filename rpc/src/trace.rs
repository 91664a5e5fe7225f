//! W3C trace context, carried from caller to callee in a header.

use std::{fmt, str::FromStr};

use rand::Rng as _;

/// A `traceparent` (W3C Trace Context, level 1): which trace a call belongs to and who its parent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

impl TraceContext {
    /// The start of a new, unsampled trace.
    pub fn root() -> Self {
        let mut rng = rand::rng();
        // Zero is the specification's "invalid" for both ids.
        Self {
            trace_id: rng.random_range(1..=u128::MAX),
            parent_id: rng.random_range(1..=u64::MAX),
            flags: 0,
        }
    }

    /// The same trace, with a new parent: what a callee's own calls carry.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            parent_id: rand::rng().random_range(1..=u64::MAX),
            ..*self
        }
    }

    /// Its trace's id, its parent's id and its flags.
    pub(crate) fn to_parts(self) -> (u128, u64, u8) {
        (self.trace_id, self.parent_id, self.flags)
    }

    /// The reverse of [`Self::to_parts`]; `None` for an id of zero, which is the specification's "invalid".
    pub(crate) fn from_parts(trace_id: u128, parent_id: u64, flags: u8) -> Option<Self> {
        (trace_id != 0 && parent_id != 0).then_some(Self {
            trace_id,
            parent_id,
            flags,
        })
    }

    /// The trace's id.
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.parent_id, self.flags
        )
    }
}

/// A `traceparent` header that does not follow the specification.
#[derive(Debug, thiserror::Error)]
#[error("not a W3C traceparent: {0:?}")]
pub struct TraceContextError(String);

impl FromStr for TraceContext {
    type Err = TraceContextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.as_bytes()).ok_or_else(|| TraceContextError(text.chars().take(80).collect()))
    }
}

/// `version-trace-parent-flags`, in lower-case hex. Later versions may append fields.
fn parse(text: &[u8]) -> Option<TraceContext> {
    const LENGTH: usize = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".len();
    let dashes = text.len() >= LENGTH && text[2] == b'-' && text[35] == b'-' && text[52] == b'-';
    if !dashes || text.get(LENGTH).is_some_and(|next| *next != b'-') {
        return None;
    }
    let version = hex(&text[..2])?;
    let trace_id = hex(&text[3..35])?;
    let parent_id = hex(&text[36..52])? as u64;
    let flags = hex(&text[53..55])? as u8;
    // Version ff is forbidden, and so are zero ids.
    let valid = version != 0xff && trace_id != 0 && parent_id != 0;
    (valid && (version != 0 || text.len() == LENGTH)).then_some(TraceContext {
        trace_id,
        parent_id,
        flags,
    })
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_specification_s_example() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(text.parse::<TraceContext>().unwrap().to_string(), text);
    }

    #[test]
    fn refuses_what_is_not_a_traceparent() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert!(text.parse::<TraceContext>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_child_stays_in_its_trace() {
        let parent = TraceContext::root();
        let child = parent.child();
        assert_eq!(parent.trace_id(), child.trace_id());
        assert_ne!(parent, child);
    }
}
