//! Links to addresses.

use std::sync::Arc;

use tokio::sync::Mutex;
use trellis_provider::{
    Health, Lattice, LinkConfig, LinkError, Provider, Shared, StartError, config::NoConfig,
    contract::LinkKey,
};

use crate::{
    access::{AccessLog, Writer},
    config::{LinkSettings, ServerConfig},
    listeners::Listeners,
    rate::Limiter,
    routes::Target,
    tls::{Tls, TlsError, TlsFiles},
};

/// The provider.
#[derive(Debug)]
pub struct HttpServer {
    config: ServerConfig,
    lattice: Lattice,
    listeners: Listeners,
    /// The certificates that are in use: links with the same files share them.
    certificates: Shared<TlsFiles, Tls>,
    log: Mutex<Writer>,
}

impl HttpServer {
    async fn certificate(&self, files: &TlsFiles) -> Result<Arc<Tls>, TlsError> {
        match self.certificates.get(files) {
            Some(known) => Ok(known),
            None => {
                let read = Tls::load(files).await?;
                Ok(self.certificates.put(files.clone(), read))
            }
        }
    }
}

impl Provider for HttpServer {
    const NAME: &'static str = crate::NAME;
    type Config = ServerConfig;
    type SourceConfig = LinkSettings;
    type TargetConfig = NoConfig;

    async fn start(config: ServerConfig, lattice: Lattice) -> Result<Self, StartError> {
        let file = config.access_log_file.as_deref();
        let (log, writer) = AccessLog::start(file).await.map_err(|error| {
            let file = file.unwrap_or("standard output".as_ref());
            StartError(format!(
                "field `access_log_file`: {}: {error}",
                file.display()
            ))
        })?;
        Ok(Self {
            config,
            lattice,
            listeners: Listeners::new(log),
            certificates: Shared::default(),
            log: Mutex::new(writer),
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
        // Whatever stands in the way may be gone in a moment: another link until its deletion arrives, a file that is not
        // written yet.
        let unavailable =
            |error: &dyn std::fmt::Display| LinkError::Unavailable(format!("{link}: {error}"));
        let tls = match &settings.tls {
            None => None,
            Some(files) => {
                let read = self.certificate(files).await;
                Some(read.map_err(|error| unavailable(&error))?)
            }
        };
        let (address, route) = (settings.address, settings.route.clone());
        let target = Target {
            link: link.key(),
            component: self.lattice.linked(&link),
            limiter: settings.rate_limit.map(Limiter::new),
            tls,
            settings,
        };
        self.listeners
            .put(target, self.config.replace_grace())
            .map_err(|error| unavailable(&error))?;
        tracing::info!(%link, %address, %route, "listening");
        Ok(())
    }

    async fn health(&self) -> Health {
        let problems: Vec<String> = self.listeners.problems().into_iter().collect();
        Health {
            healthy: problems.is_empty(),
            message: (!problems.is_empty()).then(|| problems.join("; ")),
        }
    }

    async fn delete_link_as_source(&self, link: &LinkKey) {
        self.listeners.delete(link);
    }

    async fn shutdown(&self) {
        self.listeners.drain().await;
        self.log.lock().await.finish().await;
    }
}
