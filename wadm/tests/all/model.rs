//! A model of a lattice: hosts that at once do what a command says.

use std::collections::BTreeMap;

use trellis_lattice::{HostId, control::Annotations};
use trellis_wadm::{
    command::Command,
    observed::{Component, Host, Observed, Provider},
};

#[derive(Debug)]
pub struct Model {
    pub observed: Observed,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            observed: Observed {
                links: Some(BTreeMap::new()),
                // Every test's own config is known not to be there.
                configs: [("shop-url".to_owned(), None)].into(),
                ..Observed::default()
            },
        }
    }
}

impl Model {
    pub fn join(&mut self, name: &str, zone: &str) {
        let host = self.observed.hosts.entry(id(name)).or_default();
        host.friendly_name = name.to_owned();
        host.labels = [("zone".to_owned(), zone.to_owned())].into();
    }

    pub fn leave(&mut self, name: &str) -> Option<Host> {
        self.observed.hosts.remove(name)
    }

    pub fn back(&mut self, name: &str, host: Host) {
        self.observed.hosts.insert(id(name), host);
    }

    pub fn label(&mut self, name: &str, zone: &str) {
        if let Some(host) = self.observed.hosts.get_mut(name) {
            host.labels.insert("zone".to_owned(), zone.to_owned());
        }
    }

    pub fn zone(&self, name: &str) -> &str {
        &self.observed.hosts[name].labels["zone"]
    }

    /// Someone else starts something of their own.
    pub fn run_foreign(&mut self, name: &str, component: &str) {
        let host = self.observed.hosts.get_mut(name).unwrap();
        host.components.insert(
            component.parse().unwrap(),
            Component {
                image: "file:///x.wasm".into(),
                annotations: Annotations::new(),
                instances: 1,
                ..Component::default()
            },
        );
    }

    /// Someone scales what runs by hand, and leaves its annotations.
    pub fn meddle(&mut self, name: &str, component: &str, count: u32) {
        let Some(host) = self.observed.hosts.get_mut(name) else {
            return;
        };
        match count {
            0 => {
                host.components.remove(component);
            }
            count => {
                if let Some(component) = host.components.get_mut(component) {
                    component.instances = count;
                }
            }
        }
    }

    pub fn counts(&self, component: &str) -> BTreeMap<String, u32> {
        self.observed
            .hosts
            .iter()
            .filter_map(|(id, host)| {
                Some((id.to_string(), host.components.get(component)?.instances))
            })
            .collect()
    }

    pub fn providers(&self, provider: &str) -> Vec<String> {
        self.observed
            .hosts
            .iter()
            .filter(|(_, host)| host.providers.contains_key(provider))
            .map(|(id, _)| id.to_string())
            .collect()
    }

    /// Whether nothing runs, nothing is linked and nothing configured.
    pub fn is_empty(&self) -> bool {
        self.observed
            .hosts
            .values()
            .all(|host| host.components.is_empty() && host.providers.is_empty())
            && self.observed.links.as_ref().unwrap().is_empty()
            && self.observed.configs.values().all(Option::is_none)
    }

    pub fn carry_out(&mut self, command: &Command) {
        match command {
            Command::Scale(scale) => {
                let host = self.observed.hosts.get_mut(&scale.host_id).unwrap();
                let there = host.components.get(&scale.component_id);
                if let Some(there) = there
                    && scale.count > 0
                {
                    assert!(
                        scale.allow_update || there.image == scale.component_ref,
                        "an update that is not allowed"
                    );
                }
                match scale.count {
                    0 => {
                        host.components.remove(&scale.component_id).unwrap();
                    }
                    instances => {
                        let component = Component {
                            image: scale.component_ref.clone(),
                            annotations: scale.annotations.clone().unwrap(),
                            instances,
                            ..Component::default()
                        };
                        host.components
                            .insert(scale.component_id.clone(), component);
                    }
                }
            }
            Command::StartProvider(start) => {
                let host = self.observed.hosts.get_mut(&start.host_id).unwrap();
                let provider = Provider {
                    image: Some(start.provider_ref.clone()),
                    annotations: start.annotations.clone().unwrap(),
                    unhealthy: None,
                    not_ready: None,
                };
                let before = host.providers.insert(start.provider_id.clone(), provider);
                assert_eq!(before, None, "it runs already");
            }
            Command::StopProvider(stop) => {
                let host = self.observed.hosts.get_mut(&stop.host_id).unwrap();
                host.providers.remove(&stop.provider_id).unwrap();
            }
            Command::PutLink { link, replace } => {
                for config in link.source_config.iter().chain(&link.target_config) {
                    assert!(
                        self.observed.configs[config].is_some(),
                        "{config} is missing"
                    );
                }
                let links = self.observed.links.as_mut().unwrap();
                let before = links.insert(link.key(), link.clone());
                assert_eq!(before.is_some(), *replace);
            }
            Command::DeleteLink(key) => {
                let links = self.observed.links.as_mut().unwrap();
                links.remove(key).unwrap();
            }
            Command::PutConfig { name, config } => {
                self.observed
                    .configs
                    .insert(name.clone(), Some(config.clone()));
            }
            Command::DeleteConfig(name) => {
                let links = self.observed.links.as_ref().unwrap();
                let used = links.values().any(|link| {
                    link.source_config.contains(name) || link.target_config.contains(name)
                });
                assert!(!used, "a link uses {name}");
                self.observed.configs.insert(name.clone(), None);
            }
        }
    }
}

fn id(name: &str) -> HostId {
    name.parse().unwrap()
}
