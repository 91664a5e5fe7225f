//! What the exit code says, and how an error is told.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | refused, or failed |
//! | 2 | the arguments don't make sense |
//! | 3 | there is nothing of that name |
//! | 4 | no answer: no NATS, nobody in the lattice, or not in time |
//!
//! With `--output json` the error is the last line of standard error: `{"error": {"code": 3, "message": "…"}}`, with
//! `mistakes` (its `file`, and as `findings` each one's `line`, `column`, `field` and `message`) where a manifest has some.

use std::{error::Error as StdError, fmt::Write as _, io::Write as _, process::ExitCode};

use trellis_host::HostError;
use trellis_lattice::{client::ControlError, connect::ConnectError};
use trellis_provider::RunError;
use trellis_registry::RegistryError;
use trellis_rpc::CallError;
use trellis_wadm::WadmError;

use crate::{app::manifest::Mistakes, output::Format, session::ANY_HOST};

/// The table above, for `--help`.
pub const CODES: &str = "\
Exit codes:
  0  done
  1  refused, or failed
  2  the arguments don't make sense
  3  there is nothing of that name
  4  no answer: no NATS, nobody in the lattice, or not in time
With --output json the last line of standard error is {\"error\": {\"code\": CODE, \"message\": TEXT}}.";

/// There is nothing of that name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(pub String);

/// The arguments don't make sense, in a way that their parser can't see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Nobody answered, or not in time.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// Tells the error on standard error and returns its code.
pub fn report(error: &anyhow::Error, format: Format) -> ExitCode {
    let code = code(error);
    match format {
        Format::Text => eprintln!("error: {}", message(error)),
        Format::Json => eprintln!("{}", as_json(error, code)),
    }
    ExitCode::from(code)
}

/// Tells what the arguments' parser says: help, the version, or what is wrong with them and which environment variable it is
/// from, if it is from one.
pub fn parsed(error: &clap::Error, variable: Option<&str>, format: Format) -> ExitCode {
    let hint = variable.map(|name| format!("the value comes from the environment: see {name}"));
    if format == Format::Json && error.use_stderr() {
        let mut text = error.render().to_string().trim_end().to_owned();
        if let Some(hint) = hint {
            text = format!("{text}\n\n{hint}");
        }
        return report(&Usage(text).into(), format);
    }
    // As the parser itself does; a reader that has gone is no error.
    let _ = error.print();
    if let Some(hint) = hint {
        let _ = writeln!(std::io::stderr(), "\n{hint}.");
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn as_json(error: &anyhow::Error, code: u8) -> serde_json::Value {
    let mut fields = serde_json::json!({ "code": code, "message": message(error) });
    if let Some(mistakes) = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Mistakes>())
    {
        fields["mistakes"] = serde_json::json!({
            "file": mistakes.file,
            "findings": mistakes.findings,
        });
    }
    serde_json::json!({ "error": fields })
}

/// The error with its causes. Many an error repeats its cause in its own words: said once is enough.
pub fn message(error: &anyhow::Error) -> String {
    if let Some(ControlError::NoResponder { what, lattice }) = error.downcast_ref()
        && what == ANY_HOST
    {
        return format!(
            "no host answers in lattice {lattice:?}: start one with `trellis up` or `trellis host`, or name \
             another lattice with --lattice"
        );
    }
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            let separator = if text.is_empty() { "" } else { ": " };
            // Writing to a string can't fail.
            let _ = write!(text, "{separator}{cause}");
        }
    }
    text
}

fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(1)
}

fn code_of(cause: &(dyn StdError + 'static)) -> Option<u8> {
    if cause.is::<Usage>() {
        return Some(2);
    }
    if cause.is::<NotFound>() {
        return Some(3);
    }
    if cause.is::<NoAnswer>() {
        return Some(4);
    }
    if let Some(error) = cause.downcast_ref::<RunError>() {
        return Some(error.exit_code());
    }
    match cause.downcast_ref::<RegistryError>() {
        Some(error) if error.is_usage() => return Some(2),
        Some(error) if error.is_not_found() => return Some(3),
        Some(error) if error.may_pass() => return Some(4),
        _ => {}
    }
    match cause.downcast_ref::<ControlError>() {
        Some(ControlError::NoResponder { what, .. }) if what == ANY_HOST => return Some(4),
        Some(ControlError::NoResponder { .. }) => return Some(3),
        Some(ControlError::TimedOut { .. }) => return Some(4),
        _ => {}
    }
    match cause.downcast_ref::<CallError>() {
        Some(
            CallError::NoResponder { .. }
            | CallError::OutOfBounds(_)
            | CallError::UnknownFunction { .. },
        ) => return Some(3),
        Some(CallError::DeadlineExceeded { .. }) => return Some(4),
        _ => {}
    }
    // Roles pass it on in words of their own, which say the same.
    let connect = match (
        cause.downcast_ref::<HostError>(),
        cause.downcast_ref::<WadmError>(),
    ) {
        (Some(HostError::Connect(error)), _) | (_, Some(WadmError::Connect(error))) => Some(error),
        _ => cause.downcast_ref::<ConnectError>(),
    };
    match connect {
        Some(ConnectError::Unreachable { .. }) => Some(4),
        Some(ConnectError::Url { .. } | ConnectError::JwtWithoutSeed) => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let inner = std::io::Error::other("disk full");
        let error = anyhow::Error::new(inner)
            .context("file a: disk full")
            .context("signing");
        assert_eq!(message(&error), "signing: file a: disk full");
    }

    #[test]
    fn codes_are_found_below_context() {
        let missing = Err::<(), _>(NotFound("x".into())).context("while looking");
        assert_eq!(code(&missing.unwrap_err()), 3);
        let timed_out = ControlError::TimedOut {
            request: "get".into(),
            timeout: std::time::Duration::from_secs(1),
        };
        assert_eq!(code(&timed_out.into()), 4);
        assert_eq!(code(&anyhow::anyhow!("other")), 1);
    }

    #[test]
    fn programs_get_the_error_as_json() {
        let error = anyhow::Error::new(NotFound("no x".into())).context("while looking");
        assert_eq!(
            as_json(&error, code(&error)),
            serde_json::json!({"error": {"code": 3, "message": "while looking: no x"}})
        );
    }

    #[test]
    fn a_lattice_without_hosts_is_told_so() {
        let error = ControlError::NoResponder {
            what: ANY_HOST.into(),
            lattice: "l".into(),
        };
        assert!(message(&error.into()).contains("trellis up"));
    }
}
