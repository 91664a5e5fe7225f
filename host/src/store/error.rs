//! What can be wrong with the lattice's state.

use trellis_lattice::mirror::MirrorError;

/// The lattice's state can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The server runs without JetStream.
    #[error(
        "JetStream is off at {servers}, and the lattice keeps its links and configurations there: start the server with `nats-server -js`, or put `jetstream {{}}` in its configuration"
    )]
    JetStreamOff {
        /// The servers that were asked.
        servers: String,
    },
    /// JetStream is there but not for us.
    #[error("JetStream refuses: {0}. Enable JetStream for the account that the host uses")]
    Refused(String),
    /// JetStream doesn't answer.
    #[error("JetStream does not answer ({what}): {source}")]
    Unavailable {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub doesn't answer.
    #[error(
        "the lattice keeps its links and configurations in JetStream domain {domain:?}, and that is away ({what}: {source}): what runs here goes on, changes wait. Try again when the link to it is back (--js-domain says which domain it is); what timed out may have been done"
    )]
    HubAway {
        /// The domain.
        domain: String,
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The PoP's copy of the state can't be used.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// A name that can't be a bucket's key.
    #[error("{0:?} can't be kept in the lattice: use letters, digits, '-', '_', '/', '=' and '.'")]
    Key(String),
    /// Others wrote the same entry again and again.
    #[error("{0} is being changed by others all the time: try again")]
    Contended(String),
    /// An entry that isn't what it should be.
    #[error("{key} holds something else: {problem}")]
    Entry {
        /// The entry.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

pub(super) fn unavailable(
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        what,
        source: source.into(),
    }
}
