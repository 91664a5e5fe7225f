//! Hosts: they carry out what they are told, after a while, and tell of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trellis_lattice::{
    ComponentId, HostId,
    control::{Annotations, Labels, host::HostInventory},
    event::{CloudEvent, Event},
};
use trellis_wadm::{
    command::Command,
    reconcile::{FailureKind, News},
};

use crate::{
    message::{Reply, failure},
    world::{Happening, World},
};

/// How often hosts beat, and tell all of themselves.
const BEAT: u64 = 400;
const HEARTBEAT: u64 = 30_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    pub image: String,
    pub annotations: Annotations,
    pub instances: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    pub image: String,
    pub annotations: Annotations,
}

pub struct Host {
    pub life: u64,
    pub labels: Labels,
    /// Whether it is a Trellis host: it beats and knows of fences.
    pub beats: bool,
    pub components: BTreeMap<ComponentId, Component>,
    pub providers: BTreeMap<ComponentId, Provider>,
    /// The greatest leadership it has seen.
    pub fence: u64,
    pub is_paused: bool,
    pub is_cut: bool,
    /// What reaches it when it goes on, and what it sends when its connection is back.
    pub inbox: Vec<Happening>,
    pub unsent: Vec<Happening>,
    /// When the last command about each of these is carried out: they are carried out in order.
    busy_until: BTreeMap<ComponentId, u64>,
}

impl World {
    pub fn join_host(&mut self) -> HostId {
        let life = self.life();
        let id: HostId = format!("H{life}").parse().unwrap();
        // A PoP is in one region. Some hosts are in none.
        let (pop, region) =
            *self
                .rng
                .pick(&[("fra", "eu"), ("ams", "eu"), ("iad", "us"), ("", "us")]);
        let zone = *self.rng.pick(&["a", "b"]);
        let beats = !self.rng.chance(150);
        let mut labels = Labels::from([
            ("region".to_owned(), region.to_owned()),
            ("zone".to_owned(), zone.to_owned()),
        ]);
        if !pop.is_empty() {
            labels.insert("pop".to_owned(), pop.to_owned());
        }
        self.start_host(&id, &labels, beats);
        id
    }

    /// Starts a host, new or as it was, but running nothing.
    pub fn start_host(&mut self, id: &HostId, labels: &Labels, beats: bool) {
        let life = self.life();
        let labels = labels.clone();
        let host = Host {
            life,
            labels: labels.clone(),
            beats,
            components: BTreeMap::new(),
            providers: BTreeMap::new(),
            fence: 0,
            is_paused: false,
            is_cut: false,
            inbox: Vec::new(),
            unsent: Vec::new(),
            busy_until: BTreeMap::new(),
        };
        self.hosts.insert(id.clone(), host);
        self.tell(|| format!("{id} starts with {labels:?}; beats: {beats}"));
        self.emit(
            id,
            event(
                "host_started",
                json!({"friendly_name": id, "labels": labels}),
            ),
        );
        if beats {
            let delay = self.rng.within(0, BEAT);
            let host = id.clone();
            self.after(delay, move |world| world.beat(host, life));
        }
        let delay = self.rng.within(0, HEARTBEAT);
        let host = id.clone();
        self.after(delay, move |world| world.heartbeat(host, life));
    }

    fn lives(&self, id: &HostId, life: u64) -> bool {
        self.hosts.get(id).is_some_and(|host| host.life == life)
    }

    fn beat(&mut self, id: HostId, life: u64) {
        if !self.lives(&id, life) {
            return;
        }
        let host = &self.hosts[&id];
        // One that is late is no use: those of a host that was cut off are not sent later.
        if !host.is_paused && !host.is_cut && self.hears(host) {
            for manager in 0..self.managers.len() {
                if self.is_lost() {
                    continue;
                }
                let (delay, host) = (self.delay(), id.clone());
                let Some(life) = self.managers[manager].life_now() else {
                    continue;
                };
                self.after(delay, move |world| {
                    if !world.managers[manager].is_cut {
                        world.at_manager(manager, life, move |world| {
                            world.news(manager, News::Beat(host));
                        });
                    }
                });
            }
        }
        self.after(BEAT, move |world| world.beat(id, life));
    }

    fn heartbeat(&mut self, id: HostId, life: u64) {
        if !self.lives(&id, life) {
            return;
        }
        if !self.hosts[&id].is_paused {
            let inventory = self.inventory(&id);
            self.emit(&id, Event::HostHeartbeat(inventory));
        }
        self.after(HEARTBEAT, move |world| world.heartbeat(id, life));
    }

    pub fn inventory(&self, id: &HostId) -> HostInventory {
        let host = &self.hosts[id];
        let components: Vec<Value> = host
            .components
            .iter()
            .map(|(id, there)| {
                json!({"id": id, "image_ref": there.image, "annotations": there.annotations, "max_instances": there.instances})
            })
            .collect();
        let providers: Vec<Value> = host
            .providers
            .iter()
            .map(|(id, there)| json!({"id": id, "image_ref": there.image, "annotations": there.annotations}))
            .collect();
        let inventory = json!({
            "host_id": id, "friendly_name": id, "labels": host.labels, "components": components, "providers": providers,
        });
        serde_json::from_value(inventory).unwrap()
    }

    /// A host sees the number of a leadership; whether it may command.
    pub fn pass_fence(&mut self, id: &HostId, fence: u64) -> Reply<()> {
        let host = self.hosts.get_mut(id).unwrap();
        if host.beats && fence < host.fence {
            let message = format!(
                "fenced: another one leads (leadership {}; of {fence})",
                host.fence
            );
            return failure(FailureKind::Fenced(host.fence), &message);
        }
        host.fence = host.fence.max(fence);
        Ok(())
    }

    /// A host takes a command.
    pub fn take_command(&mut self, id: &HostId, command: &Command, fence: u64) -> Reply<()> {
        self.pass_fence(id, fence)?;
        self.commands += 1;
        self.tell(|| format!("{id} takes of {fence}: {command}"));
        match command {
            Command::Scale(scale) => {
                if scale.count > 0 {
                    self.check_residency(id, &scale.component_id);
                }
                let life = self.hosts[id].life;
                let wait = match scale.count {
                    0 => 1,
                    _ => self.rng.within(1, 400),
                };
                let (host, scale) = (id.clone(), scale.clone());
                self.in_order(id, &scale.component_id.clone(), wait, move |world| {
                    if !world.lives(&host, life) {
                        return;
                    }
                    world.scale(&host, &scale);
                });
            }
            Command::StartProvider(start) => {
                self.check_residency(id, &start.provider_id);
                if self.hosts[id].providers.contains_key(&start.provider_id) {
                    return failure(FailureKind::Refused, "it runs already");
                }
                let life = self.hosts[id].life;
                let wait = self.rng.within(1, 400);
                let (host, start) = (id.clone(), start.clone());
                self.in_order(id, &start.provider_id.clone(), wait, move |world| {
                    if !world.lives(&host, life) {
                        return;
                    }
                    let data = json!({
                        "provider_id": start.provider_id, "host_id": host, "image_ref": start.provider_ref,
                        "annotations": start.annotations, "error": "can't be started",
                    });
                    if world.bad_images.contains(&start.provider_ref) {
                        return world.emit(&host, event("provider_start_failed", data));
                    }
                    let provider = Provider {
                        image: start.provider_ref,
                        annotations: start.annotations.unwrap_or_default(),
                    };
                    let there = world.hosts.get_mut(&host).unwrap();
                    there.providers.insert(start.provider_id, provider);
                    world.emit(&host, event("provider_started", data));
                });
            }
            Command::StopProvider(stop) => {
                let host = self.hosts.get_mut(id).unwrap();
                if host.providers.remove(&stop.provider_id).is_none() {
                    return failure(FailureKind::Refused, "it does not run here");
                }
                let data =
                    json!({"provider_id": stop.provider_id, "host_id": id, "reason": "stop"});
                self.emit(id, event("provider_stopped", data));
            }
            Command::PutLink { link, .. } => {
                for config in link.source_config.iter().chain(&link.target_config) {
                    if !self.configs.contains_key(config) {
                        return failure(FailureKind::Refused, "a configuration is missing");
                    }
                }
                self.links.insert(link.key(), link.clone());
                self.emit(id, Event::LinkSet(link.clone()));
            }
            Command::DeleteLink(key) => {
                self.links.remove(key);
                let data = serde_json::to_value(key).unwrap();
                self.emit(id, event("linkdef_deleted", data));
            }
            Command::PutConfig { name, config } => {
                self.configs.insert(name.clone(), config.clone());
                self.emit(id, event("config_set", json!({"config_name": name})));
            }
            Command::DeleteConfig(name) => {
                self.configs.remove(name);
                self.emit(id, event("config_deleted", json!({"config_name": name})));
            }
        }
        Ok(())
    }

    fn scale(&mut self, id: &HostId, scale: &trellis_lattice::control::component::ScaleComponent) {
        let mut data = json!({
            "component_id": scale.component_id, "host_id": id, "image_ref": scale.component_ref,
            "annotations": scale.annotations, "max_instances": scale.count,
        });
        let is_bad = self.bad_images.contains(&scale.component_ref);
        let host = self.hosts.get_mut(id).unwrap();
        let other = host
            .components
            .get(&scale.component_id)
            .is_some_and(|there| there.image != scale.component_ref);
        if scale.count > 0 && (is_bad || (other && !scale.allow_update)) {
            data["error"] = "can't be started".into();
            return self.emit(id, event("component_scale_failed", data));
        }
        match scale.count {
            0 => {
                host.components.remove(&scale.component_id);
            }
            instances => {
                let component = Component {
                    image: scale.component_ref.clone(),
                    annotations: scale.annotations.clone().unwrap_or_default(),
                    instances,
                };
                host.components
                    .insert(scale.component_id.clone(), component);
            }
        }
        self.emit(id, event("component_scaled", data));
    }

    /// Happens at a host after so long, and after what was to happen to the same thing before. While the host is
    /// paused nothing happens.
    fn in_order(
        &mut self,
        id: &HostId,
        thing: &ComponentId,
        wait: u64,
        happening: impl FnOnce(&mut World) + 'static,
    ) {
        let now = self.now_ms();
        let host = self.hosts.get_mut(id).unwrap();
        let before = host.busy_until.get(thing).copied().unwrap_or_default();
        let at = before.max(now + wait);
        host.busy_until.insert(thing.clone(), at);
        let id = id.clone();
        self.after(at - now, move |world| {
            // Cut off it goes on, paused it does not.
            match world.hosts.get_mut(&id) {
                Some(host) if host.is_paused => host.inbox.push(Box::new(happening)),
                Some(_) => happening(world),
                None => {}
            }
        });
    }
}

pub fn event(name: &str, data: Value) -> Event {
    let envelope = json!({
        "specversion": "1.0", "id": "1", "type": format!("com.wasmcloud.lattice.{name}"), "source": "a", "data": data,
    });
    let envelope: CloudEvent = serde_json::from_value(envelope).unwrap();
    envelope.event().unwrap()
}
