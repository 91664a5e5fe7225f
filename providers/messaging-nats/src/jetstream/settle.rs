//! How JetStream is told that a message has come to its end, or that it has not yet.

use std::{future::Future, pin::pin, time::Duration};

use async_nats::{Client, Request, Subject, jetstream::AckKind};
use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How long one answer is waited for, and how long it is tried in all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const TRIED_FOR: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_millis(500);

/// Tells the end of a message, until JetStream confirms it. While it does not, it is told again: what was handled should not
/// be handled twice because a connection broke.
pub(super) async fn settle(client: &Client, ack: &Subject, end: AckKind) -> Result<(), String> {
    let until = Instant::now() + TRIED_FOR;
    loop {
        let request = Request::new()
            .payload(Bytes::from(end))
            .timeout(Some(ANSWER_TIMEOUT));
        match client.send_request(ack.clone(), request).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= until => return Err(error.to_string()),
            Err(error) => tracing::debug!(%error, "a message's end is not confirmed yet"),
        }
        tokio::time::sleep(WAIT).await;
    }
}

/// Gives a message back that nobody here has begun with.
pub(super) async fn give_back(client: &Client, ack: Subject) {
    if let Err(error) = client.publish(ack, AckKind::Nak(None).into()).await {
        tracing::debug!(%error, "a message is not given back; it comes again when its time is over");
    }
}

/// Does some work on a message, and says meanwhile that it goes on: else it would be given to another after `ack_wait`.
pub(super) async fn holding<T>(
    client: &Client,
    ack: &Subject,
    ack_wait: Duration,
    work: impl Future<Output = T>,
) -> T {
    let every = (ack_wait / 3).max(Duration::from_millis(100));
    let mut beat = interval_at(Instant::now() + every, every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = beat.tick() => {
                let said = client.publish(ack.clone(), AckKind::Progress.into());
                if let Err(error) = said.await {
                    tracing::debug!(%error, "could not say that a message is being handled");
                }
            }
        }
    }
}
