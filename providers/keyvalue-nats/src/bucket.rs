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
use trellis_provider::keyvalue::{Error, KeyResponse};

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
    pub fn new(settings: Settings, lattice: async_nats::Client) -> Self {
        Self {
            settings,
            lattice,
            opened: ArcSwap::default(),
            counting: Counting::default(),
        }
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

    /// The value of a key.
    ///
    /// # Errors
    /// NATS fails, or the key is too long.
    pub async fn get(&self, keys: &Keys, key: &str) -> Result<Option<Bytes>, Error> {
        let (store, key) = (self.open().await?, encode(keys, key)?);
        store.get(key).await.map_err(|error| self.failed(&error))
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// NATS fails, or the key is too long.
    pub async fn set(&self, keys: &Keys, key: &str, value: Bytes) -> Result<(), Error> {
        let (store, key) = (self.open().await?, encode(keys, key)?);
        store
            .put(key, value)
            .await
            .map(drop)
            .map_err(|error| self.failed(&error))
    }

    /// Deletes a key, whether it is there or not.
    ///
    /// # Errors
    /// NATS fails, or the key is too long.
    pub async fn delete(&self, keys: &Keys, key: &str) -> Result<(), Error> {
        let (store, key) = (self.open().await?, encode(keys, key)?);
        // 1.x purges too: earlier values are not kept.
        store.purge(key).await.map_err(|error| self.failed(&error))
    }

    /// Adds to a number, which is 0 where there is none, and gives the sum.
    ///
    /// # Errors
    /// NATS fails, the value is no number, or the sum would not fit.
    pub async fn increment(&self, keys: &Keys, key: &str, delta: u64) -> Result<u64, Error> {
        let (store, key) = (self.open().await?, encode(keys, key)?);
        self.counting
            .add(&store, &key, delta)
            .await
            .map_err(|error| self.told(error))
    }

    /// Some keys, from a cursor on.
    ///
    /// # Errors
    /// NATS fails.
    pub async fn list(&self, keys: &Keys, cursor: Option<u64>) -> Result<KeyResponse, Error> {
        let store = self.open().await?;
        listing::page(&store, keys, cursor)
            .await
            .map_err(|error| self.failed(&*error))
    }

    /// The values of several keys, in their order.
    ///
    /// # Errors
    /// NATS fails, or a key is too long.
    pub async fn get_many(
        &self,
        keys: &Keys,
        wanted: Vec<String>,
    ) -> Result<Vec<Option<(String, Bytes)>>, Error> {
        let get = |key: String| async move {
            let value = self.get(keys, &key).await?;
            Ok(value.map(|value| (key, value)))
        };
        stream::iter(wanted)
            .map(get)
            .buffered(BATCH)
            .try_collect()
            .await
    }

    /// Sets the values of several keys.
    ///
    /// # Errors
    /// NATS fails, or a key is too long; others may have been set.
    pub async fn set_many(&self, keys: &Keys, pairs: Vec<(String, Bytes)>) -> Result<(), Error> {
        let set = |(key, value): (String, Bytes)| async move { self.set(keys, &key, value).await };
        stream::iter(pairs)
            .map(set)
            .buffer_unordered(BATCH)
            .try_collect()
            .await
    }

    /// Deletes several keys.
    ///
    /// # Errors
    /// NATS fails, or a key is too long; others may have been deleted.
    pub async fn delete_many(&self, keys: &Keys, unwanted: Vec<String>) -> Result<(), Error> {
        let delete = |key: String| async move { self.delete(keys, &key).await };
        stream::iter(unwanted)
            .map(delete)
            .buffer_unordered(BATCH)
            .try_collect()
            .await
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

fn encode(keys: &Keys, key: &str) -> Result<String, Error> {
    keys.encode(key)
        .map_err(|error: TooLong| Error::Other(error.to_string()))
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("bucket", &self.settings.bucket)
            .finish_non_exhaustive()
    }
}
