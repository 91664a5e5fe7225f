//! Connects, and again whenever the connection is lost.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rand::Rng as _;
use tokio::{net::UnixStream, time::Instant};

use super::{
    Shared,
    frames::ReadError,
    link::{self, LinkError},
};

/// The first wait after a connection was lost.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Keeps a connection for as long as it is polled.
pub(super) async fn keep(path: PathBuf, token: String, shared: Arc<Shared>) {
    let mut wait = FIRST_WAIT;
    loop {
        let started = Instant::now();
        match UnixStream::connect(&path).await {
            Ok(socket) => match link::connect(socket, &shared, &token).await {
                Ok(()) | Err(LinkError::Read(ReadError::Closed | ReadError::Io(_))) => {
                    tracing::info!(path = %path.display(), "the connection to the host's socket was lost; calls go by NATS until it is back");
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the connection to the host's socket ended; calls go by NATS");
                }
            },
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "the host's socket could not be reached");
            }
        }
        if started.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        // Not all who lost the same host at once come back at once.
        let part = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(wait.mul_f64(part)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
