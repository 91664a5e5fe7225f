//! Many different actors on one host: how long they take to start when all are compiled, and what the host takes with them.
//!
//! Compiling them takes minutes, so this is measured only when it is asked for.

use std::{fs, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use nix::sys::signal::Signal;
use time::OffsetDateTime;
use tokio::{sync::Semaphore, task::JoinSet};
use trellis_lattice::{
    ComponentId, HostId,
    claims::{ComponentDetails, ComponentKey, Validity, sign_component},
    control::component::ScaleComponent,
};
use trellis_tests::lattice::Lattice;

use crate::{
    process_memory::resident_kib,
    rounds::Plan,
    row::{Group, Row, Target, Unit},
};

/// How many requests are sent before the first is done.
const AT_ONCE: usize = 256;

/// Starts all of them twice: to have them compiled, and from the cache.
///
/// # Errors
/// The host does not start, or refuses an actor.
pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let actors = plan.crowd;
    let mut lattice = Lattice::without_hosts().await?;
    let images = images(&lattice, actors)?;
    let host = lattice.add_host().await?;
    eprintln!("compiling {actors} actors");
    start(&lattice, &host, &images).await?;
    let mut first = lattice.hosts.remove(0).process;
    first.signal(Signal::SIGTERM)?;
    first.ended().await?;
    // The next one has the cache of the first.
    let kept = |number: u8| lattice.directory().join(format!("host-{number}"));
    fs::rename(kept(0), kept(1))?;

    let host = lattice.add_host().await?;
    let process = lattice.host()?.process.id();
    let idle = resident_kib(process)? as f64;
    let begun = Instant::now();
    start(&lattice, &host, &images).await?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let with_all = resident_kib(process)? as f64;
    Ok(vec![
        Row::new(
            Group::Crowd,
            format!("{actors} different actors started from the cache"),
            Unit::Millis,
            &[took],
        )?
        .target(Target::Below(60_000.0)),
        Row::new(
            Group::Crowd,
            "their host's memory",
            Unit::Mib,
            &[with_all / 1024.0],
        )?
        .beside(
            "the host without any",
            &[with_all / 1024.0],
            &[idle / 1024.0],
        )?
        .target(Target::Below(4096.0)),
    ])
}

/// The same component, signed as another each time, so that its bytes differ.
fn images(lattice: &Lattice, actors: usize) -> Result<Vec<String>> {
    let wasm = trellis_tests::actors::built("http_hello")?;
    let folder = lattice.directory().join("images");
    fs::create_dir_all(&folder)?;
    let validity = Validity::unlimited(OffsetDateTime::now_utc());
    let image = |number: usize| {
        let path = folder.join(format!("{number}.wasm"));
        let subject = ComponentKey::generate().public();
        let details = ComponentDetails::default();
        let signed = sign_component(&wasm, &lattice.issuer, &subject, &details, &validity)?;
        fs::write(&path, signed)?;
        Ok(format!("file://{}", path.display()))
    };
    (0..actors).map(image).collect()
}

async fn start(lattice: &Lattice, host: &HostId, images: &[String]) -> Result<()> {
    let client = lattice.control.nats().clone();
    let mut events = client
        .subscribe(lattice.control.subjects().events())
        .await?;
    // The server has the subscription when it has answered something sent after it.
    lattice.control.hosts().await?;
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    asking.spawn({
        let (control, at_once) = (lattice.control.clone(), at_once.clone());
        let (host, images) = (host.clone(), images.to_vec());
        async move {
            for (number, image) in images.into_iter().enumerate() {
                at_once.acquire().await?.forget();
                let request = ScaleComponent {
                    component_ref: image,
                    component_id: ComponentId::new(format!("actor-{number}"))?,
                    host_id: host.clone(),
                    count: 10,
                    annotations: None,
                    config: vec![],
                    allow_update: false,
                    limits: None,
                    dormant: false,
                };
                control.scale_component(&request).await?;
            }
            anyhow::Ok(())
        }
    });
    let mut running = 0;
    while running < images.len() {
        let event = tokio::select! {
            event = events.next() => event.context("the connection to NATS was closed")?,
            Some(asked) = asking.join_next() => {
                asked??;
                continue;
            }
        };
        let text = String::from_utf8_lossy(&event.payload);
        ensure!(!text.contains("component_scale_failed"), "{text}");
        if text.contains("component_scaled") {
            running += 1;
            at_once.add_permits(1);
        }
    }
    Ok(())
}
