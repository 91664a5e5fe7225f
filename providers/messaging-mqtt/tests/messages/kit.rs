//! Links, components and a client of the tests' own.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use rumqttc::{
    AsyncClient, Broker, Event, MqttOptions, Packet, Publish, PublishOptions, PublishProperties,
    PublishResult, QoS,
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use trellis_messaging_mqtt::MessagingMqtt;
use trellis_provider::{
    contract::ResolvedLink,
    rpc::{
        CallError,
        interface::{
            Function as _,
            messaging::{
                BrokerMessage, HandleMessage, Publish as PublishCall, Request, RequestParams,
            },
        },
        nats::Serving,
    },
};
use trellis_provider_testkit::{Host, NatsServer, Running, Side, answer};
use trellis_tests::mosquitto::MosquittoServer;

/// The provider's id.
pub const PROVIDER: &str = "mqtt";

/// A link by which a component gets messages.
pub fn receives(component: &str, config: &[(&str, &str)]) -> ResolvedLink {
    Side {
        source: PROVIDER,
        target: component,
        interface: "wasmcloud:messaging/handler",
        config,
    }
    .link()
}

/// A link by which a component sends.
pub fn sends(component: &str, config: &[(&str, &str)]) -> ResolvedLink {
    Side {
        source: component,
        target: PROVIDER,
        interface: "wasmcloud:messaging/consumer",
        config,
    }
    .link()
}

pub fn message(subject: &str, body: &str, reply_to: Option<&str>) -> BrokerMessage {
    BrokerMessage {
        subject: subject.to_owned(),
        body: body.to_owned().into(),
        reply_to: reply_to.map(str::to_owned),
    }
}

/// A provider, beside a NATS server of its own.
pub struct Stage {
    pub host: Host,
    _nats: NatsServer,
}

impl Stage {
    pub async fn set() -> Result<Self> {
        let nats = NatsServer::without_jetstream().await?;
        Ok(Self {
            host: Host::on(&nats).await?,
            _nats: nats,
        })
    }

    /// Starts the provider with these links.
    pub async fn provider(&self, links: Vec<ResolvedLink>) -> Result<Running> {
        Running::start::<MessagingMqtt>(&self.host, self.host.data(PROVIDER, &[], links)?).await
    }

    pub async fn publish(&self, component: &str, message: &BrokerMessage) -> Result<()> {
        self.host
            .call::<PublishCall>(component, PROVIDER, message)
            .await?
            .map_err(anyhow::Error::msg)
    }

    pub async fn request(
        &self,
        component: &str,
        topic: &str,
        body: &str,
        timeout_ms: u32,
    ) -> Result<BrokerMessage> {
        let params = RequestParams {
            subject: topic.to_owned(),
            body: body.to_owned().into(),
            timeout_ms,
        };
        let answer = self
            .host
            .call::<Request>(component, PROVIDER, &params)
            .await?;
        answer.map_err(anyhow::Error::msg)
    }
}

/// A component that does with each message what the test says.
pub async fn component_that<F>(host: &Host, id: &str, handle: F) -> Result<Serving>
where
    F: Fn(BrokerMessage) -> Result<Result<(), String>, CallError> + Send + Sync + 'static,
{
    let handle = Arc::new(handle);
    answer(host, id, move |call| {
        let handle = handle.clone();
        async move {
            let message = HandleMessage::decode_params(call.params)?;
            Ok(HandleMessage::answer(&handle(message)?))
        }
    })
    .await
}

/// A component that tells the test of each message.
pub async fn component(
    host: &Host,
    id: &str,
) -> Result<(Serving, mpsc::UnboundedReceiver<BrokerMessage>)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let serving = component_that(host, id, move |message| {
        sender.send(message).ok();
        Ok(Ok(()))
    })
    .await?;
    Ok((serving, receiver))
}

pub async fn next<T>(messages: &mut mpsc::UnboundedReceiver<T>) -> Result<T> {
    let next = tokio::time::timeout(Duration::from_secs(30), messages.recv());
    next.await
        .context("no message came")?
        .context("the sender is gone")
}

/// A client of the broker that is not ours.
pub struct Client {
    client: AsyncClient,
    pub messages: mpsc::UnboundedReceiver<Publish>,
    _task: AbortOnDropHandle<()>,
}

impl Client {
    pub async fn connect(broker: &MosquittoServer) -> Result<Self> {
        Self::with(broker, |_| ()).await
    }

    pub async fn with(
        broker: &MosquittoServer,
        set: impl FnOnce(&mut MqttOptions),
    ) -> Result<Self> {
        let id = format!("test-{:x}", rand::random::<u64>());
        let mut options = MqttOptions::new(id, Broker::tcp("127.0.0.1", broker.port()));
        options.set_outgoing_inflight_upper_limit(100);
        set(&mut options);
        let (client, mut events) = AsyncClient::builder(options).capacity(100).try_build()?;
        let (sender, messages) = mpsc::unbounded_channel();
        let (ready, connected) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut ready = Some(ready);
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        if let Some(ready) = ready.take() {
                            ready.send(()).ok();
                        }
                    }
                    Ok(Event::Incoming(Packet::Publish(publish))) => drop(sender.send(publish)),
                    Ok(_) => {}
                    // A client of a test does not outlive its connection.
                    Err(_) => break,
                }
            }
        });
        connected.await.context("the test's client is not let in")?;
        Ok(Self {
            client,
            messages,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub async fn subscribe(&self, filter: &str) -> Result<()> {
        let asked = self
            .client
            .subscribe_tracked(filter, QoS::AtLeastOnce)
            .await?;
        Ok(asked.wait_completion_async().await?)
    }

    /// Publishes with QoS 1, and waits until the broker has it; whether anybody has subscribed to it.
    pub async fn publish(&self, topic: &str, body: &str) -> Result<bool> {
        self.say(topic, body, PublishProperties::default()).await
    }

    pub async fn say(
        &self,
        topic: &str,
        body: &str,
        properties: PublishProperties,
    ) -> Result<bool> {
        let options = PublishOptions::new(QoS::AtLeastOnce).properties(properties);
        let notice = self
            .client
            .publish_tracked(topic, body.to_owned(), options)
            .await?;
        match notice.wait_async().await? {
            PublishResult::Qos1(answer) => {
                let nobody = answer.reason == rumqttc::PubAckReason::NoMatchingSubscribers;
                ensure!(
                    nobody || answer.reason == rumqttc::PubAckReason::Success,
                    "{:?}",
                    answer.reason
                );
                Ok(!nobody)
            }
            other => bail!("{other:?}"),
        }
    }
}

/// A message's text.
pub fn text(publish: &Publish) -> String {
    String::from_utf8_lossy(&publish.payload).into_owned()
}
