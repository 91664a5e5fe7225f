//! sqldb-postgres, beside its own client with as many connections: a row is looked up by its key.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};
use trellis_sqldb_postgres::wire::{PgValue, Query};
use trellis_tests::postgres::PostgresServer;

use super::{
    Stand, Work,
    host::{Host, Provider},
};

const CLIENT: &str = "tokio-postgres";
const SELECT: &str = "SELECT word FROM words WHERE number = $1";
/// As many as the provider has for a link.
const CONNECTIONS: usize = 10;

pub async fn begin(host: &Host) -> Result<Stand> {
    let server = PostgresServer::start().await?;
    let words = "CREATE TABLE words (number int4 PRIMARY KEY, word text NOT NULL); \
                 INSERT INTO words SELECT n, 'word ' || n FROM generate_series(1, 1000) AS n";
    server.sql_in("trellis", words).await?;
    let provider = host
        .run("wasmcloud:postgres", &[("url", &server.url())])
        .await?;
    let native = Arc::new(Native::connect(&server).await?);
    Ok(Stand {
        works: vec![Work::new(
            "select",
            move || select(provider.clone()),
            CLIENT,
            move || native.clone().select(),
        )],
        _keep: Box::new(server),
    })
}

async fn select(provider: Provider) -> Result<()> {
    let params = (SELECT.to_owned(), vec![PgValue::Int4(7)]);
    let rows = provider.invoke::<Query>(&params).await?;
    let rows = rows.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    ensure!(rows.len() == 1, "{} rows", rows.len());
    Ok(())
}

/// Connections that take turns.
struct Native {
    clients: Vec<(Client, Statement)>,
    next: AtomicUsize,
    /// They end with it.
    _connections: JoinSet<()>,
}

impl Native {
    async fn connect(server: &PostgresServer) -> Result<Self> {
        let (mut clients, mut connections) = (Vec::new(), JoinSet::new());
        for _ in 0..CONNECTIONS {
            let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
            connections.spawn(async move {
                // What broke it is told to the query that it was broken for.
                let _ = connection.await;
            });
            let select = client.prepare(SELECT).await?;
            clients.push((client, select));
        }
        Ok(Self {
            clients,
            next: AtomicUsize::new(0),
            _connections: connections,
        })
    }

    async fn select(self: Arc<Self>) -> Result<()> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let (client, select) = self.clients.get(at).context("no connection")?;
        let row = client.query_one(select, &[&7_i32]).await?;
        ensure!(row.try_get::<_, &str>(0)? == "word 7", "another word");
        Ok(())
    }
}
