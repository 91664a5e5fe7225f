//! A bucket at the hub with a copy in this PoP: written there, read here.
//!
//! Whoever was told that a write is done reads it: the copy is waited for, and a key that it is late with is read at the
//! hub until it has it. While the copy follows the hub no more (the hub was away, and the copy takes its time to come
//! back), everything is read at the hub; while the hub itself is away, here.

mod ahead;

use std::{future::Future, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_nats::jetstream::{
    Context, ErrorCode,
    context::GetStreamErrorKind,
    kv::{Operation, Store},
    stream::Info,
};
use bytes::Bytes;
use tokio::{
    sync::{OnceCell, watch},
    task::JoinSet,
    time::Instant,
};
use trellis_provider::{
    contract::mirror::{Copy, Incarnation, Mirror, SILENT},
    keyvalue::Error,
};

use ahead::Ahead;

/// How often the copy is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A copy that hears nothing for so many looks, while the hub answers, is made anew: by itself it would go on in half a
/// minute, and if the hub went away again before that, what was written meanwhile could not be read.
const STUCK: u32 = 3;
/// A copy larger than this is left to go on by itself.
const MAX_RENEWED_BYTES: u64 = 64 * 1024 * 1024;
/// How long the hub may take to say that it is there.
const HUB_SIGN: Duration = Duration::from_secs(1);
/// How long a read at the hub may take while it can be had here, too.
const HUB_READ: Duration = Duration::from_secs(1);
/// How long a write waits for the copy to have it; mostly it has it as soon as the writer is told.
const CATCH_UP: Duration = Duration::from_millis(1500);
/// The first and the longest pause between two looks for it.
const PAUSE: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(20));

/// How the copy stands to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It follows.
    Live,
    /// The hub answers, and the copy lacks some of what is there; whether it is on its way to have it.
    Behind { hears: bool },
    /// The hub is away; whether the copy has all that was there when the copy was made.
    Cut { is_whole: bool },
}

/// The copy of a bucket, and what is known of it.
pub(crate) struct Replica {
    shared: Arc<Shared>,
    /// The copy, opened; an empty one when something failed.
    opened: ArcSwap<OnceCell<Store>>,
    standing: watch::Receiver<Standing>,
    /// Looks at the copy for as long as the replica is there.
    _watching: JoinSet<()>,
}

struct Shared {
    mirror: Mirror,
    hub: Context,
    ahead: Ahead,
}

/// What the copy has for a key.
enum Here {
    /// This.
    Value(Option<Bytes>),
    /// Less than was written.
    Late,
}

impl Replica {
    /// The copy of the bucket that is there in the hub's JetStream. It is made when the hub has the bucket.
    pub(crate) fn of(mirror: Mirror, hub: Context) -> Self {
        let shared = Arc::new(Shared {
            mirror,
            hub,
            ahead: Ahead::default(),
        });
        let (sender, standing) = watch::channel(Standing::Behind { hears: true });
        let mut watching = JoinSet::new();
        watching.spawn(watch_copy(shared.clone(), sender));
        Self {
            shared,
            opened: ArcSwap::default(),
            standing,
            _watching: watching,
        }
    }

    /// Reads a key. `at_hub` reads it there, if it is asked to.
    pub(crate) async fn get(
        &self,
        key: &str,
        at_hub: impl Future<Output = Result<Option<Bytes>, Error>>,
    ) -> Result<Option<Bytes>, Error> {
        let standing = *self.standing.borrow();
        if let Standing::Live | Standing::Cut { is_whole: true } = standing {
            match self.here(key).await {
                Ok(Here::Value(value)) => return Ok(value),
                Ok(Here::Late) => {}
                Err(error) => {
                    tracing::debug!(%error, "this PoP's copy can't be read; reading at the hub");
                }
            }
        }
        if standing == Standing::Live {
            return at_hub.await;
        }
        // It may be back since, or be gone.
        if let Ok(Ok(value)) = tokio::time::timeout(HUB_READ, at_hub).await {
            return Ok(value);
        }
        if self.shared.cut().await != (Standing::Cut { is_whole: true }) {
            return Err(self.no_copy());
        }
        match self.here(key).await? {
            Here::Value(value) => Ok(value),
            Here::Late => Err(self.late()),
        }
    }

    /// Where the bucket can be listed: the copy, or nothing where it must be asked at the hub.
    pub(crate) async fn to_list(&self) -> Result<Option<Store>, Error> {
        let standing = *self.standing.borrow();
        match standing {
            Standing::Live | Standing::Cut { is_whole: true } if self.shared.ahead.is_empty() => {
                self.open().await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The copy, where its changes are the bucket's: it is of the bucket that is at the hub now, and made if there is none, or
    /// the hub is away (`at_hub` is none) and it is whole.
    pub(crate) async fn to_follow(&self, at_hub: Option<&Info>) -> Option<(Store, Copy)> {
        let mirror = &self.shared.mirror;
        if let Some(at_hub) = at_hub
            && let Err(error) = mirror.keep(at_hub).await
        {
            tracing::warn!(bucket = mirror.bucket(), %error, "the bucket is not copied to this PoP");
            return None;
        }
        let copy = mirror.look().await.ok()??;
        let is_of_it = match at_hub.map(Incarnation::of) {
            Some(bucket) => copy.origin.is_none_or(|origin| origin == bucket),
            None => copy.is_whole(),
        };
        if !is_of_it {
            return None;
        }
        let store = mirror.open().await.ok()?;
        Some((store, copy))
    }

    /// Whether the hub is known to be away.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Cut { .. })
    }

    /// Waits until the copy has a write, for as long as that may be waited for. A write it has not got by then is read at
    /// the hub. A copy that doesn't even hear of the hub is not waited for: nobody reads it.
    pub(crate) async fn caught_up(&self, key: &str, revision: u64, until: Option<Instant>) {
        let limit = Instant::now() + CATCH_UP;
        let limit = until.map_or(limit, |until| until.min(limit));
        let mut pause = PAUSE.0;
        while matches!(
            *self.standing.borrow(),
            Standing::Live | Standing::Behind { hears: true }
        ) {
            if self.has(key, revision).await {
                return;
            }
            if Instant::now() + pause >= limit {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        self.shared.ahead.note(key, revision);
    }

    /// Whether something can be read now.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        let standing = *self.standing.borrow();
        match standing {
            Standing::Cut { is_whole: false } => Err(self.no_copy()),
            _ => self.open().await.map(drop),
        }
    }

    async fn has(&self, key: &str, revision: u64) -> bool {
        let Ok(store) = self.open().await else {
            return false;
        };
        let entry = store.entry(key).await;
        entry.is_ok_and(|entry| entry.is_some_and(|entry| entry.revision >= revision))
    }

    async fn here(&self, key: &str) -> Result<Here, Error> {
        let least = self.shared.ahead.least(key);
        let store = self.open().await?;
        let entry = match store.entry(key).await {
            Ok(entry) => entry,
            Err(error) => {
                self.opened.store(Arc::default());
                return Err(self.failed(&error));
            }
        };
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        if revision < least {
            return Ok(Here::Late);
        }
        let value = entry.filter(|entry| entry.operation == Operation::Put);
        Ok(Here::Value(value.map(|entry| entry.value)))
    }

    async fn open(&self) -> Result<Store, Error> {
        let cell = self.opened.load_full();
        let opened = cell.get_or_try_init(|| self.shared.mirror.open()).await;
        opened
            .cloned()
            .map_err(|error| Error::Other(error.to_string()))
    }

    fn failed(&self, error: &dyn std::error::Error) -> Error {
        Error::Other(format!("this PoP's copy can't be read: {error}"))
    }

    fn no_copy(&self) -> Error {
        Error::Other(format!(
            "JetStream domain {:?} is away, and this PoP has no whole copy of the bucket",
            self.shared.mirror.domain()
        ))
    }

    fn late(&self) -> Error {
        Error::Other(format!(
            "JetStream domain {:?} is away, and this PoP's copy has not got what was last written; try again when the link to it is back",
            self.shared.mirror.domain()
        ))
    }
}

/// Looks at the copy again and again, and tells how it stands.
async fn watch_copy(shared: Arc<Shared>, standing: watch::Sender<Standing>) {
    let mut seen = Seen::default();
    loop {
        let before = *standing.borrow();
        let now = shared.look(before, &mut seen).await;
        if now != before {
            tracing::info!(
                bucket = shared.mirror.bucket(),
                domain = shared.mirror.domain(),
                standing = ?now,
                "how this PoP's copy stands to the hub"
            );
            standing.send_replace(now);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is remembered from one look to the next.
#[derive(Default)]
struct Seen {
    /// The bucket.
    of: Option<Incarnation>,
    /// How often, one look after the other, the hub answered and the copy did not hear of it.
    silent: u32,
}

impl Shared {
    async fn look(&self, before: Standing, seen: &mut Seen) -> Standing {
        // Beside the provider, this costs next to nothing: as long as it follows, the hub is not asked.
        if before == Standing::Live
            && let Ok(Some(copy)) = self.mirror.look().await
            && copy.is_live()
        {
            self.ahead.reached(copy.last_sequence);
            seen.silent = 0;
            return Standing::Live;
        }
        let name = format!("KV_{}", self.mirror.bucket());
        let asked = tokio::time::timeout(HUB_SIGN, self.hub.get_stream(name)).await;
        let bucket = match asked {
            Ok(Ok(stream)) => Some(stream.cached_info().clone()),
            Ok(Err(error)) => match error.kind() {
                GetStreamErrorKind::JetStream(answer)
                    if answer.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    None
                }
                _ => return self.cut().await,
            },
            Err(_) => return self.cut().await,
        };
        // Not made yet; who writes or reads first makes it.
        let Some(bucket) = bucket else {
            return Standing::Behind { hears: true };
        };
        let incarnation = Incarnation::of(&bucket);
        let before = seen.of.replace(incarnation);
        if before.is_some_and(|before| before != incarnation) {
            self.ahead.forget();
        }
        if let Err(error) = self.mirror.keep(&bucket).await {
            tracing::warn!(bucket = self.mirror.bucket(), %error, "the bucket is not copied to this PoP");
            return Standing::Behind { hears: false };
        }
        match self.mirror.look().await {
            Ok(Some(copy)) => {
                self.ahead.reached(copy.last_sequence);
                // One that was made just now has heard nothing yet, and soon will.
                let hears = copy.silent_for.is_none_or(|silent| silent <= SILENT);
                seen.silent = match hears {
                    true => 0,
                    false => seen.silent + 1,
                };
                if seen.silent >= STUCK && copy.bytes <= MAX_RENEWED_BYTES {
                    seen.silent = 0;
                    if let Err(error) = self.mirror.renew(&copy, &bucket).await {
                        tracing::warn!(bucket = self.mirror.bucket(), %error, "this PoP's copy is not made anew");
                    }
                }
                match copy.is_live() && copy.last_sequence >= bucket.state.last_sequence {
                    true => Standing::Live,
                    false => Standing::Behind { hears },
                }
            }
            _ => Standing::Behind { hears: false },
        }
    }

    async fn cut(&self) -> Standing {
        let copy = self.mirror.look().await;
        let is_whole = matches!(copy, Ok(Some(copy)) if copy.is_whole());
        Standing::Cut { is_whole }
    }
}
