//! The database behind one or several links.

use std::{fmt, sync::Arc, time::Duration};

use deadpool_postgres::{
    GenericClient, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime,
};
use futures::TryStreamExt as _;
use tokio_postgres::{IsolationLevel, Statement as Prepared};
use tokio_postgres_rustls::MakeRustlsConnect;
use trellis_provider::config::SettingsError;

use crate::{
    column,
    config::Settings,
    failure::{Failure, no_connection},
    lease::{self, Endings, Lease},
    literal::Parameter,
    sql::{Kind, kind},
    tls,
    wire::{
        ExecError, Isolation, Outcome, PgValue, PrepareError, QueryError, Row, Statement,
        TransactionError,
    },
};

/// What a token of a prepared statement begins with; the statement follows. So any provider that is linked to the same
/// database knows any token, also one that was started since, and none has to be remembered.
const TOKEN: &str = "prepared:";
/// How many statements a transaction may have.
const MAX_STATEMENTS: usize = 1000;
/// How long a health check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// A database, with its connections.
pub struct Database {
    pool: Pool,
    settings: Settings,
    shown: String,
    tls: MakeRustlsConnect,
    endings: Arc<Endings>,
}

impl Database {
    /// The database with those settings. It is connected to when it is first asked for something.
    ///
    /// # Errors
    /// Names the field that is missing, or can't be used.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let tls = tls::connector(&settings)?;
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(settings.connection()?, tls.clone(), recycling);
        let statement_timeout = settings.statement_timeout;
        let begin = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move {
                let begun = lease::begin(client, statement_timeout).await;
                begun.map_err(HookError::Backend)
            })
        });
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size)
            .wait_timeout(Some(settings.pool_timeout))
            .create_timeout(Some(settings.connect_timeout))
            .post_create(begin)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| SettingsError {
                field: "pool_size",
                problem: error.to_string(),
            })?;
        Ok(Self {
            shown: settings.shown(),
            pool,
            settings,
            tls,
            endings: Arc::default(),
        })
    }

    /// Where it is, without user and password.
    pub fn place(&self) -> &str {
        &self.shown
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// Why it doesn't.
    pub async fn ping(&self) -> Result<(), String> {
        let status = self.pool.status();
        if status.size >= status.max_size && status.available == 0 {
            // All connections are in use: somebody is answered.
            return Ok(());
        }
        let asked = async {
            let lease = self.lease().await.map_err(Failure::into_text)?;
            let answer = lease.batch_execute("SELECT 1").await;
            answer.map_err(|error| format!("PostgreSQL at {}: {error}", self.shown))?;
            lease.done();
            Ok(())
        };
        let late = |_| Err(format!("PostgreSQL at {} does not answer", self.shown));
        tokio::time::timeout(CHECK_LIMIT, asked)
            .await
            .unwrap_or_else(late)
    }

    /// Runs one statement and gives its rows.
    ///
    /// # Errors
    /// What the component is told.
    pub async fn query(&self, sql: &str, params: Vec<PgValue>) -> Result<Vec<Row>, QueryError> {
        let outcome = self.run(sql, params).await?;
        Ok(outcome.rows)
    }

    /// Runs several statements.
    ///
    /// # Errors
    /// What the component is told.
    pub async fn query_batch(&self, sql: &str) -> Result<(), QueryError> {
        let lease = self.lease().await?;
        let done = lease.batch_execute(sql).await;
        let done = done.map_err(|error| Failure::new(&error));
        if done.as_ref().err().is_none_or(Failure::leaves_connection) {
            lease.cleaned(self.settings.statement_timeout).await;
        }
        Ok(done?)
    }

    /// Prepares a statement, and gives a token for it.
    ///
    /// # Errors
    /// What the component is told.
    pub async fn prepare(&self, sql: &str) -> Result<String, PrepareError> {
        let lease = self.lease().await?;
        let prepared = lease.prepare_cached(sql).await;
        let prepared = prepared.map_err(|error| Failure::new(&error));
        if prepared
            .as_ref()
            .err()
            .is_none_or(Failure::leaves_connection)
        {
            lease.done();
        }
        prepared?;
        Ok(format!("{TOKEN}{sql}"))
    }

    /// Runs a prepared statement; how many rows it gave or changed.
    ///
    /// # Errors
    /// What the component is told.
    pub async fn exec(&self, token: &str, params: Vec<PgValue>) -> Result<u64, ExecError> {
        let sql = token.strip_prefix(TOKEN);
        let sql = sql.ok_or(ExecError::UnknownPreparedQuery)?;
        Ok(self.run(sql, params).await?.affected)
    }

    async fn run(&self, sql: &str, params: Vec<PgValue>) -> Result<Outcome, Failure> {
        let kind = kind(sql);
        if kind == Kind::Transaction {
            return Err(Failure::Query(
                "a statement by itself can't begin or end a transaction: give all of it to trellis:postgres/transaction"
                    .to_owned(),
            ));
        }
        let lease = self.lease().await?;
        let mut outcome = one(&*lease, sql, &params, &mut self.budget()).await;
        if let Err(Failure::Stale(_)) = outcome {
            lease.statement_cache.clear();
            outcome = one(&*lease, sql, &params, &mut self.budget()).await;
        }
        match outcome
            .as_ref()
            .err()
            .is_none_or(Failure::leaves_connection)
        {
            // Dropped, it is closed.
            false => {}
            true if kind == Kind::Session => {
                lease.cleaned(self.settings.statement_timeout).await;
            }
            true => lease.done(),
        }
        outcome
    }

    /// Runs statements in one transaction: all of them or none.
    ///
    /// # Errors
    /// What the component is told.
    pub async fn transact(
        &self,
        statements: &[Statement],
        isolation: Isolation,
    ) -> Result<Vec<Outcome>, TransactionError> {
        if statements.len() > MAX_STATEMENTS {
            return Err(TransactionError::Unexpected(format!(
                "{} statements are more than the {MAX_STATEMENTS} that a transaction may have",
                statements.len()
            )));
        }
        for (index, statement) in statements.iter().enumerate() {
            if kind(&statement.query) == Kind::Transaction {
                let why = "the transaction is begun and ended around the statements, not by them";
                return Err(Failure::Query(why.to_owned()).at(index));
            }
        }
        let mut lease = self.lease().await?;
        let mut ended = transaction(&mut lease, statements, isolation, self.budget()).await;
        if let Ended::Stale = ended {
            lease.statement_cache.clear();
            ended = transaction(&mut lease, statements, isolation, self.budget()).await;
        }
        match ended {
            Ended::Known(outcome) => {
                let session = |statement: &Statement| kind(&statement.query) == Kind::Session;
                match statements.iter().any(session) {
                    true => lease.cleaned(self.settings.statement_timeout).await,
                    false => lease.done(),
                }
                outcome
            }
            Ended::Broken(error) => Err(error),
            Ended::Stale => Err(TransactionError::Conflict(
                "the tables change while the transaction runs".to_owned(),
            )),
        }
    }

    async fn lease(&self) -> Result<Lease, Failure> {
        match self.pool.get().await {
            Ok(client) => Ok(Lease::new(client, self.tls.clone(), self.endings.clone())),
            Err(error) => {
                let failure = no_connection(&error, &self.settings);
                tracing::debug!(?failure, "no connection");
                Err(failure)
            }
        }
    }

    fn budget(&self) -> Budget {
        Budget {
            rows: self.settings.max_rows,
            bytes: self.settings.max_result_bytes,
            max_rows: self.settings.max_rows,
            max_bytes: self.settings.max_result_bytes,
        }
    }
}

/// How a transaction ended.
enum Ended {
    /// One way or the other, and the connection is as it was.
    Known(Result<Vec<Outcome>, TransactionError>),
    /// With a connection that nobody should have again.
    Broken(TransactionError),
    /// Undone, because a statement that was prepared earlier is out of date.
    Stale,
}

async fn transaction(
    lease: &mut Lease,
    statements: &[Statement],
    isolation: Isolation,
    mut budget: Budget,
) -> Ended {
    let level = match isolation {
        Isolation::ReadCommitted => IsolationLevel::ReadCommitted,
        Isolation::RepeatableRead => IsolationLevel::RepeatableRead,
        Isolation::Serializable => IsolationLevel::Serializable,
    };
    let begun = lease.build_transaction().isolation_level(level).start();
    let begun = match begun.await {
        Ok(begun) => begun,
        Err(error) => return Ended::Broken(Failure::new(&error).into()),
    };
    let mut outcomes = Vec::with_capacity(statements.len());
    let mut stopped = None;
    for (index, statement) in statements.iter().enumerate() {
        match one(&begun, &statement.query, &statement.params, &mut budget).await {
            Ok(outcome) if statement.rows.is_none_or(|rows| rows == outcome.affected) => {
                outcomes.push(outcome);
            }
            Ok(outcome) => {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                let error = TransactionError::Rows((index, outcome.affected));
                stopped = Some(Ended::Known(Err(error)));
                break;
            }
            Err(Failure::Stale(_)) => {
                stopped = Some(Ended::Stale);
                break;
            }
            Err(failure) if failure.leaves_connection() => {
                stopped = Some(Ended::Known(Err(failure.at(index))));
                break;
            }
            Err(failure) => return Ended::Broken(failure.at(index)),
        }
    }
    if let Some(stopped) = stopped {
        return match begun.rollback().await {
            Ok(()) => stopped,
            // Nothing was committed, but who knows what the connection is at.
            Err(_) => match stopped {
                Ended::Known(Err(error)) => Ended::Broken(error),
                other => other,
            },
        };
    }
    match begun.commit().await.map_err(|error| Failure::new(&error)) {
        Ok(()) => Ended::Known(Ok(outcomes)),
        Err(Failure::Broken(why)) => Ended::Broken(TransactionError::Unknown(why)),
        Err(failure) => Ended::Known(Err(failure.into())),
    }
}

/// Runs one statement.
async fn one(
    client: &impl GenericClient,
    sql: &str,
    params: &[PgValue],
    budget: &mut Budget,
) -> Result<Outcome, Failure> {
    let broken = |error: tokio_postgres::Error| Failure::new(&error);
    let statement = client.prepare_cached(sql).await.map_err(broken)?;
    let params = parameters(&statement, params)?;
    let stream = client.query_raw(&statement, params).await.map_err(broken)?;
    let mut stream = std::pin::pin!(stream);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await.map_err(broken)? {
        budget.take(&row)?;
        rows.push(column::row(&row).map_err(Failure::Result)?);
    }
    Ok(Outcome {
        rows,
        affected: stream.rows_affected().unwrap_or_default(),
    })
}

fn parameters(statement: &Prepared, params: &[PgValue]) -> Result<Vec<Parameter>, Failure> {
    let types = statement.params();
    if types.len() != params.len() {
        return Err(Failure::Params(format!(
            "the statement has {} parameters, and {} were given",
            types.len(),
            params.len()
        )));
    }
    let parameter = |(index, (value, ty)): (usize, (&PgValue, _))| {
        let parameter = Parameter::new(value.clone(), ty);
        parameter.map_err(|problem| Failure::Params(format!("${}: {problem}", index + 1)))
    };
    params
        .iter()
        .zip(types)
        .enumerate()
        .map(parameter)
        .collect()
}

/// What a result may still have.
struct Budget {
    rows: usize,
    bytes: usize,
    max_rows: usize,
    max_bytes: usize,
}

impl Budget {
    fn take(&mut self, row: &tokio_postgres::Row) -> Result<(), Failure> {
        let Some(rows) = self.rows.checked_sub(1) else {
            return Err(Failure::Result(format!(
                "the result has more than {} rows (`max_rows`): ask for fewer at a time",
                self.max_rows
            )));
        };
        // Each value travels with its column's name.
        let names = row.columns().iter().map(|column| column.name().len() + 4);
        let size = row.raw_size_bytes() + names.sum::<usize>();
        let Some(bytes) = self.bytes.checked_sub(size) else {
            return Err(Failure::Result(format!(
                "the result has more than {} bytes (`max_result_bytes`): ask for less at a time",
                self.max_bytes
            )));
        };
        (self.rows, self.bytes) = (rows, bytes);
        Ok(())
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("postgres", &self.shown)
            .finish_non_exhaustive()
    }
}
