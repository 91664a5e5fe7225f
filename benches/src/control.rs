//! What a lattice costs that only stands there: 1,000 hosts that say that they live and tell what they run, on one
//! nats-server, and an application manager that watches them. The hosts are light-weight: they speak the control
//! interface as a real host does and run nothing ([`fakes`]); what they tell of a component is what a real one told.

mod fakes;
mod server;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use trellis_lattice::{
    ComponentId, LatticeName, connect::NatsSettings, control::host::HostInventory,
    subject::Subjects,
};
use trellis_tests::{actors, lattice::Lattice, process::Process};

use crate::{
    rounds::Plan,
    row::{Group, Row, Unit},
};
use fakes::Fakes;
use server::{Server, Usage, processor_time};

/// How many hosts.
const HOSTS: usize = 1000;
/// How many components are deployed, and how many instances each has: some nine of them on each host.
const COMPONENTS: usize = 300;
const INSTANCES: usize = 30;
/// How long it is measured: as long as it takes until every host has told all that it runs.
const LASTING: Duration = Duration::from_secs(30);
const QUICK: Duration = Duration::from_secs(5);
/// What the deployment may take at most.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures it once: 30 seconds are many rounds.
///
/// # Errors
/// A process does not start, or the application does not become deployed.
pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let lasting = match plan.lasting < Duration::from_secs(1) {
        true => QUICK,
        false => LASTING,
    };
    let told = told().await?;
    let directory = TempDir::new()?;
    let server = Server::start(directory.path()).await?;
    let fakes = Fakes::start(&server.url(), HOSTS, &told).await?;
    let mut command = Command::new(actors::trellis()?);
    command
        .current_dir(directory.path())
        .args(["wadm", "--nats-url", &server.url()]);
    let wadm = Process::start("wadm", directory.path(), command)?;
    deploy(&server).await.with_context(|| wadm.output())?;
    // What was told of the deployment has gone by.
    tokio::time::sleep(Duration::from_secs(3)).await;

    let (before, worked) = (server.usage().await?, processor_time(wadm.id())?);
    let begun = Instant::now();
    tokio::time::sleep(lasting).await;
    let took = begun.elapsed();
    let load = server.usage().await?.since(&before);
    let observing = (processor_time(wadm.id())? - worked) / took.as_secs_f64() * 100.0;
    drop((fakes, wadm));

    let bare = bare(&server, &load, took).await?;
    let each = |count: f64| [count / took.as_secs_f64() / HOSTS as f64];
    let share = |usage: &Usage| [usage.processor_seconds / took.as_secs_f64() * 100.0];
    let row = |name: String, unit, figure: &[f64]| Row::new(Group::Control, name, unit, figure);
    Ok(vec![
        row(
            format!("messages of a host, one of {HOSTS} with {COMPONENTS} components deployed"),
            Unit::MessagesPerSecond,
            &each(load.messages),
        )?,
        row(
            "the same in bytes".to_owned(),
            Unit::BytesPerSecond,
            &each(load.bytes),
        )?,
        row(
            format!("nats-server with {HOSTS} hosts and wadm"),
            Unit::CorePercent,
            &share(&load),
        )?
        .beside(
            "as many messages and bytes from one publisher to one subscriber",
            &share(&load),
            &share(&bare),
        )?,
        row(
            format!("wadm, which watches {HOSTS} hosts"),
            Unit::CorePercent,
            &[observing],
        )?
        .beside(
            "the nats-server that carries the same messages bare",
            &[observing],
            &share(&bare),
        )?,
    ])
}

/// What a real host tells that runs a component.
async fn told() -> Result<HostInventory> {
    let lattice = Lattice::start().await?;
    lattice.run_actor("hello", "http_hello", 10).await?;
    let at = lattice.serve_http("http", "hello").await?;
    // So that there is something to tell of its calls.
    crate::load::Connection::open(at).await?.get("/").await?;
    let inventory = lattice.control.inventory(&lattice.host()?.id).await?;
    inventory
        .component(&ComponentId::new("hello")?)
        .context("the real host tells of no component")?;
    Ok(inventory)
}

/// Deploys the application and waits until all of it runs.
async fn deploy(server: &Server) -> Result<()> {
    let client = NatsSettings::new(server.url()).connect("bench").await?;
    let subjects = Subjects::new(LatticeName::default());
    let mut manifest = String::from(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: load}\nspec:\n  components:\n",
    );
    for number in 0..COMPONENTS {
        manifest += &format!(
            "    - {{name: c{number}, type: component, properties: {{image: 'file:///srv/actors/component-{number}.wasm'}}, traits: [{{type: spreadscaler, properties: {{instances: {INSTANCES}}}}}]}}\n"
        );
    }
    let begun = Instant::now();
    let ask = async |subject: String, body: String| -> Result<Value> {
        loop {
            // A manager that begins does not answer yet.
            match client.request(subject.clone(), body.clone().into()).await {
                Ok(reply) => return Ok(serde_json::from_slice(&reply.payload)?),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    };
    ask(subjects.app("put"), manifest).await?;
    ask(subjects.app_named("deploy", "load"), String::new()).await?;
    loop {
        let status = ask(subjects.app_named("status", "load"), String::new()).await?;
        if status["status"]["status"]["type"] == "deployed" {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            bail!(
                "not deployed within {PATIENCE:?}: {}",
                status["status"]["status"]
            );
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// What the server takes for as many messages and bytes without any lattice.
async fn bare(server: &Server, load: &Usage, lasting: Duration) -> Result<Usage> {
    use futures::StreamExt as _;
    let (from, to) = (
        NatsSettings::new(server.url()).connect("bare").await?,
        NatsSettings::new(server.url()).connect("bare").await?,
    );
    let mut subscriber = to.subscribe("bare").await?;
    to.flush().await?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of some thousand"
    )]
    let (messages, size) = (
        load.messages.max(1.0) as u32,
        (load.bytes / load.messages.max(1.0)) as usize,
    );
    let payload = bytes::Bytes::from(vec![b'x'; size]);
    let mut tick = tokio::time::interval(lasting / messages);
    let before = server.usage().await?;
    for _ in 0..messages {
        tick.tick().await;
        from.publish("bare", payload.clone()).await?;
        while let Some(Some(_)) = futures::FutureExt::now_or_never(subscriber.next()) {}
    }
    from.flush().await?;
    Ok(server.usage().await?.since(&before))
}
