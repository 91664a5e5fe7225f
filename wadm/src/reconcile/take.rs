//! Taking in: events, changes of manifests, answers.

use std::time::Instant;

use async_nats::jetstream::kv;
use trellis_lattice::{
    HostId, Link,
    client::ControlError,
    config::Config,
    control::host::{Host, HostInventory},
    event::{CloudEvent, Event},
};

use super::{Question, Reconciler};
use crate::{
    command::{Command, Subject},
    observed::Stale,
    store::{Incarnation, StoreError},
};

/// What came of a question or command.
pub(super) enum Answer {
    Hosts(Result<Vec<Host>, ControlError>),
    Inventory(HostId, Result<Box<HostInventory>, ControlError>),
    Links(Result<Vec<Link>, ControlError>),
    Config(String, Result<Option<Config>, ControlError>),
    Store(Result<Incarnation, StoreError>),
    Command(Box<Command>, Result<(), ControlError>),
}

impl Reconciler {
    pub(super) fn take_event(&mut self, payload: &[u8]) {
        let read = CloudEvent::read(payload)
            .and_then(|envelope| Ok((HostId::new(&envelope.source), envelope.event()?)));
        let (source, event) = match read {
            Ok((Ok(source), event)) => (source, event),
            Ok((Err(error), _)) => {
                tracing::debug!(%error, "an event from nobody");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "an event that can't be read");
                return;
            }
        };
        self.outcome(&source, &event);
        match self.observed.event(&source, &event) {
            None => {}
            Some(Stale::Host(host)) => self.ask(Question::Inventory(host)),
            Some(Stale::Config(name)) => self.ask(Question::Config(name)),
        }
        self.silent.remove(&source);
        self.news();
    }

    /// What an event says of the commands that were given.
    fn outcome(&mut self, source: &HostId, event: &Event) {
        let now = Instant::now();
        match event {
            Event::ComponentScaled(event) => self.ended.push(Subject::Component(
                event.host_id.clone(),
                event.component_id.clone(),
            )),
            Event::ProviderStarted(event) => self.ended.push(Subject::Provider(
                event.host_id.clone(),
                event.provider_id.clone(),
            )),
            Event::ProviderStopped(event) => self.ended.push(Subject::Provider(
                event.host_id.clone(),
                event.provider_id.clone(),
            )),
            Event::ComponentScaleFailed(event) => {
                let subject = Subject::Component(event.host_id.clone(), event.component_id.clone());
                self.attempts.failed(&subject, event.error.clone(), now);
                self.ask(Question::Inventory(event.host_id.clone()));
            }
            Event::ProviderStartFailed(event) => {
                let host = event.host_id.as_ref().unwrap_or(source);
                let subject = Subject::Provider(host.clone(), event.provider_id.clone());
                self.attempts.failed(&subject, event.error.clone(), now);
                self.ask(Question::Inventory(host.clone()));
            }
            Event::LinkSetFailed(event) => {
                let subject = Subject::Link(event.link.key());
                self.attempts.failed(&subject, event.error.clone(), now);
            }
            _ => {}
        }
    }

    pub(super) fn take_change(&mut self, entry: &kv::Entry) {
        match self.catalog.apply(&self.store.apps, entry) {
            Ok(true) => self.desire(),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a manifest that can't be read"),
        }
    }

    pub(super) fn take_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Hosts(hosts) => {
                self.asking.remove(&Question::Hosts);
                self.take_hosts(hosts);
            }
            Answer::Inventory(host, inventory) => {
                self.asking.remove(&Question::Inventory(host.clone()));
                self.take_inventory(host, inventory);
            }
            Answer::Links(links) => {
                self.asking.remove(&Question::Links);
                match links {
                    Ok(links) => {
                        let links = links.into_iter().map(|link| (link.key(), link));
                        self.observed.links = Some(links.collect());
                    }
                    Err(error) => tracing::debug!(%error, "could not list the links"),
                }
            }
            Answer::Config(name, config) => {
                self.asking.remove(&Question::Config(name.clone()));
                match config {
                    Ok(config) => {
                        self.observed.configs.insert(name, config);
                    }
                    Err(error) => tracing::debug!(%error, name, "could not read a config"),
                }
            }
            Answer::Store(incarnation) => {
                self.asking.remove(&Question::Store);
                match incarnation {
                    Ok(now) => self.store_was_lost = self.incarnation != Some(now),
                    Err(error) => tracing::debug!(%error, "could not look at the store"),
                }
            }
            Answer::Command(command, result) => self.take_result(&command, result),
        }
        self.news();
    }

    fn take_hosts(&mut self, hosts: Result<Vec<Host>, ControlError>) {
        let hosts = match hosts {
            Ok(hosts) => hosts,
            Err(error) => {
                tracing::debug!(%error, "could not ask who is there");
                return;
            }
        };
        let now = Instant::now();
        for host in &hosts {
            self.silent.remove(&host.id);
            if !self.observed.hosts.contains_key(&host.id) {
                self.ask(Question::Inventory(host.id.clone()));
            }
        }
        let known: Vec<HostId> = self.observed.hosts.keys().cloned().collect();
        for id in known {
            if !hosts.iter().any(|host| host.id == id) {
                self.silent.entry(id.clone()).or_insert(now);
                // It may only have been slow.
                self.ask(Question::Inventory(id));
            }
        }
        self.survey();
    }

    fn take_inventory(
        &mut self,
        host: HostId,
        inventory: Result<Box<HostInventory>, ControlError>,
    ) {
        match inventory {
            Ok(inventory) => {
                self.silent.remove(&host);
                self.observed.inventory(&inventory);
            }
            Err(error) => {
                tracing::debug!(%error, %host, "no inventory");
                if self.observed.hosts.contains_key(&host) {
                    self.silent.entry(host).or_insert_with(Instant::now);
                }
            }
        }
        self.survey();
    }

    /// Once everyone who is there was asked what it runs, commanding may begin.
    fn survey(&mut self) {
        let asking =
            |question: &Question| matches!(question, Question::Hosts | Question::Inventory(_));
        if !self.surveyed && !self.asking.iter().any(asking) {
            self.surveyed = true;
            tracing::info!(
                hosts = self.observed.hosts.len(),
                apps = self.desired.len(),
                "surveyed the lattice"
            );
        }
    }

    fn take_result(&mut self, command: &Command, result: Result<(), ControlError>) {
        let now = Instant::now();
        match result {
            Ok(()) => {
                self.done(command);
                self.attempts.accepted(command, now);
            }
            // It may have been carried out; an event will tell.
            Err(ControlError::TimedOut { .. }) if command.host().is_some() => {
                self.attempts.accepted(command, now);
            }
            Err(error) => {
                self.attempts.refused(command, error.to_string(), now);
                // What the host has may not be what we think.
                match (command.host(), command) {
                    (Some(host), _) => self.ask(Question::Inventory(host.clone())),
                    (None, Command::PutLink { .. } | Command::DeleteLink(_)) => {
                        self.ask(Question::Links);
                    }
                    (None, Command::PutConfig { name, .. } | Command::DeleteConfig(name)) => {
                        self.ask(Question::Config(name.clone()));
                    }
                    (None, _) => {}
                }
            }
        }
    }

    /// What is answered when it is done needs no event.
    fn done(&mut self, command: &Command) {
        match command {
            Command::PutLink { link, .. } => {
                if let Some(links) = &mut self.observed.links {
                    links.insert(link.key(), link.clone());
                }
            }
            Command::DeleteLink(key) => {
                if let Some(links) = &mut self.observed.links {
                    links.remove(key);
                }
            }
            Command::PutConfig { name, config } => {
                self.observed
                    .configs
                    .insert(name.clone(), Some(config.clone()));
            }
            Command::DeleteConfig(name) => {
                self.observed.configs.insert(name.clone(), None);
            }
            Command::Scale(_) | Command::StartProvider(_) | Command::StopProvider(_) => {}
        }
    }
}
