//! Links to their stores.

use std::sync::Arc;

use trellis_provider::{
    Backend, Lattice, Linked,
    config::SettingsError,
    contract::ComponentId,
    keyvalue::{self, Error, Watched},
    rpc::Handler,
};

use crate::{
    config::{RedisConfig, Settings},
    redis_store::RedisStore,
};

/// The provider. Links of equal settings share a connection; each that wants to hear of changes has one of its own besides.
pub type KeyvalueRedis = Watched<RedisStore>;

impl Backend for RedisStore {
    const NAME: &'static str = crate::NAME;
    type Config = RedisConfig;
    type Settings = Settings;

    fn settings(
        link: &RedisConfig,
        own: &RedisConfig,
        _: &ComponentId,
    ) -> Result<Settings, SettingsError> {
        link.settings(own)
    }

    fn new(settings: Settings, _: &Lattice) -> Result<Self, SettingsError> {
        Self::open(&settings)
    }

    fn shown(&self) -> &str {
        self.place()
    }

    async fn check(&self) -> Result<(), String> {
        self.ping().await.map_err(|error| match error {
            Error::Other(message) => message,
            _ => format!("Redis at {}: access denied", self.place()),
        })
    }

    fn handler(provider: Arc<Linked<Self>>) -> Arc<dyn Handler> {
        keyvalue::handler(provider)
    }
}
