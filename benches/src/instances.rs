//! What it takes to make an instance with all that an actor may import.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use trellis_host::{
    links::{LinkTable, Routes},
    runtime::{Actor, ActorOptions, Limits, Runtime, RuntimeConfig},
};
use trellis_lattice::ComponentId;
use trellis_rpc::Route;
use trellis_tests::actors;

use crate::{
    latency::{Latencies, Measured},
    plain_wasmtime::{self, Plain},
    rounds::{Plan, by_turns},
    routes::Nowhere,
    row::{Group, Row, Target, Unit},
};

/// What half of all instances must be made within.
const MEDIAN_US: f64 = 10.0;

enum Party {
    Ours(Arc<Actor>),
    Plain(Box<Plain>),
}

/// Measures the hello actor's.
///
/// # Errors
/// It is not built, or can't be instantiated.
pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let bytes = actors::built("http_hello")?;
    let plain = Party::Plain(Box::new(Plain::load(&bytes)?));
    let parties = [Party::Ours(actor(bytes.into()).await?), plain];
    let measured = by_turns(plan, &parties, async |party| {
        let (begun, mut times) = (Instant::now(), Latencies::new()?);
        while begun.elapsed() < plan.lasting {
            times.add(match party {
                Party::Ours(actor) => actor.instantiate().await?.took,
                Party::Plain(plain) => plain.instantiate().await?,
            });
        }
        Ok(times.over(begun.elapsed()))
    })
    .await?;
    let [ours, theirs] = measured.as_slice() else {
        bail!("{} parties", measured.len());
    };
    let medians = |of: &[Measured]| -> Vec<f64> { of.iter().map(|round| round.p50_us).collect() };
    let tails = |of: &[Measured]| -> Vec<f64> { of.iter().map(|round| round.p99_us).collect() };
    let row = |name: &str, ours: Vec<f64>, theirs: Vec<f64>| {
        Row::new(Group::Instances, name, Unit::Micros, &ours)?.beside(
            plain_wasmtime::NAME,
            &ours,
            &theirs,
        )
    };
    Ok(vec![
        row(
            "making one of hello, median",
            medians(ours),
            medians(theirs),
        )?
        .target(Target::Below(MEDIAN_US)),
        row(
            "making one of hello, 99th percentile",
            tails(ours),
            tails(theirs),
        )?,
    ])
}

async fn actor(bytes: Bytes) -> Result<Arc<Actor>> {
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let module = runtime.load(bytes).await?;
    let options = ActorOptions {
        id: ComponentId::new("hello")?,
        max_instances: 16,
        limits: Limits::default(),
        config: BTreeMap::new(),
        links: Arc::new(LinkTable::new(Arc::new(Nobody))),
    };
    Ok(Actor::start(&runtime, &module, options)?)
}

/// An actor that is never called calls nobody.
struct Nobody;

impl Routes for Nobody {
    fn route(&self, _: &ComponentId) -> Arc<dyn Route> {
        Arc::new(Nowhere)
    }
}
