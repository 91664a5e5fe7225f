//! The PoP's copy of a bucket, and what it tells of the hub: the copy hears of its origin every second, so it knows at
//! once, by asking the server beside the host alone, when the hub is away, and that something was missed meanwhile.

use std::time::Duration;

use async_nats::jetstream::{kv, stream::Info};
use time::OffsetDateTime;
use tokio::time::Instant;
use trellis_lattice::mirror::{Copy, Incarnation, Mirror, MirrorError, SILENT};

use super::{StoreError, unavailable};

/// How often the copy is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A copy that hears nothing for this long, while the hub answers, is made anew: it would take it up again by itself, but
/// in half a minute.
const STUCK: Duration = Duration::from_secs(5);
/// How long it has to do so after the hub is back.
const GRACE: Duration = Duration::from_secs(2);
/// A copy larger than this is left to take it up by itself.
const MAX_RENEWED_BYTES: u64 = 64 * 1024 * 1024;

/// Looks at the copy of a bucket that is followed where it is.
pub(super) struct Lookout {
    mirror: Mirror,
    /// The copy that was seen last, by when it was made, and since when.
    seen: Option<(OffsetDateTime, Instant)>,
    /// Whether it was heard to follow since the bucket was read.
    lived: bool,
    /// How often the copy had more than was heard from the bucket itself, one look after the other.
    behind: u32,
}

/// What a look tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing was missed.
    Well,
    /// Something may have been missed: the bucket must be read again.
    Missed,
}

impl Lookout {
    /// Of a bucket that has just been read. Sees to it that there is a copy.
    pub(super) async fn of(mirror: Mirror, bucket: &Info) -> Result<Self, MirrorError> {
        mirror.keep(bucket).await?;
        Ok(Self {
            mirror,
            seen: None,
            lived: false,
            behind: 0,
        })
    }

    /// Looks at the copy, asks the hub if that is needed, and keeps the copy going. `heard` is the last revision that was
    /// heard from the bucket itself.
    ///
    /// # Errors
    /// The hub is away.
    pub(super) async fn look(
        &mut self,
        bucket: &kv::Store,
        heard: u64,
    ) -> Result<Seen, StoreError> {
        let copy = match self.mirror.look().await {
            Ok(copy) => copy,
            Err(error) => {
                tracing::debug!(bucket = self.mirror.bucket(), %error, "the copy can't be looked at");
                return Ok(Seen::Well);
            }
        };
        let Some(copy) = copy else {
            let info = ask(bucket).await?;
            self.tell(self.mirror.keep(&info).await);
            return Ok(Seen::Well);
        };
        if self.seen.is_none_or(|(created, _)| created != copy.created) {
            self.seen = Some((copy.created, Instant::now()));
        }
        if copy.silent_for.is_some_and(|silent| silent <= SILENT) {
            self.lived = true;
            return Ok(self.compare(&copy, heard));
        }
        // Cut off, or not begun yet.
        let info = ask(bucket).await?;
        if Incarnation::of(&info) != Incarnation::of(bucket.stream.cached_info()) {
            return Ok(Seen::Missed);
        }
        if self.lived {
            // It fell silent: what the bucket said since may not have come here either.
            return Ok(Seen::Missed);
        }
        let watched = self
            .seen
            .map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let stuck = match copy.silent_for {
            Some(silent) => silent >= STUCK && watched >= GRACE,
            None => watched >= STUCK,
        };
        if stuck && copy.bytes <= MAX_RENEWED_BYTES {
            self.tell(self.mirror.renew(&copy, &info).await);
        }
        Ok(Seen::Well)
    }

    /// A copy that goes on having more than was heard here says that something was missed.
    fn compare(&mut self, copy: &Copy, heard: u64) -> Seen {
        self.behind = match copy.last_sequence > heard {
            true => self.behind + 1,
            false => 0,
        };
        match self.behind {
            0 | 1 => Seen::Well,
            _ => Seen::Missed,
        }
    }

    fn tell(&self, outcome: Result<(), MirrorError>) {
        if let Err(error) = outcome {
            tracing::warn!(bucket = self.mirror.bucket(), %error, "the lattice's state is not copied to this PoP");
        }
    }
}

async fn ask(bucket: &kv::Store) -> Result<Info, StoreError> {
    let info = bucket.stream.get_info().await;
    info.map_err(|error| unavailable("looking at a bucket", error))
}
