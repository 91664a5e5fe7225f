//! Looking: asking hosts, and reading the store.

use std::time::Instant;

use super::{Question, Reconciler, take::Answer};
use crate::{
    desired::App,
    plan,
    store::{Catalog, StoreError},
};

impl Reconciler {
    /// Asks everything anew.
    pub(super) fn resync(&mut self) {
        self.ask(Question::Hosts);
        self.ask(Question::Links);
        let hosts: Vec<_> = self.observed.hosts.keys().cloned().collect();
        for host in hosts {
            self.ask(Question::Inventory(host));
        }
        let configs: Vec<_> = self.observed.configs.keys().cloned().collect();
        for config in configs {
            self.ask(Question::Config(config));
        }
    }

    /// Asks who is there, and what could not be learned before.
    pub(super) fn ping(&mut self) {
        self.ask(Question::Hosts);
        self.ask(Question::Store);
        if self.observed.links.is_none() && !self.observed.hosts.is_empty() {
            self.ask(Question::Links);
        }
        // Hosts that are given up, retries, and what an error put off.
        self.news();
    }

    /// Asks for configurations that plans need and that are not known.
    pub(super) fn ask_configs(&mut self) {
        let wanted = plan::configs_of_interest(&self.desired, &self.owned);
        self.observed
            .configs
            .retain(|name, _| wanted.contains(name));
        if self.observed.hosts.is_empty() {
            return;
        }
        for name in wanted {
            if !self.observed.configs.contains_key(&name) {
                self.ask(Question::Config(name));
            }
        }
    }

    /// Asks one thing, unless it is being asked.
    pub(super) fn ask(&mut self, question: Question) {
        if !self.asking.insert(question.clone()) {
            return;
        }
        let (control, permits) = (self.control.clone(), self.permits.clone());
        let store = self.store.clone();
        self.answers.spawn(async move {
            // Only closed when there is nobody left to answer.
            let _permit = permits.acquire_owned().await;
            match question {
                Question::Hosts => Answer::Hosts(control.hosts().await),
                Question::Inventory(host) => {
                    let inventory = control.inventory(&host).await;
                    Answer::Inventory(host, inventory.map(Box::new))
                }
                Question::Links => Answer::Links(control.links().await),
                Question::Store => Answer::Store(store.incarnation().await),
                Question::Config(name) => {
                    let config = control.config(&name).await;
                    Answer::Config(name, config)
                }
            }
        });
    }

    /// Reads all manifests anew.
    pub(super) async fn read_store(&mut self) -> Result<(), StoreError> {
        self.catalog = Catalog::load(&self.store.apps, &self.catalog).await?;
        self.desire();
        Ok(())
    }

    /// Works out what ought to be.
    pub(super) fn desire(&mut self) {
        let deployed = |name: &str| {
            let (_, app) = self.catalog.apps().find(|(other, _)| *other == name)?;
            app.deployed().map(|(_, manifest)| manifest)
        };
        self.desired = self
            .catalog
            .apps()
            .filter_map(|(name, app)| {
                let (version, manifest) = app.deployed()?;
                Some((name.to_owned(), App::new(version, manifest, &deployed)))
            })
            .collect();
        self.news();
    }

    /// Gives up hosts that were silent for too long.
    pub(super) fn give_up_silent(&mut self, now: Instant) {
        if now < self.patient_until {
            return;
        }
        let grace = self.settings.host_grace;
        let lost: Vec<_> = self
            .silent
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= grace)
            .map(|(host, _)| host.clone())
            .collect();
        for host in lost {
            self.silent.remove(&host);
            if self.observed.hosts.remove(&host).is_some() {
                tracing::warn!(%host, "a host is lost: it did not answer for {} ms", grace.as_millis());
            }
        }
    }
}
