//! Whether what a host accepted was done in the end: it says so by an event.

use anyhow::Context as _;
use async_nats::Subscriber;
use futures::StreamExt as _;
use trellis_lattice::event::{CloudEvent, Event};

use crate::{exit::NoAnswer, session::Session};

/// Listens for one outcome. Made before the request, so that the event can't be missed.
pub struct Outcome {
    events: Subscriber,
}

impl Outcome {
    /// Begins to listen.
    ///
    /// # Errors
    /// NATS failed.
    pub async fn listen(session: &Session) -> anyhow::Result<Self> {
        let nats = session.control.nats();
        let events = nats.subscribe(session.control.subjects().events()).await?;
        // The request goes over the same connection, behind the subscription.
        nats.flush().await?;
        Ok(Self { events })
    }

    /// Waits for the event that `judge` decides by: `None` for one about something else.
    ///
    /// # Errors
    /// What the event says went wrong, or no such event in time.
    pub async fn wait<T>(
        mut self,
        session: &Session,
        what: &str,
        judge: impl Fn(&Event) -> Option<Result<T, String>>,
    ) -> anyhow::Result<T> {
        let decided = async {
            while let Some(message) = self.events.next().await {
                let event = CloudEvent::read(&message.payload).and_then(|event| event.event());
                match event {
                    Ok(event) => {
                        if let Some(outcome) = judge(&event) {
                            return outcome.map_err(|error| anyhow::anyhow!("{what}: {error}"));
                        }
                    }
                    // Somebody else's broken event is not our outcome.
                    Err(error) => tracing::debug!(%error, "an event can't be read"),
                }
            }
            Err(anyhow::anyhow!("{what}: the connection to NATS ended"))
        };
        tokio::time::timeout(session.timeout, decided).await.map_err(|_| {
            NoAnswer(format!(
                "{what}: accepted, but not done within {}: `trellis get inventory` shows how it went; wait longer with --timeout",
                humantime::format_duration(session.timeout)
            ))
        }).context("waiting")?
    }
}
