//! Following a bucket: reads all of it, then every change, and begins again whenever the connection came back, the hub
//! came back, or the bucket was made anew. A bucket that was lost is filled again with what this host knows.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_nats::jetstream::{
    consumer::{DeliverPolicy, push},
    kv,
    stream::Info,
};
use futures::StreamExt as _;
use rand::Rng as _;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use trellis_lattice::mirror::Incarnation;

use super::{
    Store, StoreError, View,
    mirror::{LOOK_EVERY, Lookout, Seen},
    unavailable,
};

/// How long to wait before trying again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long at most while the hub is away: what was changed meanwhile is to be known soon after it is back.
const HUB_RETRY: Duration = Duration::from_millis(500);
/// How often to look whether the bucket is still the same one.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// How often, where the hub has it and the PoP has no copy that would tell.
const REMOTE_CHECK_INTERVAL: Duration = Duration::from_secs(3);
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

impl Bucket {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Lattice, Self::Config];
}

/// Follows a bucket until cancelled. `synced` becomes true when all of it was read for the first time, be it from the
/// PoP's copy.
pub(crate) async fn follow(
    store: Store,
    bucket: Bucket,
    view: Arc<View>,
    mut connections: watch::Receiver<u64>,
    synced: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let mut follower = Follower {
        store: &store,
        bucket,
        view: &view,
        synced: &synced,
        incarnation: None,
        heard: 0,
        lost: None,
    };
    let mut wait = RETRY.0;
    loop {
        connections.mark_unchanged();
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = follower.run() => outcome,
            _ = connections.changed() => {
                wait = RETRY.0;
                continue;
            }
        };
        match outcome {
            Ok(()) => wait = RETRY.0,
            Err(error) => {
                let most = match error {
                    StoreError::HubAway { .. } => HUB_RETRY,
                    _ => RETRY.1,
                };
                follower.lose_sight(&error);
                wait = (wait * 2).min(most);
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
    /// The bucket that the view is of.
    incarnation: Option<Incarnation>,
    /// The last revision that was heard of.
    heard: u64,
    /// Since when the bucket is out of sight.
    lost: Option<Instant>,
}

impl Follower<'_> {
    /// One run, until the bucket must be read again.
    async fn run(&mut self) -> Result<(), StoreError> {
        let kv = match self.store.open_soon(self.bucket).await {
            Ok(kv) => kv,
            Err(error) => {
                if !*self.synced.borrow() {
                    self.read_copy().await;
                }
                return Err(error);
            }
        };
        let info = kv.stream.cached_info();
        let incarnation = Incarnation::of(info);
        if self.incarnation.is_some_and(|before| before != incarnation) {
            self.refill().await?;
        }
        self.incarnation = Some(incarnation);
        let mut messages = self.read_all(&kv).await?;
        self.heard = self.heard.max(info.state.last_sequence);
        self.synced.send_replace(true);
        self.see_again();

        let mut lookout = self.lookout(info).await;
        let every = match (&lookout, self.store.is_remote()) {
            (Some(_), _) => LOOK_EVERY,
            (None, true) => REMOTE_CHECK_INTERVAL,
            (None, false) => CHECK_INTERVAL,
        };
        let mut looks = tokio::time::interval(every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        let mut checked = Instant::now();
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => {
                        let message = message.map_err(|error| unavailable("following a bucket", error))?;
                        self.apply(&kv, &message);
                    }
                    None => return Ok(()),
                },
                _ = looks.tick() => {
                    if let Some(lookout) = &mut lookout
                        && self.or_away(lookout.look(&kv, self.heard).await).await? == Seen::Missed
                    {
                        return Ok(());
                    }
                    if checked.elapsed() >= CHECK_INTERVAL || lookout.is_none() {
                        checked = Instant::now();
                        let now = kv.stream.get_info().await;
                        let now = now.map_err(|error| unavailable("looking at a bucket", error));
                        if Incarnation::of(&self.or_away(now).await?) != incarnation {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Says that the hub is away, where it is.
    async fn or_away<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        match outcome {
            Err(StoreError::Unavailable { what, source }) if self.store.is_remote() => {
                Err(self.store.why_unavailable(what, source).await)
            }
            outcome => outcome,
        }
    }

    /// Keeps a copy of the bucket in this PoP, where it is elsewhere.
    async fn lookout(&self, bucket: &Info) -> Option<Lookout> {
        let mirror = self.store.mirror(self.bucket)?;
        let lookout = Lookout::of(mirror, bucket).await;
        lookout
            .inspect_err(|error| {
                tracing::warn!(bucket = ?self.bucket, %error, "the lattice's state is not copied to this PoP: a host that starts while the hub is away will have to wait for it");
            })
            .ok()
    }

    /// Begins with the PoP's copy, if it is whole.
    async fn read_copy(&mut self) {
        let Some(mirror) = self.store.mirror(self.bucket) else {
            return;
        };
        let read = async {
            let copy = mirror.look().await?;
            let Some(copy) = copy.filter(|copy| copy.is_whole()) else {
                return Ok::<_, StoreError>(false);
            };
            let kv = mirror.open().await?;
            self.read_all(&kv).await?;
            self.incarnation = copy.origin;
            Ok(true)
        };
        match read.await {
            Ok(true) => {
                self.synced.send_replace(true);
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(bucket = ?self.bucket, %error, "this PoP's copy of the lattice's state can't be read");
            }
        }
    }

    /// Tells that the bucket is out of sight, once until it is seen again.
    fn lose_sight(&mut self, error: &StoreError) {
        let bucket = self.bucket;
        match (&self.lost, error) {
            (Some(_), StoreError::HubAway { .. }) => {
                tracing::debug!(?bucket, %error, "still out of sight");
            }
            _ => {
                tracing::warn!(?bucket, %error, "lost sight of the lattice's state; serving what is known");
            }
        }
        self.lost.get_or_insert_with(Instant::now);
    }

    fn see_again(&mut self) {
        if let Some(lost) = self.lost.take() {
            let after_ms = lost.elapsed().as_millis();
            tracing::info!(bucket = ?self.bucket, after_ms, "the lattice's state is seen again");
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
        self.heard = 0;
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
        self.heard = self.heard.max(revision);
        let deletes = message.headers.as_ref().is_some_and(|headers| {
            headers.get("KV-Operation").is_some() || headers.get("Nats-Marker-Reason").is_some()
        });
        let value = (!deletes).then_some(&message.payload[..]);
        self.view.apply(self.bucket, key, revision, value);
        (!deletes).then(|| key.to_owned())
    }
}
