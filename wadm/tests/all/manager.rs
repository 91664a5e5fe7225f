//! An application manager in the test's process, and its API as 1.x's tools use it.

use std::time::Duration;

use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use trellis_lattice::connect::NatsSettings;
use trellis_wadm::{Settings, WadmConfig, WadmError, attempts::Timing};

pub struct Manager {
    task: JoinHandle<Result<(), WadmError>>,
    shutdown: CancellationToken,
}

impl Manager {
    pub async fn start(nats: NatsSettings) -> Self {
        let settings = Settings {
            ping_every: Duration::from_millis(200),
            host_grace: Duration::from_secs(1),
            reconnect_grace: Duration::from_secs(5),
            lease: Duration::from_millis(1500),
            retry: Timing {
                first_wait: Duration::from_millis(200),
                longest_wait: Duration::from_secs(1),
                ..Timing::default()
            },
            ..Settings::default()
        };
        Self::start_with(nats, settings).await
    }

    async fn start_with(nats: NatsSettings, settings: Settings) -> Self {
        let config = WadmConfig {
            nats,
            settings,
            ..WadmConfig::default()
        };
        let (ready, is_ready) = oneshot::channel();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(trellis_wadm::run(config, ready, shutdown.clone()));
        if is_ready.await.is_err() {
            panic!("{:?}", task.await);
        }
        Self { task, shutdown }
    }

    /// One with the settings that users have.
    pub async fn start_as_shipped(nats: NatsSettings) -> Self {
        Self::start_with(nats, Settings::default()).await
    }

    /// Ends it in the middle of what it does.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A manager that can be stopped and go on, as a process by signals: it has a thread of its own.
pub struct Freezable {
    runtime: tokio::runtime::Handle,
    stop: CancellationToken,
    thread: std::thread::JoinHandle<()>,
}

impl Freezable {
    pub async fn start(nats: NatsSettings) -> Self {
        let (ready, is_ready) = oneshot::channel();
        let stop = CancellationToken::new();
        let until = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let manager = Manager::start_as_shipped(nats).await;
                ready.send(tokio::runtime::Handle::current()).unwrap();
                until.cancelled().await;
                manager.stop().await;
            });
        });
        Self {
            runtime: is_ready.await.unwrap(),
            stop,
            thread,
        }
    }

    /// Nothing of it runs until the sender is used or dropped.
    pub fn freeze(&self) -> std::sync::mpsc::Sender<()> {
        let (thaw, thawed) = std::sync::mpsc::channel();
        self.runtime.spawn(async move {
            let _ = thawed.recv();
        });
        thaw
    }

    pub fn stop(self) {
        self.stop.cancel();
        self.thread.join().unwrap();
    }
}

/// One request to the API.
pub async fn ask(client: &async_nats::Client, verb: &str, body: impl AsRef<[u8]>) -> Value {
    try_ask(client, verb, body, crate::nats::PATIENCE)
        .await
        .unwrap()
}

/// One request to the API, which may be lost.
pub async fn try_ask(
    client: &async_nats::Client,
    verb: &str,
    body: impl AsRef<[u8]>,
    timeout: Duration,
) -> Result<Value, async_nats::RequestError> {
    let subject = format!("wadm.api.default.model.{verb}");
    let request = async_nats::Request::new()
        .payload(body.as_ref().to_vec().into())
        .timeout(Some(timeout));
    let reply = client.send_request(subject, request).await?;
    Ok(serde_json::from_slice(&reply.payload).unwrap())
}
