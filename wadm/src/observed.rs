//! The lattice as it is, as far as hosts told. Pure: events go in, the view comes out.

mod unseen;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trellis_lattice::{
    ComponentId, HostId, Link, LinkKey,
    config::Config,
    control::{
        Annotations, Labels,
        host::{ComponentStats, HostInventory},
    },
    event::Event,
};

use crate::{names, rollout::Moment};

pub use unseen::Unseen;

/// What is known of the lattice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// When it is like this.
    pub at: Moment,
    /// The hosts that are there, with all they run.
    pub hosts: BTreeMap<HostId, Host>,
    /// The hosts of PoPs that can't be seen, with all they ran when they were seen last.
    pub unseen: BTreeMap<HostId, Unseen>,
    /// All links; `None` while no host has told.
    pub links: Option<BTreeMap<LinkKey, Link>>,
    /// The configurations that were asked for: what they hold, or `None` when they are not there.
    pub configs: BTreeMap<String, Option<Config>>,
    /// Why providers could not be started that their hosts list all the same, because they go on trying.
    pub start_errors: BTreeMap<(HostId, ComponentId), String>,
}

/// A host and what it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Component {
    /// Its image's reference.
    pub image: String,
    /// What it was started with.
    pub annotations: Annotations,
    /// How many instances it may have there.
    pub instances: u32,
    /// How its calls went, where the host says.
    #[serde(skip)]
    pub stats: Option<ComponentStats>,
    /// Whether it sleeps until it is called.
    pub dormant: bool,
}

/// A provider on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provider {
    /// Its image's reference, where the host says.
    pub image: Option<String>,
    /// What it was started with.
    pub annotations: Annotations,
    /// Why it is unhealthy, if it is.
    #[serde(skip)]
    pub unhealthy: Option<String>,
    /// Why it does not work yet, where the host says: it is being started.
    #[serde(skip)]
    pub not_ready: Option<String>,
}

/// What an event asks to be read anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stale {
    /// A host that was not known, or a host whose event did not fit what is known.
    Host(HostId),
    /// A configuration.
    Config(String),
}

/// What taking an event in brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether anything is different now, counts of calls aside.
    pub has_changed: bool,
    /// What has to be read anew.
    pub stale: Option<Stale>,
}

impl Seen {
    const NOTHING: Self = Self {
        has_changed: false,
        stale: None,
    };

    const CHANGE: Self = Self {
        has_changed: true,
        stale: None,
    };

    fn stale(stale: Stale) -> Self {
        Self {
            has_changed: false,
            stale: Some(stale),
        }
    }
}

impl Host {
    /// Whether it is the same but for how its calls went.
    fn is_as(&self, other: &Self) -> bool {
        let is_same = |(a_id, a): (&ComponentId, &Component),
                       (b_id, b): (&ComponentId, &Component)| {
            // Named one by one, so that a new field is not forgotten here.
            let Component {
                image,
                annotations,
                instances,
                stats: _,
                dormant,
            } = a;
            a_id == b_id
                && *image == b.image
                && *annotations == b.annotations
                && *instances == b.instances
                && *dormant == b.dormant
        };
        self.friendly_name == other.friendly_name
            && self.labels == other.labels
            && self.providers == other.providers
            && self.components.len() == other.components.len()
            && self
                .components
                .iter()
                .zip(&other.components)
                .all(|(a, b)| is_same(a, b))
    }

    /// Whether it has those labels.
    pub fn meets(&self, requirements: &Labels) -> bool {
        requirements
            .iter()
            .all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

impl Observed {
    /// Whether what was started for a part of an application runs anywhere, and works as far as is known.
    pub fn runs(&self, id: &str, part: &str) -> bool {
        let is_of = |annotations: &Annotations| {
            annotations.get(names::SCALER).map(String::as_str) == Some(part)
        };
        self.hosts.values().any(|host| {
            let component = host.components.get(id);
            let provider = host.providers.get(id);
            component.is_some_and(|component| is_of(&component.annotations))
                || provider.is_some_and(|provider| {
                    is_of(&provider.annotations)
                        && provider.unhealthy.is_none()
                        && provider.not_ready.is_none()
                })
        })
    }

    /// A host is gone.
    pub fn lose(&mut self, host: &HostId) -> bool {
        self.start_errors.retain(|(there, _), _| there != host);
        let was_unseen = self.unseen.remove(host).is_some();
        self.hosts.remove(host).is_some() || was_unseen
    }

    /// Takes a host's inventory for what the host is now; whether anything is different, counts of calls aside.
    pub fn inventory(&mut self, inventory: &HostInventory) -> bool {
        // What was taken as running there is no longer needed: this is the truth.
        self.unseen.remove(&inventory.host_id);
        let was_there = self.hosts.contains_key(&inventory.host_id);
        let host = self.hosts.entry(inventory.host_id.clone()).or_default();
        let known = host.clone();
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
        // An inventory of 1.x says nothing of health, and one of ours nothing of what is healthy.
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
                        .and_then(|provider| provider.unhealthy)
                        .filter(|_| provider.unhealthy.is_none())
                        .or(provider.unhealthy.clone()),
                    not_ready: provider.not_ready.clone(),
                };
                (provider.id.clone(), known)
            })
            .collect();
        let is_same = was_there && host.is_as(&known);
        let providers = &host.providers;
        let errors = self.start_errors.len();
        self.start_errors
            .retain(|(host, id), _| *host != inventory.host_id || providers.contains_key(id));
        !is_same || errors != self.start_errors.len()
    }

    /// Takes an event in. `source` is the host that it came from.
    pub fn event(&mut self, source: &HostId, event: &Event) -> Seen {
        let errors_changed = self.start_error(source, event);
        let mut seen = self.take(source, event);
        seen.has_changed |= errors_changed;
        seen
    }

    fn take(&mut self, source: &HostId, event: &Event) -> Seen {
        match event {
            Event::HostHeartbeat(inventory) => Seen {
                has_changed: self.inventory(inventory),
                stale: None,
            },
            // It may run something already, so its inventory counts, not the event.
            Event::HostStarted(_) => Seen::stale(Stale::Host(source.clone())),
            Event::HostStopped(_) => Seen {
                has_changed: self.lose(source),
                stale: None,
            },
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
                    dormant: event.dormant,
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
                    not_ready: None,
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
                Seen::CHANGE
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
                Seen::CHANGE
            }
            Event::ConfigSet(event) if self.configs.contains_key(&event.config_name) => {
                Seen::stale(Stale::Config(event.config_name.clone()))
            }
            Event::ConfigDeleted(event) => match self.configs.get_mut(&event.config_name) {
                Some(config) => {
                    *config = None;
                    Seen::CHANGE
                }
                None => Seen::NOTHING,
            },
            _ => Seen::NOTHING,
        }
    }

    /// Notes why a provider can't be started, or that it could; whether that is new.
    fn start_error(&mut self, source: &HostId, event: &Event) -> bool {
        let (host, provider) = match event {
            Event::ProviderStartFailed(event) => {
                let host = event.host_id.as_ref().unwrap_or(source);
                if self.hosts.contains_key(host) {
                    let key = (host.clone(), event.provider_id.clone());
                    let before = self.start_errors.insert(key, event.error.clone());
                    return before.as_ref() != Some(&event.error);
                }
                return false;
            }
            Event::ProviderStarted(event) => (&event.host_id, &event.provider_id),
            Event::ProviderStopped(event) => (&event.host_id, &event.provider_id),
            Event::HealthCheckPassed(event) => (&event.host_id, &event.provider_id),
            _ => return false,
        };
        self.start_errors
            .remove(&(host.clone(), provider.clone()))
            .is_some()
    }

    fn on_host(&mut self, id: &HostId, change: impl FnOnce(&mut Host)) -> Seen {
        match self.hosts.get_mut(id) {
            Some(host) => {
                change(host);
                Seen::CHANGE
            }
            None => Seen::stale(Stale::Host(id.clone())),
        }
    }

    fn on_provider(
        &mut self,
        host: &HostId,
        provider: &ComponentId,
        unhealthy: Option<String>,
    ) -> Seen {
        let host = self.hosts.get_mut(host);
        match host.and_then(|host| host.providers.get_mut(provider)) {
            Some(provider) if provider.unhealthy != unhealthy => {
                provider.unhealthy = unhealthy;
                Seen::CHANGE
            }
            _ => Seen::NOTHING,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trellis_lattice::event::HealthCheck;

    use super::*;

    #[test]
    fn an_inventory_says_why_a_provider_is_unhealthy_and_one_of_1x_does_not() {
        let inventory = |unhealthy: Option<&str>| -> HostInventory {
            let provider = json!({ "id": "kv", "unhealthy": unhealthy });
            serde_json::from_value(json!({ "host_id": "N", "providers": [provider] })).unwrap()
        };
        let host = HostId::new("N").unwrap();
        let mut observed = Observed::default();
        let seen = |observed: &Observed| observed.hosts[&host].providers["kv"].unhealthy.clone();
        observed.inventory(&inventory(Some("no url")));
        assert_eq!(seen(&observed).as_deref(), Some("no url"));
        observed.inventory(&inventory(None));
        assert_eq!(seen(&observed).as_deref(), Some("no url"));
        observed.inventory(&inventory(Some("no key")));
        assert_eq!(seen(&observed).as_deref(), Some("no key"));
        let passed = Event::HealthCheckPassed(HealthCheck {
            host_id: host.clone(),
            provider_id: ComponentId::new("kv").unwrap(),
            message: None,
        });
        observed.event(&host, &passed);
        observed.inventory(&inventory(None));
        assert_eq!(seen(&observed), None);
    }
}
