//! How fast and how unnoticed a lattice becomes what it ought to be: a host killed, an application deployed, an image
//! replaced under load. On three hosts with the application manager's default settings.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde::Serialize;
use trellis_lattice::{ComponentId, HostId};
use trellis_tests::{
    http::{Http, Load},
    lattice::Lattice,
    manifest, port,
    wait::until,
};

use crate::report::Report;

/// How many instances are kept alive.
const INSTANCES: u32 = 5;

/// One measurement.
#[derive(Clone, Debug, Serialize)]
struct Row {
    what: &'static str,
    trials: usize,
    median_ms: Option<u64>,
    worst_ms: Option<u64>,
    requests: Option<usize>,
    failed: Option<usize>,
}

impl Row {
    fn times(what: &'static str, mut times: Vec<Duration>) -> Result<Self> {
        times.sort();
        let ms = |time: &Duration| u64::try_from(time.as_millis());
        let worst = times.last().context("no trial")?;
        Ok(Self {
            what,
            trials: times.len(),
            median_ms: Some(ms(&times[times.len() / 2])?),
            worst_ms: Some(ms(worst)?),
            requests: None,
            failed: None,
        })
    }

    fn cells(&self) -> Vec<String> {
        let cell = |number: Option<String>| number.unwrap_or_else(|| "–".into());
        vec![
            self.what.to_owned(),
            self.trials.to_string(),
            cell(self.median_ms.map(|ms| ms.to_string())),
            cell(self.worst_ms.map(|ms| ms.to_string())),
            cell(self.requests.map(|count| count.to_string())),
            cell(self.failed.map(|count| count.to_string())),
        ]
    }
}

/// Measures all of it, each thing so many times.
///
/// # Errors
/// A process does not start, or something does not become as declared.
pub async fn measure(trials: usize) -> Result<Report> {
    let rows = [
        Row::times(
            "host killed, to all instances running again",
            losses(trials).await?,
        )?,
        Row::times(
            "`app deploy` with cached artefacts, to the first answer",
            deploys(trials).await?,
        )?,
        updates(trials).await?,
    ];
    Report::new(
        "convergence",
        vec![
            "what",
            "trials",
            "median ms",
            "worst ms",
            "requests",
            "failed",
        ],
        rows.iter().map(Row::cells).collect(),
        &rows,
    )
}

async fn losses(trials: usize) -> Result<Vec<Duration>> {
    let mut lattice = Lattice::start().await?;
    lattice.add_host().await?;
    lattice.add_host().await?;
    lattice.start_wadm().await?;
    let image = lattice.actor("http_hello")?;
    let component = format!(
        "    - name: hello
      type: component
      properties:
        image: {image}
      traits:
        - type: spreadscaler
          properties:
            instances: {INSTANCES}
"
    );
    lattice
        .deploy(&manifest::application("loss", &component))
        .await?;
    let id = ComponentId::new("loss-hello")?;
    let mut times = Vec::new();
    for _ in 0..trials {
        let mut killed = lattice.hosts.remove(0);
        let left: Vec<HostId> = lattice.hosts.iter().map(|host| host.id.clone()).collect();
        let begun = Instant::now();
        killed.process.signal(Signal::SIGKILL)?;
        until("all instances run again", || async {
            let mut running = 0;
            for host in &left {
                let inventory = lattice.control.inventory(host).await?;
                running += inventory
                    .component(&id)
                    .map_or(0, |there| there.max_instances);
            }
            ensure!(running == INSTANCES, "{running} run");
            Ok(())
        })
        .await
        .with_context(|| lattice.logs())?;
        times.push(begun.elapsed());
        killed.process.ended().await?;
        let joined = lattice.add_host().await?;
        lattice
            .inventory_until(&joined, "the new host has its part", |inventory| {
                inventory.component(&id).is_some()
            })
            .await?;
    }
    Ok(times)
}

async fn deploys(trials: usize) -> Result<Vec<Duration>> {
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    let image = lattice.actor("http_hello")?;
    let mut times = Vec::new();
    // The first one fills the cache.
    for trial in 0..=trials {
        let at = SocketAddr::from(([127, 0, 0, 1], port::free()?));
        let http = Http::new(at);
        let begun = Instant::now();
        lattice
            .begin_deploy(&manifest::hello(&image, &at.to_string()))
            .await?;
        http.get_until_good("/")
            .await
            .with_context(|| lattice.logs())?;
        if trial > 0 {
            times.push(begun.elapsed());
        }
        lattice.succeed(&["app", "delete", "hello"]).await?;
        lattice.empty_until(&[]).await?;
    }
    Ok(times)
}

async fn updates(trials: usize) -> Result<Row> {
    let mut lattice = Lattice::start().await?;
    lattice.add_host().await?;
    lattice.add_host().await?;
    lattice.start_wadm().await?;
    let at = SocketAddr::from(([127, 0, 0, 1], port::free()?));
    let images = [
        lattice.actor("http_hello")?,
        lattice.actor_saying(
            "http_hello",
            "other",
            ("Hello from Trellis!", "Adieu from Trellis!"),
        )?,
    ];
    lattice
        .deploy(&manifest::hello(&images[0], &at.to_string()))
        .await?;
    Http::new(at).get_until_good("/").await?;
    let load = Load::start(at, "/", 4);
    for trial in 1..=trials {
        load.goes_on(100).await?;
        let image = &images[trial % images.len()];
        lattice
            .deploy(&manifest::hello(image, &at.to_string()))
            .await?;
    }
    load.goes_on(100).await?;
    let seen = load.stop().await;
    Ok(Row {
        what: "another image on three hosts, under load from 4 connections",
        trials,
        median_ms: None,
        worst_ms: None,
        requests: Some(seen.total()),
        failed: Some(seen.failed()),
    })
}
