//! Hosts that run nothing: they beat, tell of themselves and answer requests as real ones do, many on one connection.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use async_nats::{Client, Message};
use futures::{StreamExt as _, stream::SelectAll};
use serde_json::{Value, json};
use tokio::{sync::Mutex, task::JoinSet};
use trellis_lattice::{
    HostId, LatticeName, Link,
    connect::NatsSettings,
    control::{
        component::ScaleComponent,
        host::{BEAT_EVERY, ComponentDescription, HostInventory},
    },
    event::{CloudEvent, Event},
    subject::Subjects,
};

/// How many connections they share.
const CONNECTIONS: usize = 4;

/// How many beats a host gives from one telling of all it runs to the next: 30 seconds.
const BEATS: usize = 75;

/// The hosts; they end with this value.
pub(super) struct Fakes {
    _tasks: JoinSet<()>,
}

/// What all hosts of a lattice share.
#[derive(Default)]
struct Shared {
    links: BTreeMap<String, Link>,
    configs: BTreeMap<String, Value>,
}

impl Fakes {
    /// Starts that many, which tell of themselves as `told` does.
    pub(super) async fn start(url: &str, hosts: usize, told: &HostInventory) -> Result<Self> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let mut tasks = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let client = NatsSettings::new(url).connect("hosts").await?;
            let mut group = Group {
                client,
                subjects: Subjects::new(LatticeName::default()),
                hosts: Vec::new(),
                index: BTreeMap::new(),
                template: told
                    .components
                    .first()
                    .cloned()
                    .context("there is no component to tell of")?,
                shared: shared.clone(),
            };
            for number in (connection..hosts).step_by(CONNECTIONS) {
                // As long as a real one.
                let id = HostId::new(format!("N{number:0>55}"))?;
                let name = format!("host-{number}");
                group.index.insert(id.clone(), group.hosts.len());
                group.hosts.push(HostInventory {
                    host_id: id,
                    friendly_name: name,
                    components: Vec::new(),
                    providers: Vec::new(),
                    ..told.clone()
                });
            }
            let requests = group.subscribe().await?;
            tasks.spawn(group.run(requests));
        }
        Ok(Self { _tasks: tasks })
    }
}

/// The hosts of one connection.
struct Group {
    client: Client,
    subjects: Subjects,
    hosts: Vec<HostInventory>,
    index: BTreeMap<HostId, usize>,
    template: ComponentDescription,
    shared: Arc<Mutex<Shared>>,
}

impl Group {
    /// To what real hosts subscribe.
    async fn subscribe(&self) -> Result<SelectAll<async_nats::Subscriber>> {
        let mut requests = SelectAll::new();
        for host in &self.hosts {
            let own = self.subjects.control_of_host(&host.host_id);
            requests.push(self.client.subscribe(own).await?);
            for noun in ["link", "config", "claims"] {
                let (subject, group) = self.subjects.control_of_any_host(noun);
                requests.push(self.client.queue_subscribe(subject, group).await?);
            }
        }
        requests.push(self.client.subscribe(self.subjects.host_ping()).await?);
        self.client.flush().await?;
        Ok(requests)
    }

    async fn run(mut self, mut requests: SelectAll<async_nats::Subscriber>) {
        let each = BEAT_EVERY / u32::try_from(self.hosts.len()).unwrap_or(u32::MAX).max(1);
        let mut tick = tokio::time::interval(each.max(Duration::from_micros(100)));
        let mut beats: usize = 0;
        loop {
            let done = tokio::select! {
                _ = tick.tick() => {
                    beats += 1;
                    self.beat(beats).await
                }
                request = requests.next() => match request {
                    Some(request) => self.answer(request).await,
                    None => return,
                },
            };
            if let Err(error) = done {
                eprintln!("a light-weight host: {error:#}");
                return;
            }
        }
    }

    /// The next host beats, and tells of all it runs when it is time.
    async fn beat(&mut self, beats: usize) -> Result<()> {
        let at = beats % self.hosts.len();
        let round = beats / self.hosts.len();
        let host = &self.hosts[at];
        let subject = self.subjects.beat(&host.host_id);
        self.client.publish(subject, "".into()).await?;
        if (round + at).is_multiple_of(BEATS) {
            let event = Event::HostHeartbeat(host.clone());
            self.tell(&host.host_id, &event).await?;
        }
        Ok(())
    }

    async fn tell(&self, host: &HostId, event: &Event) -> Result<()> {
        let envelope = serde_json::to_vec(&CloudEvent::new(host, event))?;
        let subject = self.subjects.event(event.name());
        Ok(self.client.publish(subject, envelope.into()).await?)
    }

    async fn answer(&mut self, request: Message) -> Result<()> {
        let Some(reply) = request.reply.clone() else {
            return Ok(());
        };
        let suffix = self.subjects.control_suffix(&request.subject);
        let suffix = suffix.unwrap_or_default().to_owned();
        let tokens: Vec<&str> = suffix.split('.').collect();
        let body = || serde_json::from_slice::<Value>(&request.payload);
        let done = json!({"success": true, "message": ""});
        let ok = |response: Value| json!({"success": true, "message": "", "response": response});
        let answer = match tokens[..] {
            ["host", "ping"] => {
                for host in &self.hosts {
                    let answer = ok(json!({
                        "id": host.host_id, "friendly_name": host.friendly_name, "labels": host.labels,
                        "lattice": self.subjects.lattice(), "version": host.version,
                        "uptime_human": host.uptime_human, "uptime_seconds": host.uptime_seconds,
                    }));
                    let answer = answer.to_string();
                    self.client.publish(reply.clone(), answer.into()).await?;
                }
                return Ok(());
            }
            ["host", "get", id] => match self.host(id) {
                Some(host) => ok(serde_json::to_value(host)?),
                None => return Ok(()),
            },
            ["component", "scale", _] => {
                let answer = done.to_string();
                self.client.publish(reply, answer.into()).await?;
                return self.scale(&serde_json::from_slice(&request.payload)?).await;
            }
            ["link", "get"] => {
                let shared = self.shared.lock().await;
                ok(serde_json::to_value(
                    shared.links.values().collect::<Vec<_>>(),
                )?)
            }
            ["link", "put"] => {
                let link: Link = serde_json::from_slice(&request.payload)?;
                let mut shared = self.shared.lock().await;
                shared.links.insert(link.key().to_string(), link);
                done
            }
            ["config", "get", name] => match self.shared.lock().await.configs.get(name) {
                Some(config) => ok(config.clone()),
                None => done,
            },
            ["config", "put", name] => {
                let mut shared = self.shared.lock().await;
                shared.configs.insert(name.to_owned(), body()?);
                done
            }
            _ => json!({"success": false, "message": "a light-weight host does not know this"}),
        };
        let answer = answer.to_string();
        Ok(self.client.publish(reply, answer.into()).await?)
    }

    fn host(&mut self, id: &str) -> Option<&mut HostInventory> {
        let id = HostId::new(id).ok()?;
        self.hosts.get_mut(*self.index.get(&id)?)
    }

    async fn scale(&mut self, scale: &ScaleComponent) -> Result<()> {
        let described = ComponentDescription {
            id: scale.component_id.clone(),
            image_ref: scale.component_ref.clone(),
            annotations: scale.annotations.clone().unwrap_or_default(),
            max_instances: scale.count,
            ..self.template.clone()
        };
        let event = json!({
            "specversion": "1.0", "id": "0", "type": "com.wasmcloud.lattice.component_scaled", "source": scale.host_id,
            "data": {
                "component_id": scale.component_id, "host_id": scale.host_id, "image_ref": scale.component_ref,
                "annotations": described.annotations, "max_instances": scale.count,
            },
        });
        let Some(host) = self.host(scale.host_id.as_str()) else {
            return Ok(());
        };
        host.components.retain(|there| there.id != described.id);
        if scale.count > 0 {
            host.components.push(described);
        }
        let event = serde_json::from_value::<CloudEvent>(event)?.event()?;
        self.tell(&scale.host_id, &event).await
    }
}
