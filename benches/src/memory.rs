//! What actors take of a host's memory: one that is deployed, one that has been called, and one that is running.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use time::OffsetDateTime;
use tokio::task::JoinSet;
use trellis_lattice::{
    ComponentId,
    claims::{ComponentDetails, ComponentKey, Validity, sign_component},
};
use trellis_tests::{actors, lattice::Lattice, wait::until};

use crate::{
    load::Connection,
    process_memory::resident_kib,
    reference::Reference,
    requests::HYPER,
    rounds::Plan,
    row::{Group, Row, Unit},
    wasmtime_serve::WasmtimeServe,
};

/// How many different actors.
const ACTORS: usize = 100;
/// How many instances at once.
const INSTANCES: u32 = 100;
/// Longer than it takes to look at all of them; they are ended before.
const REQUEST: &str = "/sleep?ms=60000";

/// Measures one host of each kind, once: what it has does not change from time to time.
///
/// # Errors
/// It does not start, or refuses an actor.
pub async fn measure(_: &Plan) -> Result<Vec<Row>> {
    let mut rows = deployed().await?;
    rows.push(running().await?);
    Ok(rows)
}

async fn deployed() -> Result<Vec<Row>> {
    let lattice = Lattice::start().await?;
    let process = lattice.host()?.process.id();
    let alone = by_itself(&lattice).await?;
    let idle = resident_kib(process)? as f64;
    deploy(&lattice).await?;
    let deployed = resident_kib(process)? as f64;
    for index in 0..ACTORS {
        let greet = "trellis:example/greeter@0.1.0.greet";
        lattice
            .succeed(&["call", &name(index), greet, "\"Ada\""])
            .await?;
    }
    let called = resident_kib(process)? as f64;
    let mib = |kib: f64| [kib / 1024.0];
    let each = |kib: f64| [(kib - idle) / ACTORS as f64];
    let (name, alone) = alone;
    Ok(vec![
        Row::new(Group::Memory, "an idle host", Unit::Mib, &mib(idle))?.beside(
            format!("{name} of one actor"),
            &mib(idle),
            &mib(alone),
        )?,
        Row::new(
            Group::Memory,
            format!("each of {ACTORS} different actors"),
            Unit::Kib,
            &each(deployed),
        )?
        .beside(format!("{name} for each"), &each(deployed), &[alone])?,
        Row::new(
            Group::Memory,
            format!("each of {ACTORS} different actors that were called"),
            Unit::Kib,
            &each(called),
        )?
        .beside(format!("{name} for each"), &each(called), &[alone])?,
    ])
}

/// What a process for one actor takes: `wasmtime serve` where there is one, else a plain server.
async fn by_itself(lattice: &Lattice) -> Result<(&'static str, f64)> {
    let serve = WasmtimeServe::start(lattice.directory(), "http_hello", &[]).await?;
    if let Some(serve) = serve {
        return Ok((
            "a `wasmtime serve`",
            resident_kib(serve.process.id())? as f64,
        ));
    }
    let hyper = Reference::start(lattice.directory(), None).await?;
    Ok(("a plain hyper", resident_kib(hyper.process.id())? as f64))
}

fn name(index: usize) -> String {
    format!("greeter-{index}")
}

/// Signed by keys of their own, the actors' bytes differ: none shares code with another.
async fn deploy(lattice: &Lattice) -> Result<()> {
    let greeter = actors::built("greeter")?;
    let host = lattice.host()?.id.clone();
    for index in 0..ACTORS {
        let id = name(index);
        let path = lattice.directory().join(format!("{id}.wasm"));
        let details = ComponentDetails {
            name: Some(id.clone()),
            ..ComponentDetails::default()
        };
        let subject = ComponentKey::generate().public();
        let validity = Validity::unlimited(OffsetDateTime::now_utc());
        fs::write(
            &path,
            sign_component(&greeter, &lattice.issuer, &subject, &details, &validity)?,
        )?;
        lattice
            .scale(&host, &id, &format!("file://{}", path.display()), 10, &[])
            .await?;
    }
    lattice
        .inventory_until(&host, "all actors run", |inventory| {
            inventory.components.len() == ACTORS
        })
        .await
}

/// What an instance takes while it waits in the middle of a request, beside what a server written by hand keeps of one.
async fn running() -> Result<Row> {
    let lattice = Lattice::start().await?;
    let hyper = Reference::start(lattice.directory(), None).await?;
    lattice.run_actor("sleeper", "misbehave", INSTANCES).await?;
    let at = lattice.serve_http("http", "sleeper").await?;
    let host = lattice.host()?;
    let id = ComponentId::new("sleeper")?;
    // What is there once and not for each is there before.
    Connection::open(at).await?.get("/sleep?ms=1").await?;
    let before = resident_kib(host.process.id())? as f64;
    let requests = ask(at);
    until("all instances run", || async {
        let inventory = lattice.control.inventory(&host.id).await?;
        let component = inventory.component(&id).context("it does not run")?;
        let running = component.stats.as_ref().map_or(0, |stats| stats.in_flight);
        ensure!(running == INSTANCES, "{running} run");
        Ok(())
    })
    .await
    .with_context(|| lattice.logs())?;
    let each = (resident_kib(host.process.id())? as f64 - before) / f64::from(INSTANCES);
    drop(requests);

    let process = hyper.process.id();
    let before = resident_kib(process)? as f64;
    let requests = ask(hyper.at);
    until("all requests are held", || async {
        let held = sockets(process)?;
        ensure!(held >= INSTANCES as usize, "{held} are held");
        Ok(())
    })
    .await?;
    let held = (resident_kib(process)? as f64 - before) / f64::from(INSTANCES);
    drop(requests);
    Row::new(
        Group::Memory,
        format!("each of {INSTANCES} running instances"),
        Unit::Kib,
        &[each],
    )?
    .beside(format!("a held request, {HYPER}"), &[each], &[held])
}

/// Requests that stay open as long as this.
fn ask(at: std::net::SocketAddr) -> JoinSet<()> {
    let mut requests = JoinSet::new();
    for _ in 0..INSTANCES {
        requests.spawn(async move {
            if let Ok(mut connection) = Connection::open(at).await {
                // Nobody waits for the answer.
                let _ = connection.get(REQUEST).await;
            }
        });
    }
    requests
}

/// How many sockets a process has open.
fn sockets(process: u32) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
        let target = fs::read_link(entry?.path());
        count += usize::from(target.is_ok_and(|to| to.to_string_lossy().starts_with("socket:")));
    }
    Ok(count)
}
