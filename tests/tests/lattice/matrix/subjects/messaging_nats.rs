//! messaging-nats: two NATS that aren't the lattice's, an actor that asks, and an actor at each server that answers what is
//! asked there. So each call is a message sent, one received, and an answer that goes back the same way. Core NATS keeps
//! nothing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Result;
use futures::{FutureExt as _, StreamExt as _};
use tokio::{sync::Mutex, task::JoinSet};
use trellis_tests::{gate::Gate, http::Http, lattice::Lattice, nats::NatsServer};

use super::super::{
    held::Held,
    stand::Stand,
    subject::{CALLER, Outcome, PROVIDER, Place, Subject, Wanted},
};

/// How long an answer is waited for: what is lost with a server is never answered.
const PATIENCE_MS: u32 = 2000;

pub struct NatsMessages {
    here: Mutex<NatsServer>,
    here_port: u16,
    there: NatsServer,
    gate: Arc<Gate>,
    /// What was asked at each server.
    asked: [Arc<AtomicU64>; 2],
    _listeners: JoinSet<()>,
}

impl Subject for NatsMessages {
    const NAME: &'static str = "messaging-nats";
    const ACTORS: &'static [(&'static str, &'static str)] = &[
        (CALLER, "messenger"),
        ("echo-here", "echo_messaging"),
        ("echo-there", "echo_messaging"),
    ];
    const DURABLE: bool = false;

    async fn start() -> Result<Self> {
        let (here, there) = tokio::try_join!(NatsServer::start(), NatsServer::start())?;
        let at = SocketAddr::from(([127, 0, 0, 1], here.port()));
        let gate = Arc::new(Gate::before(at).await?);
        let mut listeners = JoinSet::new();
        let asked = [Arc::default(), Arc::default()];
        for (server, asked) in [&here, &there].into_iter().zip(&asked) {
            count(server, asked, &mut listeners).await?;
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
        let subscriptions = || ("subscriptions", "echo.*".to_owned());
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
                link.settings[0].1 = "echo..*".to_owned();
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
        ask(http, &format!("echo.n{number}"), number).await
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
            async move { ask(&http, &format!("answered.n{number}"), number).await }.boxed()
        })
        .await
    }
}

fn url(port: u16) -> (&'static str, String) {
    ("cluster_uris", format!("nats://127.0.0.1:{port}"))
}

/// The link of an actor that sends.
pub fn sender(actor: &'static str, server: (&'static str, String)) -> Wanted {
    Wanted {
        source: actor,
        target: PROVIDER,
        name: "default",
        package: "wasmcloud:messaging",
        interfaces: &["consumer"],
        settings: vec![server],
    }
}

/// The link of an actor that is given messages.
pub fn receiver(
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

/// Has the caller's actor ask; the answer is the question.
pub async fn ask(http: &Http, subject: &str, number: u32) -> Outcome {
    let path = format!("/request?subject={subject}&timeout-ms={PATIENCE_MS}");
    let words = format!("n{number}");
    Outcome::of(http.post(&path, words.clone()).await, |body| body == words)
}

/// Counts what is asked at a server, and answers there what is asked of the test itself.
async fn count(
    server: &NatsServer,
    asked: &Arc<AtomicU64>,
    listeners: &mut JoinSet<()>,
) -> Result<()> {
    let client = server.connect().await?;
    let mut echoed = client.subscribe("echo.*").await?;
    let mut answered = client.subscribe("answered.*").await?;
    client.flush().await?;
    let asked = asked.clone();
    listeners.spawn(async move {
        while echoed.next().await.is_some() {
            asked.fetch_add(1, Ordering::SeqCst);
        }
    });
    listeners.spawn(async move {
        while let Some(message) = answered.next().await {
            if let Some(reply) = message.reply {
                // Where the server is gone, nobody waits for it.
                let _ = client.publish(reply, message.payload).await;
            }
        }
    });
    Ok(())
}
