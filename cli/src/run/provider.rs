//! Providers: started and stopped.

use serde_json::json;
use trellis_lattice::{
    ComponentId, HostId,
    control::provider::{StartProvider, StopProvider},
    event::Event,
};

use super::{
    RunOptions,
    outcome::{Outcome, Stopped},
    reference,
};
use crate::{exit::NotFound, output::Done, session::Session};

/// Starts a provider on a host.
///
/// # Errors
/// No such host, refused, failed, or no answer.
pub async fn start(
    session: &Session,
    provider: ComponentId,
    image: String,
    options: &RunOptions,
) -> anyhow::Result<()> {
    let host = session.host(options.host.as_deref()).await?.id;
    let request = StartProvider {
        provider_id: provider,
        provider_ref: reference(&image)?,
        host_id: host,
        config: options.config.clone(),
        annotations: options.annotations(),
    };
    let StartProvider {
        provider_id,
        host_id,
        ..
    } = &request;
    let outcome = Outcome::listen(session).await?;
    session.control.start_provider(&request).await?;
    let wait = !options.no_wait;
    if wait {
        outcome
            .wait(session, &format!("provider {provider_id}"), |event| {
                judge(event, provider_id, host_id)
            })
            .await?;
    }
    let message = match wait {
        true => format!("provider {provider_id} runs on host {host_id}"),
        false => format!("provider {provider_id}: asked host {host_id} to start it"),
    };
    let about = json!({ "provider_id": provider_id, "host_id": host_id, "done": wait });
    Ok(session.output.print(&Done::new(message, about))?)
}

/// Stops a provider on one host, or wherever it runs.
///
/// # Errors
/// It doesn't run there, or no answer.
pub async fn stop(
    session: &Session,
    provider: &ComponentId,
    host: Option<&str>,
) -> anyhow::Result<()> {
    let mut running = session.inventories().await?;
    running.retain(|inventory| inventory.provider(provider).is_some());
    if let Some(host) = host {
        let host = session.host(Some(host)).await?.id;
        running.retain(|inventory| inventory.host_id == host);
    }
    if running.is_empty() {
        return Err(NotFound(format!(
            "provider {provider} does not run there: `trellis get inventory` shows what does"
        ))
        .into());
    }
    let mut stopped = Stopped::default();
    for inventory in running {
        let request = StopProvider {
            provider_id: provider.clone(),
            host_id: inventory.host_id,
        };
        let outcome = session.control.stop_provider(&request).await;
        stopped.add(&request.host_id, outcome.map_err(Into::into))?;
    }
    let message = format!("provider {provider} stopped on {}", stopped.names());
    let about = json!({ "provider_id": provider, "host_ids": stopped.hosts });
    Ok(session.output.print(&Done::new(message, about))?)
}

fn judge(event: &Event, provider: &ComponentId, host: &HostId) -> Option<Result<(), String>> {
    match event {
        Event::ProviderStarted(started)
            if (&started.provider_id, &started.host_id) == (provider, host) =>
        {
            Some(Ok(()))
        }
        Event::ProviderStartFailed(failed)
            if &failed.provider_id == provider
                && failed.host_id.as_ref().is_none_or(|failed| failed == host) =>
        {
            Some(Err(failed.error.clone()))
        }
        _ => None,
    }
}
