//! Taking the lease, keeping it and giving it back, in a bucket.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Candidate, Entry};
use crate::store::{Bucket, StoreError};

const KEY: &str = "leader";

/// Who leads, or led last.
///
/// # Errors
/// JetStream doesn't answer, or the entry holds something else.
pub(crate) async fn leader(bucket: &Bucket) -> Result<Option<Entry>, StoreError> {
    let (entry, _) = bucket.read(KEY).await?;
    Ok(entry)
}

/// One candidate's hold on the bucket.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    bucket: Bucket,
    candidate: Candidate,
    term: Duration,
}

/// The lease, held.
#[derive(Debug)]
pub(crate) struct Held {
    entry: Entry,
    revision: u64,
    renewed: Instant,
    /// Until when its holder may act, unless it is renewed.
    until: watch::Sender<Instant>,
}

impl Held {
    /// The number of this leadership.
    pub(crate) fn fence(&self) -> u64 {
        self.entry.fence
    }

    /// Until when its holder may act, as it is kept.
    pub(crate) fn until(&self) -> watch::Receiver<Instant> {
        self.until.subscribe()
    }
}

impl Keeper {
    /// A candidate; `holder` is unique.
    pub(crate) fn new(bucket: Bucket, holder: String, term: Duration) -> Self {
        Self {
            bucket,
            candidate: Candidate::new(holder, term),
            term,
        }
    }

    /// Hosts have seen that number; the next leadership has a greater one.
    pub(crate) fn outbid(&mut self, fence: u64) {
        self.candidate.outbid(fence);
    }

    /// Waits for the lease.
    pub(crate) async fn acquire(&mut self) -> Held {
        loop {
            match self.try_acquire().await {
                Ok(Some(held)) => return held,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "could not look at the lease"),
            }
            tokio::time::sleep(Candidate::look_every(self.term)).await;
        }
    }

    async fn try_acquire(&mut self) -> Result<Option<Held>, StoreError> {
        let (entry, revision) = self.bucket.read::<Entry>(KEY).await?;
        // Counted from before the write: others count from after it.
        let renewed = Instant::now();
        let taken = self
            .candidate
            .saw(entry.as_ref(), revision, renewed, clock_ms());
        let Some(entry) = taken else {
            return Ok(None);
        };
        let written = self.bucket.write(KEY, &entry, revision).await?;
        Ok(written.map(|revision| Held {
            entry,
            revision,
            renewed,
            until: watch::Sender::new(renewed + Candidate::may_act(self.term)),
        }))
    }

    /// Keeps the lease. Gives it when told to stop, `None` when it is lost or may be.
    pub(crate) async fn keep(self, mut held: Held, stop: CancellationToken) -> Option<Held> {
        loop {
            let renew_at = held.renewed + Candidate::renew_every(self.term);
            tokio::select! {
                () = stop.cancelled() => return Some(held),
                () = tokio::time::sleep_until(renew_at.into()) => {}
            }
            let until = held.renewed + Candidate::may_act(self.term);
            let renewed = Instant::now();
            let renewal = tokio::time::timeout_at(until.into(), self.renew(&held)).await;
            match renewal {
                Ok(Ok(Some(revision))) => {
                    held.revision = revision;
                    held.renewed = renewed;
                    held.until
                        .send_replace(renewed + Candidate::may_act(self.term));
                }
                Ok(Ok(None)) => {
                    tracing::warn!("another application manager leads now");
                    return None;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "could not renew the lease");
                    if Instant::now() >= until {
                        return None;
                    }
                    tokio::time::sleep(self.term / 30).await;
                }
                Err(_) => {
                    tracing::warn!("could not renew the lease in time");
                    return None;
                }
            }
        }
    }

    /// Writes it again; gives its new revision, or `None` when it is another's.
    async fn renew(&self, held: &Held) -> Result<Option<u64>, StoreError> {
        let write = self.bucket.write(KEY, &held.entry, held.revision);
        if let Some(revision) = write.await? {
            return Ok(Some(revision));
        }
        match self.bucket.read::<Entry>(KEY).await? {
            // The bucket was lost and made anew: nobody took it in between.
            (None, 0) => self.bucket.write(KEY, &held.entry, 0).await,
            // Ours: its answer was lost. Others count from then, so it is not enough.
            (Some(entry), revision) if entry == held.entry => {
                self.bucket.write(KEY, &held.entry, revision).await
            }
            _ => Ok(None),
        }
    }

    /// Gives the lease back, so that nobody waits for its end. Its number stays: the next one is greater.
    pub(crate) async fn release(&self, held: Held) {
        let free = Entry {
            holder: String::new(),
            fence: held.entry.fence,
        };
        if let Err(error) = self.bucket.write(KEY, &free, held.revision).await {
            tracing::debug!(%error, "could not give the lease back");
        }
    }
}

/// Milliseconds since 1970. A clock that stands before then counts as 0: numbers grow by one then.
fn clock_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}
