//! keyvalue-redis: a Redis that has on disk whatever it answered for. Elsewhere is another of its databases.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use tokio::sync::Mutex;
use trellis_tests::{gate::Gate, http::Http, lattice::Lattice, redis::RedisServer};

use super::super::{
    held::Held,
    stand::Stand,
    subject::{CALLER, Outcome, PROVIDER, Place, Subject, Wanted},
};

pub struct Redis {
    server: Mutex<RedisServer>,
    port: u16,
    gate: Arc<Gate>,
}

impl Subject for Redis {
    const NAME: &'static str = "keyvalue-redis";
    const ACTORS: &'static [(&'static str, &'static str)] = &[(CALLER, "keyvalue")];
    const DURABLE: bool = true;

    async fn start() -> Result<Self> {
        let server = RedisServer::durable().await?;
        let port = server.port();
        let gate = Gate::before(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        Ok(Self {
            server: Mutex::new(server),
            port,
            gate: Arc::new(gate),
        })
    }

    fn address(&self) -> Option<SocketAddr> {
        None
    }

    fn links(&self, place: Place) -> Vec<Wanted> {
        let (port, database) = match place {
            Place::Here => (self.port, 0),
            Place::There => (self.port, 1),
            Place::Held => (self.gate.address().port(), 0),
        };
        keyvalue(vec![
            ("url", format!("redis://127.0.0.1:{port}/{database}")),
            // Longer than a call is held.
            ("response_timeout_ms", "20000".to_owned()),
        ])
    }

    fn wrong(&self) -> (&'static str, Vec<Wanted>) {
        let settings = vec![("url", "http://127.0.0.1:6379".to_owned())];
        ("url", keyvalue(settings))
    }

    async fn crash(&self, _: &Lattice) -> Result<()> {
        self.server.lock().await.crash().await
    }

    async fn resume(&self, _: &Lattice) -> Result<()> {
        self.server.lock().await.resume().await
    }

    fn away(&self) -> Option<String> {
        Some(format!("127.0.0.1:{}", self.port))
    }

    async fn call(&self, http: &Http, number: u32) -> Outcome {
        increment(http, number).await
    }

    async fn kept(&self, place: Place) -> Result<u64> {
        let database = match place {
            Place::Here | Place::Held => "db0:keys=",
            Place::There => "db1:keys=",
        };
        let told = self.server.lock().await.command("INFO keyspace").await?;
        let Some((_, rest)) = told.split_once(database) else {
            return Ok(0);
        };
        let count = rest.split(',').next().context("no number")?;
        Ok(count.parse()?)
    }

    async fn hold(&self, stand: &Stand<Self>) -> Result<Held> {
        Held::at(stand, &self.gate, |http, number| {
            async move { increment(&http, HELD_NUMBERS + number).await }.boxed()
        })
        .await
    }
}

/// The numbers of calls that are held, apart from all others.
pub const HELD_NUMBERS: u32 = 1_000_000;

/// The link to a provider of key-value stores.
pub fn keyvalue(settings: Vec<(&'static str, String)>) -> Vec<Wanted> {
    vec![Wanted {
        source: CALLER,
        target: PROVIDER,
        name: "default",
        package: "wasi:keyvalue",
        interfaces: &["store", "atomics", "batch"],
        settings,
    }]
}

/// Each call counts a key of its own, so that keys are counted to know what took effect. A number of two is an effect that
/// came twice.
pub async fn increment(http: &Http, number: u32) -> Outcome {
    let answer = http.get(&format!("/increment?key=n{number}")).await;
    Outcome::of(answer, |body| body == "1\n")
}
