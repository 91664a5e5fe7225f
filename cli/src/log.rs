//! What is logged, and where: standard error, so that standard output stays the result.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// What names the filter in the environment.
const VARIABLE: &str = "TRELLIS_LOG";

/// Logs to standard error. `default` is the filter where `TRELLIS_LOG` doesn't say another.
///
/// Called once; a second call changes nothing.
pub fn to_stderr(default: &str) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter(default))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

/// The filter that `TRELLIS_LOG` says, else the default.
pub fn filter(default: &str) -> EnvFilter {
    let wanted = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    EnvFilter::builder().parse_lossy(wanted.as_deref().unwrap_or(default))
}
