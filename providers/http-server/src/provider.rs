//! Links to addresses.

use trellis_provider::{
    Lattice, LinkConfig, LinkError, Provider, StartError, config::NoConfig, contract::LinkKey,
};

use crate::{
    config::{LinkSettings, ServerConfig},
    listeners::{ListenError, Listeners},
    slot::Target,
};

/// The provider.
#[derive(Debug)]
pub struct HttpServer {
    config: ServerConfig,
    lattice: Lattice,
    listeners: Listeners,
}

impl Provider for HttpServer {
    const NAME: &'static str = crate::NAME;
    type Config = ServerConfig;
    type SourceConfig = LinkSettings;
    type TargetConfig = NoConfig;

    async fn start(config: ServerConfig, lattice: Lattice) -> Result<Self, StartError> {
        Ok(Self {
            config,
            lattice,
            listeners: Listeners::default(),
        })
    }

    async fn receive_link_config_as_source(
        &self,
        link: LinkConfig<LinkSettings>,
    ) -> Result<(), LinkError> {
        let settings = link.config.check(&self.config);
        let mut settings =
            settings.map_err(|error| link.config_error(error.field, error.problem))?;
        settings.address = self.lattice.listen_address(settings.address);
        let target = Target {
            link: link.key(),
            component: self.lattice.linked(&link),
            settings,
        };
        self.listeners
            .put(target, self.config.replace_grace())
            .map_err(|error| match error {
                // It may be another link's for a moment only: until its deletion arrives.
                ListenError::Taken { .. } | ListenError::System { .. } => {
                    LinkError::Unavailable(format!("{link}: {error}"))
                }
            })?;
        tracing::info!(%link, address = %settings.address, "listening");
        Ok(())
    }

    async fn delete_link_as_source(&self, link: &LinkKey) {
        self.listeners.delete(link);
    }

    async fn shutdown(&self) {
        self.listeners.drain().await;
    }
}
