//! sqldb-postgres: a PostgreSQL server. Elsewhere is another of its databases.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use tokio::sync::Mutex;
use trellis_tests::{gate::Gate, http::Http, lattice::Lattice, postgres::PostgresServer};

use super::super::{
    held::Held,
    stand::Stand,
    subject::{CALLER, Outcome, PROVIDER, Place, Subject, Wanted},
};

/// What the ledger's own `/setup` makes.
const TABLE: &str =
    "CREATE TABLE account (name text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0))";

/// The account that is looked at by calls that are held: no call's own.
const ACCOUNT: u32 = 1_000_000;

pub struct Postgres {
    server: Mutex<PostgresServer>,
    port: u16,
    gate: Arc<Gate>,
}

impl Subject for Postgres {
    const NAME: &'static str = "sqldb-postgres";
    const ACTORS: &'static [(&'static str, &'static str)] = &[(CALLER, "sql_ledger")];
    const DURABLE: bool = true;

    async fn start() -> Result<Self> {
        let server = PostgresServer::start().await?;
        server.sql("CREATE DATABASE there").await?;
        for place in [Place::Here, Place::There] {
            server.sql_in(database(place), TABLE).await?;
        }
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
        postgres(vec![
            ("host", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("username", "trellis".to_owned()),
            ("password", PostgresServer::PASSWORD.to_owned()),
            ("database", database(place).to_owned()),
        ])
    }

    fn wrong(&self) -> (&'static str, Vec<Wanted>) {
        let mut links = self.links(Place::Here);
        for link in &mut links {
            link.settings.push(("pool_size", "0".to_owned()));
        }
        ("pool_size", links)
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
        open(http, number).await
    }

    async fn kept(&self, place: Place) -> Result<u64> {
        let server = self.server.lock().await;
        let count = server.sql_in(database(place), "SELECT count(*) FROM account");
        Ok(count.await?.parse()?)
    }

    async fn hold(&self, stand: &Stand<Self>) -> Result<Held> {
        // To open an account takes two calls of the provider, to look at one takes one: the second would be a new one.
        let opened = open(stand.http(), ACCOUNT).await;
        ensure!(opened.is_done(), "{opened:?}");
        Held::at(stand, &self.gate, |http, _| {
            let path = format!("/balance?name=n{ACCOUNT}");
            async move { Outcome::of(http.get(&path).await, |body| body == "1\n") }.boxed()
        })
        .await
    }
}

fn database(place: Place) -> &'static str {
    match place {
        Place::Here | Place::Held => "trellis",
        Place::There => "there",
    }
}

fn postgres(settings: Vec<(&'static str, String)>) -> Vec<Wanted> {
    vec![Wanted {
        source: CALLER,
        target: PROVIDER,
        name: "default",
        package: "wasmcloud:postgres",
        interfaces: &["query", "prepared"],
        settings,
    }]
}

/// Each call opens an account of its own: a row.
async fn open(http: &Http, number: u32) -> Outcome {
    let answer = http.get(&format!("/open?name=n{number}&amount=1")).await;
    Outcome::of(answer, |body| body == format!("n{number} has 1\n"))
}
