//! A key-value bucket of JSON entries, with writes that only succeed on what was read.

use std::error::Error as _;

use async_nats::jetstream::{
    self, Context,
    context::{
        AccountErrorKind, CreateKeyValueError, GetStreamError, GetStreamErrorKind, KeyValueError,
    },
    kv,
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;
use trellis_lattice::from_json;

use super::StoreError;

/// How often a write that others' writes overtook is tried.
const MAX_ATTEMPTS: usize = 32;

/// A bucket.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    context: Context,
    name: String,
}

/// What an edit of an entry decided.
pub(crate) enum Edit<T, O> {
    /// Write this.
    Write(T, O),
    /// Delete the entry.
    Delete(O),
    /// Leave it as it is.
    Keep(O),
}

impl Bucket {
    /// Opens a bucket, or creates it as 1.x does.
    pub(crate) async fn open(context: &Context, name: &str) -> Result<Self, StoreError> {
        let bucket = Self {
            context: context.clone(),
            name: name.to_owned(),
        };
        match context.get_key_value(name).await {
            Ok(_) => return Ok(bucket),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(bucket.why("opening", error).await),
        }
        match bucket.create().await {
            Ok(_) => {
                tracing::info!(bucket = name, "created the application manager's bucket");
                Ok(bucket)
            }
            Err(error) => Err(bucket.why("creating", error).await),
        }
    }

    /// Creates it. Losing the race against another application manager is as good.
    async fn create(&self) -> Result<kv::Store, CreateKeyValueError> {
        let config = kv::Config {
            bucket: self.name.clone(),
            ..kv::Config::default()
        };
        match self.context.create_key_value(config).await {
            Ok(kv) => Ok(kv),
            Err(error) => match self.context.get_key_value(&self.name).await {
                Ok(kv) => Ok(kv),
                Err(_) => Err(error),
            },
        }
    }

    /// When it was created, which tells it from one that was lost.
    pub(crate) async fn created(&self) -> Result<OffsetDateTime, StoreError> {
        Ok(self.kv().await?.stream.cached_info().created)
    }

    /// Reads an entry, and the revision that a write on it must name; 0 when there was never one.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<(Option<T>, u64), StoreError> {
        let entry = self
            .kv()
            .await?
            .entry(key)
            .await
            .map_err(|error| self.unavailable("reading", key, error))?;
        match entry {
            None => Ok((None, 0)),
            Some(entry) => Ok((self.decode(&entry)?, entry.revision)),
        }
    }

    /// How long ago an entry was written; `None` when it isn't there.
    pub(crate) async fn age(&self, key: &str) -> Result<Option<std::time::Duration>, StoreError> {
        let entry = self
            .kv()
            .await?
            .entry(key)
            .await
            .map_err(|error| self.unavailable("reading", key, error))?;
        Ok(entry.map(|entry| {
            let age = time::OffsetDateTime::now_utc() - entry.created;
            // A clock that goes backwards makes everything new.
            age.try_into().unwrap_or_default()
        }))
    }

    /// What an entry of a watch holds; `None` when it was deleted.
    pub(crate) fn decode<T: DeserializeOwned>(
        &self,
        entry: &kv::Entry,
    ) -> Result<Option<T>, StoreError> {
        if entry.operation != kv::Operation::Put {
            return Ok(None);
        }
        from_json("entry", &entry.value)
            .map(Some)
            .map_err(|error| self.entry(&entry.key, &error))
    }

    /// Writes an entry if it still has that revision; gives the new one, or `None` when it has another.
    pub(crate) async fn write(
        &self,
        key: &str,
        value: &impl Serialize,
        revision: u64,
    ) -> Result<Option<u64>, StoreError> {
        let value = self.encode(key, value)?;
        match self.kv().await?.update(key, value, revision).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(self.unavailable("writing", key, error)),
        }
    }

    /// Deletes an entry if it still has that revision; whether it had.
    pub(crate) async fn delete(&self, key: &str, revision: u64) -> Result<bool, StoreError> {
        let kv = self.kv().await?;
        match kv.purge_expect_revision(key, Some(revision)).await {
            Ok(()) => Ok(true),
            Err(error) => {
                // The client has no kind of its own for a wrong revision here: see whether it is one.
                let now = kv
                    .entry(key)
                    .await
                    .map_err(|error| self.unavailable("reading", key, error))?;
                match now {
                    Some(now) if now.revision == revision => {
                        Err(self.unavailable("deleting", key, error))
                    }
                    _ => Ok(false),
                }
            }
        }
    }

    /// Reads an entry, has it edited and writes it, unless someone else did meanwhile: then again from the start.
    pub(crate) async fn edit<T, O, E>(
        &self,
        key: &str,
        mut edit: impl FnMut(Option<T>) -> Result<Edit<T, O>, E>,
    ) -> Result<Result<O, E>, StoreError>
    where
        T: Serialize + DeserializeOwned,
    {
        for _ in 0..MAX_ATTEMPTS {
            let (value, revision) = self.read::<T>(key).await?;
            let (done, outcome) = match edit(value) {
                Err(refused) => return Ok(Err(refused)),
                Ok(Edit::Keep(outcome)) => return Ok(Ok(outcome)),
                Ok(Edit::Write(value, outcome)) => {
                    (self.write(key, &value, revision).await?.is_some(), outcome)
                }
                Ok(Edit::Delete(outcome)) => (self.delete(key, revision).await?, outcome),
            };
            if done {
                return Ok(Ok(outcome));
            }
        }
        Err(StoreError::Contended(key.to_owned()))
    }

    /// All keys that there are.
    pub(crate) async fn keys(&self) -> Result<Vec<String>, StoreError> {
        use futures::TryStreamExt as _;
        let keys = self
            .kv()
            .await?
            .keys()
            .await
            .map_err(|error| self.unavailable("listing", "all keys", error))?;
        keys.try_collect()
            .await
            .map_err(|error| self.unavailable("listing", "all keys", error))
    }

    /// All changes from now on.
    pub(crate) async fn watch(&self) -> Result<kv::Watch, StoreError> {
        self.kv()
            .await?
            .watch_all()
            .await
            .map_err(|error| self.unavailable("watching", "all keys", error))
    }

    /// Opens it. One that somebody deleted is created again; whoever leads fills it with what it knows.
    async fn kv(&self) -> Result<kv::Store, StoreError> {
        match self.context.get_key_value(&self.name).await {
            Ok(kv) => Ok(kv),
            Err(error) if is_missing(&error) => {
                tracing::warn!(
                    bucket = self.name,
                    "the application manager's bucket is gone; creating it again"
                );
                self.create()
                    .await
                    .map_err(|error| self.unavailable("creating", "the bucket", error))
            }
            Err(error) => Err(self.unavailable("opening", "the bucket", error)),
        }
    }

    fn encode(&self, key: &str, value: &impl Serialize) -> Result<Bytes, StoreError> {
        let bytes = serde_json::to_vec(value).map_err(|error| self.entry(key, &error))?;
        // Headers and subject need some room too.
        let limit = self
            .context
            .client()
            .server_info()
            .max_payload
            .saturating_sub(4096);
        if bytes.len() > limit {
            return Err(StoreError::TooLarge {
                key: key.to_owned(),
                bytes: bytes.len(),
                limit,
            });
        }
        Ok(bytes.into())
    }

    fn entry(&self, key: &str, problem: &impl ToString) -> StoreError {
        StoreError::Entry {
            bucket: self.name.clone(),
            key: key.to_owned(),
            problem: problem.to_string(),
        }
    }

    fn unavailable(
        &self,
        what: &str,
        key: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Unavailable {
            what: format!("{what} {key} in bucket {}", self.name),
            source: source.into(),
        }
    }

    /// The reason behind a failure, where JetStream as a whole is the reason.
    async fn why(
        &self,
        what: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        match self.context.query_account().await {
            Err(error) if error.kind() == AccountErrorKind::JetStreamUnavailable => {
                StoreError::JetStreamOff
            }
            _ => self.unavailable(what, "the bucket", source),
        }
    }
}

/// Whether JetStream says that there is no such bucket.
fn is_missing(error: &KeyValueError) -> bool {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<GetStreamError>());
    source.is_some_and(|error| {
        matches!(error.kind(), GetStreamErrorKind::JetStream(answer)
            if answer.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND)
    })
}
