//! One call on each route, beside the same bytes sent without it.
//!
//! The callee is a process of its own, this program again as a [`peer`], and answers with what it got.

mod in_process;
mod nats;
pub mod peer;
mod socket;

use anyhow::Result;
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use trellis_rpc::{Call, CallContext, CallError, Incoming, Operation, Outgoing, Route, RouteKind};

use crate::{
    latency::Measured,
    rounds::Plan,
    row::{Group, Row, Target, Unit},
};

/// What goes each way: a key, or a small value.
const PAYLOAD: [u8; 64] = [b'.'; 64];
/// How many calls at once, where it is many.
const MANY: usize = 32;

/// Measures all routes.
///
/// # Errors
/// Something does not start, or a call fails.
pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = in_process::measure(plan).await?;
    rows.extend(socket::measure(plan).await?);
    rows.extend(nats::measure(plan).await?);
    Ok(rows)
}

/// The operation that peers answer.
fn echo() -> Operation {
    Operation::new("trellis:bench/echo@0.1.0", "echo")
}

/// Calls a peer once.
async fn call(route: &dyn Route, operation: Operation) -> Result<()> {
    let call = Call {
        operation,
        context: CallContext::default(),
        params: Outgoing::unary(Bytes::from_static(&PAYLOAD)),
    };
    let results = route.call(call).await?;
    anyhow::ensure!(results.root == PAYLOAD.as_slice(), "not what was sent");
    Ok(())
}

/// Our rounds beside a raw program's: medians of one call at a time, and how many there are at many.
fn rows(
    name: &str,
    reference: &str,
    [one, raw_one]: [&[Measured]; 2],
    [many, raw_many]: [&[Measured]; 2],
    target: Target,
) -> Result<Vec<Row>> {
    let medians = |rounds: &[Measured]| -> Vec<f64> { rounds.iter().map(|of| of.p50_us).collect() };
    let rates =
        |rounds: &[Measured]| -> Vec<f64> { rounds.iter().map(|of| of.per_second).collect() };
    let (ours, theirs) = (medians(one), medians(raw_one));
    let single = Row::new(
        Group::Routes,
        format!("{name}, median, one at a time"),
        Unit::Micros,
        &ours,
    )?
    .beside(reference, &ours, &theirs)?
    .target(target);
    let (ours, theirs) = (rates(many), rates(raw_many));
    let parallel = Row::new(
        Group::Routes,
        format!("{name}, {MANY} at a time"),
        Unit::CallsPerSecond,
        &ours,
    )?
    .beside(reference, &ours, &theirs)?;
    Ok(vec![single, parallel])
}

/// No way at all.
#[derive(Debug)]
pub struct Nowhere;

impl Route for Nowhere {
    fn call(&self, _: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        async { Err(CallError::Transport("there is no way there".into())) }.boxed()
    }

    fn kind(&self) -> RouteKind {
        RouteKind::InProcess
    }
}
