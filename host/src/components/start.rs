//! Starting a component: fetched, verified, compiled, served.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use trellis_lattice::{
    claims::{ComponentToken, verify_component},
    config::Config,
    control::component::{ComponentExports, ComponentLimits, ExportedFunction},
};
use trellis_rpc::{nats::ServeOptions, stats::Stats};

use super::{ComponentError, Running, Wanted, door::Door};
use crate::{
    host::Host,
    image::Local,
    round_trip::round_trip,
    runtime::{Actor, ActorOptions, Limits, Module},
};

/// Starts a component and lets calls in.
pub(super) async fn start(host: &Arc<Host>, wanted: Wanted) -> Result<Running, ComponentError> {
    let limit = host.runtime.config().max_component_bytes;
    let image = Local::fetch(&host.images, &wanted.image_ref, limit).await?;
    let (claims, module) = load(host, &wanted.image_ref, &image).await?;
    host.wait_for_config(&wanted.config).await?;
    let (config, _) = host.view.merged_config(&wanted.config);
    host.links
        .set_links(&wanted.id, &host.view.links_from(&wanted.id));
    let options = options(host, &wanted, config.clone());
    let limits = options.limits.clone();
    let served = serve_options(host, &limits);
    let actor = Actor::start(&host.runtime, &module, options)?;
    let exports = Arc::new(exports(&actor));
    let door = Door::new(host, &limits, actor.clone());
    let serving = host
        .rpc
        .serve(&wanted.id, door.clone(), served.clone())
        .await
        .map_err(ComponentError::Serve)?;
    let nearby = host.nearby.serve(&wanted.id, door.clone(), served);
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
        image,
        claims,
        config,
        exports,
        door,
        serving,
        nearby,
        describing,
    })
}

/// Loads a dormant component again, its signature checked as at its start; what it counted goes on.
pub(super) async fn restart(
    host: &Arc<Host>,
    wanted: &Wanted,
    image: &Local,
    config: Config,
    stats: Arc<Stats>,
) -> Result<(Option<ComponentToken>, Arc<Actor>), ComponentError> {
    let (claims, module) = load(host, &wanted.image_ref, image).await?;
    let options = options(host, wanted, config);
    let actor = Actor::resume(&host.runtime, &module, options, stats)?;
    Ok((claims, actor))
}

fn options(host: &Host, wanted: &Wanted, config: Config) -> ActorOptions {
    ActorOptions {
        id: wanted.id.clone(),
        max_instances: wanted.max_instances,
        limits: limits(&host.config.component_limits, wanted.limits.as_ref()),
        config,
        links: host.links.clone(),
    }
}

/// What it exports, kept for those who ask while it is dormant.
fn exports(actor: &Actor) -> ComponentExports {
    let functions = actor.describe().exports.into_iter().flat_map(|export| {
        export
            .functions
            .into_iter()
            .map(move |function| ExportedFunction {
                instance: export.interface.clone(),
                function: function.wire_name,
                ty: serde_json::to_value(function.ty).unwrap_or_default(),
            })
    });
    ComponentExports {
        component_id: actor.id().clone(),
        functions: functions.collect(),
    }
}

/// Reads, verifies and compiles an image.
async fn load(
    host: &Arc<Host>,
    image_ref: &str,
    image: &Local,
) -> Result<(Option<ComponentToken>, Arc<Module>), ComponentError> {
    let _turn = host
        .loads
        .acquire()
        .await
        .map_err(|_| ComponentError::Stopping)?;
    let limit = host.runtime.config().max_component_bytes;
    let bytes = image.read(&host.images, limit).await?;
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
    limits.reuse |= asked.is_some_and(|limits| limits.reuse);
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
