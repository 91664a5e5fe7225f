//! The lattice as it is, as far as hosts told. Pure: events go in, the view comes out.

use std::collections::BTreeMap;

use trellis_lattice::{
    ComponentId, HostId, Link, LinkKey,
    config::Config,
    control::{
        Annotations, Labels,
        host::{ComponentStats, HostInventory},
    },
    event::Event,
};

/// What is known of the lattice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The hosts that are there, with all they run.
    pub hosts: BTreeMap<HostId, Host>,
    /// All links; `None` while no host has told.
    pub links: Option<BTreeMap<LinkKey, Link>>,
    /// The configurations that were asked for: what they hold, or `None` when they are not there.
    pub configs: BTreeMap<String, Option<Config>>,
    /// Why providers could not be started that their hosts list all the same, because they go on trying.
    pub start_errors: BTreeMap<(HostId, ComponentId), String>,
}

/// A host and what it runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// Its name for people.
    pub friendly_name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its components.
    pub components: BTreeMap<ComponentId, Component>,
    /// Its providers.
    pub providers: BTreeMap<ComponentId, Provider>,
}

/// A component on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Component {
    /// Its image's reference.
    pub image: String,
    /// What it was started with.
    pub annotations: Annotations,
    /// How many instances it may have there.
    pub instances: u32,
    /// How its calls went, where the host says.
    pub stats: Option<ComponentStats>,
    /// Whether it sleeps until it is called.
    pub dormant: bool,
}

/// A provider on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// Its image's reference, where the host says.
    pub image: Option<String>,
    /// What it was started with.
    pub annotations: Annotations,
    /// Why it is unhealthy, if it is.
    pub unhealthy: Option<String>,
}

/// What an event asks to be read anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stale {
    /// A host that was not known, or a host whose event did not fit what is known.
    Host(HostId),
    /// A configuration.
    Config(String),
}

impl Host {
    /// Whether it has those labels.
    pub fn meets(&self, requirements: &Labels) -> bool {
        requirements
            .iter()
            .all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

impl Observed {
    /// Takes a host's inventory for what the host is now.
    pub fn inventory(&mut self, inventory: &HostInventory) {
        let host = self.hosts.entry(inventory.host_id.clone()).or_default();
        host.friendly_name.clone_from(&inventory.friendly_name);
        host.labels.clone_from(&inventory.labels);
        host.components = inventory
            .components
            .iter()
            .filter(|component| component.max_instances > 0)
            .map(|component| {
                let known = Component {
                    image: component.image_ref.clone(),
                    annotations: component.annotations.clone(),
                    instances: component.max_instances,
                    stats: component.stats.clone(),
                    dormant: component.dormant,
                };
                (component.id.clone(), known)
            })
            .collect();
        // An inventory says nothing of health.
        let mut before = std::mem::take(&mut host.providers);
        host.providers = inventory
            .providers
            .iter()
            .map(|provider| {
                let known = Provider {
                    image: provider.image_ref.clone(),
                    annotations: provider.annotations.clone(),
                    unhealthy: before
                        .remove(&provider.id)
                        .and_then(|provider| provider.unhealthy),
                };
                (provider.id.clone(), known)
            })
            .collect();
        let providers = &host.providers;
        self.start_errors
            .retain(|(host, id), _| *host != inventory.host_id || providers.contains_key(id));
    }

    /// Takes an event in; gives what has to be read anew. `source` is the host that it came from.
    pub fn event(&mut self, source: &HostId, event: &Event) -> Option<Stale> {
        self.start_error(source, event);
        match event {
            Event::HostHeartbeat(inventory) => {
                self.inventory(inventory);
                None
            }
            // It may run something already, so its inventory counts, not the event.
            Event::HostStarted(_) => Some(Stale::Host(source.clone())),
            Event::HostStopped(_) => {
                self.hosts.remove(source);
                None
            }
            Event::LabelsChanged(event) => self.on_host(&event.host_id, |host| {
                host.labels.clone_from(&event.labels);
            }),
            Event::ComponentScaled(event) => self.on_host(&event.host_id, |host| {
                if event.max_instances == 0 {
                    host.components.remove(&event.component_id);
                    return;
                }
                let component = Component {
                    image: event.image_ref.clone(),
                    annotations: event.annotations.clone(),
                    instances: event.max_instances,
                    ..Component::default()
                };
                host.components
                    .insert(event.component_id.clone(), component);
            }),
            Event::ProviderStarted(event) => self.on_host(&event.host_id, |host| {
                let provider = Provider {
                    image: event.image_ref.clone(),
                    annotations: event.annotations.clone(),
                    unhealthy: None,
                };
                host.providers.insert(event.provider_id.clone(), provider);
            }),
            Event::ProviderStopped(event) => self.on_host(&event.host_id, |host| {
                host.providers.remove(&event.provider_id);
            }),
            Event::HealthCheckFailed(event) => self.on_provider(
                &event.host_id,
                &event.provider_id,
                Some(
                    event
                        .message
                        .clone()
                        .unwrap_or_else(|| "its health check failed".into()),
                ),
            ),
            Event::HealthCheckPassed(event) => {
                self.on_provider(&event.host_id, &event.provider_id, None)
            }
            Event::LinkSet(link) => {
                if let Some(links) = &mut self.links {
                    links.insert(link.key(), link.clone());
                }
                None
            }
            Event::LinkDeleted(event) => {
                if let Some(links) = &mut self.links {
                    links.remove(&LinkKey {
                        source_id: event.source_id.clone(),
                        name: event.name.clone(),
                        wit_namespace: event.wit_namespace.clone(),
                        wit_package: event.wit_package.clone(),
                    });
                }
                None
            }
            Event::ConfigSet(event) => self
                .configs
                .contains_key(&event.config_name)
                .then(|| Stale::Config(event.config_name.clone())),
            Event::ConfigDeleted(event) => {
                if let Some(config) = self.configs.get_mut(&event.config_name) {
                    *config = None;
                }
                None
            }
            _ => None,
        }
    }

    fn start_error(&mut self, source: &HostId, event: &Event) {
        let (host, provider) = match event {
            Event::ProviderStartFailed(event) => {
                let host = event.host_id.as_ref().unwrap_or(source);
                if self.hosts.contains_key(host) {
                    let key = (host.clone(), event.provider_id.clone());
                    self.start_errors.insert(key, event.error.clone());
                }
                return;
            }
            Event::ProviderStarted(event) => (&event.host_id, &event.provider_id),
            Event::ProviderStopped(event) => (&event.host_id, &event.provider_id),
            Event::HealthCheckPassed(event) => (&event.host_id, &event.provider_id),
            _ => return,
        };
        self.start_errors.remove(&(host.clone(), provider.clone()));
    }

    fn on_host(&mut self, id: &HostId, change: impl FnOnce(&mut Host)) -> Option<Stale> {
        match self.hosts.get_mut(id) {
            Some(host) => {
                change(host);
                None
            }
            None => Some(Stale::Host(id.clone())),
        }
    }

    fn on_provider(
        &mut self,
        host: &HostId,
        provider: &ComponentId,
        unhealthy: Option<String>,
    ) -> Option<Stale> {
        let provider = self.hosts.get_mut(host)?.providers.get_mut(provider)?;
        provider.unhealthy = unhealthy;
        None
    }
}
