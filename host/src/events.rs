//! Telling the lattice what happens here (`wasmcloud-v1.md`, Events).

use std::time::Duration;

use async_nats::Client;
use trellis_lattice::{
    HostId,
    event::{CloudEvent, Event},
    subject::Subjects,
};

/// How long an event may wait for NATS to take it. While NATS is away the client queues what fits.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Publishes a host's events.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    client: Client,
    subjects: Subjects,
    host_id: HostId,
}

impl Events {
    pub(crate) fn new(client: Client, subjects: Subjects, host_id: HostId) -> Self {
        Self {
            client,
            subjects,
            host_id,
        }
    }

    /// Publishes an event. One that can't be published is logged: events tell, they don't decide.
    pub(crate) async fn publish(&self, event: Event) {
        let name = event.name().to_owned();
        let payload = match serde_json::to_vec(&CloudEvent::new(&self.host_id, &event)) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(event = name, %error, "event has no JSON form");
                return;
            }
        };
        tracing::debug!(event = name, "event");
        let publish = self
            .client
            .publish(self.subjects.event(&name), payload.into());
        match tokio::time::timeout(PUBLISH_TIMEOUT, publish).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(event = name, %error, "event was not published"),
            Err(_) => tracing::warn!(event = name, "event was not published: NATS is away"),
        }
    }
}
