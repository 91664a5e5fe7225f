//! Calls from an actor to another one on the same host, as the calling actor times them.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use trellis_tests::{actors, lattice::Lattice};

use crate::{
    latency::Latencies,
    plain_wasmtime::Plain,
    rounds::{Plan, by_turns},
    row::{Group, Row, Target, Unit},
};

/// How many calls the actor makes in one go.
const CALLS: u64 = 5000;
/// What a call may take.
const MOST_US: f64 = 15.0;

enum Party {
    Ours(&'static str),
    Plain(Box<Plain>),
}

pub(super) async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let lattice = Lattice::start().await?;
    for id in ["caller", "callee"] {
        lattice.run_actor(id, "relay", 4).await?;
    }
    let link = Lattice::link("caller", "callee", "trellis:test", &["relay"])?;
    lattice.control.put_link(&link).await?;
    let parties = [
        Party::Ours("time-adds"),
        Party::Ours("time-raises"),
        Party::Plain(Box::new(Plain::load(&actors::built("relay")?)?)),
    ];
    let medians = by_turns(plan, &parties, async |party| match party {
        Party::Ours(function) => ours(&lattice, function).await,
        Party::Plain(plain) => {
            let mut times = Latencies::new()?;
            for _ in 0..CALLS {
                times.add(plain.add().await?);
            }
            Ok(times.over(plan.lasting).p50_us)
        }
    })
    .await
    .with_context(|| lattice.logs())?;
    let [adds, raises, plain] = medians.as_slice() else {
        bail!("{} parties", medians.len());
    };
    let row = |name: &str, ours: &[f64]| -> Result<Row> {
        let reference = "wasmtime alone: a fresh instance, and its call";
        let row = Row::new(Group::Routes, name, Unit::Micros, ours)?;
        Ok(row
            .beside(reference, ours, plain)?
            .target(Target::AtMost(MOST_US)))
    };
    Ok(vec![
        row("actor to actor in process, two numbers, median", adds)?,
        row(
            "actor to actor in process, a record with a list, median",
            raises,
        )?,
    ])
}

/// The median of some calls, in microseconds.
async fn ours(lattice: &Lattice, function: &str) -> Result<f64> {
    let printed = lattice
        .succeed(&[
            "--output",
            "json",
            "call",
            "caller",
            &format!("trellis:test/relay@0.1.0.{function}"),
            &CALLS.to_string(),
        ])
        .await?;
    let answer: Value = serde_json::from_str(&printed)?;
    let nanos = answer["result"].as_array().context("no list")?;
    let mut nanos: Vec<u64> = nanos.iter().filter_map(Value::as_u64).collect();
    ensure!(nanos.len() as u64 == CALLS, "{} times", nanos.len());
    nanos.sort_unstable();
    Ok(nanos[nanos.len() / 2] as f64 / 1000.0)
}
