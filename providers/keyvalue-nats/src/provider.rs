//! Links to their buckets.

use std::{sync::Arc, time::Duration};

use trellis_provider::{
    Backend, Lattice, Linked,
    config::SettingsError,
    contract::ComponentId,
    keyvalue::{self, Watched},
    rpc::Handler,
};

use crate::{
    bucket::Bucket,
    config::{BucketConfig, Settings},
};

/// How long a bucket may take to open before the provider calls itself unhealthy.
const HEALTH_PATIENCE: Duration = Duration::from_millis(1500);

/// The provider. Links of equal settings share a bucket, and over links from it components are told what changes there.
pub type KeyvalueNats = Watched<Bucket>;

impl Backend for Bucket {
    const NAME: &'static str = crate::NAME;
    type Config = BucketConfig;
    type Settings = Settings;

    fn settings(
        link: &BucketConfig,
        own: &BucketConfig,
        source: &ComponentId,
    ) -> Result<Settings, SettingsError> {
        link.settings(own, source)
    }

    fn new(settings: Settings, lattice: &Lattice) -> Result<Self, SettingsError> {
        Self::of(settings, lattice)
    }

    fn shown(&self) -> &str {
        self.name()
    }

    async fn check(&self) -> Result<(), String> {
        match tokio::time::timeout(HEALTH_PATIENCE, self.ready()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("{self:?} does not open")),
        }
    }

    fn handler(provider: Arc<Linked<Self>>) -> Arc<dyn Handler> {
        keyvalue::handler(provider)
    }
}
