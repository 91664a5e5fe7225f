//! The components that run here: fetched, verified, loaded, served, and told of what changes.

use std::sync::Arc;

use dashmap::DashMap;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use trellis_lattice::{
    ComponentId,
    claims::{ClaimsError, ComponentToken, verify_component},
    config::Config,
    control::{
        Annotations,
        component::{ComponentExports, ComponentLimits, ExportedFunction},
        host::ComponentDescription,
    },
    event::EventClaims,
};
use trellis_rpc::{
    CallError,
    nats::{ServeOptions, Serving},
};

use crate::{
    host::{Host, MissingConfig},
    image::{self, ImageError, ImageRef},
    round_trip::{NoRoundTrip, round_trip},
    runtime::{Actor, ActorOptions, Limits, LoadError, Module, StartError},
};

/// The components of a host.
#[derive(Debug, Default)]
pub(crate) struct Components {
    running: DashMap<ComponentId, Running>,
}

/// A component as it runs.
#[derive(Debug)]
struct Running {
    wanted: Wanted,
    claims: Option<ComponentToken>,
    /// The configuration's values as it has them.
    config: Config,
    actor: Arc<Actor>,
    serving: Serving,
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
        let running = start(host, wanted).await?;
        let signed = Signed::new(&id, running.claims.as_ref());
        if let Some(token) = &running.claims {
            host.keep_claims(&token.stored()).await;
        }
        host.keep_reference(&id, &running.wanted.image_ref).await;
        let before = self.running.insert(id.clone(), running);
        // A link that was put while it started was not told to it.
        host.links.set_links(&id, &host.view.links_from(&id));
        if let Some(before) = before {
            before.end(host).await;
        }
        Ok(signed)
    }

    /// Changes how a component runs.
    async fn adjust(&self, host: &Host, wanted: Wanted) -> Result<Signed, ComponentError> {
        host.wait_for_config(&wanted.config).await?;
        let (config, _) = host.view.merged_config(&wanted.config);
        let Some(mut running) = self.running.get_mut(&wanted.id) else {
            return Err(ComponentError::Stopping);
        };
        running.actor.set_max_instances(wanted.max_instances);
        running.set_config(config);
        running.wanted = wanted;
        Ok(Signed::new(&running.wanted.id, running.claims.as_ref()))
    }

    /// Stops a component; gives what it ran as, if it did.
    pub(crate) async fn stop(&self, host: &Host, id: &ComponentId) -> Option<(Wanted, Signed)> {
        let (_, running) = self.running.remove(id)?;
        let signed = Signed::new(id, running.claims.as_ref());
        let wanted = running.wanted.clone();
        running.end(host).await;
        host.links.set_links(id, &[]);
        Some((wanted, signed))
    }

    /// Stops everything at once.
    pub(crate) async fn stop_all(&self, host: &Host) {
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
    pub(crate) fn exports(&self, id: &ComponentId) -> Option<ComponentExports> {
        let description = self.running.get(id)?.actor.describe();
        let functions = description.exports.into_iter().flat_map(|export| {
            export
                .functions
                .into_iter()
                .map(move |function| ExportedFunction {
                    instance: export.interface.clone(),
                    function: function.wire_name,
                    ty: serde_json::to_value(function.ty).unwrap_or_default(),
                })
        });
        Some(ComponentExports {
            component_id: id.clone(),
            functions: functions.collect(),
        })
    }
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
            stats: None,
            dormant: false,
        }
    }

    fn set_config(&mut self, config: Config) {
        if self.config != config {
            self.actor.set_config(config.clone());
            self.config = config;
        }
    }

    /// Takes no more calls, waits for those that run, and ends.
    async fn end(self, host: &Host) {
        self.describing.cancel();
        host.locals.remove(&self.actor);
        let started = std::time::Instant::now();
        let grace = host.config.drain_timeout;
        if tokio::time::timeout(grace, self.serving.drain())
            .await
            .is_err()
        {
            let id = &self.wanted.id;
            tracing::warn!(component = %id, in_flight = self.actor.in_flight(), "calls were cut off: they took too long");
        }
        // Calls of components on this host did not come over NATS.
        self.actor
            .stop(grace.saturating_sub(started.elapsed()))
            .await;
    }
}

async fn start(host: &Arc<Host>, wanted: Wanted) -> Result<Running, ComponentError> {
    let (claims, module) = load(host, &wanted.image_ref).await?;
    host.wait_for_config(&wanted.config).await?;
    let (config, _) = host.view.merged_config(&wanted.config);
    host.links
        .set_links(&wanted.id, &host.view.links_from(&wanted.id));
    let limits = limits(&host.config.component_limits, wanted.limits.as_ref());
    let served = serve_options(host, &limits);
    let options = ActorOptions {
        id: wanted.id.clone(),
        max_instances: wanted.max_instances,
        limits,
        config: config.clone(),
        links: host.links.clone(),
    };
    let actor = Actor::start(&host.runtime, &module, options)?;
    let serving = host
        .rpc
        .serve(&wanted.id, actor.clone(), served)
        .await
        .map_err(ComponentError::Serve)?;
    // Who hears that it runs may call it.
    round_trip(&host.calls).await?;
    host.locals.add(&actor);
    let describing = CancellationToken::new();
    host.spawn(crate::control::answer_describe(
        host.clone(),
        wanted.id.clone(),
        describing.clone(),
    ));
    Ok(Running {
        wanted,
        claims,
        config,
        actor,
        serving,
        describing,
    })
}

/// Fetches, verifies and compiles an image.
async fn load(
    host: &Arc<Host>,
    image_ref: &str,
) -> Result<(Option<ComponentToken>, Arc<Module>), ComponentError> {
    let path = ImageRef::parse_component(image_ref)?;
    let _turn = host
        .loads
        .acquire()
        .await
        .map_err(|_| ComponentError::Stopping)?;
    let bytes = image::read_file(&path, host.runtime.config().max_component_bytes).await?;
    let bytes = bytes::Bytes::from(bytes);
    let (policy, binary) = (host.policy.clone(), bytes.clone());
    let verified = tokio::task::spawn_blocking(move || {
        verify_component(&binary, &policy, OffsetDateTime::now_utc())
    })
    .await
    .map_err(|_| ComponentError::Stopping)?
    .map_err(|source| ComponentError::Claims {
        image_ref: image_ref.to_owned(),
        source,
    })?;
    let module = host.runtime.load(bytes).await;
    let module = module.map_err(|source| ComponentError::Load {
        image_ref: image_ref.to_owned(),
        source,
    })?;
    Ok((verified.claims, module))
}

/// The host's limits, with what the request says in their place.
fn limits(default: &Limits, asked: Option<&ComponentLimits>) -> Limits {
    let mut limits = default.clone();
    if let Some(bytes) = asked.and_then(|limits| limits.max_memory_limit) {
        limits.memory_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(milliseconds) = asked.and_then(|limits| limits.max_execution_time) {
        limits.call_deadline = std::time::Duration::from_millis(milliseconds);
    }
    limits
}

/// The actor itself bounds its calls and those that wait; more than it could ever hold need not come in.
fn serve_options(host: &Host, limits: &Limits) -> ServeOptions {
    let running = host.runtime.config().max_calls as usize;
    ServeOptions {
        max_in_flight: running.saturating_add(limits.queue),
        default_deadline: limits.call_deadline,
    }
}
