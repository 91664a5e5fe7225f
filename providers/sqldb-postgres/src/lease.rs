//! A connection while a call has it.
//!
//! A call that is given up (its caller is gone, or its deadline passed) leaves its statement running at the server,
//! with locks and all. So whoever doesn't say that all is well loses the connection, and the statement is cancelled.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::{Client, ClientWrapper, Object};
use tokio::task::JoinSet;
use tokio_postgres::Error;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long cancelling may take; it needs a connection of its own.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);
/// How many prepared statements a connection keeps.
const MAX_STATEMENTS: usize = 256;

/// Connections whose statement is being cancelled. They hold their place among the link's connections until then.
#[derive(Debug, Default)]
pub struct Endings(Mutex<JoinSet<()>>);

/// A connection while a call has it. Dropped without [`Lease::done`], it is closed.
pub struct Lease {
    client: Option<Client>,
    tls: MakeRustlsConnect,
    endings: Arc<Endings>,
}

impl Lease {
    /// A connection to be had.
    pub fn new(client: Client, tls: MakeRustlsConnect, endings: Arc<Endings>) -> Self {
        if client.statement_cache.size() >= MAX_STATEMENTS {
            client.statement_cache.clear();
        }
        Self {
            client: Some(client),
            tls,
            endings,
        }
    }

    /// Gives it back: it is as it was.
    pub fn done(mut self) {
        self.client = None;
    }

    /// Gives it back after what may have left something behind: a transaction, settings, locks, temporary tables.
    pub async fn cleaned(self, statement_timeout: Duration) {
        match clean(&self, statement_timeout).await {
            Ok(()) => self.done(),
            Err(error) => {
                tracing::debug!(%error, "a connection could not be cleaned, and is closed")
            }
        }
    }
}

async fn clean(client: &ClientWrapper, statement_timeout: Duration) -> Result<(), Error> {
    client.batch_execute("ROLLBACK").await?;
    client.batch_execute("DISCARD ALL").await?;
    // It had those, too.
    client.statement_cache.clear();
    begin(client, statement_timeout).await
}

/// What every connection begins with.
///
/// # Errors
/// What PostgreSQL said.
pub async fn begin(client: &ClientWrapper, statement_timeout: Duration) -> Result<(), Error> {
    let limit = statement_timeout.as_millis();
    let settings = format!("SET statement_timeout = {limit}");
    client.batch_execute(&settings).await
}

impl Deref for Lease {
    type Target = Client;

    #[expect(
        clippy::expect_used,
        reason = "only `done` and `drop` take it, and they take the lease"
    )]
    fn deref(&self) -> &Client {
        self.client.as_ref().expect("a lease has its connection")
    }
}

impl DerefMut for Lease {
    #[expect(
        clippy::expect_used,
        reason = "only `done` and `drop` take it, and they take the lease"
    )]
    fn deref_mut(&mut self) -> &mut Client {
        self.client.as_mut().expect("a lease has its connection")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.endings.end(client, self.tls.clone());
        }
    }
}

impl Endings {
    fn end(&self, client: Client, tls: MakeRustlsConnect) {
        let mut endings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while endings.try_join_next().is_some() {}
        endings.spawn(async move {
            if !client.is_closed() {
                let cancelled = client.cancel_token();
                let cancelled = tokio::time::timeout(CANCEL_LIMIT, cancelled.cancel_query(tls));
                match cancelled.await {
                    Ok(Ok(())) => tracing::debug!("a statement that was given up is cancelled"),
                    Ok(Err(error)) => tracing::warn!(%error, "a statement could not be cancelled"),
                    Err(_) => tracing::warn!("a statement could not be cancelled in time"),
                }
            }
            // Whatever came of it: nobody else is to have it.
            drop(Object::take(client));
        });
    }
}
