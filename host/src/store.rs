//! The lattice's state in JetStream (`wasmcloud-v1.md`, Buckets): writing it, and following it.
//!
//! Writes go to JetStream and are answered when it has them. Reads come from the [`View`], which a watch keeps
//! up to date, so that a host goes on serving what it knows while JetStream is away.

mod view;
mod watch;

use std::{fmt, time::Duration};

use async_nats::{
    Client,
    jetstream::{
        self, Context,
        context::{AccountErrorKind, ContextBuilder, GetStreamErrorKind},
        kv,
    },
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use trellis_lattice::{
    ComponentId, LatticeName,
    bucket::{self, ComponentSpec, LatticeKey, StoredClaims},
    config::Config,
    from_json,
};

pub(crate) use view::View;
pub(crate) use watch::{Bucket, follow};

/// How long JetStream may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often a write that others' writes overtook is tried.
const MAX_ATTEMPTS: usize = 32;

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

/// The two buckets of a lattice.
#[derive(Clone)]
pub(crate) struct Store {
    jetstream: Context,
    lattice: LatticeName,
    servers: String,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("lattice", &self.lattice)
            .finish_non_exhaustive()
    }
}

/// What an edit of a specification decided.
pub(crate) enum Edit<T> {
    /// Write what was made of it.
    Write(T),
    /// Leave it as it is.
    Keep(T),
}

impl Store {
    /// `servers` is for messages.
    pub(crate) fn new(
        client: Client,
        domain: Option<&str>,
        lattice: LatticeName,
        servers: String,
    ) -> Self {
        let builder = ContextBuilder::new().timeout(TIMEOUT).ack_timeout(TIMEOUT);
        let jetstream = match domain {
            Some(domain) => builder.domain(domain).build(client),
            None => builder.build(client),
        };
        Self {
            jetstream,
            lattice,
            servers,
        }
    }

    /// A new subject for messages to this host.
    fn inbox(&self) -> String {
        self.jetstream.client().new_inbox()
    }

    /// Opens a bucket, or creates it; the bucket's incarnation tells one that was lost and made anew.
    pub(crate) async fn open(&self, bucket: Bucket) -> Result<kv::Store, StoreError> {
        let name = self.bucket_name(bucket);
        match self.jetstream.get_stream(format!("KV_{name}")).await {
            Ok(_) => {}
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(answer)
                    if answer.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND =>
                {
                    self.create(&name).await?;
                }
                _ => return Err(self.why_unavailable("opening a bucket", error.into()).await),
            },
        }
        self.jetstream
            .get_key_value(name)
            .await
            .map_err(|error| unavailable("opening a bucket", error))
    }

    /// Creates a bucket as 1.x does. Losing the race against another host is as good.
    async fn create(&self, name: &str) -> Result<(), StoreError> {
        let config = kv::Config {
            bucket: name.to_owned(),
            ..kv::Config::default()
        };
        match self.jetstream.create_key_value(config).await {
            Ok(_) => {
                tracing::info!(bucket = name, "created the lattice's bucket");
                Ok(())
            }
            Err(error) => match self.jetstream.get_key_value(name).await {
                Ok(_) => Ok(()),
                Err(_) => Err(self
                    .why_unavailable("creating a bucket", error.into())
                    .await),
            },
        }
    }

    /// The reason behind a failure, where JetStream as a whole is the reason.
    async fn why_unavailable(
        &self,
        what: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> StoreError {
        let Err(error) = self.jetstream.query_account().await else {
            return StoreError::Unavailable { what, source };
        };
        match error.kind() {
            AccountErrorKind::JetStreamUnavailable => StoreError::JetStreamOff {
                servers: self.servers.clone(),
            },
            AccountErrorKind::JetStream(answer) => StoreError::Refused(answer.to_string()),
            _ => StoreError::Unavailable { what, source },
        }
    }

    fn bucket_name(&self, bucket: Bucket) -> String {
        match bucket {
            Bucket::Lattice => bucket::lattice_data(&self.lattice),
            Bucket::Config => bucket::config_data(&self.lattice),
        }
    }

    async fn bucket(&self, bucket: Bucket) -> Result<kv::Store, StoreError> {
        self.jetstream
            .get_key_value(self.bucket_name(bucket))
            .await
            .map_err(|error| unavailable("opening a bucket", error))
    }

    /// Reads a component's specification, has it edited, and writes it unless someone else did meanwhile: then
    /// again from the start. Gives what the edit decided and the entry's revision.
    pub(crate) async fn edit_spec<T, E>(
        &self,
        id: &ComponentId,
        mut edit: impl FnMut(&mut ComponentSpec) -> Result<Edit<T>, E>,
    ) -> Result<Result<(T, Option<Written>), E>, StoreError> {
        let key = LatticeKey::Component(id.clone()).to_string();
        let store = self.bucket(Bucket::Lattice).await?;
        for _ in 0..MAX_ATTEMPTS {
            let entry = store
                .entry(key.clone())
                .await
                .map_err(|error| match error.kind() {
                    kv::EntryErrorKind::InvalidKey => StoreError::Key(id.to_string()),
                    _ => unavailable("reading a specification", error),
                })?;
            let (revision, mut spec) = match &entry {
                Some(entry) if entry.operation == kv::Operation::Put => {
                    (entry.revision, decode::<ComponentSpec>(&key, &entry.value)?)
                }
                Some(entry) => (entry.revision, ComponentSpec::default()),
                None => (0, ComponentSpec::default()),
            };
            let outcome = match edit(&mut spec) {
                Ok(Edit::Write(outcome)) => outcome,
                Ok(Edit::Keep(outcome)) => return Ok(Ok((outcome, None))),
                Err(refused) => return Ok(Err(refused)),
            };
            match store.update(&key, encode(&key, &spec)?, revision).await {
                Ok(revision) => return Ok(Ok((outcome, Some(Written { revision, spec })))),
                Err(error) => match error.kind() {
                    kv::UpdateErrorKind::WrongLastRevision => {}
                    kv::UpdateErrorKind::InvalidKey => return Err(StoreError::Key(id.to_string())),
                    _ => return Err(unavailable("writing a specification", error)),
                },
            }
        }
        Err(StoreError::Contended(id.to_string()))
    }

    /// Writes claims under their subject.
    pub(crate) async fn put_claims(&self, claims: &StoredClaims) -> Result<(), StoreError> {
        let key = LatticeKey::Claims(claims.subject.clone()).to_string();
        let value = encode(&key, claims)?;
        self.put(Bucket::Lattice, &key, value).await.map(|_| ())
    }

    /// Writes a configuration; gives its revision.
    pub(crate) async fn put_config(&self, name: &str, config: &Config) -> Result<u64, StoreError> {
        self.put(Bucket::Config, name, encode(name, config)?).await
    }

    /// Deletes a configuration.
    pub(crate) async fn delete_config(&self, name: &str) -> Result<(), StoreError> {
        self.bucket(Bucket::Config)
            .await?
            .purge(name)
            .await
            .map_err(|error| unavailable("deleting a configuration", error))
    }

    /// Reads a configuration as it is in JetStream now.
    pub(crate) async fn get_config(&self, name: &str) -> Result<Option<Config>, StoreError> {
        let value = self
            .bucket(Bucket::Config)
            .await?
            .get(name)
            .await
            .map_err(|error| unavailable("reading a configuration", error))?;
        value.map(|value| decode(name, &value)).transpose()
    }

    /// Puts an entry back that a bucket had before it was lost, unless someone wrote it since.
    async fn restore(&self, bucket: Bucket, key: &str, value: Bytes) -> Result<(), StoreError> {
        match self.bucket(bucket).await?.create(key, value).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == kv::CreateErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(unavailable("restoring an entry", error)),
        }
    }

    async fn put(&self, bucket: Bucket, key: &str, value: Bytes) -> Result<u64, StoreError> {
        self.bucket(bucket)
            .await?
            .put(key, value)
            .await
            .map_err(|error| match error.kind() {
                kv::PutErrorKind::InvalidKey => StoreError::Key(key.to_owned()),
                _ => unavailable("writing an entry", error),
            })
    }
}

/// A specification as it was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) revision: u64,
    pub(crate) spec: ComponentSpec,
}

fn unavailable(
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        what,
        source: source.into(),
    }
}

fn encode(key: &str, value: &impl serde::Serialize) -> Result<Bytes, StoreError> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| StoreError::Entry {
            key: key.to_owned(),
            problem: error.to_string(),
        })
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    from_json("entry", value).map_err(|error| StoreError::Entry {
        key: key.to_owned(),
        problem: error.to_string(),
    })
}
