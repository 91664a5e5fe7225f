//! A lattice with a PostgreSQL provider, a database, and a component that is linked to it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use trellis_provider::{
    contract::{LinkName, ResolvedLink},
    rpc::{CallContext, CallError, interface::Function},
};
use trellis_provider_testkit::{Host, NatsServer, Running, Side};
use trellis_sqldb_postgres::{
    SqldbPostgres,
    wire::{
        Exec, ExecError, Isolation, Outcome, PgValue, Prepare, PrepareError, Query, QueryBatch,
        QueryError, Row, Statement, Transact, TransactionError,
    },
};
use trellis_tests::postgres::PostgresServer;

/// The provider's id.
pub const PROVIDER: &str = "sql";
/// The component that is linked to the database.
pub const COMPONENT: &str = "shop";

/// An interface of each package: each is linked for itself.
pub const PACKAGES: [&str; 2] = ["wasmcloud:postgres/query", "trellis:postgres/transaction"];

/// What is there while a test runs.
pub struct Lattice {
    /// The host's side.
    pub host: Host,
    /// The provider.
    pub running: Running,
    /// The database.
    pub server: PostgresServer,
    /// The NATS server, last to go.
    _nats: NatsServer,
}

impl Lattice {
    /// Starts a database, a provider, and a link between them.
    pub async fn start() -> Result<Self> {
        Self::with(&[]).await
    }

    /// The same, with more configuration on the link.
    pub async fn with(config: &[(&str, &str)]) -> Result<Self> {
        let server = PostgresServer::start().await?;
        let url = server.url();
        let config = [&[("url", url.as_str())], config].concat();
        let links = PACKAGES.map(|interface| link_of(interface, COMPONENT, &config));
        Self::over(server, links.to_vec()).await
    }

    /// Starts a provider with those links, beside a database.
    pub async fn over(server: PostgresServer, links: Vec<ResolvedLink>) -> Result<Self> {
        let nats = NatsServer::without_jetstream().await?;
        let host = Host::on(&nats).await?;
        let data = host.data(PROVIDER, &[], links)?;
        let running = Running::start::<SqldbPostgres>(&host, data).await?;
        Ok(Self {
            host,
            running,
            server,
            _nats: nats,
        })
    }

    /// Has the component call a function.
    pub async fn call<F: Function>(&self, params: &F::Params) -> Result<F::Result, CallError>
    where
        F::Params: Sync,
    {
        self.host.call::<F>(COMPONENT, PROVIDER, params).await
    }

    /// Has the component call a function that it waits for so long.
    pub async fn call_within<F: Function>(
        &self,
        limit: Duration,
        params: &F::Params,
    ) -> Result<F::Result, CallError>
    where
        F::Params: Sync,
    {
        let provider = PROVIDER
            .parse()
            .map_err(|error| CallError::Failed(format!("the test's id: {error}")))?;
        let context = CallContext {
            source_id: Some(COMPONENT.into()),
            link_name: Some(LinkName::default().to_shared()),
            deadline: Some(Instant::now() + limit),
            ..CallContext::default()
        };
        F::call(&*self.host.rpc().route(&provider), context, params).await
    }

    /// Runs a statement.
    pub async fn query(
        &self,
        sql: &str,
        params: Vec<PgValue>,
    ) -> Result<Result<Vec<Row>, QueryError>, CallError> {
        self.call::<Query>(&(sql.to_owned(), params)).await
    }

    /// Runs a statement that must succeed; the values of its rows.
    pub async fn values(&self, sql: &str, params: Vec<PgValue>) -> Result<Vec<Vec<PgValue>>> {
        let rows = self.query(sql, params).await?;
        let rows = rows.map_err(|error| anyhow::anyhow!("{sql}: {error:?}"))?;
        let values = |row: Row| row.into_iter().map(|entry| entry.value).collect();
        Ok(rows.into_iter().map(values).collect())
    }

    /// Runs a statement that must succeed with one value.
    pub async fn value(&self, sql: &str, params: Vec<PgValue>) -> Result<PgValue> {
        let values = self.values(sql, params).await?;
        let value = values.into_iter().flatten().next();
        value.with_context(|| format!("{sql}: no value"))
    }

    /// Runs several statements.
    pub async fn batch(&self, sql: &str) -> Result<Result<(), QueryError>, CallError> {
        self.call::<QueryBatch>(&(sql.to_owned(),)).await
    }

    /// Runs several statements that must succeed.
    pub async fn done(&self, sql: &str) -> Result<()> {
        let done = self.batch(sql).await?;
        done.map_err(|error| anyhow::anyhow!("{sql}: {error:?}"))
    }

    /// Prepares a statement.
    pub async fn prepare(&self, sql: &str) -> Result<Result<String, PrepareError>, CallError> {
        self.call::<Prepare>(&(sql.to_owned(),)).await
    }

    /// Runs a prepared statement.
    pub async fn exec(
        &self,
        token: &str,
        params: Vec<PgValue>,
    ) -> Result<Result<u64, ExecError>, CallError> {
        self.call::<Exec>(&(token.to_owned(), params)).await
    }

    /// Runs a transaction.
    pub async fn transact(
        &self,
        statements: Vec<Statement>,
        isolation: Isolation,
    ) -> Result<Result<Vec<Outcome>, TransactionError>, CallError> {
        self.call::<Transact>(&(statements, isolation)).await
    }

    /// How many connections of the provider there are at the server.
    pub async fn connections(&self) -> Result<u64> {
        let count = self.server.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'trellis sqldb-postgres'",
        );
        Ok(count.await?.parse()?)
    }
}

/// The link of a component to the provider, for queries.
pub fn link(component: &str, config: &[(&str, &str)]) -> ResolvedLink {
    link_of(PACKAGES[0], component, config)
}

/// The link of a component to the provider, for one of its packages.
pub fn link_of(interface: &str, component: &str, config: &[(&str, &str)]) -> ResolvedLink {
    Side {
        source: component,
        target: PROVIDER,
        interface,
        config,
    }
    .link()
}

/// A statement of a transaction.
pub fn statement(query: &str, params: Vec<PgValue>, rows: Option<u64>) -> Statement {
    Statement {
        query: query.to_owned(),
        params,
        rows,
    }
}

/// A text.
pub fn text(text: &str) -> PgValue {
    PgValue::Text(text.to_owned())
}
