//! Ending when told to: Ctrl-C, SIGTERM, or the terminal's end.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals that mean "end".
pub struct Endings {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Endings {
    /// Listens for them from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one; its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

/// A token that is cancelled by the first ending signal; a second one ends the process at once.
///
/// # Errors
/// The system refuses.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let mut endings = Endings::listen()?;
    // It lives as long as the process, and the runtime ends it.
    tokio::spawn(async move {
        let why = endings.next().await;
        tracing::info!(why, "ending; once more to end at once");
        token.cancel();
        let why = endings.next().await;
        tracing::warn!(why, "ending at once");
        std::process::exit(130);
    });
    Ok(shutdown)
}
