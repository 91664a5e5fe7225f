//! Logs to standard error, as the host data asks for.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, fmt};
use trellis_lattice::provider::HostData;

/// Starts logging. Where the process logs already (a test, another program with a provider in it) that stays.
///
/// `log_level` is a level or a filter such as `info,trellis_rpc=debug`; `RUST_LOG`, where the host grants it, goes before.
pub(crate) fn start(data: &HostData) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        let level = data.log_level.as_deref().filter(|level| !level.is_empty());
        level
            .and_then(|level| level.parse().ok())
            .unwrap_or_else(|| EnvFilter::new("info"))
    });
    let logs = fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that somebody else has started logging.
    let _ = if data.structured_logging {
        logs.json().flatten_event(true).try_init()
    } else {
        logs.with_ansi(io::stderr().is_terminal()).try_init()
    };
}
