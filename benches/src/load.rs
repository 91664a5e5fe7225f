//! A closed loop of requests: each connection sends the next one when the last is answered.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

/// What a load measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Requests a second, all connections together.
    pub per_second: f64,
    /// The median request, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
}

/// The longest latency that is told apart, in microseconds.
const LONGEST_US: u64 = 60_000_000;

/// Loads `path` for some time. Every request must be answered with 200.
///
/// # Errors
/// A request failed: its cost would mean nothing.
pub async fn run(
    at: SocketAddr,
    path: &str,
    connections: usize,
    lasting: Duration,
) -> Result<Measured> {
    let begun = Instant::now();
    let until = begun + lasting;
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        workers.spawn(connection(at, path.to_owned(), until));
    }
    let mut all = Histogram::<u64>::new_with_bounds(1, LONGEST_US, 3)?;
    while let Some(histogram) = workers.join_next().await {
        all.add(histogram??)?;
    }
    Ok(Measured {
        per_second: all.len() as f64 / begun.elapsed().as_secs_f64(),
        p50_us: all.value_at_quantile(0.5),
        p99_us: all.value_at_quantile(0.99),
    })
}

async fn connection(at: SocketAddr, path: String, until: Instant) -> Result<Histogram<u64>> {
    let stream = TcpStream::connect(at)
        .await
        .with_context(|| format!("connecting to {at}"))?;
    stream.set_nodelay(true)?;
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends when the sender is dropped, with the set.
    let mut drivers = JoinSet::new();
    drivers.spawn(driver);
    let mut histogram = Histogram::<u64>::new_with_bounds(1, LONGEST_US, 3)?;
    while Instant::now() < until {
        let request = Request::get(path.as_str())
            .header("host", at.to_string())
            .body(Empty::<Bytes>::new())?;
        let begun = Instant::now();
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(
            status == 200,
            "{path}: {status}: {}",
            String::from_utf8_lossy(&body)
        );
        histogram.saturating_record(u64::try_from(begun.elapsed().as_micros())?.max(1));
    }
    Ok(histogram)
}
