//! Named configurations.

use std::sync::Arc;

use trellis_lattice::{
    config::{Config, check_name, check_size},
    event::{ConfigChanged, Event},
};

use super::{Outcome, Refused, done, done_with, failed, read};
use crate::host::Host;

pub(super) fn put(host: &Arc<Host>, name: &str, body: &[u8]) -> Result<Outcome, Refused> {
    check_name(name).map_err(failed)?;
    let config: Config = read("config.put request", body)?;
    check_size(name, &config).map_err(failed)?;
    let mut ticket = host.configs.ticket(name);
    let (host, name) = (host.clone(), name.to_owned());
    Ok(Outcome::later(async move {
        ticket.turn().await;
        match host.store.put_config(&name, &config).await {
            Ok(revision) => host.view.wrote_config(&name, revision, config),
            Err(error) => return failed(error),
        }
        host.events
            .publish(Event::ConfigSet(ConfigChanged { config_name: name }))
            .await;
        done("successfully put config")
    }))
}

pub(super) fn get(host: &Arc<Host>, name: &str) -> Result<Outcome, Refused> {
    check_name(name).map_err(failed)?;
    let (host, name) = (host.clone(), name.to_owned());
    Ok(Outcome::later(async move {
        // Another host may have written it a moment ago: ask JetStream, and answer by memory when it is away.
        let config = host.store.get_config(&name).await.unwrap_or_else(|error| {
            tracing::warn!(config = name, %error, "answering from memory");
            host.view.config(&name)
        });
        match config {
            Some(config) => done_with(&config),
            None => done("Configuration not found"),
        }
    }))
}

pub(super) fn delete(host: &Arc<Host>, name: &str) -> Result<Outcome, Refused> {
    check_name(name).map_err(failed)?;
    let mut ticket = host.configs.ticket(name);
    let (host, name) = (host.clone(), name.to_owned());
    Ok(Outcome::later(async move {
        ticket.turn().await;
        if let Err(error) = host.store.delete_config(&name).await {
            return failed(error);
        }
        host.view.deleted_config(&name);
        host.events
            .publish(Event::ConfigDeleted(ConfigChanged { config_name: name }))
            .await;
        done("successfully deleted config")
    }))
}
