//! Links to their stores.

use std::sync::Arc;

use trellis_provider::{
    Backend, Lattice, Linked, blobstore, config::SettingsError, contract::ComponentId, rpc::Handler,
};

use crate::{
    config::{S3Config, Settings},
    store::Store,
};

/// The provider. Links of equal settings share their connections.
pub type BlobstoreS3 = Linked<Store>;

impl Backend for Store {
    const NAME: &'static str = crate::NAME;
    type Config = S3Config;
    type Settings = Settings;

    fn settings(
        link: &S3Config,
        own: &S3Config,
        _: &ComponentId,
    ) -> Result<Settings, SettingsError> {
        link.settings(own)
    }

    fn check_default(own: &S3Config, _: &ComponentId) -> Result<(), SettingsError> {
        own.check_default()
    }

    fn new(settings: Settings, _: &Lattice) -> Result<Self, SettingsError> {
        Self::new(settings)
    }

    async fn refused(&self) -> Option<SettingsError> {
        let failure = self.check().await.err()?;
        failure.of_settings(self.settings())
    }

    fn shown(&self) -> &str {
        self.shown()
    }

    async fn check(&self) -> Result<(), String> {
        let checked = self.check().await;
        checked.map_err(|failure| format!("S3 at {}: {failure}", self.shown()))
    }

    async fn end(&self) {
        self.end().await;
    }

    fn handler(provider: Arc<Linked<Self>>) -> Arc<dyn Handler> {
        blobstore::handler(provider)
    }
}
