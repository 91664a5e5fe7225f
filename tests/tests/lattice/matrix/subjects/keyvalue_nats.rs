//! keyvalue-nats: a NATS that isn't the lattice's, so that the lattice goes on without it. (What the end of the lattice's own
//! does is `nats_restart`'s.) Elsewhere is another bucket.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use async_nats::jetstream;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::Mutex;
use trellis_tests::{gate::Gate, http::Http, lattice::Lattice, nats::NatsServer};

use super::{
    super::{
        held::Held,
        stand::Stand,
        subject::{Outcome, Place, Subject, Wanted},
    },
    keyvalue_redis::{HELD_NUMBERS, increment, keyvalue},
};
use crate::matrix::subject::CALLER;

pub struct NatsBucket {
    server: Mutex<NatsServer>,
    port: u16,
    gate: Arc<Gate>,
}

impl Subject for NatsBucket {
    const NAME: &'static str = "keyvalue-nats";
    const ACTORS: &'static [(&'static str, &'static str)] = &[(CALLER, "keyvalue")];
    const DURABLE: bool = true;

    async fn start() -> Result<Self> {
        let server = NatsServer::start().await?;
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
        let port = match place {
            Place::Here | Place::There => self.port,
            Place::Held => self.gate.address().port(),
        };
        keyvalue(vec![
            ("bucket", bucket(place).to_owned()),
            ("url", format!("nats://127.0.0.1:{port}")),
        ])
    }

    fn wrong(&self) -> (&'static str, Vec<Wanted>) {
        ("bucket", keyvalue(vec![("bucket", "a b".to_owned())]))
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
        let client = self.server.lock().await.connect().await?;
        let buckets = jetstream::new(client);
        let Ok(store) = buckets.get_key_value(bucket(place)).await else {
            // It is made by the first call.
            return Ok(0);
        };
        let keys = store.keys().await.context("its keys")?;
        Ok(keys.count().await as u64)
    }

    async fn hold(&self, stand: &Stand<Self>) -> Result<Held> {
        Held::at(stand, &self.gate, |http, number| {
            async move { increment(&http, HELD_NUMBERS + number).await }.boxed()
        })
        .await
    }
}

fn bucket(place: Place) -> &'static str {
    match place {
        Place::Here | Place::Held => "here",
        Place::There => "there",
    }
}
