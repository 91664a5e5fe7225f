//! Many different actors on one host, started over the control interface: how long that takes from the cache, and what the
//! host takes with them.
//!
//! `cargo run --release -p trellis-host --example many -- target/actors/http_hello.wasm 10000 FOLDER`
//!
//! The folder keeps the actors and the cache: the first run compiles, which takes a while; later ones find all compiled.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use time::OffsetDateTime;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use trellis_host::{HostConfig, run};
use trellis_lattice::{
    ComponentId, LatticeName,
    claims::{AccountKey, ComponentDetails, ComponentKey, Validity, sign_component},
    client::ControlClient,
    connect::NatsSettings,
    control::component::ScaleComponent,
};
use trellis_tests::nats::NatsServer;

/// How many requests are sent before the first is done.
const AT_ONCE: usize = 256;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let wasm = fs::read(arguments.next().unwrap()).unwrap();
    let count: usize = arguments.next().unwrap().parse().unwrap();
    let folder: PathBuf = arguments.next().unwrap().into();
    let (images, issuer) = images(&folder, &wasm, count);

    let server = NatsServer::start().await.unwrap();
    let config = HostConfig {
        nats: NatsSettings::new(server.url()),
        issuers: vec![issuer],
        cache_dir: folder.join("cache"),
        data_dir: folder.join("data"),
        heartbeat_interval: Duration::from_secs(3600),
        ..HostConfig::default()
    };
    let (ready, host_id) = oneshot::channel();
    let shutdown = CancellationToken::new();
    let host = tokio::spawn(run(config, ready, shutdown.clone()));
    let host_id = host_id.await.unwrap();
    let client = server.connect().await.unwrap();
    let mut events = client.subscribe("wasmbus.evt.default.>").await.unwrap();
    let control = ControlClient::new(client.clone(), LatticeName::default())
        .with_timeout(Duration::from_secs(30));
    show("idle host");

    let began = Instant::now();
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let asking = tokio::spawn({
        let (control, at_once, host_id) = (control.clone(), at_once.clone(), host_id.clone());
        async move {
            for (number, image) in images.into_iter().enumerate() {
                at_once.acquire().await.unwrap().forget();
                let request = ScaleComponent {
                    component_ref: image,
                    component_id: ComponentId::new(format!("actor-{number}")).unwrap(),
                    host_id: host_id.clone(),
                    count: 10,
                    annotations: None,
                    config: vec![],
                    allow_update: false,
                    limits: None,
                    dormant: false,
                };
                control.scale_component(&request).await.unwrap();
            }
        }
    });
    let mut running = 0;
    while running < count {
        let event = events.next().await.unwrap();
        let text = String::from_utf8_lossy(&event.payload);
        assert!(!text.contains("component_scale_failed"), "{text}");
        if text.contains("component_scaled") {
            running += 1;
            at_once.add_permits(1);
            if running % (count / 10).max(1) == 0 {
                println!("{running} after {:.1?}", began.elapsed());
            }
        }
    }
    asking.await.unwrap();
    println!("{count} actors started in {:.2?}", began.elapsed());
    show("with all of them");
    tokio::time::sleep(Duration::from_secs(3)).await;
    show("3 s later");
    let began = Instant::now();
    match control.inventory(&host_id).await {
        Ok(inventory) => println!(
            "an inventory of {} in {:.1?}",
            inventory.components.len(),
            began.elapsed()
        ),
        Err(error) => println!("no inventory: {error}"),
    }
    let began = Instant::now();
    shutdown.cancel();
    host.await.unwrap().unwrap();
    println!("stopped in {:.1?}", began.elapsed());
}

/// The same component, signed as another each time, so that its bytes differ.
fn images(folder: &Path, wasm: &[u8], count: usize) -> (Vec<String>, String) {
    let images = folder.join("images");
    fs::create_dir_all(&images).unwrap();
    let issuer = AccountKey::read_or_create(&images.join("issuer.nk")).unwrap();
    let image = |number: usize| {
        let path = images.join(format!("{number}.wasm"));
        if !path.exists() {
            let subject = ComponentKey::generate().public();
            let details = ComponentDetails::default();
            let validity = Validity::unlimited(OffsetDateTime::now_utc());
            let signed = sign_component(wasm, &issuer, &subject, &details, &validity).unwrap();
            fs::write(&path, signed).unwrap();
        }
        format!("file://{}", fs::canonicalize(path).unwrap().display())
    };
    let images = (0..count).map(image).collect();
    (images, issuer.public().to_string())
}

fn show(what: &str) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mib = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024
    };
    println!(
        "{what}: {} MiB resident ({} its own, {} of files), {} mappings, {} open files, {} threads",
        mib("VmRSS:"),
        mib("RssAnon:"),
        mib("RssFile:"),
        fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count(),
        fs::read_dir("/proc/self/fd").unwrap().count(),
        fs::read_dir("/proc/self/task").unwrap().count(),
    );
}
