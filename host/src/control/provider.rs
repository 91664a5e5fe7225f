//! Providers: auctions, starting, stopping.

use std::{sync::Arc, time::Duration};

use trellis_lattice::{
    ComponentId,
    control::provider::{ProviderAuction, ProviderBid, StartProvider, StopProvider},
};

use super::{Outcome, Refused, check_host, done, done_with, failed, read};
use crate::{host::Host, image::ImageRef};

/// How long a request to stop waits for the end; a provider may take longer to drain.
const STOP_ANSWER: Duration = Duration::from_secs(3);

pub(super) fn auction(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let request: ProviderAuction = read("provider.auction request", body)?;
    let runs = ComponentId::new(&request.provider_id).is_ok_and(|id| host.providers.contains(&id));
    if runs || !host.identity.meets(&request.constraints) {
        return Ok(Outcome::Now(None));
    }
    let bid = ProviderBid {
        host_id: host.identity.id.clone(),
        provider_ref: request.provider_ref,
        provider_id: request.provider_id,
        constraints: request.constraints,
    };
    Ok(done_with(&bid).into())
}

pub(super) fn start(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let request: StartProvider = read("provider.start request", body)?;
    check_host(host, &request.host_id)?;
    let image = ImageRef::parse(&request.provider_ref);
    let checked = image.and_then(|image| image.check(&host.images));
    checked.map_err(|error| {
        failed(format!(
            "provider.start request: field `provider_ref`: {error}"
        ))
    })?;
    tracing::info!(provider = %request.provider_id, image = request.provider_ref, "starting a provider");
    if host.components.image_ref(&request.provider_id).is_some() {
        return Err(failed(format!(
            "provider.start request: field `provider_id`: a component with the id {:?} runs on this host",
            request.provider_id
        )));
    }
    let reserved = host.providers.reserve(&request).map_err(failed)?;
    host.spawn(reserved.run(host.clone()));
    Ok(done("successfully started provider").into())
}

pub(super) fn stop(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let request: StopProvider = read("provider.stop request", body)?;
    check_host(host, &request.host_id)?;
    tracing::info!(provider = %request.provider_id, "stopping a provider");
    let stopped = host.providers.stop(&request.provider_id).map_err(failed)?;
    Ok(Outcome::later(async move {
        match tokio::time::timeout(STOP_ANSWER, stopped.cancelled()).await {
            Ok(()) => done("successfully stopped provider"),
            Err(_) => done("the provider is stopping: it finishes what it is at"),
        }
    }))
}
