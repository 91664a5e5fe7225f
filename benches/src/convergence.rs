//! How fast and how unnoticed a lattice becomes what it ought to be: a host killed, an application deployed, an image
//! replaced under load. On three hosts with the application manager's default settings.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use trellis_lattice::{ComponentId, HostId};
use trellis_tests::{
    http::{Http, Load},
    lattice::Lattice,
    manifest, port,
    wait::until,
};

use crate::{
    load,
    reference::Reference,
    requests::HYPER,
    rounds::Plan,
    row::{Group, Row, Target, Unit},
};

/// How many instances are kept alive.
const INSTANCES: u32 = 5;
/// What a deploy may take at most.
const DEPLOY_MS: f64 = 300.0;

/// Measures all of it.
///
/// # Errors
/// A process does not start, or something does not become as declared.
pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let deploys = deploys(plan.trials).await?;
    let starts = starts(plan.trials).await?;
    Ok(vec![
        Row::new(
            Group::Convergence,
            "`app deploy` with cached artefacts, to the first answer",
            Unit::Millis,
            &deploys,
        )?
        .beside(format!("{HYPER}, started as a process"), &deploys, &starts)?
        .target(Target::Below(DEPLOY_MS)),
        Row::new(
            Group::Convergence,
            "host killed, to all instances running again",
            Unit::Millis,
            &losses(plan.trials).await?,
        )?,
        updates(plan.trials).await?,
    ])
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

async fn losses(trials: usize) -> Result<Vec<f64>> {
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
        times.push(ms(begun.elapsed()));
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

async fn deploys(trials: usize) -> Result<Vec<f64>> {
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    let image = lattice.actor("http_hello")?;
    let mut times = Vec::new();
    // The first one fills the cache.
    for trial in 0..=trials {
        let at = SocketAddr::from(([127, 0, 0, 1], port::free()?));
        let begun = Instant::now();
        lattice
            .begin_deploy(&manifest::hello(&image, &at.to_string()))
            .await?;
        load::first_answer(at, "/")
            .await
            .with_context(|| lattice.logs())?;
        if trial > 0 {
            times.push(ms(begun.elapsed()));
        }
        lattice.succeed(&["app", "delete", "hello"]).await?;
        lattice.empty_until(&[]).await?;
    }
    Ok(times)
}

/// What a server takes to start that nobody has to place, link or supervise.
async fn starts(trials: usize) -> Result<Vec<f64>> {
    let directory = tempfile::tempdir()?;
    let mut times = Vec::new();
    for _ in 0..trials {
        let begun = Instant::now();
        let started = Reference::start(directory.path(), None).await?;
        times.push(ms(begun.elapsed()));
        drop(started);
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
    let name = format!(
        "{trials} updates to another image on three hosts, {} requests from 4 connections",
        seen.total()
    );
    Row::new(
        Group::Convergence,
        name,
        Unit::Failed,
        &[seen.failed() as f64],
    )
    .map(|row| row.target(Target::AtMost(0.0)))
}
