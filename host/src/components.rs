//! The components that run here: started, changed, sent to sleep and woken, stopped, and told of what changes.

mod door;
mod start;

use std::sync::Arc;

use dashmap::DashMap;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use trellis_lattice::{
    ComponentId,
    claims::{ClaimsError, ComponentToken},
    config::Config,
    control::{
        Annotations,
        component::{ComponentExports, ComponentLimits},
        host::ComponentDescription,
    },
    event::EventClaims,
};
use trellis_rpc::{CallError, nats, socket};

use crate::{
    host::{Host, MissingConfig},
    image::{ImageError, Local},
    round_trip::NoRoundTrip,
    runtime::{LoadError, StartError},
};

pub(crate) use door::Door;
use start::{restart, start};

/// The components of a host.
#[derive(Debug, Default)]
pub(crate) struct Components {
    running: DashMap<ComponentId, Running>,
}

/// A component as it runs.
#[derive(Debug)]
struct Running {
    wanted: Wanted,
    /// What it was started from. A dormant one wakes as the same, whatever its tag means by then.
    image: Local,
    claims: Option<ComponentToken>,
    /// The configuration's values as it has them.
    config: Config,
    exports: Arc<ComponentExports>,
    /// Where its calls come in. It leads to no actor while the component is dormant.
    door: Arc<Door>,
    /// To the lattice.
    serving: nats::Serving,
    /// To the providers beside this host.
    nearby: Option<socket::Serving>,
    /// Ends the answering of describe requests.
    describing: CancellationToken,
}

/// A component as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) id: ComponentId,
    pub(crate) image_ref: String,
    pub(crate) max_instances: u32,
    pub(crate) annotations: Annotations,
    /// Names of configurations.
    pub(crate) config: Vec<String>,
    pub(crate) limits: Option<ComponentLimits>,
    /// Whether it is to be unloaded until its next call.
    pub(crate) dormant: bool,
}

/// A component that can't be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComponentError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("component {image_ref}: {source}")]
    Claims {
        image_ref: String,
        source: ClaimsError,
    },
    #[error("component {image_ref}: {source}")]
    Load {
        image_ref: String,
        source: LoadError,
    },
    #[error(transparent)]
    Config(#[from] MissingConfig),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("serving its calls failed: {0}")]
    Serve(CallError),
    #[error("serving its calls failed: {0}")]
    NotServed(#[from] NoRoundTrip),
    #[error("the host is stopping")]
    Stopping,
}

/// What events tell of a component's signer.
pub(crate) struct Signed {
    pub(crate) claims: Option<EventClaims>,
    pub(crate) public_key: Option<String>,
}

impl Signed {
    fn new(id: &ComponentId, token: Option<&ComponentToken>) -> Self {
        Self {
            claims: token.map(|token| token.shown(OffsetDateTime::now_utc())),
            public_key: Some(
                token.map_or_else(|| id.to_string(), |token| token.claims.sub.to_string()),
            ),
        }
    }
}

impl Components {
    /// What runs.
    pub(crate) fn inventory(&self) -> Vec<ComponentDescription> {
        let mut all: Vec<_> = self
            .running
            .iter()
            .map(|running| running.describe())
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The image that a component runs with here, if it does.
    pub(crate) fn image_ref(&self, id: &ComponentId) -> Option<String> {
        Some(self.running.get(id)?.wanted.image_ref.clone())
    }

    /// As it was asked for, if it runs.
    pub(crate) fn wanted(&self, id: &ComponentId) -> Option<Wanted> {
        Some(self.running.get(id)?.wanted.clone())
    }

    /// Everything that runs, as it was asked for.
    pub(crate) fn all_wanted(&self) -> Vec<Wanted> {
        let mut all: Vec<_> = self
            .running
            .iter()
            .map(|running| running.wanted.clone())
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Starts a component that doesn't run here, or takes over what is wanted of one that does, its image included
    /// when that is another: then the new one takes calls before the old one stops taking them.
    pub(crate) async fn run(
        &self,
        host: &Arc<Host>,
        wanted: Wanted,
    ) -> Result<Signed, ComponentError> {
        let id = wanted.id.clone();
        let same_image = self.running.get(&id).is_some_and(|running| {
            running.wanted.image_ref == wanted.image_ref && running.wanted.limits == wanted.limits
        });
        if same_image {
            return self.adjust(host, wanted).await;
        }
        let dormant = wanted.dormant;
        let running = start(host, wanted).await?;
        let signed = Signed::new(&id, running.claims.as_ref());
        if let Some(token) = &running.claims {
            host.keep_claims(&token.stored()).await;
        }
        host.keep_reference(&id, &running.wanted.image_ref).await;
        let door = running.door.clone();
        let before = self.running.insert(id.clone(), running);
        host.ledger.note();
        // A link that was put while it started was not told to it.
        host.links.set_links(&id, &host.view.links_from(&id));
        if let Some(before) = before {
            before.door.close(Some(door.clone()));
            before.end(host).await;
        }
        if dormant {
            sleep(host, &door);
        }
        Ok(signed)
    }

    /// Changes how a component runs.
    async fn adjust(&self, host: &Arc<Host>, wanted: Wanted) -> Result<Signed, ComponentError> {
        host.wait_for_config(&wanted.config).await?;
        let (config, _) = host.view.merged_config(&wanted.config);
        let dormant = wanted.dormant;
        let (door, signed) = {
            let Some(mut running) = self.running.get_mut(&wanted.id) else {
                return Err(ComponentError::Stopping);
            };
            if let Some(actor) = running.door.actor() {
                actor.set_max_instances(wanted.max_instances);
            }
            running.set_config(config);
            running.wanted = wanted;
            host.ledger.note();
            let signed = Signed::new(&running.wanted.id, running.claims.as_ref());
            (running.door.clone(), signed)
        };
        if dormant {
            sleep(host, &door);
        } else if let Err(error) = self.wake(host, &door).await {
            door.fail(&error);
            return Err(error);
        }
        Ok(signed)
    }

    /// Loads the component behind a door again, if it is dormant; gives what it runs as if it was. The door must be told
    /// when that fails.
    pub(crate) async fn wake(
        &self,
        host: &Arc<Host>,
        door: &Arc<Door>,
    ) -> Result<Option<(Wanted, Signed)>, ComponentError> {
        let known = self.running.get(door.id()).and_then(|running| {
            let known = (
                running.wanted.clone(),
                running.image.clone(),
                running.config.clone(),
            );
            Arc::ptr_eq(&running.door, door).then_some(known)
        });
        let Some((wanted, image, config)) = known else {
            // Who replaced or stopped it tells those that wait.
            return Ok(None);
        };
        if door.actor().is_some() {
            door.opened();
            return Ok(None);
        }
        let (claims, actor) = restart(host, &wanted, &image, config, door.stats.clone()).await?;
        let Some(mut running) = self.running.get_mut(door.id()) else {
            return Ok(None);
        };
        // Changed while it was loaded.
        actor.set_config(running.config.clone());
        running.claims = claims;
        running.wanted.dormant = false;
        host.ledger.note();
        host.locals.add(&actor);
        door.open(actor);
        let signed = Signed::new(door.id(), running.claims.as_ref());
        Ok(Some((running.wanted.clone(), signed)))
    }

    /// Stops a component; gives what it ran as, if it did.
    pub(crate) async fn stop(
        &self,
        host: &Arc<Host>,
        id: &ComponentId,
    ) -> Option<(Wanted, Signed)> {
        // Calls come until the lattice has heard that it goes: one that is dormant must wake for them.
        let leaving = self.running.get(id).map(|running| running.serving.leave());
        if let Some(leaving) = leaving {
            leaving.await;
        }
        self.serve_waiting(host, id).await;
        let (_, running) = self.running.remove(id)?;
        host.ledger.note();
        let signed = Signed::new(id, running.claims.as_ref());
        let wanted = running.wanted.clone();
        running.door.close(None);
        running.end(host).await;
        host.links.set_links(id, &[]);
        Some((wanted, signed))
    }

    /// Wakes a dormant component that calls wait for, so that they are answered before it is stopped.
    async fn serve_waiting(&self, host: &Arc<Host>, id: &ComponentId) {
        let door = self.running.get(id).map(|running| running.door.clone());
        if let Some(door) = door.filter(|door| door.waiting() > 0)
            && let Err(error) = self.wake(host, &door).await
        {
            door.fail(&error);
        }
    }

    /// Stops everything at once.
    pub(crate) async fn stop_all(&self, host: &Arc<Host>) {
        let ids: Vec<_> = self
            .running
            .iter()
            .map(|running| running.key().clone())
            .collect();
        futures::future::join_all(ids.iter().map(|id| self.stop(host, id))).await;
    }

    /// Makes what runs follow the lattice's links and configurations.
    pub(crate) fn follow(&self, host: &Host) {
        for mut running in self.running.iter_mut() {
            let id = running.wanted.id.clone();
            host.links.set_links(&id, &host.view.links_from(&id));
            let (config, _) = host.view.merged_config(&running.wanted.config);
            running.set_config(config);
        }
    }

    /// What a component exports.
    pub(crate) fn exports(&self, id: &ComponentId) -> Option<Arc<ComponentExports>> {
        Some(self.running.get(id)?.exports.clone())
    }
}

/// Unloads a component until its next call. Calls that run finish, for as long as those of one that stops may; a call
/// that comes meanwhile need not wait for them.
fn sleep(host: &Arc<Host>, door: &Door) {
    let Some(actor) = door.shut() else { return };
    host.locals.remove(&actor);
    let grace = host.config.drain_timeout;
    host.spawn(async move { actor.stop(grace).await });
}

impl Running {
    fn describe(&self) -> ComponentDescription {
        let metadata = self.claims.as_ref().map(|token| &token.claims.wascap);
        ComponentDescription {
            id: self.wanted.id.clone(),
            image_ref: self.wanted.image_ref.clone(),
            name: metadata.and_then(|metadata| metadata.name.clone()),
            annotations: self.wanted.annotations.clone(),
            revision: metadata
                .and_then(|metadata| metadata.revision)
                .unwrap_or_default(),
            max_instances: self.wanted.max_instances,
            limits: self
                .wanted
                .limits
                .as_ref()
                .and_then(|limits| serde_json::to_value(limits).ok()),
            stats: Some(self.door.stats.tell()),
            dormant: self.door.actor().is_none(),
        }
    }

    fn set_config(&mut self, config: Config) {
        if self.config != config {
            if let Some(actor) = self.door.actor() {
                actor.set_config(config.clone());
            }
            self.config = config;
        }
    }

    /// Takes no more calls, waits for those that run, and ends.
    async fn end(self, host: &Host) {
        // Its room in the cache may be needed.
        drop(self.image);
        self.describing.cancel();
        let actor = self.door.actor();
        if let Some(actor) = &actor {
            host.locals.remove(actor);
        }
        let started = std::time::Instant::now();
        let grace = host.config.drain_timeout;
        let nearby = async {
            if let Some(nearby) = self.nearby {
                nearby.drain().await;
            }
        };
        // First the lattice: whoever is told that it is gone here must not find the way back over NATS.
        let drained = async {
            self.serving.leave().await;
            futures::future::join(self.serving.drain(), nearby).await;
        };
        if tokio::time::timeout(grace, drained).await.is_err() {
            let in_flight = actor.as_ref().map(|actor| actor.in_flight());
            tracing::warn!(component = %self.wanted.id, in_flight, "calls were cut off: they took too long");
        }
        // Calls of components on this host came neither way.
        if let Some(actor) = actor {
            actor.stop(grace.saturating_sub(started.elapsed())).await;
        }
    }
}
