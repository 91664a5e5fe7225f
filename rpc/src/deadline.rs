//! Deadlines travel as milliseconds left, so that clocks need not agree.

use std::time::{Duration, Instant};

use crate::error::CallError;

/// A caller that names a farther deadline means "no deadline".
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is left until a deadline, rounded up: the callee does not end before the caller stops waiting.
pub(crate) fn ms_left(deadline: Instant) -> u64 {
    let left = deadline.saturating_duration_since(Instant::now());
    u64::try_from(left.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

/// The deadline of a call that arrived then with so much left.
pub(crate) fn after(received: Instant, ms: u64) -> Option<Instant> {
    received.checked_add(Duration::from_millis(ms).min(LONGEST))
}

/// The error of a call that began then and has to end now.
pub(crate) fn exceeded(started: Instant) -> CallError {
    let waited = started.elapsed().as_millis();
    CallError::DeadlineExceeded {
        after_ms: u64::try_from(waited).unwrap_or(u64::MAX),
    }
}
