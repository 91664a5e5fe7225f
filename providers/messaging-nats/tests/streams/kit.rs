//! A server with streams, a component that the test plays, and what it has handled.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Result, ensure};
use async_nats::jetstream::{
    self,
    consumer::PullConsumer,
    stream::{self, RetentionPolicy},
};
use trellis_messaging_nats::MessagingNats;
use trellis_provider::{
    contract::{ResolvedLink, claims::UserKey},
    rpc::{
        interface::{
            Function as _,
            messaging::{BrokerMessage, HandleMessage},
        },
        nats::Serving,
    },
};
use trellis_provider_testkit::{Host, NatsServer, Running, Side, answer, port, wait::until};
use trellis_tests::{nats, process::Process};

pub const CONSUMER: &str = "default-shop-default";

/// A link from the provider to the component `shop`, of the stream `ORDERS`.
pub fn link(config: &[(&str, &str)]) -> ResolvedLink {
    let config = [&[("stream", "ORDERS")][..], config].concat();
    Side {
        source: "msg",
        target: "shop",
        interface: "wasmcloud:messaging/handler",
        config: &config,
    }
    .link()
}

pub struct World {
    pub nats: NatsServer,
    pub host: Host,
    pub js: jetstream::Context,
}

impl World {
    /// A server with the stream `ORDERS`, of the subjects `orders.>`.
    pub async fn start() -> Result<Self> {
        let world = Self::empty().await?;
        world.stream("ORDERS", "orders.>").await?;
        Ok(world)
    }

    pub async fn empty() -> Result<Self> {
        let nats = NatsServer::start().await?;
        let host = Host::on(&nats).await?;
        let js = jetstream::new(nats.connect().await?);
        Ok(Self { nats, host, js })
    }

    pub async fn stream(&self, name: &str, subject: &str) -> Result<()> {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            retention: RetentionPolicy::Limits,
            ..Default::default()
        };
        self.js.create_stream(config).await?;
        Ok(())
    }

    pub async fn provider(&self, links: &[ResolvedLink]) -> Result<Running> {
        let data = self.host.data("msg", &[], links.to_vec())?;
        Running::start::<MessagingNats>(&self.host, data).await
    }

    pub async fn publish(&self, subject: &str, body: &str) -> Result<()> {
        let published = self.js.publish(subject.to_owned(), body.to_owned().into());
        published.await?.await?;
        Ok(())
    }

    /// A component that does with each message what the test says.
    pub async fn component<F, Fut>(&self, handle: F) -> Result<Serving>
    where
        F: Fn(BrokerMessage) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        answer(&self.host, "shop", move |call| {
            let handled = HandleMessage::decode_params(call.params).map(&handle);
            async move { Ok(HandleMessage::answer(&handled?.await)) }
        })
        .await
    }

    pub async fn consumer(&self) -> Result<PullConsumer> {
        Ok(self.js.get_consumer_from_stream(CONSUMER, "ORDERS").await?)
    }

    /// Waits until every message of the stream has come to its end.
    pub async fn until_all_is_handled(&self) -> Result<()> {
        until("every message has come to its end", || async {
            let mut consumer = self.consumer().await?;
            let info = consumer.info().await?;
            ensure!(
                info.num_ack_pending == 0 && info.num_pending == 0,
                "{info:?}"
            );
            Ok(())
        })
        .await
    }
}

/// How often each message was handled.
#[derive(Clone, Default)]
pub struct Handled(Arc<Mutex<HashMap<String, usize>>>);

impl Handled {
    pub fn count(&self, message: &BrokerMessage) -> usize {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(body).or_default();
        *count += 1;
        *count
    }

    pub fn of(&self, body: &str) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(body).copied().unwrap_or_default()
    }

    pub async fn until(&self, body: &str, count: usize) -> Result<()> {
        until("it is handled so often", || async {
            let times = self.of(body);
            ensure!(times >= count, "{body:?}: {times} of {count} times");
            Ok(())
        })
        .await
    }
}

/// A NATS server with JetStream, and two users: one may do everything, and `few` may not publish to some subjects.
pub struct Guarded {
    pub url: String,
    pub all: UserKey,
    pub few: UserKey,
    pub folder: tempfile::TempDir,
    _server: Process,
}

impl Guarded {
    pub async fn start(denied: &str) -> Result<Self> {
        let (folder, port) = (tempfile::TempDir::new()?, port::free()?);
        let (all, few) = (UserKey::generate(), UserKey::generate());
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\n\
             jetstream {{ store_dir: {:?} }}\n\
             authorization {{ users: [\n\
               {{ nkey: {} }}\n\
               {{ nkey: {}, permissions: {{ publish: {{ deny: [{denied:?}] }} }} }}\n\
             ] }}\n",
            folder.path().join("store"),
            all.public(),
            few.public()
        );
        let file = folder.path().join("nats.conf");
        std::fs::write(&file, config)?;
        let mut command = std::process::Command::new(nats::program());
        command.arg("--config").arg(file);
        let server = Process::start("guarded", folder.path(), command)?;
        Ok(Self {
            url: format!("nats://127.0.0.1:{port}"),
            all,
            few,
            folder,
            _server: server,
        })
    }
}
