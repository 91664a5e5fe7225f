//! Past its capacity: an actor that can take some requests at once gets many more. As many are answered as at capacity, in
//! bounded time; the rest is refused at once.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};
use trellis_tests::lattice::Lattice;

use crate::{
    latency::{Latencies, Measured},
    load,
    rounds::Plan,
    row::{Group, Row, Target, Unit},
};

/// How many calls the actor takes at once.
const INSTANCES: u32 = 8;
/// What a request takes of an instance's time.
const PATH: &str = "/sleep?ms=10";
/// More than the actor's instances and its queue of 1024 together.
const CALLERS: usize = 1400;
/// Who was refused comes again after this.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than it takes a full queue to be worked off.
const LASTING: Duration = Duration::from_secs(8);

/// Measures once at capacity and once far beyond.
///
/// # Errors
/// Something does not start, or a request is neither answered nor refused.
pub async fn measure(_: &Plan) -> Result<Vec<Row>> {
    let lattice = Lattice::start().await?;
    lattice.run_actor("sleeper", "misbehave", INSTANCES).await?;
    let at = lattice.serve_http("http", "sleeper").await?;
    load::first_answer(at, PATH).await?;

    let usual = load::run(at, PATH, INSTANCES as usize, LASTING).await?;
    let (answered, refused) = beyond(at).await?;
    let per_second = [answered.per_second];
    let millis = |micros: f64| [micros / 1000.0];
    let capacity = "the same with as many requests as it can take";
    Ok(vec![
        Row::new(
            Group::Overload,
            format!("answered of {CALLERS} requests at once"),
            Unit::RequestsPerSecond,
            &per_second,
        )?
        .beside(capacity, &per_second, &[usual.per_second])?
        .target(Target::RatioAtLeast(0.9)),
        Row::new(
            Group::Overload,
            "those answered, 99th percentile",
            Unit::Millis,
            &millis(answered.p99_us),
        )?
        .beside(capacity, &millis(answered.p99_us), &millis(usual.p99_us))?
        .target(Target::Below(5000.0)),
        Row::new(
            Group::Overload,
            "those refused with 503, median",
            Unit::Millis,
            &millis(refused.p50_us),
        )?,
        Row::new(
            Group::Overload,
            "those refused with 503, 99th percentile",
            Unit::Millis,
            &millis(refused.p99_us),
        )?,
    ])
}

/// What was answered and what was refused.
async fn beyond(at: SocketAddr) -> Result<(Measured, Measured)> {
    let begun = Instant::now();
    let until = begun + LASTING;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call(at, until));
    }
    let (mut answered, mut refused) = (Latencies::new()?, Latencies::new()?);
    while let Some(ended) = callers.join_next().await {
        let (more_answered, more_refused) = ended??;
        answered.join(&more_answered)?;
        refused.join(&more_refused)?;
    }
    let took = begun.elapsed();
    let (answered, refused) = (answered.over(took), refused.over(took));
    ensure!(
        refused.per_second > 0.0,
        "nothing was refused: this was no overload"
    );
    Ok((answered, refused))
}

async fn call(at: SocketAddr, until: Instant) -> Result<(Latencies, Latencies)> {
    let stream = TcpStream::connect(at).await?;
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut drivers = JoinSet::new();
    drivers.spawn(driver);
    let (mut answered, mut refused) = (Latencies::new()?, Latencies::new()?);
    while Instant::now() < until {
        let request = Request::builder()
            .uri(PATH)
            .header("host", at.to_string())
            .body(Empty::<Bytes>::new())?;
        sender.ready().await?;
        let begun = Instant::now();
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        match status {
            200 => answered.since(begun),
            503 => {
                refused.since(begun);
                tokio::time::sleep(PAUSE).await;
            }
            other => bail!("{other}: {}", String::from_utf8_lossy(&body)),
        }
    }
    Ok((answered, refused))
}
