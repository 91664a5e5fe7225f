//! Making sure that the NATS server has done what it was told on a connection.

use std::time::Duration;

use async_nats::{Client, SubscribeError};
use bytes::Bytes;
use futures::StreamExt as _;

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The server did not answer.
#[derive(Debug, thiserror::Error)]
#[error("NATS does not answer: {0}")]
pub struct NoRoundTrip(String);

/// Sends a message to ourselves and waits for it. A server works one connection's commands off in order, so
/// subscriptions that were made before it are in force when it comes back. (Flushing only writes to the socket.)
pub(crate) async fn round_trip(client: &Client) -> Result<(), NoRoundTrip> {
    let failed = |error: &dyn std::fmt::Display| NoRoundTrip(error.to_string());
    let inbox = client.new_inbox();
    let subscribed: Result<_, SubscribeError> = client.subscribe(inbox.clone()).await;
    let mut messages = subscribed.map_err(|error| failed(&error))?;
    let published = client.publish(inbox, Bytes::new()).await;
    published.map_err(|error| failed(&error))?;
    match tokio::time::timeout(TIMEOUT, messages.next()).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(failed(&"the connection was closed")),
        Err(_) => Err(failed(&format!("no answer within {} s", TIMEOUT.as_secs()))),
    }
}
