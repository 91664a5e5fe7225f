//! A provider's secrets: its own are there before it starts, a link is told with its secrets or not at all.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use trellis_lattice::{
    Link, ResolvedLink,
    event::Event,
    secret::{SecretValue, Secrets, is_reference},
};

use super::{Run, health_event, sleep_until};
use crate::providers::delivery::Delivery;

/// How long the start waits for the secrets of links. Links whose secrets come later are told later.
const LINKS_PATIENCE: Duration = Duration::from_secs(1);
/// Of how many links it is told at once that they wait.
const MAX_TOLD: usize = 3;

/// A secret as host data has it. Only there it is in the open: a pipe from the host to the provider.
pub(super) fn secret_json(value: &SecretValue) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

impl Run<'_> {
    /// Waits for the provider's own secrets, and a moment for those of its links; `None`: it is stopped meanwhile.
    pub(super) async fn own_secrets(&mut self, stop: &CancellationToken) -> Option<Secrets> {
        let mut changes = self.host.view.changes();
        let mut told = None;
        let patience = Instant::now() + LINKS_PATIENCE;
        loop {
            changes.mark_unchanged();
            self.vault.follow(self.secrets());
            let own = self.vault.values(&self.provider.config);
            let mut waits_until = None;
            match own {
                Ok(own) if self.waiting().is_none() || Instant::now() >= patience => {
                    return Some(own);
                }
                Ok(_) => waits_until = Some(patience),
                // The first ask is on its way for a moment: that is no news.
                Err(why) if Instant::now() >= patience && told.as_ref() != Some(&why) => {
                    tracing::warn!(provider = %self.provider.description.id, why, "the provider waits for its secrets");
                    self.provider
                        .tell_start_failed(self.host, why.clone())
                        .await;
                    told = Some(why);
                }
                Err(_) if Instant::now() < patience => waits_until = Some(patience),
                Err(_) => {}
            }
            let due = self.vault.next_due();
            tokio::select! {
                () = stop.cancelled() => return None,
                _ = changes.changed() => {}
                _ = self.vault.answered() => {}
                () = sleep_until(due) => self.vault.ask(),
                () = sleep_until(waits_until) => {}
            }
        }
    }

    /// The names of the secrets that it needs.
    pub(super) fn secrets(&self) -> BTreeSet<String> {
        let links = self
            .host
            .view
            .links_of(&self.provider.description.id)
            .into_iter();
        let of_links = links.flat_map(|link| self.own_side(&link));
        let own = self.provider.config.iter().cloned();
        own.chain(of_links)
            .filter(|name| is_reference(name))
            .collect()
    }

    /// Its side's configurations of a link. What the other side gets is none of its business.
    fn own_side(&self, link: &Link) -> Vec<String> {
        let id = &self.provider.description.id;
        let sides = [
            (&link.source_id, &link.source_config),
            (&link.target, &link.target_config),
        ];
        let own = sides.into_iter().filter(|(end, _)| *end == id);
        own.flat_map(|(_, names)| names.clone()).collect()
    }

    /// Its links, with their secrets. One whose secrets can't be had is as it was given before, if it was.
    pub(super) fn links(&self, given: Option<&Delivery>) -> Vec<ResolvedLink> {
        let links = self.host.view.links_of(&self.provider.description.id);
        links
            .iter()
            .filter_map(|link| match self.link(link) {
                Ok(link) => Some(link),
                Err(_) => given?.given(&link.key(), &link.target).cloned(),
            })
            .collect()
    }

    fn link(&self, link: &Link) -> Result<ResolvedLink, String> {
        let id = &self.provider.description.id;
        let mut resolved = self.host.resolve_link(link);
        let values = |names: &[String]| -> Result<_, String> {
            let values = self.vault.values(names)?;
            Ok(match values.is_empty() {
                true => None,
                false => serde_json::to_value(values).ok(),
            })
        };
        if &link.source_id == id {
            resolved.source_secrets = values(&link.source_config)?;
        }
        if &link.target == id {
            resolved.target_secrets = values(&link.target_config)?;
        }
        Ok(resolved)
    }

    /// Which links wait for their secrets and why, for people.
    fn waiting(&self) -> Option<String> {
        let links = self.host.view.links_of(&self.provider.description.id);
        let waiting: Vec<String> = links
            .iter()
            .filter_map(|link| {
                let why = self.link(link).err()?;
                Some(format!("link {} {} waits: {why}", link.key(), link.target))
            })
            .take(MAX_TOLD)
            .collect();
        (!waiting.is_empty()).then(|| waiting.join("; "))
    }

    /// Tells which links wait for their secrets, where that is news.
    pub(super) async fn tell_waiting(&mut self) {
        let waits_for = self.waiting();
        if waits_for == self.waits_for {
            return;
        }
        self.waits_for = waits_for;
        let id = &self.provider.description.id;
        if let Some(why) = &self.waits_for {
            tracing::warn!(provider = %id, why, "the provider lacks secrets");
        }
        if self.started {
            self.tell_trouble().await;
        }
    }

    /// Tells how it is: what it waits for, what it says itself, or that all is well.
    pub(super) async fn tell_trouble(&self) {
        let id = &self.provider.description.id;
        self.host
            .providers
            .set_not_ready(id, self.waits_for.clone());
        let trouble = self.waits_for.clone().or(self.unwell.clone());
        let is_well = trouble.is_none();
        let event = health_event(self.host, self.provider, trouble);
        let event = match is_well {
            true => Event::HealthCheckPassed(event),
            false => Event::HealthCheckFailed(event),
        };
        self.host.events.publish(event).await;
    }
}
