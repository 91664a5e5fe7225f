//! A host's parts, as everything that works for it sees them.

use std::{fmt, sync::Arc, time::Duration};

use async_nats::Client;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trellis_lattice::{
    ComponentId, Link, ResolvedLink,
    bucket::StoredClaims,
    claims::IssuerPolicy,
    control::host::{ComponentDescription, Host as HostReport, HostInventory},
    subject::Subjects,
};
use trellis_registry::Images;
use trellis_rpc::nats::NatsRpc;

use crate::{
    HostConfig,
    components::Components,
    credentials::Credentials,
    events::Events,
    fence::Fence,
    identity::Identity,
    lane::Lane,
    links::LinkTable,
    nearby::Nearby,
    order::Order,
    providers::{Providers, Spawner, Unpacking},
    resume::Ledger,
    runtime::{LocalActors, Runtime},
    secrets::Secrets,
    store::{Edit, Store, View},
};

/// How long a configuration that another host has just put may take to be seen here.
const CONFIG_DELAY: Duration = Duration::from_secs(2);
/// How long a message may wait for NATS to take it.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

/// A host.
pub(crate) struct Host {
    pub(crate) config: Arc<HostConfig>,
    pub(crate) identity: Identity,
    pub(crate) policy: Arc<IssuerPolicy>,
    pub(crate) credentials: Credentials,
    pub(crate) secrets: Secrets,
    /// For control, events and the lattice's state; its connection is kept by `lane`.
    pub(crate) client: Client,
    /// For calls, through `rpc`.
    pub(crate) calls: Client,
    pub(crate) lane: Lane,
    pub(crate) connections: watch::Receiver<u64>,
    pub(crate) subjects: Subjects,
    pub(crate) rpc: NatsRpc,
    /// The providers beside this host.
    pub(crate) nearby: Arc<Nearby>,
    pub(crate) events: Events,
    pub(crate) store: Store,
    pub(crate) view: Arc<View>,
    pub(crate) runtime: Arc<Runtime>,
    /// The images of registries.
    pub(crate) images: Images,
    /// Where providers of archives are unpacked.
    pub(crate) unpacking: Arc<Unpacking>,
    pub(crate) links: Arc<LinkTable>,
    /// The components that run here, for calls from others that do.
    pub(crate) locals: Arc<LocalActors>,
    pub(crate) components: Components,
    pub(crate) providers: Providers,
    pub(crate) spawner: Spawner,
    pub(crate) fence: Fence,
    /// What runs, for when the host is killed.
    pub(crate) ledger: Ledger,
    /// One request at a time for each component and provider.
    pub(crate) ids: Order,
    /// One request at a time for each configuration.
    pub(crate) configs: Order,
    /// How many components may be verified and compiled at once: each takes a processor.
    pub(crate) loads: Semaphore,
    /// How much more work may be accepted before what was accepted is done.
    pub(crate) accepting: Arc<Semaphore>,
    /// Work that was accepted and goes on after its request was answered.
    pub(crate) work: TaskTracker,
    /// Cancelled when that work must end, done or not.
    pub(crate) abort: CancellationToken,
    /// Cancelled when the host is asked to stop.
    pub(crate) stopping: CancellationToken,
    /// How long stopping may take, where it was said.
    pub(crate) stop_timeout: watch::Sender<Option<Duration>>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("id", &self.identity.id)
            .finish_non_exhaustive()
    }
}

/// A configuration that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("there is no configuration {}: put it with `trellis config put`", quoted(.0))]
pub(crate) struct MissingConfig(pub(crate) Vec<String>);

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Host {
    /// Does work that outlives its request, but not the host.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.work
            .spawn(self.abort.clone().run_until_cancelled_owned(work));
    }

    /// Tells when the connection to NATS came back.
    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.connections.clone()
    }

    /// What the host says of itself.
    pub(crate) fn report(&self) -> HostReport {
        HostReport {
            id: self.identity.id.clone(),
            friendly_name: self.identity.friendly_name.clone(),
            labels: self.identity.labels(),
            lattice: self.config.lattice.clone(),
            rpc_host: Some(self.config.nats.servers()),
            ctl_host: Some(self.config.nats.servers()),
            js_domain: self.config.js_domain.clone(),
            uptime_human: self.identity.uptime_human(),
            uptime_seconds: self.identity.uptime().as_secs(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Everything the host runs.
    pub(crate) fn inventory(&self) -> HostInventory {
        HostInventory {
            host_id: self.identity.id.clone(),
            friendly_name: self.identity.friendly_name.clone(),
            labels: self.identity.labels(),
            issuer: None,
            components: self.component_inventory(),
            providers: self.providers.inventory(),
            uptime_human: self.identity.uptime_human(),
            uptime_seconds: self.identity.uptime().as_secs(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn component_inventory(&self) -> Vec<ComponentDescription> {
        let mut components = self.components.inventory();
        for component in &mut components {
            if let Some(stats) = &mut component.stats {
                stats.made = self.links.made(&component.id);
            }
        }
        components
    }

    /// Waits until configurations are known here, for as long as another host's write may take to arrive.
    pub(crate) async fn wait_for_config(&self, names: &[String]) -> Result<(), MissingConfig> {
        let mut changes = self.view.changes();
        let deadline = tokio::time::Instant::now() + CONFIG_DELAY;
        loop {
            let (_, missing) = self.view.merged_config(names);
            if missing.is_empty() {
                return Ok(());
            }
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                _ => return Err(MissingConfig(missing)),
            }
        }
    }

    /// A link with its configurations' values. A configuration that was deleted counts as empty.
    pub(crate) fn resolve_link(&self, link: &Link) -> ResolvedLink {
        let (source_config, _) = self.view.merged_config(&link.source_config);
        let (target_config, _) = self.view.merged_config(&link.target_config);
        ResolvedLink::new(link, source_config, target_config)
    }

    /// Tells whoever listens there of a link.
    pub(crate) async fn publish_link(&self, subject: &str, link: &ResolvedLink) {
        self.publish_json(subject.to_owned(), link).await;
    }

    /// Publishes a message; one that can't be is logged.
    pub(crate) async fn publish_json(&self, subject: String, message: &impl Serialize) {
        let payload = match serde_json::to_vec(message) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(subject, %error, "message has no JSON form");
                return;
            }
        };
        let publish = self.client.publish(subject.clone(), payload.into());
        match tokio::time::timeout(PUBLISH_TIMEOUT, publish).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(subject, %error, "message was not published"),
            Err(_) => tracing::warn!(subject, "message was not published: NATS is away"),
        }
    }

    /// Keeps claims in the lattice. What runs goes on running when they can't be kept.
    pub(crate) async fn keep_claims(&self, claims: &StoredClaims) {
        if self.view.has_claims(claims) {
            return;
        }
        if let Err(error) = self.store.put_claims(claims).await {
            tracing::warn!(subject = claims.subject, %error, "claims were not kept in the lattice");
        }
    }

    /// Keeps the image's reference in the lattice, as [`Host::keep_claims`] does claims.
    pub(crate) async fn keep_reference(&self, id: &ComponentId, reference: &str) {
        if self.view.has_reference(id, reference) {
            return;
        }
        let written = self
            .store
            .edit_spec(id, |spec| {
                if spec.url == reference {
                    return Ok::<_, std::convert::Infallible>(Edit::Keep(()));
                }
                reference.clone_into(&mut spec.url);
                Ok(Edit::Write(()))
            })
            .await;
        match written {
            Ok(Ok(((), Some(written)))) => self.view.wrote_spec(id, written.revision, written.spec),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%id, %error, "the image's reference was not kept in the lattice")
            }
        }
    }
}
