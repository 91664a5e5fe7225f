//! What the providers of messages have in common: two servers, an actor that asks, and an actor at each server that answers
//! what is asked there. So each call is a message sent, one received, and an answer that goes back the same way. The servers
//! keep nothing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Result;
use futures::FutureExt as _;
use tokio::{sync::Mutex, task::JoinSet};
use trellis_tests::{gate::Gate, http::Http, lattice::Lattice};

use super::super::{
    held::Held,
    stand::Stand,
    subject::{CALLER, Outcome, PROVIDER, Place, Subject, Wanted},
};

/// How long an answer is waited for: what is lost with a server is never answered.
const PATIENCE_MS: u32 = 2000;

/// A kind of server that messages go over.
pub trait Server: Sized + Send + Sync + 'static {
    const PROVIDER: &'static str;
    /// What the actors that answer subscribe to: all that is under `echo`.
    const ECHO: &'static str;
    /// What nobody can subscribe to.
    const WRONG: &'static str;

    fn start() -> impl Future<Output = Result<Self>> + Send;
    fn port(&self) -> u16;
    fn crash(&mut self) -> impl Future<Output = Result<()>> + Send;
    fn resume(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// The setting of a link that leads there.
    fn setting(port: u16) -> (&'static str, String);
    /// A place for messages under another.
    fn under(place: &str, name: &str) -> String;

    /// Counts what is asked under `echo`, and answers what is asked of the test itself, under `answered`.
    fn listen(
        &self,
        asked: &Arc<AtomicU64>,
        listeners: &mut JoinSet<()>,
    ) -> impl Future<Output = Result<()>> + Send;
}

pub struct Messages<S> {
    here: Mutex<S>,
    here_port: u16,
    there: S,
    gate: Arc<Gate>,
    /// What was asked at each server.
    asked: [Arc<AtomicU64>; 2],
    _listeners: JoinSet<()>,
}

impl<S: Server> Subject for Messages<S> {
    const NAME: &'static str = S::PROVIDER;
    const ACTORS: &'static [(&'static str, &'static str)] = &[
        (CALLER, "messenger"),
        ("echo-here", "echo_messaging"),
        ("echo-there", "echo_messaging"),
    ];
    const DURABLE: bool = false;

    async fn start() -> Result<Self> {
        let (here, there) = tokio::try_join!(S::start(), S::start())?;
        let at = SocketAddr::from(([127, 0, 0, 1], here.port()));
        let gate = Arc::new(Gate::before(at).await?);
        let mut listeners = JoinSet::new();
        let asked = [Arc::default(), Arc::default()];
        for (server, asked) in [&here, &there].into_iter().zip(&asked) {
            server.listen(asked, &mut listeners).await?;
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
        let [here, there] = [self.here_port, self.there.port()].map(S::setting);
        let caller = match place {
            Place::Here => here.clone(),
            Place::There => there.clone(),
            Place::Held => S::setting(self.gate.address().port()),
        };
        let subscriptions = || ("subscriptions", S::ECHO.to_owned());
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
                link.settings[0].1 = S::WRONG.to_owned();
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
        ask::<S>(http, "echo", number).await
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
            async move { ask::<S>(&http, "answered", number).await }.boxed()
        })
        .await
    }
}

fn sender(actor: &'static str, server: (&'static str, String)) -> Wanted {
    Wanted {
        source: actor,
        target: PROVIDER,
        name: "default",
        package: "wasmcloud:messaging",
        interfaces: &["consumer"],
        settings: vec![server],
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

/// Has the caller's actor ask; the answer is the question.
async fn ask<S: Server>(http: &Http, place: &str, number: u32) -> Outcome {
    let words = format!("n{number}");
    let subject = S::under(place, &words);
    let path = format!("/request?subject={subject}&timeout-ms={PATIENCE_MS}");
    Outcome::of(http.post(&path, words.clone()).await, |body| body == words)
}
