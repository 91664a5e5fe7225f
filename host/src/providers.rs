//! Provider processes: starting them from what they are referred to by, keeping them running, ending them.

mod delivery;
mod health;
mod keys;
mod output;
mod process;
mod program;
mod spawner;
mod supervisor;
mod unpacked;
mod vault;

use std::sync::Arc;

use dashmap::{DashMap, Entry};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use trellis_lattice::{
    ComponentId,
    control::{
        host::{ComponentStats, ProviderDescription},
        provider::StartProvider,
    },
    event::EventClaims,
};

pub(crate) use delivery::REPLACED_GRACE;
pub(crate) use spawner::Spawner;
pub(crate) use unpacked::Unpacking;

use crate::{host::Host, image::ImageRef, secrets::Entity};
use keys::Keys;
use process::Program;
use program::Kept;

/// The annotation that names the application of what is started.
const APP: &str = "wasmcloud.dev/appspec";

/// The most providers of a host: each is a process.
const MAX_PROVIDERS: usize = 1000;

/// A provider as it runs.
#[derive(Debug)]
struct Provider {
    description: ProviderDescription,
    /// Names of its configurations.
    config: Vec<String>,
    program: Program,
    /// What the program comes from.
    _kept: Kept,
    claims: Option<EventClaims>,
    keys: Keys,
    /// For whom its secrets are asked.
    entity: Entity,
}

/// The providers of a host.
#[derive(Debug, Default)]
pub(crate) struct Providers {
    entries: DashMap<ComponentId, Supervised>,
}

#[derive(Clone, Debug)]
struct Supervised {
    description: ProviderDescription,
    /// Names of its configurations.
    config: Vec<String>,
    stop: CancellationToken,
    done: CancellationToken,
}

/// A request that this host refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("provider with that ID is already running")]
    AlreadyRunning,
    #[error("provider with that ID is not running")]
    NotRunning,
    #[error("this host runs {MAX_PROVIDERS} providers, and no more are started")]
    TooMany,
}

impl Providers {
    /// What runs, or is being started.
    pub(crate) fn inventory(&self) -> Vec<ProviderDescription> {
        let mut all: Vec<_> = self
            .entries
            .iter()
            .map(|entry| entry.description.clone())
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Everything that runs or is being started, with the names of its configurations.
    pub(crate) fn all_wanted(&self) -> Vec<(ProviderDescription, Vec<String>)> {
        let entries = self.entries.iter();
        let mut all: Vec<_> = entries
            .map(|entry| (entry.description.clone(), entry.config.clone()))
            .collect();
        all.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        all
    }

    pub(crate) fn contains(&self, id: &ComponentId) -> bool {
        self.entries.contains_key(id)
    }

    /// Takes the place of that id, so that nobody starts it twice.
    pub(crate) fn reserve(&self, request: &StartProvider) -> Result<Reserved, ProviderError> {
        if self.entries.len() >= MAX_PROVIDERS {
            return Err(ProviderError::TooMany);
        }
        let entry = match self.entries.entry(request.provider_id.clone()) {
            Entry::Occupied(_) => return Err(ProviderError::AlreadyRunning),
            Entry::Vacant(entry) => entry,
        };
        let supervised = Supervised {
            description: ProviderDescription {
                id: request.provider_id.clone(),
                image_ref: Some(request.provider_ref.clone()),
                name: None,
                revision: 0,
                annotations: request.annotations.clone().unwrap_or_default(),
                not_ready: Some("it is being started".into()),
                unhealthy: None,
                stats: None,
            },
            config: request.config.clone(),
            stop: CancellationToken::new(),
            done: CancellationToken::new(),
        };
        entry.insert(supervised.clone());
        Ok(Reserved { supervised })
    }

    /// Asks a provider to end; the token is cancelled when it has.
    pub(crate) fn stop(&self, id: &ComponentId) -> Result<CancellationToken, ProviderError> {
        let entry = self.entries.get(id).ok_or(ProviderError::NotRunning)?;
        entry.stop.cancel();
        Ok(entry.done.clone())
    }

    /// Asks several providers to end and waits for them.
    pub(crate) async fn stop_all(&self, which: impl Fn(&ComponentId) -> bool) {
        let ids: Vec<_> = self
            .entries
            .iter()
            .map(|entry| entry.key().clone())
            .collect();
        let ending: Vec<_> = ids
            .iter()
            .filter(|id| which(id))
            .filter_map(|id| self.stop(id).ok())
            .collect();
        for done in ending {
            done.cancelled().await;
        }
    }

    /// Notes why a provider does not work yet, or that it does.
    fn set_not_ready(&self, id: &ComponentId, why: Option<String>) {
        if let Some(mut entry) = self.entries.get_mut(id) {
            entry.description.not_ready = why;
        }
    }

    /// Notes why a provider is unhealthy, or that it isn't.
    fn set_unhealthy(&self, id: &ComponentId, why: Option<String>) {
        if let Some(mut entry) = self.entries.get_mut(id) {
            entry.description.unhealthy = why;
        }
    }

    /// Notes what a provider says of its calls.
    fn set_stats(&self, id: &ComponentId, stats: Option<ComponentStats>) {
        if let Some(mut entry) = self.entries.get_mut(id) {
            entry.description.stats = stats;
        }
    }

    fn describe(&self, id: &ComponentId, description: ProviderDescription) {
        if let Some(mut entry) = self.entries.get_mut(id) {
            entry.description = description;
        }
    }
}

/// A place among the providers; [`Reserved::run`] fills it.
pub(crate) struct Reserved {
    supervised: Supervised,
}

impl Reserved {
    /// Starts the provider, keeps it running until it is stopped, and gives its place up.
    pub(crate) async fn run(self, host: Arc<Host>) {
        let stop = self.supervised.stop.clone();
        let id = self.supervised.description.id.clone();
        host.ledger.note();
        match self.prepare(&host).await {
            Ok(provider) => {
                host.providers.describe(&id, provider.description.clone());
                supervisor::supervise(&host, &provider, stop).await;
            }
            Err(error) => {
                tracing::error!(provider = %id, error, "the provider can't be started");
                self.unprepared().tell_start_failed(&host, error).await;
            }
        }
        host.providers.entries.remove(&id);
        host.ledger.note();
        self.supervised.done.cancel();
    }

    /// The provider without a program, for events.
    fn unprepared(&self) -> Provider {
        let reference = self.supervised.description.image_ref.as_deref();
        let is_builtin = reference.is_some_and(|reference| {
            matches!(ImageRef::parse(reference), Ok(ImageRef::Builtin(_)))
        });
        Provider {
            description: self.supervised.description.clone(),
            config: self.supervised.config.clone(),
            program: Program {
                path: Default::default(),
                arguments: Vec::new(),
            },
            _kept: Kept::default(),
            claims: None,
            keys: Keys::generate(!is_builtin),
            entity: Entity {
                jwt: Err("it is not signed: sign it with `trellis sign`".into()),
                app: self.supervised.description.annotations.get(APP).cloned(),
            },
        }
    }

    async fn prepare(&self, host: &Arc<Host>) -> Result<Provider, String> {
        let mut provider = self.unprepared();
        let reference = provider.description.image_ref.clone().unwrap_or_default();
        let prepared = program::prepare(
            &host.config,
            &host.policy,
            &host.images,
            &host.unpacking,
            &reference,
        )
        .await
        .map_err(|error| error.to_string())?;
        host.wait_for_config(&provider.config)
            .await
            .map_err(|error| error.to_string())?;
        if let Some(token) = &prepared.claims {
            provider.claims = Some(token.shown(OffsetDateTime::now_utc()));
            provider.description.revision = token.claims.wascap.revision.unwrap_or_default();
            provider.entity.jwt = Ok(token.text.clone());
            host.keep_claims(&token.stored()).await;
        }
        if let Ok(ImageRef::Builtin(name)) = ImageRef::parse(&reference) {
            provider.entity.jwt = host.secrets.builtin(&name);
        }
        provider.description.name = prepared.name;
        provider.program = prepared.program;
        provider._kept = prepared.kept;
        host.keep_reference(&provider.description.id, &reference)
            .await;
        Ok(provider)
    }
}
