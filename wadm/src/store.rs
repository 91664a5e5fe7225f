//! What the application manager keeps in JetStream: manifests in 1.x's bucket and form, and its own notes.

mod apps;
mod bucket;
mod catalog;
mod history;
mod notes;

use std::time::Duration;

use async_nats::{
    Client,
    jetstream::{Context, context::ContextBuilder},
};
use time::OffsetDateTime;
use trellis_lattice::LatticeName;

pub use apps::{Apps, Change, StoredApp};
pub use catalog::Catalog;
pub use notes::{NotedHost, NotedStatus, Notes, Owned};

pub(crate) use bucket::Bucket;

/// How long JetStream may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The manager's state can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The server runs without JetStream.
    #[error(
        "JetStream is off at the NATS server, and manifests are kept there: start the server with `nats-server -js`, or put `jetstream {{}}` in its configuration"
    )]
    JetStreamOff,
    /// JetStream doesn't answer, or not for us.
    #[error("JetStream: {what}: {source}")]
    Unavailable {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others wrote the same entry again and again.
    #[error("{0} is being changed by others all the time: try again")]
    Contended(String),
    /// An entry that isn't what it should be.
    #[error("bucket {bucket}, key {key} holds something else: {problem}")]
    Entry {
        /// The bucket.
        bucket: String,
        /// The entry.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An entry that no message can hold.
    #[error("{key} would have {bytes} bytes, more than the {limit} that the NATS server takes")]
    TooLarge {
        /// The entry.
        key: String,
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
}

/// Which buckets these are: others of the same names, made after they were lost, have others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation {
    manifests: OffsetDateTime,
    notes: OffsetDateTime,
}

impl Incarnation {
    /// Whether the notes were lost since.
    pub(crate) fn lost_notes(&self, since: &Self) -> bool {
        self.notes != since.notes
    }
}

/// Both buckets of a lattice.
#[derive(Clone, Debug)]
pub struct Store {
    /// The manifests.
    pub apps: Apps,
    /// The manager's own notes.
    pub notes: Notes,
}

impl Store {
    /// Opens the buckets, or creates them, in a JetStream domain or the server's own.
    ///
    /// # Errors
    /// JetStream is off or doesn't answer.
    pub async fn open(
        client: &Client,
        domain: Option<&str>,
        lattice: &LatticeName,
    ) -> Result<Self, StoreError> {
        let builder = ContextBuilder::new().timeout(TIMEOUT).ack_timeout(TIMEOUT);
        let context: Context = match domain {
            Some(domain) => builder.domain(domain).build(client.clone()),
            None => builder.build(client.clone()),
        };
        let manifests = Bucket::open(&context, trellis_lattice::bucket::MANIFESTS).await?;
        let manager = trellis_lattice::bucket::manager_data(lattice);
        let notes = Bucket::open(&context, &manager).await?;
        Ok(Self {
            apps: Apps::new(manifests, lattice.clone()),
            notes: Notes::new(notes),
        })
    }

    /// Which buckets there are now. Those that somebody deleted are created again, empty.
    pub(crate) async fn incarnation(&self) -> Result<Incarnation, StoreError> {
        Ok(Incarnation {
            manifests: self.apps.bucket().created().await?,
            notes: self.notes.bucket().created().await?,
        })
    }
}
