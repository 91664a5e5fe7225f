//! Stores behind links, and components that are told what changes in them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use tokio::task::JoinSet;
use trellis_lattice::{LinkKey, provider::Health};
use trellis_rpc::Handler;

use super::watch::{Watch, Watching};
use crate::{
    backend::Linked,
    config::SettingsError,
    error::LinkError,
    lattice::Lattice,
    link::LinkConfig,
    provider::{Provider, StartError},
};

/// How long a link waits until its store is followed. It is taken then anyhow, and the provider's health tells.
const BEGIN: Duration = Duration::from_secs(3);

/// The provider: a [`Linked`] whose stores are also followed for components that want to hear of changes, over links from
/// the provider to them.
pub struct Watched<B: Watch> {
    stores: Arc<Linked<B>>,
    lattice: Lattice,
    watches: Mutex<HashMap<LinkKey, Entry<B>>>,
    /// Watches that have ended, while what they have is told.
    ending: Mutex<JoinSet<()>>,
}

/// A link's watch.
struct Entry<B: Watch> {
    store: Arc<B>,
    wanted: Arc<B::Wanted>,
    watching: Watching,
}

impl<B: Watch> Provider for Watched<B> {
    const NAME: &'static str = B::NAME;
    type Config = B::Config;
    type SourceConfig = B::Config;
    type TargetConfig = B::Config;

    async fn start(own: B::Config, lattice: Lattice) -> Result<Self, StartError> {
        if let Some(error) = misplaced::<B>(
            &own,
            "it belongs to a link from the provider to a component",
        ) {
            return Err(StartError(format!("the provider's configuration: {error}")));
        }
        Ok(Self {
            stores: Arc::new(Linked::start(own, lattice.clone()).await?),
            lattice,
            watches: Mutex::default(),
            ending: Mutex::default(),
        })
    }

    fn handler(self: &Arc<Self>) -> Option<Arc<dyn Handler>> {
        self.stores.handler()
    }

    async fn receive_link_config_as_source(
        &self,
        link: LinkConfig<B::Config>,
    ) -> Result<(), LinkError> {
        let wrong = |error: SettingsError| link.config_error(error.field, error.problem);
        let wanted = B::wanted(&link.config).map_err(wrong)?;
        let wanted = wanted.ok_or_else(|| {
            link.config_error(
                "watch",
                "is missing: which keys the component is told of, for example `*`",
            )
        })?;
        let store = self.stores.open(&link, &link.target_id).await?;
        if let Some(error) = store.unwatchable(&wanted).await {
            return Err(LinkError::Unavailable(wrong(error).to_string()));
        }
        let component = self.lattice.linked(&link);
        if let Some(entry) = self.watches().get(&link.key())
            && Arc::ptr_eq(&entry.store, &store)
            && *entry.wanted == wanted
        {
            entry.watching.redirect(component);
            return Ok(());
        }
        let wanted = Arc::new(wanted);
        let watching = Watching::start(store.clone(), wanted.clone(), component);
        // The new one begins before the old one ends, so that no change falls between them; one may be told twice.
        let begun = tokio::time::timeout(BEGIN, watching.begun()).await;
        tracing::info!(%link, store = store.shown(), following = begun.is_ok(), "the component is told of this store's changes");
        let entry = Entry {
            store,
            wanted,
            watching,
        };
        let earlier = self.watches().insert(link.key(), entry);
        self.end(earlier);
        Ok(())
    }

    async fn receive_link_config_as_target(
        &self,
        link: LinkConfig<B::Config>,
    ) -> Result<(), LinkError> {
        let why = "over this link the component calls the provider: it belongs to a link from the provider to the component";
        match misplaced::<B>(&link.config, why) {
            Some(error) => Err(link.config_error(error.field, error.problem)),
            None => self.stores.receive_link_config_as_target(link).await,
        }
    }

    async fn delete_link_as_source(&self, link: &LinkKey) {
        let earlier = self.watches().remove(link);
        self.end(earlier);
    }

    async fn delete_link_as_target(&self, link: &LinkKey) {
        self.stores.delete_link_as_target(link).await;
    }

    async fn health(&self) -> Health {
        let stores = self.stores.health().await;
        let mut problems: Vec<String> = self
            .watches()
            .values()
            .filter_map(|entry| entry.watching.trouble())
            .collect();
        problems.extend(stores.message);
        problems.sort();
        problems.dedup();
        Health {
            healthy: problems.is_empty() && stores.healthy,
            message: (!problems.is_empty()).then(|| problems.join("; ")),
        }
    }

    async fn shutdown(&self) {
        let watches = std::mem::take(&mut *self.watches());
        join_all(watches.into_values().map(|entry| entry.watching.drain())).await;
        let mut ending = std::mem::take(&mut *self.ending());
        while ending.join_next().await.is_some() {}
        self.stores.shutdown().await;
    }

    async fn ended(&self) {
        self.stores.ended().await;
    }
}

impl<B: Watch> Watched<B> {
    /// Lets a watch come to its end by itself.
    fn end(&self, entry: Option<Entry<B>>) {
        let mut ending = self.ending();
        while ending.try_join_next().is_some() {}
        if let Some(entry) = entry {
            ending.spawn(entry.watching.drain());
        }
    }

    fn watches(&self) -> MutexGuard<'_, HashMap<LinkKey, Entry<B>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Watch> fmt::Debug for Watched<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("provider", &B::NAME)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a configuration that has no place for a wish to be told, if it has one.
fn misplaced<B: Watch>(config: &B::Config, why: &str) -> Option<SettingsError> {
    match B::wanted(config) {
        Ok(None) => None,
        Ok(Some(_)) => Some(SettingsError {
            field: "watch",
            problem: why.to_owned(),
        }),
        Err(error) => Some(error),
    }
}
