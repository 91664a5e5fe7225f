//! Hosts as an application manager sees them: they answer the control interface over a real NATS server and emit its
//! events, but run nothing. (The real host is tested with the manager in the `tests` crate.)

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use trellis_lattice::{
    HostId, LatticeName, Link,
    control::host::BEAT_EVERY,
    event::{CloudEvent, Event},
    header::FENCE,
    subject::Subjects,
};

/// A lattice's shared state, and all that was asked of it.
#[derive(Default)]
pub struct Shared {
    pub links: BTreeMap<String, Value>,
    pub configs: BTreeMap<String, Value>,
    /// Subject and body of every command, in order.
    pub asked: Vec<(String, Value)>,
    /// Why providers can't be started, while they can't.
    pub provider_error: Option<String>,
    /// The leadership of every command that was carried out, and when, in order.
    pub commanded: Vec<(u64, Instant)>,
    /// How many requests were refused because of their leadership.
    pub fenced: usize,
    /// Images of components that no host takes.
    pub refused: BTreeSet<String>,
    /// Calls to each component between two inventories, and how many of ten fail of an image.
    pub calls: u64,
    pub failing: BTreeMap<String, u64>,
    /// The most calls at once to a component on a host, between two inventories. They wake it.
    pub peak: u64,
    /// The host that can't start components, while it can't.
    pub refusing: Option<String>,
}

pub type Lattice = Arc<Mutex<Shared>>;

/// What one host runs, by id: the inventory's entries.
#[derive(Default)]
pub struct Running {
    pub components: BTreeMap<String, Value>,
    pub providers: BTreeMap<String, Value>,
}

pub struct Host {
    pub running: Arc<Mutex<Running>>,
    task: JoinHandle<()>,
    is_paused: Arc<AtomicBool>,
}

impl Host {
    /// A host joins. It beats.
    pub async fn join(nats: &crate::nats::Nats, lattice: &Lattice, name: &str) -> Self {
        Self::start(nats, lattice, name, true).await
    }

    /// A host as 1.x's joins: it does not beat.
    pub async fn join_1_x(nats: &crate::nats::Nats, lattice: &Lattice, name: &str) -> Self {
        Self::start(nats, lattice, name, false).await
    }

    async fn start(nats: &crate::nats::Nats, lattice: &Lattice, name: &str, beats: bool) -> Self {
        let client = nats.connect().await;
        let running = Arc::new(Mutex::new(Running::default()));
        let server = Server {
            id: name.parse().unwrap(),
            subjects: Subjects::new(LatticeName::default()),
            client: client.clone(),
            lattice: lattice.clone(),
            running: running.clone(),
            fence: AtomicU64::new(0),
        };
        let mut direct = client.subscribe("wasmbus.ctl.v1.default.>").await.unwrap();
        // Once the server knows the subscription.
        client.flush().await.unwrap();
        server
            .emit(&json_event(
                "host_started",
                json!({"friendly_name": name, "labels": {}}),
            ))
            .await;
        let is_paused = Arc::new(AtomicBool::new(false));
        let paused = is_paused.clone();
        let task = tokio::spawn(async move {
            let mut beat = tokio::time::interval(BEAT_EVERY);
            beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                let message = tokio::select! {
                    message = direct.next() => message,
                    _ = beat.tick(), if beats && !paused.load(Ordering::Relaxed) => {
                        let subject = server.subjects.beat(&server.id);
                        client.publish(subject, "".into()).await.unwrap();
                        continue;
                    }
                };
                let Some(message) = message else { return };
                // What comes meanwhile waits, as in a process that is stopped.
                while paused.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let Some(answer) = server.answer(&message).await else {
                    continue;
                };
                if let Some(reply) = message.reply {
                    client
                        .publish(reply, answer.to_string().into())
                        .await
                        .unwrap();
                }
            }
        });
        Self {
            running,
            task,
            is_paused,
        }
    }

    /// Stops as if by a signal: its connection stays.
    pub fn pause(&self) {
        self.is_paused.store(true, Ordering::Relaxed);
    }

    /// Ends as if killed: without a word.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub fn count(&self, component: &str) -> u64 {
        self.running
            .lock()
            .unwrap()
            .components
            .get(component)
            .map_or(0, |there| there["max_instances"].as_u64().unwrap())
    }

    pub fn has_provider(&self, provider: &str) -> bool {
        self.running
            .lock()
            .unwrap()
            .providers
            .contains_key(provider)
    }

    pub fn is_empty(&self) -> bool {
        let running = self.running.lock().unwrap();
        running.components.is_empty() && running.providers.is_empty()
    }
}

struct Server {
    id: HostId,
    subjects: Subjects,
    client: async_nats::Client,
    lattice: Lattice,
    running: Arc<Mutex<Running>>,
    /// The greatest leadership it has seen.
    fence: AtomicU64,
}

impl Server {
    async fn answer(&self, message: &async_nats::Message) -> Option<Value> {
        let suffix = message
            .subject
            .strip_prefix("wasmbus.ctl.v1.default.")?
            .to_owned();
        let body: Value = match message.payload.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&message.payload).unwrap(),
        };
        let fence = message.headers.as_ref().and_then(|headers| {
            let fence = headers.get(FENCE)?;
            fence.as_str().parse().ok()
        });
        // Tests command too, and lead nothing.
        let fence: u64 = fence.unwrap_or(u64::MAX);
        let highest = match fence {
            u64::MAX => 0,
            fence => self.fence.fetch_max(fence, Ordering::Relaxed),
        };
        // Of a request that any host may answer, the first in the order of names does.
        let mine = suffix.ends_with(&format!(".{}", self.id));
        match suffix.as_str() {
            "host.ping" => {
                return Some(ok(
                    json!({"id": self.id, "friendly_name": self.id, "labels": {}, "lattice": "default"}),
                ));
            }
            _ if mine && suffix.starts_with("host.get.") => return Some(ok(self.inventory())),
            _ => {}
        }
        let is_write = [
            "component.scale.",
            "provider.",
            "link.put",
            "link.del",
            "config.put.",
            "config.del.",
        ]
        .iter()
        .any(|prefix| suffix.starts_with(prefix));
        if mine
            || !(suffix.starts_with("component.")
                || suffix.starts_with("provider.")
                || suffix.starts_with("host."))
        {
            if !mine && self.id.as_str() != "a" {
                return None;
            }
            if is_write {
                let mut shared = self.lattice.lock().unwrap();
                if fence < highest {
                    shared.fenced += 1;
                    return Some(refused(&format!(
                        "fenced: another one leads (leadership {highest}; the request is of {fence})"
                    )));
                }
                shared.commanded.push((fence, Instant::now()));
                shared.asked.push((suffix.clone(), body.clone()));
            }
            let (answer, event) = self.carry_out(&suffix, &body)?;
            if let Some(event) = event {
                self.emit(&event).await;
            }
            return Some(answer);
        }
        None
    }

    fn carry_out(&self, suffix: &str, body: &Value) -> Option<(Value, Option<Event>)> {
        let mut shared = self.lattice.lock().unwrap();
        let mut running = self.running.lock().unwrap();
        let (noun, rest) = suffix.split_once('.')?;
        let (verb, name) = rest.split_once('.').unwrap_or((rest, ""));
        Some(match (noun, verb) {
            ("component", "scale") => {
                let id = body["component_id"].as_str()?.to_owned();
                let error = match () {
                    () if shared.refused.contains(body["component_ref"].as_str()?) => {
                        Some("it is no component")
                    }
                    () if shared.refusing.as_deref() == Some(self.id.as_str())
                        && body["count"] != 0 =>
                    {
                        Some("not signed")
                    }
                    () => None,
                };
                if let Some(error) = error {
                    let event = json!({
                        "component_id": id, "host_id": self.id, "image_ref": body["component_ref"],
                        "annotations": body["annotations"], "max_instances": body["count"], "error": error,
                    });
                    return Some((done(), Some(json_event("component_scale_failed", event))));
                }
                match body["count"].as_u64()? {
                    0 => running.components.remove(&id),
                    count => running.components.insert(id.clone(), json!({
                        "id": id, "image_ref": body["component_ref"], "annotations": body["annotations"], "max_instances": count,
                        "dormant": body["dormant"].as_bool().unwrap_or_default(),
                    })),
                };
                let event = json!({
                    "component_id": id, "host_id": self.id, "image_ref": body["component_ref"],
                    "annotations": body["annotations"], "max_instances": body["count"],
                    "dormant": body["dormant"].as_bool().unwrap_or_default(),
                });
                (done(), Some(json_event("component_scaled", event)))
            }
            ("provider", "start") => {
                let id = body["provider_id"].as_str()?.to_owned();
                if let Some(error) = &shared.provider_error {
                    let event = json!({"provider_id": id, "host_id": self.id, "error": error});
                    return Some((done(), Some(json_event("provider_start_failed", event))));
                }
                if running.providers.contains_key(&id) {
                    return Some((refused("it runs already"), None));
                }
                running.providers.insert(id.clone(), json!({
                    "id": id, "image_ref": body["provider_ref"], "annotations": body["annotations"],
                }));
                let event = json!({
                    "provider_id": id, "host_id": self.id, "image_ref": body["provider_ref"], "annotations": body["annotations"],
                });
                (done(), Some(json_event("provider_started", event)))
            }
            ("provider", "stop") => {
                let id = body["provider_id"].as_str()?;
                if running.providers.remove(id).is_none() {
                    return Some((refused("it does not run here"), None));
                }
                let event = json!({"provider_id": id, "host_id": self.id, "reason": "stop"});
                (done(), Some(json_event("provider_stopped", event)))
            }
            ("link", "get") => (ok(shared.links.values().cloned().collect()), None),
            ("link", "put") => {
                let link: Link = serde_json::from_value(body.clone()).unwrap();
                shared
                    .links
                    .insert(link.key().to_string(), serde_json::to_value(&link).unwrap());
                (done(), Some(Event::LinkSet(link)))
            }
            ("link", "del") => {
                let key: trellis_lattice::LinkKey = serde_json::from_value(body.clone()).unwrap();
                shared.links.remove(&key.to_string());
                (done(), Some(json_event("linkdef_deleted", body.clone())))
            }
            ("config", "get") => match shared.configs.get(name) {
                Some(config) => (ok(config.clone()), None),
                None => (
                    json!({"success": true, "message": "Configuration not found"}),
                    None,
                ),
            },
            ("config", "put") => {
                shared.configs.insert(name.to_owned(), body.clone());
                (
                    done(),
                    Some(json_event("config_set", json!({"config_name": name}))),
                )
            }
            ("config", "del") => {
                shared.configs.remove(name);
                (
                    done(),
                    Some(json_event("config_deleted", json!({"config_name": name}))),
                )
            }
            _ => (refused("unknown request"), None),
        })
    }

    fn inventory(&self) -> Value {
        let shared = self.lattice.lock().unwrap();
        let mut running = self.running.lock().unwrap();
        for there in running.components.values_mut() {
            let image = there["image_ref"].as_str().unwrap();
            let failing = shared.failing.get(image).copied().unwrap_or_default();
            let calls = there["stats"]["calls"].as_u64().unwrap_or_default() + shared.calls;
            there["stats"] =
                json!({"calls": calls, "errors": calls / 10 * failing, "peak": shared.peak});
            if shared.peak > 0 {
                there["dormant"] = false.into();
            }
        }
        json!({
            "host_id": self.id, "friendly_name": self.id, "labels": {},
            "components": running.components.values().collect::<Vec<_>>(),
            "providers": running.providers.values().collect::<Vec<_>>(),
        })
    }

    async fn emit(&self, event: &Event) {
        let envelope = CloudEvent::new(&self.id, event);
        let payload = serde_json::to_vec(&envelope).unwrap();
        self.client
            .publish(self.subjects.event(event.name()), payload.into())
            .await
            .unwrap();
    }
}

fn json_event(name: &str, data: Value) -> Event {
    let envelope = json!({
        "specversion": "1.0", "id": "1", "type": format!("com.wasmcloud.lattice.{name}"), "source": "a", "data": data,
    });
    let envelope: CloudEvent = serde_json::from_value(envelope).unwrap();
    envelope.event().unwrap()
}

fn ok(response: Value) -> Value {
    json!({"success": true, "message": "", "response": response})
}

fn done() -> Value {
    json!({"success": true, "message": ""})
}

fn refused(message: &str) -> Value {
    json!({"success": false, "message": message})
}
