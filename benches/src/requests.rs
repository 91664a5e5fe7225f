//! Hello over HTTP and the counter over Redis: Trellis, plain hyper and `wasmtime serve` by turns.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use trellis_lattice::{
    ComponentId,
    control::component::{ComponentLimits, ScaleComponent},
};
use trellis_tests::{counter, lattice::Lattice, redis::RedisServer};

use crate::{
    latency::Measured,
    load,
    reference::Reference,
    rounds::{Plan, by_turns},
    row::{Group, Row, Target, Unit},
    wasmtime_serve::{self, WasmtimeServe},
};

/// How many connections at once, where it is many.
const MANY: usize = 32;
/// How many instances the actors may have: more than there are connections.
const INSTANCES: u32 = 64;
/// The actor that answers without asking anybody.
const ACTOR: &str = "http_hello";
/// As often as ours, or more often than it matters.
const REUSING: &[&str] = &["--max-instance-reuse-count", "10000"];
/// What the figures of a `wasmtime serve` that keeps instances stand under.
const SERVE_REUSING: &str = "wasmtime serve with reuse";
/// What plain hyper's figures stand under.
pub const HYPER: &str = "plain hyper";

/// Who answers the same requests.
struct Party {
    name: &'static str,
    at: SocketAddr,
}

/// What one party's rounds gave.
struct Series {
    name: &'static str,
    one: Vec<Measured>,
    many: Vec<Measured>,
}

/// Measures both.
///
/// # Errors
/// Something does not start, or a request fails.
pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = hello(plan).await?;
    rows.extend(count(plan).await?);
    Ok(rows)
}

async fn hello(plan: &Plan) -> Result<Vec<Row>> {
    let lattice = Lattice::start().await?;
    let directory = lattice.directory();
    let hyper = Reference::start(directory, None).await?;
    let serve = WasmtimeServe::start(directory, ACTOR, &[]).await?;
    let serve_reusing = WasmtimeServe::start(directory, ACTOR, REUSING).await?;
    lattice.run_actor("hello", ACTOR, INSTANCES).await?;
    reusing(&lattice, "hello-reusing").await?;
    let mut parties = vec![
        Party {
            name: "Trellis",
            at: lattice.serve_http("http", "hello").await?,
        },
        Party {
            name: "Trellis, with reuse",
            at: lattice.serve_http("http-reusing", "hello-reusing").await?,
        },
        Party {
            name: HYPER,
            at: hyper.at,
        },
    ];
    let serves = [
        (wasmtime_serve::NAME, &serve),
        (SERVE_REUSING, &serve_reusing),
    ];
    for (name, serve) in serves {
        parties.extend(serve.as_ref().map(|serve| Party { name, at: serve.at }));
    }
    let series = loads(plan, &parties, "/")
        .await
        .with_context(|| lattice.logs())?;
    let [fresh, reused, others @ ..] = series.as_slice() else {
        anyhow::bail!("{} parties", series.len());
    };
    let mut rows = Vec::new();
    for (ours, what, without) in [
        (fresh, "hello", SERVE_REUSING),
        (reused, "hello with reuse", wasmtime_serve::NAME),
    ] {
        for theirs in others.iter().filter(|theirs| theirs.name != without) {
            for figure in [Figure::ManyRate, Figure::ManyP99, Figure::OneP50] {
                let row = ours.beside(theirs, what, figure)?;
                rows.push(match (theirs.name, figure) {
                    (wasmtime_serve::NAME, Figure::ManyRate) => {
                        row.target(Target::RatioAtLeast(0.9))
                    }
                    (wasmtime_serve::NAME, Figure::OneP50) => row.target(Target::RatioAtMost(1.3)),
                    _ => row,
                });
            }
        }
    }
    Ok(rows)
}

/// The hello actor, whose instances answer one request after the other.
async fn reusing(lattice: &Lattice, id: &str) -> Result<()> {
    let id = ComponentId::new(id)?;
    let host = lattice.host()?.id.clone();
    let request = ScaleComponent {
        component_ref: lattice.actor(ACTOR)?,
        component_id: id.clone(),
        host_id: host.clone(),
        count: INSTANCES,
        annotations: None,
        config: Vec::new(),
        allow_update: false,
        limits: Some(ComponentLimits {
            reuse: true,
            ..ComponentLimits::default()
        }),
        dormant: false,
    };
    lattice.control.scale_component(&request).await?;
    lattice
        .inventory_until(&host, "the actor runs", |inventory| {
            inventory.component(&id).is_some()
        })
        .await
}

async fn count(plan: &Plan) -> Result<Vec<Row>> {
    let redis = RedisServer::start().await?;
    let lattice = Lattice::start().await?;
    let native = Reference::start(lattice.directory(), Some(&redis.url())).await?;
    counter::run_on_redis(&lattice, &[("url", &redis.url())], INSTANCES).await?;
    let ours = lattice.serve_http("http-counter", "counter").await?;
    let parties = [
        Party {
            name: "Trellis",
            at: ours,
        },
        Party {
            name: "hyper with a Redis client",
            at: native.at,
        },
    ];
    let series = loads(plan, &parties, "/hits")
        .await
        .with_context(|| lattice.logs())?;
    let [ours, theirs] = series.as_slice() else {
        anyhow::bail!("{} parties", series.len());
    };
    let what = "counter in Redis";
    Ok(vec![
        ours.beside(theirs, what, Figure::OneP50)?
            .target(Target::RatioAtMost(2.5)),
        ours.beside(theirs, what, Figure::ManyP50)?,
        ours.beside(theirs, what, Figure::ManyRate)?,
    ])
}

/// Loads all of them by turns, from one connection and from many.
async fn loads(plan: &Plan, parties: &[Party], path: &str) -> Result<Vec<Series>> {
    for party in parties {
        load::first_answer(party.at, path).await?;
        // Connections, instances and caches are warm before anything counts.
        load::run(
            party.at,
            path,
            MANY,
            plan.lasting.min(Duration::from_secs(1)),
        )
        .await?;
    }
    let run = async |party: &Party, connections| {
        load::run(party.at, path, connections, plan.lasting)
            .await
            .with_context(|| party.name)
    };
    let one = by_turns(plan, parties, async |party| run(party, 1).await).await?;
    let many = by_turns(plan, parties, async |party| run(party, MANY).await).await?;
    let series = parties.iter().zip(one).zip(many);
    Ok(series
        .map(|((party, one), many)| Series {
            name: party.name,
            one,
            many,
        })
        .collect())
}

/// What is told of a load.
#[derive(Clone, Copy)]
enum Figure {
    OneP50,
    ManyP50,
    ManyP99,
    ManyRate,
}

impl Figure {
    fn name(self, what: &str) -> String {
        match self {
            Self::OneP50 => format!("{what}, median, 1 connection"),
            Self::ManyP50 => format!("{what}, median, {MANY} connections"),
            Self::ManyP99 => format!("{what}, 99th percentile, {MANY} connections"),
            Self::ManyRate => format!("{what}, {MANY} connections"),
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::ManyRate => Unit::RequestsPerSecond,
            _ => Unit::Micros,
        }
    }
}

impl Series {
    fn figures(&self, figure: Figure) -> Vec<f64> {
        match figure {
            Figure::OneP50 => self.one.iter().map(|round| round.p50_us).collect(),
            Figure::ManyP50 => self.many.iter().map(|round| round.p50_us).collect(),
            Figure::ManyP99 => self.many.iter().map(|round| round.p99_us).collect(),
            Figure::ManyRate => self.many.iter().map(|round| round.per_second).collect(),
        }
    }

    fn beside(&self, theirs: &Self, what: &str, figure: Figure) -> Result<Row> {
        let ours = self.figures(figure);
        Row::new(Group::Requests, figure.name(what), figure.unit(), &ours)?.beside(
            theirs.name,
            &ours,
            &theirs.figures(figure),
        )
    }
}
