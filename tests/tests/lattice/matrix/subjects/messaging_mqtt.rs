//! messaging-mqtt: two Mosquitto brokers, an actor that asks, and an actor at each broker that answers what is asked there. So
//! each call is a message sent, one received, and an answer that goes back the same way. Of a crash they know nothing: what
//! they had not saved is gone.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use rumqttc::{
    AsyncClient, Broker, Event, EventLoop, MqttOptions, Packet, Publish, PublishOptions,
    PublishProperties, QoS,
};
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
};
use trellis_tests::{gate::Gate, http::Http, lattice::Lattice, mosquitto::MosquittoServer};

use super::super::{
    held::Held,
    stand::Stand,
    subject::{CALLER, Outcome, PROVIDER, Place, Subject, Wanted},
};

/// How long an answer is waited for: what is lost with a broker is never answered.
const PATIENCE_MS: u32 = 2000;

pub struct MqttMessages {
    here: Mutex<MosquittoServer>,
    here_port: u16,
    there: MosquittoServer,
    gate: Arc<Gate>,
    /// What was asked at each broker.
    asked: [Arc<AtomicU64>; 2],
    _listeners: JoinSet<()>,
}

impl Subject for MqttMessages {
    const NAME: &'static str = "messaging-mqtt";
    const ACTORS: &'static [(&'static str, &'static str)] = &[
        (CALLER, "messenger"),
        ("echo-here", "echo_messaging"),
        ("echo-there", "echo_messaging"),
    ];
    const DURABLE: bool = false;

    async fn start() -> Result<Self> {
        let (here, there) = tokio::try_join!(MosquittoServer::start(), MosquittoServer::start())?;
        let at = SocketAddr::from(([127, 0, 0, 1], here.port()));
        let gate = Arc::new(Gate::before(at).await?);
        let mut listeners = JoinSet::new();
        let asked = [Arc::default(), Arc::default()];
        for (broker, asked) in [&here, &there].into_iter().zip(&asked) {
            listen(broker, asked, &mut listeners).await?;
        }
        Ok(Self {
            here_port: here.port(),
            here: Mutex::new(here),
            there,
            gate,
            asked,
            _listeners: listeners,
        })
    }

    fn address(&self) -> Option<SocketAddr> {
        None
    }

    fn links(&self, place: Place) -> Vec<Wanted> {
        let [here, there] = [self.here_port, self.there.port()].map(url);
        let caller = match place {
            Place::Here => here.clone(),
            Place::There => there.clone(),
            Place::Held => url(self.gate.address().port()),
        };
        let subscriptions = || ("subscriptions", "echo/+".to_owned());
        vec![
            sender(CALLER, caller),
            sender("echo-here", here.clone()),
            sender("echo-there", there.clone()),
            receiver("default", "echo-here", vec![subscriptions(), here]),
            receiver("there", "echo-there", vec![subscriptions(), there]),
        ]
    }

    fn wrong(&self) -> (&'static str, Vec<Wanted>) {
        let mut links = self.links(Place::Here);
        for link in &mut links {
            if link.target == "echo-here" {
                link.settings[0].1 = "echo/#/x".to_owned();
            }
        }
        ("subscriptions", links)
    }

    async fn crash(&self, _: &Lattice) -> Result<()> {
        self.here.lock().await.crash().await
    }

    async fn resume(&self, _: &Lattice) -> Result<()> {
        self.here.lock().await.resume().await
    }

    fn away(&self) -> Option<String> {
        Some(format!("127.0.0.1:{}", self.here_port))
    }

    async fn call(&self, http: &Http, number: u32) -> Outcome {
        ask(http, "echo", number).await
    }

    async fn kept(&self, place: Place) -> Result<u64> {
        let [here, there] = &self.asked;
        let asked = match place {
            Place::Here | Place::Held => here,
            Place::There => there,
        };
        Ok(asked.load(Ordering::SeqCst))
    }

    async fn hold(&self, stand: &Stand<Self>) -> Result<Held> {
        Held::at(stand, &self.gate, |http, number| {
            // The test itself answers these: an actor that answers would have to call the provider that is to end.
            async move { ask(&http, "answered", number).await }.boxed()
        })
        .await
    }
}

fn url(port: u16) -> (&'static str, String) {
    ("url", format!("mqtt://127.0.0.1:{port}"))
}

fn sender(actor: &'static str, broker: (&'static str, String)) -> Wanted {
    Wanted {
        source: actor,
        target: PROVIDER,
        name: "default",
        package: "wasmcloud:messaging",
        interfaces: &["consumer"],
        settings: vec![broker],
    }
}

fn receiver(
    name: &'static str,
    actor: &'static str,
    settings: Vec<(&'static str, String)>,
) -> Wanted {
    Wanted {
        source: PROVIDER,
        target: actor,
        name,
        package: "wasmcloud:messaging",
        interfaces: &["handler"],
        settings,
    }
}

async fn ask(http: &Http, topic: &str, number: u32) -> Outcome {
    let path = format!("/request?subject={topic}/n{number}&timeout-ms={PATIENCE_MS}");
    let words = format!("n{number}");
    Outcome::of(http.post(&path, words.clone()).await, |body| body == words)
}

/// Counts what is asked at a broker, and answers there what is asked of the test itself.
async fn listen(
    broker: &MosquittoServer,
    asked: &Arc<AtomicU64>,
    listeners: &mut JoinSet<()>,
) -> Result<()> {
    let options = MqttOptions::new("listener", Broker::tcp("127.0.0.1", broker.port()));
    let (client, events) = AsyncClient::builder(options).capacity(1000).try_build()?;
    let (ready, mut subscribed) = watch::channel(false);
    listeners.spawn(read(client, events, asked.clone(), ready));
    let subscribed = subscribed.wait_for(|subscribed| *subscribed);
    subscribed.await.map(drop).context("the listener ended")
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
