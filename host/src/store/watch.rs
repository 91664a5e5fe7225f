//! Following a bucket: reads all of it, then every change, and begins again whenever the connection came back or
//! the bucket was made anew. A bucket that was lost is filled again with what this host knows.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_nats::jetstream::{
    consumer::{DeliverPolicy, push},
    kv,
};
use futures::StreamExt as _;
use rand::Rng as _;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError, View, unavailable};

/// How long to wait before trying again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often to look whether the bucket is still the same one.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// How long the messages that a bucket said it has may take to come.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(10);

/// A bucket of the lattice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bucket {
    /// Specifications and claims.
    Lattice,
    /// Configurations.
    Config,
}

/// Follows a bucket until cancelled. `synced` becomes true when all of it was read for the first time.
pub(crate) async fn follow(
    store: Store,
    bucket: Bucket,
    view: Arc<View>,
    mut connections: watch::Receiver<u64>,
    synced: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let mut incarnation = None;
    let mut wait = RETRY.0;
    loop {
        connections.mark_unchanged();
        let mut follower = Follower {
            store: &store,
            bucket,
            view: &view,
            synced: &synced,
        };
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = follower.run(&mut incarnation) => outcome,
            _ = connections.changed() => {
                wait = RETRY.0;
                continue;
            }
        };
        match outcome {
            Ok(()) => wait = RETRY.0,
            Err(error) => {
                tracing::warn!(?bucket, %error, "lost sight of the lattice's state; serving what is known");
                wait = (wait * 2).min(RETRY.1);
            }
        }
        let pause = wait.mul_f64(rand::rng().random_range(0.5..=1.0));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            _ = connections.changed() => {}
        }
    }
}

struct Follower<'a> {
    store: &'a Store,
    bucket: Bucket,
    view: &'a View,
    synced: &'a watch::Sender<bool>,
}

impl Follower<'_> {
    /// One run, until the bucket is another one.
    async fn run(&mut self, incarnation: &mut Option<OffsetDateTime>) -> Result<(), StoreError> {
        let kv = self.store.open(self.bucket).await?;
        let created = kv.stream.cached_info().created;
        if incarnation.is_some_and(|before| before != created) {
            self.refill().await?;
        }
        *incarnation = Some(created);

        let mut messages = self.read_all(&kv).await?;
        self.synced.send_replace(true);
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        check.tick().await;
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => {
                        let message = message.map_err(|error| unavailable("following a bucket", error))?;
                        self.apply(&kv, &message);
                    }
                    None => return Ok(()),
                },
                _ = check.tick() => {
                    let info = kv.stream.get_info().await;
                    let info = info.map_err(|error| unavailable("looking at a bucket", error))?;
                    if info.created != created {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Puts what is known into a bucket that was lost and made anew.
    async fn refill(&mut self) -> Result<(), StoreError> {
        let entries = self.view.entries(self.bucket);
        tracing::warn!(
            bucket = ?self.bucket,
            entries = entries.len(),
            "the lattice's bucket was lost and made anew; putting back what this host knows"
        );
        self.view.forget_revisions(self.bucket);
        for (key, value) in entries {
            self.store.restore(self.bucket, &key, value).await?;
        }
        Ok(())
    }

    /// Reads the whole bucket into the view; what comes after is in the messages it gives.
    async fn read_all(&mut self, kv: &kv::Store) -> Result<push::Ordered, StoreError> {
        let config = push::OrderedConfig {
            deliver_subject: self.store.inbox(),
            description: Some("trellis host".into()),
            filter_subject: format!("{}>", kv.prefix),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..push::OrderedConfig::default()
        };
        let consumer = kv
            .stream
            .create_consumer(config)
            .await
            .map_err(|error| unavailable("following a bucket", error))?;
        let mut pending = consumer.cached_info().num_pending;
        let mut messages = consumer
            .messages()
            .await
            .map_err(|error| unavailable("following a bucket", error))?;
        let mut seen = HashSet::new();
        while pending > 0 {
            let next = tokio::time::timeout(REPLAY_TIMEOUT, messages.next()).await;
            let message = match next {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Err(unavailable("reading a bucket", error)),
                Ok(None) => return Err(unavailable("reading a bucket", "the watch ended")),
                Err(_) => return Err(unavailable("reading a bucket", "no answer in time")),
            };
            pending = message
                .info()
                .map_err(|error| unavailable("reading a bucket", error))?
                .pending;
            if let Some(key) = self.apply(kv, &message) {
                seen.insert(key);
            }
        }
        self.view.retain(self.bucket, &seen);
        Ok(messages)
    }

    /// Takes one message over; gives its key unless it deletes.
    fn apply(
        &mut self,
        kv: &kv::Store,
        message: &async_nats::jetstream::Message,
    ) -> Option<String> {
        let key = message.subject.strip_prefix(kv.prefix.as_str())?;
        let revision = message.info().ok()?.stream_sequence;
        let deletes = message.headers.as_ref().is_some_and(|headers| {
            headers.get("KV-Operation").is_some() || headers.get("Nats-Marker-Reason").is_some()
        });
        let value = (!deletes).then_some(&message.payload[..]);
        self.view.apply(self.bucket, key, revision, value);
        (!deletes).then(|| key.to_owned())
    }
}
