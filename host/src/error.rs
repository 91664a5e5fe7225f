//! Why a host can't start or can't go on.

use std::{io, path::PathBuf};

use trellis_lattice::{
    HostId,
    claims::{ClaimsError, KeyError},
    connect::ConnectError,
    place::PlaceError,
};

use crate::{round_trip::NoRoundTrip, runtime::RuntimeError, store::StoreError};

/// A host that can't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// NATS can't be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The lattice's buckets can't be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host's seed isn't one.
    #[error("host key: {0}")]
    HostKey(KeyError),
    /// Another host has the same key: requests to one would be carried out by both.
    #[error(
        "host {id} runs in lattice {lattice:?} already: it is {name:?}, started with the same key. Stop that one, or start this one with a key of its own (`trellis keys generate host --file FILE`, `--host-key FILE`)"
    )]
    SameKey {
        /// The host's id.
        id: HostId,
        /// The other's name.
        name: String,
        /// The lattice.
        lattice: String,
    },
    /// A trusted issuer isn't an account's key.
    #[error("trusted issuer {text:?}: {source}")]
    Issuer {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// What the host says of itself to secrets backends can't be written.
    #[error("the host's claims: {0}")]
    Claims(#[from] ClaimsError),
    /// A label that can't be.
    #[error("label {0}")]
    Label(String),
    /// A label that says where the host is, and can't be right.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The runtime can't be made.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A folder can't be used.
    #[error("folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cache of images can't be used.
    #[error(transparent)]
    Images(#[from] trellis_registry::CacheError),
    /// The control interface can't be served.
    #[error("NATS: subscribing to the control interface failed: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    /// NATS doesn't answer.
    #[error(transparent)]
    NoRoundTrip(#[from] NoRoundTrip),
    /// The thread that starts providers can't be made.
    #[error("starting the thread that starts providers failed: {0}")]
    Thread(io::Error),
}
