//! messaging-mqtt: Mosquitto brokers. Of a crash they know nothing: what they had not saved is gone.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use rumqttc::{
    AsyncClient, Broker, Event, EventLoop, MqttOptions, Packet, Publish, PublishOptions,
    PublishProperties, QoS,
};
use tokio::{sync::watch, task::JoinSet};
use trellis_tests::mosquitto::MosquittoServer;

use super::messages::{Messages, Server};

pub type MqttMessages = Messages<MosquittoServer>;

impl Server for MosquittoServer {
    const PROVIDER: &'static str = "messaging-mqtt";
    const ECHO: &'static str = "echo/+";
    const WRONG: &'static str = "echo/#/x";

    async fn start() -> Result<Self> {
        Self::start().await
    }

    fn port(&self) -> u16 {
        self.port()
    }

    async fn crash(&mut self) -> Result<()> {
        self.crash().await
    }

    async fn resume(&mut self) -> Result<()> {
        self.resume().await
    }

    fn setting(port: u16) -> (&'static str, String) {
        ("url", format!("mqtt://127.0.0.1:{port}"))
    }

    fn under(place: &str, name: &str) -> String {
        format!("{place}/{name}")
    }

    async fn listen(&self, asked: &Arc<AtomicU64>, listeners: &mut JoinSet<()>) -> Result<()> {
        let options = MqttOptions::new("listener", Broker::tcp("127.0.0.1", self.port()));
        let (client, events) = AsyncClient::builder(options).capacity(1000).try_build()?;
        let (ready, mut subscribed) = watch::channel(false);
        listeners.spawn(read(client, events, asked.clone(), ready));
        let subscribed = subscribed.wait_for(|subscribed| *subscribed);
        subscribed.await.map(drop).context("the listener ended")
    }
}

async fn read(
    client: AsyncClient,
    mut events: EventLoop,
    asked: Arc<AtomicU64>,
    ready: watch::Sender<bool>,
) {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                for filter in ["answered/+", "echo/+"] {
                    // There is room for it in an empty queue.
                    let _ = client.try_subscribe(filter, QoS::AtLeastOnce);
                }
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                ready.send_replace(true);
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                match message.topic.starts_with(b"echo/") {
                    true => {
                        asked.fetch_add(1, Ordering::SeqCst);
                    }
                    false => answer(&client, message),
                }
            }
            Ok(_) => {}
            // The broker is away: it is looked for again.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

fn answer(client: &AsyncClient, message: Publish) {
    let properties = message.properties.unwrap_or_default();
    let known_by = PublishProperties {
        correlation_data: properties.correlation_data,
        ..PublishProperties::default()
    };
    if let Some(topic) = properties.response_topic {
        let options = PublishOptions::new(QoS::AtLeastOnce).properties(known_by);
        // Where the broker is gone, nobody waits for it.
        let _ = client.try_publish(topic, message.payload, options);
    }
}
