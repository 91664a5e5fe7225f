//! Which of several application managers acts: the one that holds the lease. The others wait.
//!
//! The lease is an entry that its holder writes again and again, each time on the revision it wrote before. Who waits
//! watches the revision: when it stood still for the whole term by the waiter's own clock, the waiter takes over. No
//! two clocks are compared. The holder stops acting well before others may take over. A lease that vanished with its
//! bucket is still the holder's for a whole term.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::store::{Bucket, StoreError};

const KEY: &str = "leader";

/// The lease as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    holder: String,
}

/// One candidate.
#[derive(Debug)]
pub(crate) struct Lease {
    bucket: Bucket,
    entry: Entry,
    term: Duration,
}

/// The lease, held.
#[derive(Debug)]
pub(crate) struct Held {
    revision: u64,
    renewed: Instant,
}

impl Lease {
    /// A candidate; `holder` is unique.
    pub(crate) fn new(bucket: Bucket, holder: String, term: Duration) -> Self {
        Self {
            bucket,
            entry: Entry { holder },
            term,
        }
    }

    /// Waits for the lease.
    pub(crate) async fn acquire(&self) -> Held {
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(Some(held)) => return held,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "could not look at the lease"),
            }
            tokio::time::sleep(self.term / 6).await;
        }
    }

    async fn try_acquire(
        &self,
        seen: &mut Option<(u64, Instant)>,
    ) -> Result<Option<Held>, StoreError> {
        let (entry, revision) = self.bucket.read::<Entry>(KEY).await?;
        if entry.is_none()
            && revision == 0
            && let Some((known, since)) = seen
        {
            // Not given back, which leaves a mark: the bucket was lost. The holder is there still, and only it knows
            // what was in it.
            if *known != 0 {
                *seen = Some((0, Instant::now()));
                return Ok(None);
            }
            if since.elapsed() < self.term {
                return Ok(None);
            }
        }
        if let Some(entry) = entry
            // Our own: written by us before the connection was lost.
            && entry != self.entry
        {
            let since = match seen {
                Some((known, since)) if *known == revision => *since,
                _ => {
                    *seen = Some((revision, Instant::now()));
                    return Ok(None);
                }
            };
            if since.elapsed() < self.term {
                return Ok(None);
            }
            tracing::warn!(
                holder = entry.holder,
                "the leading application manager is gone"
            );
        }
        // Counted from before the write: others count from after it.
        let renewed = Instant::now();
        let written = self.bucket.write(KEY, &self.entry, revision).await?;
        Ok(written.map(|revision| Held { revision, renewed }))
    }

    /// Keeps the lease; ends when it is lost, or may be.
    pub(crate) async fn keep(&self, held: &mut Held) {
        loop {
            tokio::time::sleep_until(held.renewed + self.term / 3).await;
            let until = held.renewed + self.term * 2 / 3;
            let renewed = Instant::now();
            match tokio::time::timeout_at(until, self.renew(held.revision)).await {
                Ok(Ok(Some(revision))) => *held = Held { revision, renewed },
                Ok(Ok(None)) => {
                    tracing::warn!("another application manager leads now");
                    return;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "could not renew the lease");
                    if Instant::now() >= until {
                        return;
                    }
                    tokio::time::sleep(self.term / 30).await;
                }
                Err(_) => {
                    tracing::warn!("could not renew the lease in time");
                    return;
                }
            }
        }
    }

    /// Writes it again; gives its new revision, or `None` when it is another's.
    async fn renew(&self, revision: u64) -> Result<Option<u64>, StoreError> {
        if let Some(revision) = self.bucket.write(KEY, &self.entry, revision).await? {
            return Ok(Some(revision));
        }
        match self.bucket.read::<Entry>(KEY).await? {
            // The bucket was lost and made anew: nobody took it in between.
            (None, 0) => self.bucket.write(KEY, &self.entry, 0).await,
            // Ours: its answer was lost. Others count from then, so it is not enough.
            (Some(entry), revision) if entry == self.entry => {
                self.bucket.write(KEY, &self.entry, revision).await
            }
            _ => Ok(None),
        }
    }

    /// Gives the lease back, so that nobody waits for its end.
    pub(crate) async fn release(&self, held: Held) {
        if let Err(error) = self.bucket.delete(KEY, held.revision).await {
            tracing::debug!(%error, "could not give the lease back");
        }
    }
}
