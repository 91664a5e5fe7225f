//! What is there but ought not to be: first links, so that no new call comes; then components and providers, which end
//! the calls they have; then configurations, which nobody reads any more.

use std::collections::{BTreeMap, BTreeSet};

use trellis_lattice::{
    ComponentId, HostId, LinkKey,
    control::{component::ScaleComponent, provider::StopProvider},
};

use super::Planner;
use crate::{
    command::Command,
    desired::App,
    names,
    observed::{Component, Host, Observed},
    store::Owned,
};

impl Planner<'_> {
    /// Removes what an application has no use for; gives what there is of it, for people, and what is noted for it.
    pub(super) fn remove(&mut self, name: &str, app: &App) -> (Vec<String>, Owned) {
        let mut leftovers = Vec::new();
        let mut still = Owned::default();
        let owned = self.input.owned.get(name).cloned().unwrap_or_default();
        // The old release may need it.
        if self.input.rolling.contains_key(name) {
            return (leftovers, owned);
        }

        still.links = self.leftover_links(&owned);
        for key in still.links.clone() {
            leftovers.push(format!("link {key}"));
            if !self.input.observed.hosts.is_empty() {
                self.step(name, None, Command::DeleteLink(key));
            }
        }

        let stops = self.leftover_workloads(name, app);
        let workloads = stops.len();
        for (what, stop) in stops {
            leftovers.push(what);
            if still.links.is_empty() {
                self.step(name, None, stop);
            }
        }

        still.configs = self.leftover_configs(&owned);
        for config in still.configs.clone() {
            leftovers.push(format!("config {config}"));
            let known = self.input.observed.configs.contains_key(&config);
            if known
                && still.links.is_empty()
                && workloads == 0
                && !self.input.observed.hosts.is_empty()
            {
                self.step(name, None, Command::DeleteConfig(config));
            }
        }
        (leftovers, still)
    }

    /// Links that are noted but not wanted. While nobody lists the links they count as there.
    fn leftover_links(&self, owned: &Owned) -> BTreeSet<LinkKey> {
        let there = |key: &LinkKey| match &self.input.observed.links {
            Some(links) => links.contains_key(key),
            None => true,
        };
        owned
            .links
            .iter()
            .filter(|key| !self.wanted.links.contains(key) && there(key))
            .cloned()
            .collect()
    }

    /// Components and providers that say they are this application's, but of which it knows nothing.
    fn leftover_workloads(&self, name: &str, app: &App) -> Vec<(String, Command)> {
        let wanted: BTreeSet<(&ComponentId, bool)> = app
            .workloads()
            .map(|workload| (&workload.id, workload.is_provider))
            .collect();
        let managed = self.managed.get(name).into_iter().flatten();
        managed
            .filter(|running| !wanted.contains(&(running.id, running.component.is_none())))
            .map(Managed::stop)
            .collect()
    }

    /// Configurations that are noted but not wanted. Until they are read they count as there.
    fn leftover_configs(&self, owned: &Owned) -> BTreeSet<String> {
        let there = |name: &String| !matches!(self.input.observed.configs.get(name), Some(None));
        owned
            .configs
            .iter()
            .filter(|name| !self.wanted.configs.contains(name) && there(name))
            .cloned()
            .collect()
    }
}

/// Something that runs for an application.
pub(super) struct Managed<'a> {
    host_id: &'a HostId,
    host: &'a Host,
    id: &'a ComponentId,
    /// Absent for a provider.
    component: Option<&'a Component>,
}

impl Managed<'_> {
    /// What it is, for people, and how to stop it.
    fn stop(&self) -> (String, Command) {
        let (id, host) = (self.id, &self.host.friendly_name);
        match self.component {
            Some(there) => (
                format!("component {id} on host {host}"),
                stop(self.host_id, id, there),
            ),
            None => (
                format!("provider {id} on host {host}"),
                Command::StopProvider(StopProvider {
                    provider_id: id.clone(),
                    host_id: self.host_id.clone(),
                }),
            ),
        }
    }
}

/// What runs, by the application that it says it is of.
pub(super) fn managed(observed: &Observed) -> BTreeMap<&str, Vec<Managed<'_>>> {
    let mut managed: BTreeMap<&str, Vec<Managed<'_>>> = BTreeMap::new();
    for (host_id, host) in &observed.hosts {
        let components = host
            .components
            .iter()
            .map(|(id, there)| (id, &there.annotations, Some(there)));
        let providers = host
            .providers
            .iter()
            .map(|(id, there)| (id, &there.annotations, None));
        for (id, annotations, component) in components.chain(providers) {
            if let Some(app) = names::managed_app(annotations) {
                managed.entry(app).or_default().push(Managed {
                    host_id,
                    host,
                    id,
                    component,
                });
            }
        }
    }
    managed
}

/// Stops a component where it is.
pub(super) fn stop(host: &HostId, id: &ComponentId, there: &Component) -> Command {
    Command::Scale(ScaleComponent {
        component_ref: there.image.clone(),
        component_id: id.clone(),
        host_id: host.clone(),
        count: 0,
        annotations: Some(there.annotations.clone()),
        config: Vec::new(),
        allow_update: false,
        limits: None,
        dormant: false,
    })
}
