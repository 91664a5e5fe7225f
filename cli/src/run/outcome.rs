//! Whether what a host accepted was done in the end: it says so by an event.

use anyhow::Context as _;
use async_nats::Subscriber;
use futures::StreamExt as _;
use trellis_lattice::{
    HostId,
    event::{CloudEvent, Event},
};

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

/// The hosts on which something was stopped, one after the other.
#[derive(Default)]
pub struct Stopped {
    /// So far.
    pub hosts: Vec<HostId>,
}

impl Stopped {
    /// One more.
    ///
    /// # Errors
    /// The outcome's, with the hosts before it on which it was stopped all the same.
    pub fn add(&mut self, host: &HostId, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        outcome.with_context(|| match self.hosts.is_empty() {
            true => format!("host {host}"),
            false => format!("stopped on {}, but not on host {host}", self.names()),
        })?;
        self.hosts.push(host.clone());
        Ok(())
    }

    /// The hosts, for people.
    pub fn names(&self) -> String {
        let ids: Vec<&str> = self.hosts.iter().map(HostId::as_str).collect();
        let plural = if ids.len() == 1 { "" } else { "s" };
        format!("host{plural} {}", ids.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostId {
        HostId::new(name).unwrap()
    }

    #[test]
    fn a_failure_names_where_it_was_done_before() {
        let mut stopped = Stopped::default();
        let refused = stopped.add(&host("NA"), Err(anyhow::anyhow!("busy")));
        assert_eq!(format!("{:#}", refused.unwrap_err()), "host NA: busy");
        stopped.add(&host("NA"), Ok(())).unwrap();
        stopped.add(&host("NB"), Ok(())).unwrap();
        assert_eq!(stopped.names(), "hosts NA, NB");
        let refused = stopped.add(&host("NC"), Err(anyhow::anyhow!("busy")));
        assert_eq!(
            format!("{:#}", refused.unwrap_err()),
            "stopped on hosts NA, NB, but not on host NC: busy"
        );
    }
}
