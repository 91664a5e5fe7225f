//! The provider's links: who converts money, and who hears of rates.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use iso_currency::Currency;
use trellis_provider::{
    Lattice, LinkConfig, LinkError, LinkTable, Provider, StartError, contract::LinkKey,
    rpc::Handler,
};

use crate::{
    bindings::{acme::currency::rate_watcher, handler},
    config::{Config, DeskConfig, WatchConfig},
    market::Market,
};

/// Money in the currencies of ISO 4217.
pub struct CurrencyProvider {
    lattice: Lattice,
    /// The rates.
    pub market: Market,
    /// How each component's money is converted.
    pub desks: LinkTable<DeskConfig>,
    watchers: Mutex<HashMap<LinkKey, Watcher>>,
}

/// A component that hears of rates.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// Calls of it.
    pub calls: rate_watcher::Calls,
    currencies: Arc<[Currency]>,
}

impl CurrencyProvider {
    /// Who hears of a currency's rate.
    pub fn watchers(&self, currency: Currency) -> Vec<Watcher> {
        let watchers = self.lock();
        let of_it = |watcher: &&Watcher| watcher.currencies.contains(&currency);
        watchers.values().filter(of_it).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LinkKey, Watcher>> {
        // Nothing panics while holding it.
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for CurrencyProvider {
    const NAME: &'static str = "currency";
    type Config = Config;
    type SourceConfig = WatchConfig;
    type TargetConfig = DeskConfig;

    async fn start(config: Config, lattice: Lattice) -> Result<Self, StartError> {
        Ok(Self {
            lattice,
            market: Market::new(config),
            desks: LinkTable::default(),
            watchers: Mutex::default(),
        })
    }

    fn handler(self: &Arc<Self>) -> Option<Arc<dyn Handler>> {
        Some(handler(self.clone()))
    }

    async fn receive_link_config_as_source(
        &self,
        link: LinkConfig<WatchConfig>,
    ) -> Result<(), LinkError> {
        let currencies = link.config.currencies.iter().map(|code| code.0).collect();
        let calls = rate_watcher::Calls::new(self.lattice.linked(&link));
        self.lock()
            .insert(link.key(), Watcher { calls, currencies });
        Ok(())
    }

    async fn receive_link_config_as_target(
        &self,
        link: LinkConfig<DeskConfig>,
    ) -> Result<(), LinkError> {
        self.desks.put(&link.key(), link.config);
        Ok(())
    }

    async fn delete_link_as_source(&self, link: &LinkKey) {
        self.lock().remove(link);
    }

    async fn delete_link_as_target(&self, link: &LinkKey) {
        self.desks.remove(link);
    }
}
