//! A provider of stores that links lead to: who writes one writes a [`Backend`], and [`Linked`] is the provider.

use std::{future::Future, hash::Hash, sync::Arc};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use trellis_lattice::{ComponentId, LinkKey, provider::Health};
use trellis_rpc::{CallContext, Handler};

use super::{Error, KeyResponse, Keyvalue, handler};
use crate::{
    config::{NoConfig, SettingsError},
    error::LinkError,
    lattice::Lattice,
    link::LinkConfig,
    link_table::LinkTable,
    provider::{Provider, StartError},
    shared::Shared,
};

/// A store behind one or several links.
pub trait Backend: Keyvalue + Sized {
    /// The provider's name, as [`Provider::NAME`].
    const NAME: &'static str;
    /// A link's `target_config`, and the provider's own configuration as its default.
    type Config: DeserializeOwned + Default + Send + Sync;
    /// Where a link's keys are. Links of equal settings share a store.
    type Settings: Clone + Eq + Hash + Send + Sync;

    /// The settings of a component's link, where the provider's own configuration fills what the link leaves out.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    fn settings(
        link: &Self::Config,
        own: &Self::Config,
        source: &ComponentId,
    ) -> Result<Self::Settings, SettingsError>;

    /// The store of those settings. It connects when it is first asked for something.
    ///
    /// # Errors
    /// Names the field that can't be used.
    fn new(settings: Self::Settings, lattice: &Lattice) -> Result<Self, SettingsError>;

    /// Where it is, for the log: without user and password.
    fn shown(&self) -> &str;

    /// Whether it can be used now.
    ///
    /// # Errors
    /// Why not, for the provider's health.
    fn check(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// The provider: links to their stores, and calls to the store of their link.
pub struct Linked<B: Backend> {
    own: B::Config,
    lattice: Lattice,
    links: LinkTable<Arc<B>>,
    stores: Shared<B::Settings, B>,
}

impl<B: Backend> Provider for Linked<B> {
    const NAME: &'static str = B::NAME;
    type Config = B::Config;
    type SourceConfig = NoConfig;
    type TargetConfig = B::Config;

    async fn start(own: B::Config, lattice: Lattice) -> Result<Self, StartError> {
        // A wrong default is better told at once than with the first link.
        B::settings(&own, &B::Config::default(), lattice.provider_id())
            .map_err(|error| StartError(format!("the provider's configuration: {error}")))?;
        Ok(Self {
            own,
            lattice,
            links: LinkTable::default(),
            stores: Shared::default(),
        })
    }

    fn handler(self: &Arc<Self>) -> Option<Arc<dyn Handler>> {
        Some(handler(self.clone()))
    }

    async fn receive_link_config_as_target(
        &self,
        link: LinkConfig<B::Config>,
    ) -> Result<(), LinkError> {
        let settings = B::settings(&link.config, &self.own, &link.source_id);
        let store = settings.and_then(|settings| self.store(settings));
        let store = store.map_err(|error| link.config_error(error.field, error.problem))?;
        tracing::info!(%link, store = store.shown(), "keys of this link are there");
        self.links.put(&link.key(), store);
        Ok(())
    }

    async fn delete_link_as_target(&self, link: &LinkKey) {
        self.links.remove(link);
    }

    async fn health(&self) -> Health {
        let links = self.links.values();
        let mut stores: Vec<&Arc<B>> = links.iter().map(|store| &**store).collect();
        stores.sort_by_key(|store| Arc::as_ptr(store));
        stores.dedup_by_key(|store| Arc::as_ptr(store));
        let checks = stores.into_iter().map(|store| store.check());
        let checked = futures::future::join_all(checks).await;
        let mut problems: Vec<String> = checked.into_iter().filter_map(Result::err).collect();
        problems.sort();
        problems.dedup();
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

impl<B: Backend> Linked<B> {
    /// The store of those settings, which is there already when another link has it.
    fn store(&self, settings: B::Settings) -> Result<Arc<B>, SettingsError> {
        if let Some(store) = self.stores.get(&settings) {
            return Ok(store);
        }
        // Links come one after the other, so nobody else makes it meanwhile.
        let store = B::new(settings.clone(), &self.lattice)?;
        Ok(self.stores.put(settings, store))
    }

    /// The store of the call's link.
    async fn linked(&self, context: &CallContext) -> Result<Arc<B>, Error> {
        let store = self.links.get(context).await;
        let store = store.map_err(|error| Error::Other(error.to_string()))?;
        Ok(Arc::clone(&*store))
    }
}

impl<B: Backend> Keyvalue for Linked<B> {
    async fn get(&self, by: &CallContext, bucket: &str, key: &str) -> Result<Option<Bytes>, Error> {
        self.linked(by).await?.get(by, bucket, key).await
    }

    async fn set(
        &self,
        by: &CallContext,
        bucket: &str,
        key: &str,
        value: Bytes,
    ) -> Result<(), Error> {
        self.linked(by).await?.set(by, bucket, key, value).await
    }

    async fn delete(&self, by: &CallContext, bucket: &str, key: &str) -> Result<(), Error> {
        self.linked(by).await?.delete(by, bucket, key).await
    }

    async fn exists(&self, by: &CallContext, bucket: &str, key: &str) -> Result<bool, Error> {
        self.linked(by).await?.exists(by, bucket, key).await
    }

    async fn list_keys(
        &self,
        by: &CallContext,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<KeyResponse, Error> {
        self.linked(by).await?.list_keys(by, bucket, cursor).await
    }

    async fn increment(
        &self,
        by: &CallContext,
        bucket: &str,
        key: &str,
        delta: u64,
    ) -> Result<u64, Error> {
        let store = self.linked(by).await?;
        store.increment(by, bucket, key, delta).await
    }

    async fn get_many(
        &self,
        by: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Bytes)>>, Error> {
        self.linked(by).await?.get_many(by, bucket, keys).await
    }

    async fn set_many(
        &self,
        by: &CallContext,
        bucket: &str,
        pairs: Vec<(String, Bytes)>,
    ) -> Result<(), Error> {
        self.linked(by).await?.set_many(by, bucket, pairs).await
    }

    async fn delete_many(
        &self,
        by: &CallContext,
        bucket: &str,
        keys: Vec<String>,
    ) -> Result<(), Error> {
        self.linked(by).await?.delete_many(by, bucket, keys).await
    }
}
