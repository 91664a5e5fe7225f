//! Links to their folders.

use std::sync::Arc;

use trellis_provider::{
    Backend, Lattice, Linked, blobstore, config::SettingsError, contract::ComponentId, rpc::Handler,
};

use crate::{
    config::{FolderConfig, Settings},
    folder::Folder,
};

/// The provider.
pub type BlobstoreFs = Linked<Folder>;

impl Backend for Folder {
    const NAME: &'static str = crate::NAME;
    type Config = FolderConfig;
    type Settings = Settings;

    fn settings(
        link: &FolderConfig,
        own: &FolderConfig,
        _: &ComponentId,
    ) -> Result<Settings, SettingsError> {
        link.settings(own)
    }

    fn check_default(own: &FolderConfig, _: &ComponentId) -> Result<(), SettingsError> {
        own.check_default()
    }

    fn new(settings: Settings, _: &Lattice) -> Result<Self, SettingsError> {
        Ok(Self::new(settings))
    }

    fn shown(&self) -> &str {
        self.shown()
    }

    async fn check(&self) -> Result<(), String> {
        self.check().await
    }

    fn handler(provider: Arc<Linked<Self>>) -> Arc<dyn Handler> {
        blobstore::handler(provider)
    }
}
