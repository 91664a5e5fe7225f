//! Components: scaled, started (scaled up), stopped (scaled to nothing).

use serde_json::json;
use trellis_lattice::{
    ComponentId, HostId,
    control::{
        component::{ComponentLimits, ScaleComponent},
        host::HostInventory,
    },
    event::Event,
};

use super::{
    ComponentOptions,
    outcome::{Outcome, Stopped},
    reference,
};
use crate::{
    exit::{NotFound, Usage},
    output::Done,
    session::Session,
};

/// Scales a component on a host.
///
/// # Errors
/// No host or image can be found for it, refused, failed, or no answer.
pub async fn scale(
    session: &Session,
    component: &ComponentId,
    image: Option<String>,
    count: u32,
    options: &ComponentOptions,
) -> anyhow::Result<()> {
    let running = running(session, component).await?;
    let host = match (&options.run.host, running.as_slice()) {
        // Where it runs, when that is one place.
        (None, [only]) => only.host_id.clone(),
        (host, _) => session.host(host.as_deref()).await?.id,
    };
    let image = match image {
        Some(image) => {
            let image = reference(&image)?;
            let there = running
                .iter()
                .find(|inventory| inventory.host_id == host)
                .and_then(|inventory| inventory.component(component));
            if let Some(there) = there
                && there.image_ref != image
                && !options.update
            {
                return Err(Usage(format!(
                    "component {component} runs already on host {host}, with image {}: add --update to replace it by {image}",
                    there.image_ref
                ))
                .into());
            }
            image
        }
        None => {
            let here = running
                .iter()
                .find(|inventory| inventory.host_id == host)
                .or(running.first());
            here.and_then(|inventory| inventory.component(component))
                .map(|description| description.image_ref.clone())
                .ok_or_else(|| {
                    NotFound(format!("component {component} runs nowhere: name its image with --image to start it"))
                })?
        }
    };
    let limits = ComponentLimits {
        max_memory_limit: options.max_memory,
        max_execution_time: options
            .max_time
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        reuse: options.reuse,
    };
    let request = ScaleComponent {
        component_ref: image,
        component_id: component.clone(),
        host_id: host,
        count,
        annotations: options.run.annotations(),
        config: options.run.config.clone(),
        allow_update: options.update,
        limits: (limits != ComponentLimits::default()).then_some(limits),
        dormant: false,
    };
    let wait = !options.run.no_wait;
    ask(session, &request, wait).await?;
    let ScaleComponent {
        component_id,
        host_id,
        ..
    } = &request;
    let message = match (wait, count) {
        (false, _) => format!("component {component_id}: asked host {host_id} for {count}"),
        (true, 0) => format!("component {component_id} stopped on host {host_id}"),
        (true, _) => {
            format!("component {component_id} runs on host {host_id}, up to {count} at once")
        }
    };
    let about =
        json!({ "component_id": component_id, "host_id": host_id, "count": count, "done": wait });
    Ok(session.output.print(&Done::new(message, about))?)
}

/// Stops a component on one host, or wherever it runs.
///
/// # Errors
/// It doesn't run there, or no answer.
pub async fn stop(
    session: &Session,
    component: &ComponentId,
    host: Option<&str>,
) -> anyhow::Result<()> {
    let mut running = running(session, component).await?;
    if let Some(host) = host {
        let host = session.host(Some(host)).await?.id;
        running.retain(|inventory| inventory.host_id == host);
    }
    if running.is_empty() {
        return Err(NotFound(format!(
            "component {component} does not run there: `trellis get inventory` shows what does"
        ))
        .into());
    }
    let mut stopped = Stopped::default();
    for inventory in running {
        let description = inventory.component(component);
        let request = ScaleComponent {
            component_ref: description
                .map(|description| description.image_ref.clone())
                .unwrap_or_default(),
            component_id: component.clone(),
            host_id: inventory.host_id.clone(),
            count: 0,
            annotations: description.map(|description| description.annotations.clone()),
            config: Vec::new(),
            allow_update: false,
            limits: None,
            dormant: false,
        };
        stopped.add(&request.host_id, ask(session, &request, true).await)?;
    }
    let message = format!("component {component} stopped on {}", stopped.names());
    let about = json!({ "component_id": component, "host_ids": stopped.hosts });
    Ok(session.output.print(&Done::new(message, about))?)
}

async fn running(session: &Session, component: &ComponentId) -> anyhow::Result<Vec<HostInventory>> {
    let mut inventories = session.inventories().await?;
    inventories.retain(|inventory| inventory.component(component).is_some());
    Ok(inventories)
}

/// Asks for it, and waits until it is done where that is wanted.
async fn ask(session: &Session, request: &ScaleComponent, wait: bool) -> anyhow::Result<()> {
    let ScaleComponent {
        component_id,
        host_id,
        ..
    } = request;
    let outcome = Outcome::listen(session).await?;
    session.control.scale_component(request).await?;
    if wait {
        outcome
            .wait(session, &format!("component {component_id}"), |event| {
                judge(event, component_id, host_id)
            })
            .await?;
    }
    Ok(())
}

fn judge(event: &Event, component: &ComponentId, host: &HostId) -> Option<Result<(), String>> {
    match event {
        Event::ComponentScaled(scaled)
            if (&scaled.component_id, &scaled.host_id) == (component, host) =>
        {
            Some(Ok(()))
        }
        Event::ComponentScaleFailed(failed)
            if (&failed.component_id, &failed.host_id) == (component, host) =>
        {
            Some(Err(failed.error.clone()))
        }
        _ => None,
    }
}
