//! A provider whose links lead to something that is somewhere else, a store for example: who writes one writes a
//! [`Backend`], and [`Linked`] is the provider.

use std::{future::Future, hash::Hash, sync::Arc};

use serde::de::DeserializeOwned;
use trellis_lattice::{ComponentId, LinkKey, provider::Health};
use trellis_rpc::{CallContext, Handler};

use crate::{
    config::{NoConfig, SettingsError},
    error::LinkError,
    lattice::Lattice,
    link::LinkConfig,
    link_table::{LinkTable, NoLink},
    provider::{Provider, StartError},
    shared::Shared,
};

/// What is behind one or several links.
pub trait Backend: Sized + Send + Sync + 'static {
    /// The provider's name, as [`Provider::NAME`].
    const NAME: &'static str;
    /// A link's `target_config`, and the provider's own configuration as its default.
    type Config: DeserializeOwned + Default + Send + Sync;
    /// Where a link leads. Links of equal settings share what is there.
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

    /// Whether the provider's own configuration can be links' default. What a link has to say need not stand in it.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    fn check_default(own: &Self::Config, provider: &ComponentId) -> Result<(), SettingsError> {
        Self::settings(own, &Self::Config::default(), provider).map(|_| ())
    }

    /// What is there. It connects when it is first asked for something.
    ///
    /// # Errors
    /// Names the field that can't be used.
    fn new(settings: Self::Settings, lattice: &Lattice) -> Result<Self, SettingsError>;

    /// What it refuses of its settings: a wrong key, a bucket that isn't there. Asked when a link is put; a link whose settings
    /// are refused is tried again, for keys and buckets are also made later. What can't be reached at all refuses nothing.
    fn refused(&self) -> impl Future<Output = Option<SettingsError>> + Send {
        async { None }
    }

    /// Ends what is still going on for calls that are over; no more of them come.
    fn end(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Where it is, for the log: without user and password.
    fn shown(&self) -> &str;

    /// Whether it can be used now.
    ///
    /// # Errors
    /// Why not, for the provider's health.
    fn check(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// What answers calls; they find what is behind their link by [`Linked::linked`].
    fn handler(provider: Arc<Linked<Self>>) -> Arc<dyn Handler>;
}

/// The provider: links to where they lead, and calls to what is behind their link.
pub struct Linked<B: Backend> {
    own: B::Config,
    lattice: Lattice,
    links: LinkTable<Arc<B>>,
    backends: Shared<B::Settings, B>,
}

impl<B: Backend> Provider for Linked<B> {
    const NAME: &'static str = B::NAME;
    type Config = B::Config;
    type SourceConfig = NoConfig;
    type TargetConfig = B::Config;

    async fn start(own: B::Config, lattice: Lattice) -> Result<Self, StartError> {
        // A wrong default is better told at once than with the first link.
        B::check_default(&own, lattice.provider_id())
            .map_err(|error| StartError(format!("the provider's configuration: {error}")))?;
        Ok(Self {
            own,
            lattice,
            links: LinkTable::default(),
            backends: Shared::default(),
        })
    }

    fn handler(self: &Arc<Self>) -> Option<Arc<dyn Handler>> {
        Some(B::handler(self.clone()))
    }

    async fn receive_link_config_as_target(
        &self,
        link: LinkConfig<B::Config>,
    ) -> Result<(), LinkError> {
        let backend = self.open(&link, &link.source_id).await?;
        tracing::info!(%link, backend = backend.shown(), "this link leads there");
        self.links.put(&link.key(), backend);
        Ok(())
    }

    async fn delete_link_as_target(&self, link: &LinkKey) {
        self.links.remove(link);
    }

    async fn health(&self) -> Health {
        let backends = self.each();
        let checks = backends.iter().map(|backend| backend.check());
        let checked = futures::future::join_all(checks).await;
        let mut problems: Vec<String> = checked.into_iter().filter_map(Result::err).collect();
        problems.sort();
        problems.dedup();
        Health {
            healthy: problems.is_empty(),
            message: (!problems.is_empty()).then(|| problems.join("; ")),
        }
    }

    async fn ended(&self) {
        let backends = self.each();
        futures::future::join_all(backends.iter().map(|backend| backend.end())).await;
    }
}

impl<B: Backend> Linked<B> {
    /// What is behind a link of that component.
    ///
    /// # Errors
    /// The settings don't fit, or what is there refuses them.
    pub(crate) async fn open(
        &self,
        link: &LinkConfig<B::Config>,
        component: &ComponentId,
    ) -> Result<Arc<B>, LinkError> {
        let settings = B::settings(&link.config, &self.own, component);
        let backend = settings.and_then(|settings| self.backend(settings));
        let backend = backend.map_err(|error| link.config_error(error.field, error.problem))?;
        if let Some(error) = backend.refused().await {
            let error = link.config_error(error.field, error.problem);
            return Err(LinkError::Unavailable(error.to_string()));
        }
        Ok(backend)
    }

    /// What is behind the links, each once.
    fn each(&self) -> Vec<Arc<B>> {
        let links = self.links.values();
        let mut backends: Vec<Arc<B>> =
            links.iter().map(|backend| Arc::clone(&**backend)).collect();
        backends.sort_by_key(Arc::as_ptr);
        backends.dedup_by_key(|backend| Arc::as_ptr(backend));
        backends
    }

    /// What is there already when another link has equal settings.
    fn backend(&self, settings: B::Settings) -> Result<Arc<B>, SettingsError> {
        if let Some(backend) = self.backends.get(&settings) {
            return Ok(backend);
        }
        // Links come one after the other, so nobody else makes it meanwhile.
        let backend = B::new(settings.clone(), &self.lattice)?;
        Ok(self.backends.put(settings, backend))
    }

    /// What is behind the call's link.
    ///
    /// # Errors
    /// There is no such link, or it was refused.
    pub async fn linked(&self, context: &CallContext) -> Result<Arc<B>, NoLink> {
        let backend = self.links.get(context).await?;
        Ok(Arc::clone(&*backend))
    }

    /// The same of a provider of several packages: what is behind the link that the call of that package's function goes over.
    ///
    /// # Errors
    /// As [`Self::linked`].
    pub async fn linked_of(
        &self,
        context: &CallContext,
        namespace: &str,
        package: &str,
    ) -> Result<Arc<B>, NoLink> {
        let backend = self.links.get_of(context, namespace, package).await?;
        Ok(Arc::clone(&*backend))
    }
}
