//! Calls over NATS beside raw requests.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::Client;
use bytes::Bytes;
use trellis_lattice::LatticeName;
use trellis_rpc::{Route, nats::NatsRpc};
use trellis_tests::{nats::NatsServer, wait::until};

use super::{MANY, PAYLOAD, call, echo, peer, rows};
use crate::{
    latency::{self, Measured},
    rounds::{Plan, by_turns},
    row::{Row, Target},
};

/// Where the raw peer is asked.
const SUBJECT: &str = "bench.echo";

#[derive(Clone, Copy)]
enum Party {
    Ours,
    Raw,
}

pub(super) async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let nats = NatsServer::without_jetstream().await?;
    let directory = tempfile::tempdir()?;
    let _ours = peer::start(directory.path(), &["nats", &nats.url()])?;
    let _raw = peer::start(directory.path(), &["raw-nats", &nats.url(), SUBJECT])?;
    let client = nats.connect().await?;
    let rpc = NatsRpc::new(nats.connect().await?, LatticeName::default());
    let route = rpc.route(&peer::id()?);
    until("the peers answer", || async {
        request(&client).await?;
        call(&*route, echo()).await
    })
    .await?;
    let load = async |party: &Party, callers, lasting: Duration| -> Result<Measured> {
        match party {
            Party::Ours => ours(route.clone(), callers, lasting).await,
            Party::Raw => raw(client.clone(), callers, lasting).await,
        }
    };
    let parties = [Party::Ours, Party::Raw];
    for party in &parties {
        load(party, MANY, plan.lasting.min(Duration::from_millis(500))).await?;
    }
    let one = by_turns(plan, &parties, async |of| load(of, 1, plan.lasting).await).await?;
    let many = by_turns(plan, &parties, async |of| {
        load(of, MANY, plan.lasting).await
    })
    .await?;
    rows(
        "by NATS to another process",
        "a raw NATS request",
        [&one[0], &one[1]],
        [&many[0], &many[1]],
        Target::RatioAtMost(1.5),
    )
}

async fn ours(
    route: std::sync::Arc<dyn Route>,
    callers: usize,
    lasting: Duration,
) -> Result<Measured> {
    let operation = echo();
    latency::measure(callers, lasting, move || {
        let (route, operation) = (route.clone(), operation.clone());
        async move { call(&*route, operation).await }
    })
    .await
}

async fn raw(client: Client, callers: usize, lasting: Duration) -> Result<Measured> {
    latency::measure(callers, lasting, move || {
        let client = client.clone();
        async move { request(&client).await }
    })
    .await
}

async fn request(client: &Client) -> Result<()> {
    let answer = client
        .request(SUBJECT, Bytes::from_static(&PAYLOAD))
        .await
        .context("a raw request")?;
    ensure!(answer.payload == PAYLOAD.as_slice(), "not what was sent");
    Ok(())
}
