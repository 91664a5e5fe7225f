//! Hello over HTTP and the counter over Redis, Trellis and the reference by turns.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;
use trellis_tests::{
    counter, http::Http, lattice::Lattice, port, process::Process, redis::RedisServer, wait::until,
};

use crate::{load, report::Report};

/// How many connections at once.
const CONNECTIONS: [usize; 2] = [1, 32];

/// Requests that warm up connections, instances and caches before the first measurement.
const WARM_UP: Duration = Duration::from_secs(1);

/// One work at one number of connections.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is asked for.
    work: &'static str,
    /// How many connections.
    connections: usize,
    /// Who answers.
    server: &'static str,
    /// Requests a second.
    per_second: f64,
    /// The median, in microseconds.
    p50_us: u64,
    /// The 99th percentile, in microseconds.
    p99_us: u64,
    /// Requests a second as a part of the reference's in the same run.
    of_reference: f64,
}

impl Row {
    /// The row as a table shows it.
    pub fn cells(&self) -> Vec<String> {
        vec![
            self.work.to_owned(),
            self.connections.to_string(),
            self.server.to_owned(),
            format!("{:.0}", self.per_second),
            self.p50_us.to_string(),
            self.p99_us.to_string(),
            format!("{:.2}", self.of_reference),
        ]
    }
}

/// Measures all of it.
///
/// # Errors
/// Something does not start, or a request fails.
pub async fn measure(lasting: Duration, rounds: usize) -> Result<Report> {
    let redis = RedisServer::start().await?;
    let lattice = Lattice::start().await?;
    let hello = reference(&lattice, None).await?;
    let count = reference(&lattice, Some(&redis.url())).await?;

    lattice.run_actor("hello", "http_hello", 64).await?;
    counter::run_on_redis(&lattice, &[("url", &redis.url())], 64).await?;
    let trellis_hello = lattice.serve_http("http-hello", "hello").await?;
    let trellis_count = lattice.serve_http("http-counter", "counter").await?;

    let mut rows = Vec::new();
    for (work, path, ours, theirs) in [
        ("hello", "/", trellis_hello, hello.at),
        ("counter over Redis", "/hits", trellis_count, count.at),
    ] {
        for at in [ours, theirs] {
            answers(at, path).await.with_context(|| lattice.logs())?;
            load::run(at, path, 8, WARM_UP).await?;
        }
        for connections in CONNECTIONS {
            let (mut us, mut them) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                them.push(load::run(theirs, path, connections, lasting).await?);
                us.push(load::run(ours, path, connections, lasting).await?);
            }
            let (us, them) = (median(us)?, median(them)?);
            for (server, measured) in [("plain hyper", &them), ("trellis", &us)] {
                rows.push(Row {
                    work,
                    connections,
                    server,
                    per_second: measured.per_second,
                    p50_us: measured.p50_us,
                    p99_us: measured.p99_us,
                    of_reference: measured.per_second / them.per_second,
                });
            }
        }
    }
    Report::requests(&rows)
}

/// The round in the middle, by requests a second.
fn median(mut rounds: Vec<load::Measured>) -> Result<load::Measured> {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let middle = rounds.len() / 2;
    rounds
        .into_iter()
        .nth(middle)
        .context("nothing was measured")
}

async fn answers(at: SocketAddr, path: &str) -> Result<()> {
    let http = Http::new(at);
    until(&format!("{at} answers"), || async {
        let answer = http.get(path).await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await
}

/// The reference as a process of its own, as Trellis' are.
struct Reference {
    at: SocketAddr,
    _process: Process,
}

async fn reference(lattice: &Lattice, redis: Option<&str>) -> Result<Reference> {
    let port = port::free()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("reference").arg(port.to_string());
    if let Some(url) = redis {
        command.args(["--redis", url]);
    }
    let process = Process::start(&format!("reference-{port}"), lattice.directory(), command)?;
    Ok(Reference {
        at: SocketAddr::from(([127, 0, 0, 1], port)),
        _process: process,
    })
}
