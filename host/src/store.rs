//! The lattice's state in JetStream (`wasmcloud-v1.md`, Buckets): writing it, and following it.
//!
//! Writes go to JetStream and are answered when it has them. Reads come from the [`View`], which a watch keeps
//! up to date, so that a host goes on serving what it knows while JetStream is away.
//!
//! Where the state is in another JetStream domain than the server's own, the hub's, the PoP keeps a copy of it: a host
//! that starts while the hub is away begins with that.

mod error;
mod mirror;
mod view;
mod watch;

use std::{fmt, future::Future, time::Duration};

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
use tokio::time::Instant;
use trellis_lattice::{
    ComponentId, LatticeName,
    bucket::{self, ComponentSpec, LatticeKey, StoredClaims},
    config::Config,
    from_json,
    mirror::Mirror,
};

pub use error::StoreError;
use error::unavailable;
pub(crate) use view::View;
pub(crate) use watch::{Bucket, follow};

/// How long JetStream may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a domain behind another server's link may take: whoever asked for a change waits 5 s, and is to hear why it
/// isn't made.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a whole write may take there.
const REMOTE_WRITE: Duration = Duration::from_millis(3500);
/// How long it may take to say that it is there at all.
const REMOTE_SIGN: Duration = Duration::from_secs(1);
/// How long a host that joins waits for a hub that is away, where its PoP has no copy of the state.
const JOIN_PATIENCE: Duration = Duration::from_secs(15);
/// How often it asks.
const JOIN_RETRY: Duration = Duration::from_millis(250);
/// How often a write that others' writes overtook is tried.
const MAX_ATTEMPTS: usize = 32;

/// The two buckets of a lattice.
#[derive(Clone)]
pub(crate) struct Store {
    jetstream: Context,
    /// The domain that the buckets are in, where that isn't the server's own.
    remote: Option<String>,
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
        let own = client.server_info().domain;
        let remote = domain.filter(|domain| own.as_deref() != Some(domain));
        let timeout = remote.map_or(TIMEOUT, |_| REMOTE_TIMEOUT);
        let builder = ContextBuilder::new().timeout(timeout).ack_timeout(timeout);
        let jetstream = match domain {
            Some(domain) => builder.domain(domain).build(client),
            None => builder.build(client),
        };
        Self {
            jetstream,
            remote: remote.map(str::to_owned),
            lattice,
            servers,
        }
    }

    /// Makes sure that the lattice's state can be had: from where it is, which is made if need be, or, while that is
    /// away, from the PoP's copy.
    pub(crate) async fn reach(&self) -> Result<(), StoreError> {
        let deadline = Instant::now() + JOIN_PATIENCE;
        let mut told = false;
        loop {
            let error = match self.try_reach().await {
                Err(error @ StoreError::HubAway { .. }) if Instant::now() < deadline => error,
                outcome => return outcome,
            };
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(%error, "this PoP has no copy of the lattice's state either: waiting for the hub");
            }
            tokio::time::sleep(JOIN_RETRY).await;
        }
    }

    async fn try_reach(&self) -> Result<(), StoreError> {
        for bucket in Bucket::ALL {
            if let Err(error) = self.open_soon(bucket).await {
                if !self.has_copy(bucket).await {
                    return Err(error);
                }
                tracing::warn!(?bucket, %error, "beginning with this PoP's copy of the lattice's state");
            }
        }
        Ok(())
    }

    async fn has_copy(&self, bucket: Bucket) -> bool {
        let Some(mirror) = self.mirror(bucket) else {
            return false;
        };
        match mirror.look().await {
            Ok(copy) => copy.is_some_and(|copy| copy.is_whole()),
            Err(error) => {
                tracing::warn!(?bucket, %error, "this PoP's copy of the lattice's state can't be used");
                false
            }
        }
    }

    /// The PoP's copy of a bucket, where there can be one.
    fn mirror(&self, bucket: Bucket) -> Option<Mirror> {
        let domain = self.remote.as_deref()?;
        let client = self.jetstream.client();
        Mirror::beside(&client, domain, &self.bucket_name(bucket), TIMEOUT)
    }

    /// Whether the state is behind another server's link.
    fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Opens a bucket as [`Self::open`] does; where it is behind a link, it doesn't wait long to learn that the link is cut.
    async fn open_soon(&self, bucket: Bucket) -> Result<kv::Store, StoreError> {
        if let Some(domain) = &self.remote
            && !self.gives_sign().await
        {
            return Err(StoreError::HubAway {
                domain: domain.clone(),
                what: "opening a bucket",
                source: "it gives no sign".into(),
            });
        }
        self.open(bucket).await
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
        match self.jetstream.get_key_value(name).await {
            Ok(bucket) => Ok(bucket),
            Err(error) => Err(self.why_unavailable("opening a bucket", error.into()).await),
        }
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
        if let Some(domain) = &self.remote {
            return match self.gives_sign().await {
                true => StoreError::Unavailable { what, source },
                false => StoreError::HubAway {
                    domain: domain.clone(),
                    what,
                    source,
                },
            };
        }
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

    /// Whether the state's domain answers at all.
    async fn gives_sign(&self) -> bool {
        let asked = tokio::time::timeout(REMOTE_SIGN, self.jetstream.query_account()).await;
        match asked {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => matches!(error.kind(), AccountErrorKind::JetStream(_)),
            Err(_) => false,
        }
    }

    /// Does a write, or a read that others wait for. Where the state is behind a link, it ends in time, and its error says
    /// whether the link is the reason.
    async fn within<T>(
        &self,
        limit: Duration,
        what: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if !self.is_remote() {
            return work.await;
        }
        match tokio::time::timeout(limit, work).await {
            Ok(Err(StoreError::Unavailable { what, source })) => {
                Err(self.why_unavailable(what, source).await)
            }
            Ok(outcome) => outcome,
            Err(elapsed) => Err(self.why_unavailable(what, elapsed.into()).await),
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
        edit: impl FnMut(&mut ComponentSpec) -> Result<Edit<T>, E>,
    ) -> Result<Result<(T, Option<Written>), E>, StoreError> {
        let what = "writing a specification";
        self.within(REMOTE_WRITE, what, self.try_edit_spec(id, edit))
            .await
    }

    async fn try_edit_spec<T, E>(
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
        let what = "deleting a configuration";
        let delete = async {
            let bucket = self.bucket(Bucket::Config).await?;
            let deleted = bucket.purge(name).await;
            deleted.map_err(|error| unavailable(what, error))
        };
        self.within(REMOTE_WRITE, what, delete).await
    }

    /// Reads a configuration as it is in JetStream now.
    pub(crate) async fn get_config(&self, name: &str) -> Result<Option<Config>, StoreError> {
        let what = "reading a configuration";
        let read = async {
            let bucket = self.bucket(Bucket::Config).await?;
            let value = bucket.get(name).await;
            value.map_err(|error| unavailable(what, error))
        };
        let value = self.within(REMOTE_SIGN, what, read).await?;
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
        let what = "writing an entry";
        let put = async {
            let written = self.bucket(bucket).await?.put(key, value).await;
            written.map_err(|error| match error.kind() {
                kv::PutErrorKind::InvalidKey => StoreError::Key(key.to_owned()),
                _ => unavailable(what, error),
            })
        };
        self.within(REMOTE_WRITE, what, put).await
    }
}

/// A specification as it was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) revision: u64,
    pub(crate) spec: ComponentSpec,
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
