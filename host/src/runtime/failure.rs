//! How a failed call is told to its caller, and what the log keeps for the actor's author.

use std::time::Instant;

use trellis_rpc::{CallError, Operation};
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::state::CallState;

/// What the caller is told of an instance's failure.
///
/// An error of a call that the actor made, such as a missing link, is handed on as it is; a trap names the actor, what was
/// called and why it ended. The backtrace goes to the log.
pub(super) fn explain(
    error: &wasmtime::Error,
    state: &CallState,
    operation: &Operation,
    started: Instant,
) -> CallError {
    let actor = state.actor();
    actor.counters.trapped();
    let id = &actor.id;
    if let Some(error) = error.downcast_ref::<CallError>() {
        tracing::warn!(actor = %id, %operation, %error, "a call that the actor made failed, and it with it");
        return match error {
            // Those that the actor called did nothing, but it did: its caller must not take it that it may try again.
            CallError::Overloaded(_)
            | CallError::NoResponder { .. }
            | CallError::OutOfBounds(_) => CallError::Failed(error.to_string()),
            _ => error.clone(),
        };
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        let after = started.elapsed();
        tracing::warn!(actor = %id, %operation, ?after, "the actor was still computing when its time was over");
        return CallError::DeadlineExceeded {
            after_ms: millis(after),
        };
    }
    let why = reason(error, trap, state);
    let backtrace = error
        .downcast_ref::<WasmBacktrace>()
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::warn!(actor = %id, %operation, why, backtrace, "the actor failed");
    CallError::Failed(format!("actor {id:?} failed in {operation}: {why}"))
}

fn reason(error: &wasmtime::Error, trap: Option<&Trap>, state: &CallState) -> String {
    let mut why = match (error.downcast_ref::<I32Exit>(), trap) {
        (Some(I32Exit(status)), _) => format!("it exited with status {status}"),
        (None, Some(trap)) => trap.to_string(),
        (None, None) => error.root_cause().to_string(),
    };
    if let Some(memory) = state.quota.explanation() {
        why = format!("{memory} ({why})");
    }
    // Rust guests say why they panic on standard error, and end by `unreachable`.
    match state.stderr.last_words() {
        Some(last) => format!("{why}; its last words: {last}"),
        None => why,
    }
}

/// Milliseconds, for messages.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
