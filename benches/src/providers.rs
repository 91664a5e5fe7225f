//! What a provider costs: calls through it beside the same work by the client that it is made of, both from as many tasks.
//!
//! Each provider is a process of its own, started as a host starts it, and is called as a host calls it: over a Unix socket.
//! What is behind it (a server, a folder) is the same for both. Who adds a provider adds its line to [`TABLE`], and a file
//! that says how it is linked and what is asked of it.

mod blobs;
mod blobstore_fs;
mod blobstore_s3;
mod host;
mod http_client;
mod keyvalue;
mod messaging_mqtt;
mod messaging_nats;
mod sqldb_postgres;

use std::{any::Any, time::Duration};

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use trellis_tests::wait::until;

use crate::{
    latency,
    rounds::{Plan, by_turns},
    row::{Group, Row, Unit},
};

use host::Host;

/// How many calls at once.
const MANY: usize = 32;
/// The most that a measurement lasts: there are many, and all of them are to take two minutes.
const LASTING: Duration = Duration::from_millis(700);
/// How long connections and caches get warm.
const WARMING: Duration = Duration::from_millis(200);

/// Every provider, by its name in `builtin:NAME`.
const TABLE: &[(&str, Begin)] = &[
    ("blobstore-fs", |host| Box::pin(blobstore_fs::begin(host))),
    ("blobstore-s3", |host| Box::pin(blobstore_s3::begin(host))),
    ("http-client", |host| Box::pin(http_client::begin(host))),
    ("keyvalue-nats", |host| Box::pin(keyvalue::on_nats(host))),
    ("keyvalue-redis", |host| Box::pin(keyvalue::on_redis(host))),
    ("messaging-mqtt", |host| {
        Box::pin(messaging_mqtt::begin(host))
    }),
    ("messaging-nats", |host| {
        Box::pin(messaging_nats::begin(host))
    }),
    ("sqldb-postgres", |host| {
        Box::pin(sqldb_postgres::begin(host))
    }),
];

/// Starts a provider, and what is behind it.
type Begin = for<'a> fn(&'a Host) -> BoxFuture<'a, Result<Stand>>;
/// One piece of work.
type Act = Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A provider that runs, and what is asked of it.
struct Stand {
    works: Vec<Work>,
    /// What ends with it.
    _keep: Box<dyn Any + Send>,
}

/// The same work by both.
struct Work {
    /// What it is.
    name: &'static str,
    /// Through the provider.
    ours: std::sync::Arc<Act>,
    /// Whose client does it without.
    client: &'static str,
    /// By that client.
    theirs: std::sync::Arc<Act>,
}

impl Work {
    fn new<A, B>(
        name: &'static str,
        ours: impl Fn() -> A + Send + Sync + 'static,
        client: &'static str,
        theirs: impl Fn() -> B + Send + Sync + 'static,
    ) -> Self
    where
        A: Future<Output = Result<()>> + Send + 'static,
        B: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            name,
            ours: std::sync::Arc::new(Box::new(move || Box::pin(ours()))),
            client,
            theirs: std::sync::Arc::new(Box::new(move || Box::pin(theirs()))),
        }
    }
}

/// Measures all providers, one after the other.
///
/// # Errors
/// Something does not start, or a call fails.
pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let plan = Plan {
        lasting: plan.lasting.min(LASTING),
        ..*plan
    };
    let mut rows = Vec::new();
    for (provider, begin) in TABLE {
        let host = Host::start(provider).await?;
        let measured = async {
            let stand = begin(&host).await?;
            for work in &stand.works {
                rows.push(work.measure(provider, &plan).await?);
            }
            anyhow::Ok(())
        };
        measured
            .await
            .with_context(|| format!("{provider}\n{}", host.output()))?;
    }
    Ok(rows)
}

impl Work {
    async fn measure(&self, provider: &str, plan: &Plan) -> Result<Row> {
        until("the provider works", || (self.ours)()).await?;
        let load = async |act: &std::sync::Arc<Act>, lasting| {
            let act = act.clone();
            latency::measure(MANY, lasting, move || act()).await
        };
        let parties = [self.ours.clone(), self.theirs.clone()];
        for party in &parties {
            load(party, WARMING).await?;
        }
        let measured = by_turns(plan, &parties, async |party| {
            load(party, plan.lasting).await
        });
        let rates: Vec<Vec<f64>> = measured
            .await
            .with_context(|| self.name)?
            .iter()
            .map(|rounds| rounds.iter().map(|round| round.per_second).collect())
            .collect();
        let [ours, theirs] = rates.as_slice() else {
            anyhow::bail!("{} parties", rates.len());
        };
        let name = format!("{provider}, {}", self.name);
        Row::new(Group::Providers, name, Unit::CallsPerSecond, ours)?.beside(
            self.client,
            ours,
            theirs,
        )
    }
}
