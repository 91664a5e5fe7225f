//! A lattice for one test: a NATS server, hosts in this process, and what they say.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use trellis_host::{HostConfig, HostError};
use trellis_lattice::{
    ComponentId, HostId, LatticeName,
    client::ControlClient,
    connect::NatsSettings,
    control::{component::ScaleComponent, host::HostInventory, provider::StartProvider},
    event::{CloudEvent, Event},
};
use trellis_tests::{nats::NatsServer, wait::until};

use crate::probe;

/// How long a test waits for something to happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A NATS server, what one test does there, and what it hears.
pub struct Lattice {
    pub server: NatsServer,
    pub client: async_nats::Client,
    pub control: ControlClient,
    pub events: Events,
    pub folder: TempDir,
}

impl Lattice {
    pub async fn start() -> Result<Self> {
        let server = NatsServer::start().await?;
        let client = server.connect().await?;
        let control = ControlClient::new(client.clone(), LatticeName::default())
            .with_auction_timeout(Duration::from_millis(300));
        let events = Events::of(&client).await?;
        let folder = TempDir::new()?;
        Ok(Self {
            server,
            client,
            control,
            events,
            folder,
        })
    }

    /// Settings for a host here; it runs unsigned things, and its built-in provider `probe` is the test's own.
    pub fn config(&self) -> Result<HostConfig> {
        let folder = self.folder.path().join(uuid());
        std::fs::create_dir(&folder)?;
        Ok(HostConfig {
            nats: NatsSettings::new(self.server.url()),
            allow_unsigned: true,
            builtin_executable: probe::script(&folder)?,
            builtin_providers: vec!["probe".into()],
            cache_dir: folder.join("cache"),
            data_dir: folder.join("data"),
            provider_stop_grace: Duration::from_secs(5),
            ..HostConfig::default()
        })
    }

    /// A host with these settings.
    pub async fn host(&self) -> Result<Host> {
        Host::start(self.config()?).await
    }

    /// What a provider of that id is told, from now on.
    pub async fn probe(&self, id: &str) -> Result<Told> {
        Told::of(&self.client, id).await
    }

    /// A request as it goes over the wire.
    pub async fn request(&self, suffix: &str, body: &[u8]) -> Result<Value> {
        let subject = format!("wasmbus.ctl.v1.default.{suffix}");
        let answer = self.client.request(subject, body.to_vec().into()).await;
        let answer = answer.with_context(|| suffix.to_owned())?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }

    pub async fn start_probe(&self, host: &HostId, id: &str, config: &[&str]) -> Result<()> {
        let request = StartProvider {
            provider_id: ComponentId::new(id)?,
            provider_ref: "builtin:probe".into(),
            host_id: host.clone(),
            config: config.iter().map(|name| (*name).to_owned()).collect(),
            annotations: None,
        };
        Ok(self.control.start_provider(&request).await?)
    }
}

fn uuid() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// A component that answers `test:actors/ask@0.1.0.number` with a number, written to the folder; its reference.
pub fn component(folder: &Path, number: u32) -> Result<String> {
    let path = folder.join(format!("answer-{number}.wasm"));
    std::fs::write(&path, component_bytes(number)?)?;
    Ok(format!("file://{}", path.display()))
}

pub fn component_bytes(number: u32) -> Result<Vec<u8>> {
    Ok(wat::parse_str(format!(
        r#"(component
            (core module $m (func (export "f") (result i32) i32.const {number}))
            (core instance $i (instantiate $m))
            (func $f (result u32) (canon lift (core func $i "f")))
            (instance $ask (export "number" (func $f)))
            (export "test:actors/ask@0.1.0" (instance $ask)))"#
    ))?)
}

pub fn scale(host: &HostId, id: &str, image: &str, count: u32) -> ScaleComponent {
    serde_json::from_value(json!({
        "component_ref": image, "component_id": id, "host_id": host, "count": count,
    }))
    .unwrap()
}

/// A host in this process.
pub struct Host {
    pub id: HostId,
    shutdown: CancellationToken,
    pub task: JoinHandle<Result<(), HostError>>,
}

impl Host {
    pub async fn start(config: HostConfig) -> Result<Self> {
        let (ready, id) = oneshot::channel();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(trellis_host::run(config, ready, shutdown.clone()));
        match tokio::time::timeout(DEADLINE, id).await? {
            Ok(id) => Ok(Self { id, shutdown, task }),
            Err(_) => bail!("the host did not start: {:?}", task.await?),
        }
    }

    /// Ends it in order.
    pub async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        Ok(tokio::time::timeout(DEADLINE, self.task).await???)
    }
}

/// The lattice's events, in order.
pub struct Events {
    events: mpsc::UnboundedReceiver<CloudEvent>,
    _task: tokio::task::JoinSet<()>,
}

impl Events {
    async fn of(client: &async_nats::Client) -> Result<Self> {
        let mut subscriber = client.subscribe("wasmbus.evt.default.>").await?;
        client.flush().await?;
        let (sender, events) = mpsc::unbounded_channel();
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            while let Some(message) = subscriber.next().await {
                let event = CloudEvent::read(&message.payload).unwrap();
                assert_eq!(
                    message.subject.rsplit('.').next(),
                    event.ty.rsplit('.').next()
                );
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            events,
            _task: task,
        })
    }

    /// The next event that fits; those before it are passed over.
    pub async fn next<T>(&mut self, mut fits: impl FnMut(&Event) -> Option<T>) -> Result<T> {
        let mut passed = Vec::new();
        let found = async {
            loop {
                let event = self
                    .events
                    .recv()
                    .await
                    .context("no more events")?
                    .event()?;
                if let Some(found) = fits(&event) {
                    return Ok(found);
                }
                passed.push(event.name().to_owned());
            }
        };
        match tokio::time::timeout(DEADLINE, found).await {
            Ok(found) => found,
            Err(_) => bail!("the awaited event did not come; there were {passed:?}"),
        }
    }

    /// The next event of that name; gives its data.
    pub async fn named(&mut self, name: &str) -> Result<Value> {
        self.next(|event| (event.name() == name).then(|| event.data()))
            .await
    }
}

/// What a probe says.
pub struct Told {
    subscriber: async_nats::Subscriber,
}

impl Told {
    /// What a provider of that id is told, from now on.
    pub async fn of(client: &async_nats::Client, id: &str) -> Result<Self> {
        let subscriber = client.subscribe(format!("probe.{id}")).await?;
        // The server has the subscription when it has answered something sent after it.
        client.flush().await?;
        Ok(Self { subscriber })
    }

    /// The next message of that kind.
    pub async fn next(&mut self, what: &str) -> Result<Value> {
        let next = async {
            loop {
                let message = self.subscriber.next().await.context("no more messages")?;
                let told: Value = serde_json::from_slice(&message.payload)?;
                if told["what"] == what {
                    return Ok(told);
                }
            }
        };
        match tokio::time::timeout(DEADLINE, next).await {
            Ok(told) => told,
            Err(_) => bail!("the provider was not told {what:?}"),
        }
    }

    /// Everything told until now.
    pub async fn drain(&mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Ok(Some(message)) =
            tokio::time::timeout(Duration::from_millis(1), self.subscriber.next()).await
        {
            all.push(serde_json::from_slice(&message.payload).unwrap());
        }
        all
    }
}

/// Waits until a host's inventory is so.
pub async fn inventory(
    lattice: &Lattice,
    host: &HostId,
    fits: impl Fn(&HostInventory) -> bool,
) -> Result<HostInventory> {
    until("the inventory", || {
        let inventory = lattice.control.inventory(host);
        let fits = &fits;
        async move {
            let inventory = inventory.await?;
            if !fits(&inventory) {
                bail!("it is {inventory:?}");
            }
            Ok(inventory)
        }
    })
    .await
}

/// Whether a process runs; one that has ended but was not waited for does not.
pub fn runs(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}

pub async fn gone(pid: u64) -> Result<()> {
    until("the process is gone", || async move {
        anyhow::ensure!(!runs(pid), "process {pid} runs");
        Ok(())
    })
    .await
}

/// The process id that a probe told when it started.
pub fn pid(started: &Value) -> u64 {
    started["pid"].as_u64().unwrap()
}
