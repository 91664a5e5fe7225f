//! Waiting for a condition, never for a time.

use std::{future::Future, time::Duration};

use anyhow::{Result, bail};
use tokio::time::Instant;

/// The longest that anything may take before a test gives up: far beyond what is normal, so that a busy
/// machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks. Short enough not to be felt, long enough not to be a load.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` gives a value, at most [`DEADLINE`]; `what` is said when it does not.
///
/// # Errors
/// The deadline passed; the last reason that `look` gave is told.
pub async fn until<T, F, Fut>(what: &str, look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    until_within(what, DEADLINE, look).await
}

/// As [`until`], with a deadline of its own.
///
/// # Errors
/// The deadline passed; the last reason that `look` gave is told.
pub async fn until_within<T, F, Fut>(what: &str, within: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        let reason = match tokio::time::timeout_at(deadline, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => format!("{reason:#}"),
            Err(_) => "the look itself did not end".to_owned(),
        };
        if Instant::now() + PAUSE > deadline {
            bail!("{what}: not within {} s: {reason}", within.as_secs_f32());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
