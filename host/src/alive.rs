//! Saying that the host is there: when it joins, small and often, and whole now and then.

use std::sync::Arc;

use async_nats::{Client, connection::State};
use bytes::Bytes;
use tokio::time::MissedTickBehavior;
use trellis_lattice::{
    control::host::BEAT_EVERY,
    event::{Event, HostStarted, HostStopped},
};

use crate::host::Host;

/// Says that the host has joined, and what it runs.
pub(crate) async fn announce(host: &Host) {
    let event = HostStarted {
        friendly_name: host.identity.friendly_name.clone(),
        labels: host.identity.labels(),
        uptime_seconds: host.identity.uptime().as_secs(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host_id: Some(host.identity.id.clone()),
    };
    host.events.publish(Event::HostStarted(event)).await;
    heartbeat(host).await;
}

/// Says that the host leaves.
pub(crate) async fn take_leave(host: &Host, reason: &str) {
    let event = HostStopped {
        labels: host.identity.labels(),
        host_id: Some(host.identity.id.clone()),
        reason: Some(reason.to_owned()),
    };
    host.events.publish(Event::HostStopped(event)).await;
}

/// Says every [`BEAT_EVERY`] that the host is there, until it is dropped.
pub(crate) async fn beats(client: Client, subject: String) {
    let mut ticks = tokio::time::interval(BEAT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // The client would keep it until NATS is back, and a beat of then says nothing of now.
        if client.connection_state() != State::Connected {
            continue;
        }
        if let Err(error) = client.publish(subject.clone(), Bytes::new()).await {
            tracing::debug!(%error, "no beat");
        }
    }
}

/// Says regularly, and whenever the connection came back, what runs here.
pub(crate) async fn heartbeats(host: Arc<Host>) {
    let mut connections = host.connections();
    connections.mark_unchanged();
    loop {
        tokio::select! {
            () = tokio::time::sleep(host.config.heartbeat_interval) => {}
            changed = connections.changed() => if changed.is_err() { return },
        }
        heartbeat(&host).await;
    }
}

async fn heartbeat(host: &Host) {
    host.events
        .publish(Event::HostHeartbeat(host.inventory()))
        .await;
}
