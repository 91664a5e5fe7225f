//! How a target's calls are served, whatever way they come.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::{call::Outgoing, deadline, error::CallError};

/// The longest error message that travels.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// How a target's calls are served.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// How many calls run at once; one more is refused at once with [`CallError::Overloaded`]. Default: 1024.
    pub max_in_flight: usize,
    /// The deadline of a call that comes without one. Default: 30 s.
    pub default_deadline: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 1024,
            default_deadline: Duration::from_secs(30),
        }
    }
}

/// Runs a handler until it is done, panics or its deadline passes. `None`: the call was cancelled.
pub(crate) async fn run(
    work: impl Future<Output = Result<Outgoing, CallError>>,
    cancelled: &CancellationToken,
    received: Instant,
    deadline: Instant,
) -> Option<Result<Outgoing, CallError>> {
    let work = AssertUnwindSafe(work).catch_unwind();
    let result = tokio::select! {
        biased;
        // First: work that is done at once needs neither a timer nor a place among those who wait for the token.
        result = tokio::time::timeout_at(deadline.into(), work) => result,
        () = cancelled.cancelled() => return None,
    };
    Some(match result {
        Ok(Ok(result)) => result,
        Ok(Err(_panic)) => Err(CallError::Failed(
            "the callee panicked; its log says where".to_owned(),
        )),
        Err(_) => {
            cancelled.cancel();
            Err(deadline::exceeded(received))
        }
    })
}

/// What becomes of a call whose parameters are announced and do not come.
pub(crate) fn late_params() -> CallError {
    CallError::Transport("the parameters did not come whole in time".to_owned())
}

/// Why a call that the limit leaves no place for is refused.
pub(crate) fn overloaded(target: &impl std::fmt::Display, limit: usize) -> CallError {
    CallError::Overloaded(format!("{target} runs {limit} calls at once, its limit"))
}

/// What a caller is told when its callee's serving ends under it.
pub(crate) fn stopped() -> CallError {
    CallError::Transport("the callee was stopped during the call".to_owned())
}

/// An error's words as they travel.
pub(crate) fn words(error: &CallError) -> String {
    let mut message = error.to_string();
    message.truncate(message.floor_char_boundary(MAX_ERROR_BYTES));
    message
}
