//! Components: auctions, scaling, updating, describing.

use std::sync::Arc;

use futures::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use trellis_lattice::{
    ComponentId,
    control::{
        Annotations,
        component::{ComponentAuction, ComponentBid, ScaleComponent, UpdateComponent},
    },
    event::{ComponentScaleFailed, ComponentScaled, Event},
};

use super::{Outcome, Refused, check_host, done, done_with, failed, read, reply};
use crate::{
    components::{ComponentError, Door, Signed, Wanted},
    host::Host,
    image::ImageRef,
};

pub(super) fn auction(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let request: ComponentAuction = read("component.auction request", body)?;
    let runs = ComponentId::new(&request.component_id)
        .is_ok_and(|id| host.components.image_ref(&id).is_some());
    if runs || !host.identity.meets(&request.constraints) {
        return Ok(Outcome::Now(None));
    }
    let bid = ComponentBid {
        host_id: host.identity.id.clone(),
        component_ref: request.component_ref,
        component_id: request.component_id,
        constraints: request.constraints,
    };
    Ok(done_with(&bid).into())
}

/// Accepts at once; the outcome is an event.
pub(super) fn scale(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let request: ScaleComponent = read("component.scale request", body)?;
    check_host(host, &request.host_id)?;
    if request.count > 0 {
        check_reference(
            host,
            "component.scale request: field `component_ref`",
            &request.component_ref,
        )?;
        if host.providers.contains(&request.component_id) {
            return Err(failed(format!(
                "component.scale request: field `component_id`: a provider with the id {:?} runs on this host",
                request.component_id
            )));
        }
    }
    let runs_with = host.components.image_ref(&request.component_id);
    let message = match runs_with {
        Some(image) if image != request.component_ref && request.count > 0 => {
            match request.allow_update {
                true => format!(
                    "component {} updating from {image} to {}",
                    request.component_id, request.component_ref
                ),
                false => format!(
                    "component {} runs {image}, not {}: it is scaled, but its image stays, as allow_update is not set",
                    request.component_id, request.component_ref
                ),
            }
        }
        _ => String::new(),
    };
    tracing::info!(component = %request.component_id, count = request.count, "scaling a component");
    let accepted = accept(host)?;
    let mut ticket = host.ids.ticket(request.component_id.as_str());
    let worker = host.clone();
    host.spawn(async move {
        let _accepted = accepted;
        ticket.turn().await;
        if request.count == 0 {
            stop(&worker, &request).await;
        } else {
            run(&worker, wanted(&worker, request)).await;
        }
    });
    Ok(done(message).into())
}

/// What a request asks for, on top of what runs already.
fn wanted(host: &Host, request: ScaleComponent) -> Wanted {
    let running = host.components.wanted(&request.component_id);
    let (image, annotations) = match running {
        Some(running) => (Some(running.image_ref), running.annotations),
        None => (None, Annotations::new()),
    };
    Wanted {
        id: request.component_id,
        image_ref: image
            .filter(|_| !request.allow_update)
            .unwrap_or(request.component_ref),
        max_instances: request.count,
        annotations: request.annotations.unwrap_or(annotations),
        config: request.config,
        limits: request.limits,
        dormant: request.dormant,
    }
}

pub(super) fn update(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let request: UpdateComponent = read("component.update request", body)?;
    check_host(host, &request.host_id)?;
    check_reference(
        host,
        "component.update request: field `new_component_ref`",
        &request.new_component_ref,
    )?;
    let id = request.component_id.clone();
    let Some(image) = host.components.image_ref(&id) else {
        return Err(failed(format!(
            "component.update request: field `component_id`: {id:?} does not run on this host"
        )));
    };
    if image == request.new_component_ref {
        return Ok(done(format!("component {id} is already at {image}")).into());
    }
    let message = format!(
        "component {id} updating from {image} to {}",
        request.new_component_ref
    );
    let accepted = accept(host)?;
    let mut ticket = host.ids.ticket(id.as_str());
    let worker = host.clone();
    host.spawn(async move {
        let _accepted = accepted;
        ticket.turn().await;
        match worker.components.wanted(&id) {
            Some(running) => {
                let wanted = Wanted {
                    image_ref: request.new_component_ref,
                    annotations: request
                        .annotations
                        .unwrap_or_else(|| running.annotations.clone()),
                    ..running
                };
                run(&worker, wanted).await;
            }
            None => tracing::info!(component = %id, "stopped before it could be updated"),
        }
    });
    Ok(done(message).into())
}

/// Runs a component as it ran before the host was killed, in turn with requests about it. One that runs by now is left as
/// it is.
pub(crate) async fn resume(host: &Arc<Host>, request: ScaleComponent) {
    let mut ticket = host.ids.ticket(request.component_id.as_str());
    ticket.turn().await;
    let id = &request.component_id;
    if host.components.image_ref(id).is_none() && !host.providers.contains(id) {
        run(host, wanted(host, request)).await;
    }
}

/// Wakes the component behind a door, for a call that waits there, in turn with requests about it.
pub(crate) async fn wake(host: &Arc<Host>, door: &Arc<Door>) {
    let mut ticket = host.ids.ticket(door.id().as_str());
    ticket.turn().await;
    let started = std::time::Instant::now();
    match host.components.wake(host, door).await {
        Ok(None) => {}
        Ok(Some((wanted, signed))) => {
            tracing::info!(component = %wanted.id, took = ?started.elapsed(), "woken by a call");
            host.events.publish(scaled(host, wanted, signed)).await;
        }
        Err(error) => {
            door.fail(&error);
            if let Some(wanted) = host.components.wanted(door.id()) {
                host.events
                    .publish(scale_failed(host, wanted, &error))
                    .await;
            }
        }
    }
}

/// A place among the requests that are accepted and not done yet.
fn accept(host: &Host) -> Result<OwnedSemaphorePermit, Refused> {
    host.accepting.clone().try_acquire_owned().map_err(|_| {
        failed("the host has as much accepted work to do as it can keep in mind: try again later")
    })
}

fn check_reference(host: &Host, field: &str, reference: &str) -> Result<(), Refused> {
    ImageRef::parse_component(reference)
        .and_then(|image| image.check(&host.images))
        .map_err(|error| failed(format!("{field}: {error}")))
}

/// Runs a component as wanted, and tells the outcome.
async fn run(host: &Arc<Host>, wanted: Wanted) {
    let event = match host.components.run(host, wanted.clone()).await {
        Ok(signed) => scaled(host, wanted, signed),
        Err(error) => scale_failed(host, wanted, &error),
    };
    host.events.publish(event).await;
}

fn scale_failed(host: &Host, wanted: Wanted, error: &ComponentError) -> Event {
    tracing::error!(component = %wanted.id, %error, "the component can't be run as asked");
    Event::ComponentScaleFailed(ComponentScaleFailed {
        annotations: wanted.annotations,
        claims: None,
        component_id: wanted.id,
        error: error.to_string(),
        host_id: host.identity.id.clone(),
        image_ref: wanted.image_ref,
        max_instances: wanted.max_instances,
        public_key: None,
    })
}

/// Stops a component. One that doesn't run is told as stopped too: that is what was asked for.
async fn stop(host: &Arc<Host>, request: &ScaleComponent) {
    let event = match host.components.stop(host, &request.component_id).await {
        Some((wanted, signed)) => scaled(
            host,
            Wanted {
                max_instances: 0,
                ..wanted
            },
            signed,
        ),
        None => {
            let wanted = wanted(host, request.clone());
            scaled(
                host,
                wanted,
                Signed {
                    claims: None,
                    public_key: None,
                },
            )
        }
    };
    host.events.publish(event).await;
}

fn scaled(host: &Host, wanted: Wanted, signed: Signed) -> Event {
    Event::ComponentScaled(ComponentScaled {
        annotations: wanted.annotations,
        claims: signed.claims,
        component_id: wanted.id,
        host_id: host.identity.id.clone(),
        image_ref: wanted.image_ref,
        max_instances: wanted.max_instances,
        public_key: signed.public_key,
        dormant: wanted.dormant,
    })
}

/// Ours: answers requests to describe a component for as long as it runs here. One host of those that run it does.
pub(crate) async fn answer_describe(host: Arc<Host>, id: ComponentId, stop: CancellationToken) {
    let subject = host.subjects.component_describe(&id);
    let mut requests = match host.client.queue_subscribe(subject.clone(), subject).await {
        Ok(requests) => requests,
        Err(error) => {
            tracing::warn!(component = %id, %error, "it can't be described");
            return;
        }
    };
    while let Some(Some(request)) = stop.run_until_cancelled(requests.next()).await {
        let answer = match host.components.exports(&id) {
            Some(exports) => done_with(&exports),
            None => failed(format!(
                "component {id:?} does not run on this host any more"
            )),
        };
        reply(&host, request, Some(answer)).await;
    }
}
