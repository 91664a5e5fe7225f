//! A NATS bucket behind one or several links. It is opened, and made if need be, when it is first asked for something.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use async_nats::jetstream::{
    self,
    kv::{self, Store},
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::OnceCell;
use trellis_provider::{
    keyvalue::{Error, KeyResponse, Keyvalue},
    rpc::CallContext,
};

use crate::{
    config::Settings,
    counting::Counting,
    keys::{Keys, TooLong},
    listing,
};

/// How many keys of a batch are under way at once.
const BATCH: usize = 32;

/// The bucket. Links of equal settings share it.
pub struct Bucket {
    settings: Settings,
    /// The lattice's connection.
    lattice: async_nats::Client,
    /// Replaced by an empty one when something fails: whoever comes next looks again.
    opened: ArcSwap<OnceCell<Store>>,
    counting: Counting,
}

impl Bucket {
    /// The bucket of those settings. Nothing is asked of NATS yet.
    pub fn of(settings: Settings, lattice: async_nats::Client) -> Self {
        Self {
            settings,
            lattice,
            opened: ArcSwap::default(),
            counting: Counting::default(),
        }
    }

    /// The NATS bucket's name.
    pub fn name(&self) -> &str {
        &self.settings.bucket
    }

    /// Opens the bucket, if it isn't open.
    ///
    /// # Errors
    /// It isn't there and is not to be made, or NATS doesn't answer.
    pub async fn open(&self) -> Result<Store, Error> {
        let cell = self.opened.load_full();
        cell.get_or_try_init(|| self.look()).await.cloned()
    }

    async fn look(&self) -> Result<Store, Error> {
        let client = match &self.settings.server {
            None => self.lattice.clone(),
            Some(server) => {
                let connected = server.nats_settings().connect(crate::NAME).await;
                connected.map_err(|error| self.failed(&error))?
            }
        };
        let context = match &self.settings.domain {
            None => jetstream::new(client),
            Some(domain) => jetstream::with_domain(client, domain),
        };
        let name = &self.settings.bucket;
        match context.get_key_value(name).await {
            Ok(store) => return Ok(store),
            Err(error) if !is_missing(&error) => return Err(self.failed(&error)),
            Err(_) if !self.settings.create => {
                tracing::warn!(
                    bucket = name,
                    "there is no such NATS bucket, and the link says not to make it"
                );
                return Err(Error::NoSuchStore);
            }
            Err(_) => {}
        }
        let config = kv::Config {
            bucket: name.clone(),
            num_replicas: self.settings.replicas,
            history: 1,
            ..kv::Config::default()
        };
        let store = context
            .create_key_value(config)
            .await
            .map_err(|error| self.failed(&error))?;
        tracing::info!(
            bucket = name,
            replicas = self.settings.replicas,
            "NATS bucket made"
        );
        Ok(store)
    }

    /// The open bucket, and a key as NATS has it.
    async fn at(&self, keys: &Keys, key: &str) -> Result<(Store, String), Error> {
        let store = self.open().await?;
        let key = keys.encode(key);
        Ok((
            store,
            key.map_err(|error: TooLong| Error::Other(error.to_string()))?,
        ))
    }

    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let mut causes = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !causes.contains(&cause_text) {
                causes = format!("{causes}: {cause_text}");
            }
            source = cause.source();
        }
        self.told(Error::Other(causes))
    }

    /// An error with the bucket's name before it. What was open is forgotten: it may have been deleted, or lost with a
    /// server that kept it in memory.
    fn told(&self, error: Error) -> Error {
        self.opened.store(Arc::default());
        match error {
            Error::Other(problem) => {
                Error::Other(format!("NATS bucket {:?}: {problem}", self.settings.bucket))
            }
            error => error,
        }
    }
}

impl Keyvalue for Bucket {
    async fn get(&self, by: &CallContext, bucket: &str, key: &str) -> Result<Option<Bytes>, Error> {
        let (store, key) = self.at(&keys(by, bucket), key).await?;
        store.get(key).await.map_err(|error| self.failed(&error))
    }

    async fn set(
        &self,
        by: &CallContext,
        bucket: &str,
        key: &str,
        value: Bytes,
    ) -> Result<(), Error> {
        let (store, key) = self.at(&keys(by, bucket), key).await?;
        store
            .put(key, value)
            .await
            .map(drop)
            .map_err(|error| self.failed(&error))
    }

    async fn delete(&self, by: &CallContext, bucket: &str, key: &str) -> Result<(), Error> {
        let (store, key) = self.at(&keys(by, bucket), key).await?;
        // 1.x purges too: earlier values are not kept.
        store.purge(key).await.map_err(|error| self.failed(&error))
    }

    async fn exists(&self, by: &CallContext, bucket: &str, key: &str) -> Result<bool, Error> {
        Ok(self.get(by, bucket, key).await?.is_some())
    }

    async fn list_keys(
        &self,
        by: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Error> {
        let store = self.open().await?;
        listing::page(&store, &keys(by, bucket), cursor)
            .await
            .map_err(|error| self.failed(&*error))
    }

    async fn increment(
        &self,
        by: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, Error> {
        let (store, key) = self.at(&keys(by, bucket), key).await?;
        self.counting
            .add(&store, &key, delta)
            .await
            .map_err(|error| self.told(error))
    }

    async fn get_many(
        &self,
        by: &CallContext,
        bucket: &str,
        wanted: Vec<String>,
    ) -> Result<Vec<Option<(String, Bytes)>>, Error> {
        let get = |key: String| async move {
            let value = self.get(by, bucket, &key).await?;
            Ok(value.map(|value| (key, value)))
        };
        stream::iter(wanted)
            .map(get)
            .buffered(BATCH)
            .try_collect()
            .await
    }

    async fn set_many(
        &self,
        by: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Bytes)>,
    ) -> Result<(), Error> {
        let set =
            |(key, value): (String, Bytes)| async move { self.set(by, bucket, &key, value).await };
        stream::iter(pairs)
            .map(set)
            .buffer_unordered(BATCH)
            .try_collect()
            .await
    }

    async fn delete_many(
        &self,
        by: &CallContext,
        bucket: &str,
        unwanted: Vec<String>,
    ) -> Result<(), Error> {
        let delete = |key: String| async move { self.delete(by, bucket, &key).await };
        stream::iter(unwanted)
            .map(delete)
            .buffer_unordered(BATCH)
            .try_collect()
            .await
    }
}

/// Whether the bucket isn't there, as opposed to that NATS can't say.
fn is_missing(error: &async_nats::jetstream::context::KeyValueError) -> bool {
    use std::error::Error as _;
    let source = error.source();
    let missing =
        source.and_then(|source| source.downcast_ref::<jetstream::context::GetStreamError>());
    missing.is_some_and(|error| match error.kind() {
        jetstream::context::GetStreamErrorKind::JetStream(error) => {
            error.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND
        }
        _ => false,
    })
}

/// Where the keys are of what a component calls `bucket`.
fn keys(by: &CallContext, bucket: &str) -> Keys {
    Keys::of(bucket, by.link_name.as_deref().unwrap_or("default"))
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("bucket", &self.settings.bucket)
            .finish_non_exhaustive()
    }
}
