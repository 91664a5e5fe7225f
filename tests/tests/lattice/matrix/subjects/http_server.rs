//! http-server: it has no backend but the actor that it gives requests to, so that one is stopped, and started again.
//! Elsewhere is another actor. Callers connect to the provider itself: they feel its own end, and its health says nothing of
//! an actor that does not run, which may run elsewhere in a moment; answers say it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result, ensure};
use http::Method;
use tokio::{sync::watch, task::JoinSet};
use trellis_lattice::ComponentId;
use trellis_tests::{http::Http, lattice::Lattice, port, upload::Upload, wait::until};

use super::super::{
    held::{HELD, Held},
    stand::{INSTANCES, Stand},
    subject::{CALLER, Outcome, PROVIDER, Place, Subject, Wanted},
};

/// The file of the actor that is behind the server at first, and what it answers.
const HERE: (&str, &str) = ("misbehave", "ok\n");
/// The same of the other one.
const THERE: (&str, &str) = ("http_hello", "Hello from Trellis!\n");

pub struct Actors {
    at: SocketAddr,
    /// How many answers were which actor's.
    answered: [AtomicU64; 2],
}

impl Subject for Actors {
    const NAME: &'static str = "http-server";
    const ACTORS: &'static [(&'static str, &'static str)] = &[(CALLER, HERE.0), ("other", THERE.0)];
    const DURABLE: bool = false;

    async fn start() -> Result<Self> {
        Ok(Self {
            at: SocketAddr::from(([127, 0, 0, 1], port::free()?)),
            answered: Default::default(),
        })
    }

    fn address(&self) -> Option<SocketAddr> {
        Some(self.at)
    }

    fn links(&self, place: Place) -> Vec<Wanted> {
        let actor = match place {
            Place::Here | Place::Held => CALLER,
            Place::There => "other",
        };
        vec![served(actor, self.at.to_string())]
    }

    fn wrong(&self) -> (&'static str, Vec<Wanted>) {
        ("address", vec![served(CALLER, "localhost".to_owned())])
    }

    async fn crash(&self, lattice: &Lattice) -> Result<()> {
        let (host, image) = (&lattice.host()?.id, lattice.actor(HERE.0)?);
        lattice.scale(host, CALLER, &image, 0, &[]).await?;
        let id = ComponentId::new(CALLER)?;
        let gone = "the actor is gone";
        lattice
            .inventory_until(host, gone, |inventory| inventory.component(&id).is_none())
            .await
    }

    async fn resume(&self, lattice: &Lattice) -> Result<()> {
        lattice.run_actor(CALLER, HERE.0, INSTANCES).await
    }

    fn away(&self) -> Option<String> {
        None
    }

    async fn call(&self, http: &Http, _: u32) -> Outcome {
        let answer = http.get("/ok").await;
        Outcome::of(answer, |body| {
            let [here, there] = &self.answered;
            for (answered, said) in [(here, HERE.1), (there, THERE.1)] {
                if body == said {
                    answered.fetch_add(1, Ordering::SeqCst);
                    return true;
                }
            }
            false
        })
    }

    async fn kept(&self, place: Place) -> Result<u64> {
        let [here, there] = &self.answered;
        let answered = match place {
            Place::Here | Place::Held => here,
            Place::There => there,
        };
        Ok(answered.load(Ordering::SeqCst))
    }

    async fn hold(&self, stand: &Stand<Self>) -> Result<Held> {
        let (go, may_go) = watch::channel(false);
        let mut calls = JoinSet::new();
        for _ in 0..HELD {
            // Answered when all of it was read.
            let upload = Upload::begin(self.at, Method::POST, "/count", "12345".into())?;
            let mut may_go = may_go.clone();
            calls.spawn(async move {
                let finished = async {
                    may_go.wait_for(|go| *go).await.context("the test ended")?;
                    upload.finish("6789".into()).await
                };
                Outcome::of(finished.await, |body| body == "9\n")
            });
        }
        until("each is at the actor", || async {
            let at = stand.in_flight().await?;
            ensure!(at >= HELD, "{at} of {HELD}");
            Ok(())
        })
        .await?;
        Ok(Held::new(calls, move || {
            go.send_replace(true);
        }))
    }
}

fn served(actor: &'static str, address: String) -> Wanted {
    Wanted {
        source: PROVIDER,
        target: actor,
        name: "default",
        package: "wasi:http",
        interfaces: &["incoming-handler"],
        settings: vec![("address", address)],
    }
}
