//! Links to their stores, and calls to the store of their link.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use trellis_provider::{
    Health, Lattice, LinkConfig, LinkError, LinkTable, Provider, StartError,
    config::NoConfig,
    contract::LinkKey,
    keyvalue::{self, Error, KeyResponse, Keyvalue},
    rpc::{CallContext, Handler},
};

use crate::{
    config::{RedisConfig, Settings},
    keys::Keys,
    redis_store::RedisStore,
};

/// The provider.
pub struct KeyvalueRedis {
    own: RedisConfig,
    links: LinkTable<Linked>,
    /// One connection for all links of equal settings, for as long as one of them holds it.
    stores: Mutex<HashMap<Settings, std::sync::Weak<RedisStore>>>,
}

/// A link's store.
struct Linked {
    store: Arc<RedisStore>,
}

impl Provider for KeyvalueRedis {
    const NAME: &'static str = crate::NAME;
    type Config = RedisConfig;
    type SourceConfig = NoConfig;
    type TargetConfig = RedisConfig;

    async fn start(own: RedisConfig, _: Lattice) -> Result<Self, StartError> {
        // A wrong default is better told at once than with the first link.
        own.settings(&RedisConfig::default())
            .map_err(|error| StartError(format!("the provider's configuration: {error}")))?;
        Ok(Self {
            own,
            links: LinkTable::default(),
            stores: Mutex::default(),
        })
    }

    fn handler(self: &Arc<Self>) -> Option<Arc<dyn Handler>> {
        Some(keyvalue::handler(self.clone()))
    }

    async fn receive_link_config_as_target(
        &self,
        link: LinkConfig<RedisConfig>,
    ) -> Result<(), LinkError> {
        let settings = link.config.settings(&self.own);
        let store = settings.and_then(|settings| self.store(settings));
        let store = store.map_err(|error| link.config_error(error.field, error.problem))?;
        tracing::info!(%link, redis = store.shown(), "keys of this link are there");
        self.links.put(&link.key(), Linked { store });
        Ok(())
    }

    async fn delete_link_as_target(&self, link: &LinkKey) {
        self.links.remove(link);
    }

    async fn health(&self) -> Health {
        let mut stores: Vec<_> = self
            .links
            .values()
            .iter()
            .map(|link| link.store.clone())
            .collect();
        stores.sort_by_key(Arc::as_ptr);
        stores.dedup_by_key(|store| Arc::as_ptr(store));
        let pings = stores.iter().map(|store| async move {
            let error = store.ping().await.err()?;
            Some(match error {
                Error::Other(message) => message,
                _ => format!("Redis at {}: access denied", store.shown()),
            })
        });
        let problems: Vec<String> = futures::future::join_all(pings)
            .await
            .into_iter()
            .flatten()
            .collect();
        Health {
            healthy: problems.is_empty(),
            message: (!problems.is_empty()).then(|| problems.join("; ")),
        }
    }

    async fn shutdown(&self) {
        // Calls that run hold their stores themselves.
        self.links.clear();
    }
}

impl KeyvalueRedis {
    /// The store of those settings, which is there already when another link has it.
    fn store(&self, settings: Settings) -> Result<Arc<RedisStore>, crate::config::SettingsError> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, store| store.strong_count() > 0);
        if let Some(store) = stores.get(&settings).and_then(std::sync::Weak::upgrade) {
            return Ok(store);
        }
        let store = Arc::new(RedisStore::new(&settings)?);
        stores.insert(settings, Arc::downgrade(&store));
        Ok(store)
    }

    async fn linked(&self, context: &CallContext) -> Result<Arc<Linked>, Error> {
        self.links
            .get(context)
            .await
            .map_err(|error| Error::Other(error.to_string()))
    }
}

impl Keyvalue for KeyvalueRedis {
    async fn get(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
    ) -> Result<Option<Bytes>, Error> {
        self.linked(context)
            .await?
            .store
            .get(&Keys::of(bucket), key)
            .await
    }

    async fn set(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
        value: Bytes,
    ) -> Result<(), Error> {
        self.linked(context)
            .await?
            .store
            .set(&Keys::of(bucket), key, &value)
            .await
    }

    async fn delete(&self, context: &CallContext, bucket: &str, key: &str) -> Result<(), Error> {
        self.linked(context)
            .await?
            .store
            .delete(&Keys::of(bucket), key)
            .await
    }

    async fn exists(&self, context: &CallContext, bucket: &str, key: &str) -> Result<bool, Error> {
        self.linked(context)
            .await?
            .store
            .exists(&Keys::of(bucket), key)
            .await
    }

    async fn list_keys(
        &self,
        context: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Error> {
        self.linked(context)
            .await?
            .store
            .list(&Keys::of(bucket), cursor)
            .await
    }

    async fn increment(
        &self,
        context: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, Error> {
        self.linked(context)
            .await?
            .store
            .increment(&Keys::of(bucket), key, delta)
            .await
    }

    async fn get_many(
        &self,
        context: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Bytes)>>, Error> {
        self.linked(context)
            .await?
            .store
            .get_many(&Keys::of(bucket), keys)
            .await
    }

    async fn set_many(
        &self,
        context: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Bytes)>,
    ) -> Result<(), Error> {
        self.linked(context)
            .await?
            .store
            .set_many(&Keys::of(bucket), &pairs)
            .await
    }

    async fn delete_many(
        &self,
        context: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<(), Error> {
        self.linked(context)
            .await?
            .store
            .delete_many(&Keys::of(bucket), &keys)
            .await
    }
}
