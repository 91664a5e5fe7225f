//! Dormant components: unloaded until their next call, which is answered like any other.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use time::OffsetDateTime;
use trellis_host::HostConfig;
use trellis_lattice::{
    ComponentId, HostId, LatticeName,
    claims::{AccountKey, ComponentDetails, ComponentKey, Validity, sign_component},
    control::{component::ScaleComponent, host::ComponentDescription},
};
use trellis_rpc::{
    Call, CallContext, CallError,
    interface::http::{Body, Method, Request, Response, handle},
    nats::NatsRpc,
};

use crate::{
    components::ask,
    kit::{Host, Lattice, component_bytes, inventory, scale},
};

/// Calls the actor as an HTTP server does; its answer's status.
pub async fn call(client: &async_nats::Client, id: &str, path: &str) -> Result<u16, CallError> {
    let request = Request {
        method: Method::of("GET"),
        path_with_query: Some(path.to_owned()),
        scheme: None,
        authority: Some("actors.test".to_owned()),
        headers: vec![],
        body: Body::empty(),
    };
    let call = Call {
        operation: handle().clone(),
        context: CallContext {
            deadline: Some(Instant::now() + Duration::from_secs(60)),
            ..CallContext::default()
        },
        params: request.into_params(),
    };
    let rpc = NatsRpc::new(client.clone(), LatticeName::default());
    let results = rpc.route(&ComponentId::new(id).unwrap()).call(call).await?;
    Ok(Response::from_result(results)?.unwrap().status)
}

/// The actor that misbehaves on request, with a number in it so that no two are the same; its reference.
pub fn guest(folder: &Path, number: u8) -> Result<String> {
    let actors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/actors");
    let mut bytes =
        std::fs::read(actors.join("misbehave.wasm")).context("run `cargo xtask guests` first")?;
    // A guest that was signed is not as it was signed any more: its last section, the claims, goes. Before the section's
    // name are its id, its length in two bytes and its name's length.
    let name = b"wasmcloud_jwt";
    if let Some(claims) = bytes.windows(name.len()).rposition(|bytes| bytes == name) {
        bytes.truncate(claims - 4);
    }
    // A custom section of that name, written alike.
    bytes.extend([0, 3, 2, b'n', number]);
    let path = folder.join(format!("guest-{number}.wasm"));
    std::fs::write(&path, bytes)?;
    Ok(format!("file://{}", path.display()))
}

fn dormant(host: &HostId, id: &str, image: &str, count: u32) -> ScaleComponent {
    ScaleComponent {
        dormant: true,
        ..scale(host, id, image, count)
    }
}

async fn known(lattice: &Lattice, host: &HostId, id: &str) -> Result<ComponentDescription> {
    let inventory = lattice.control.inventory(host).await?;
    let known = inventory.component(&ComponentId::new(id)?);
    known.cloned().context("not in the inventory")
}

#[tokio::test]
async fn the_first_calls_wake_it_and_none_is_lost() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = guest(lattice.folder.path(), 0)?;
    lattice
        .control
        .scale_component(&dormant(&host.id, "a", &image, 4))
        .await?;
    assert_eq!(
        lattice.events.named("component_scaled").await?["max_instances"],
        4
    );
    assert!(known(&lattice, &host.id, "a").await?.dormant);
    // What it exports is known all the same.
    let exports = lattice
        .control
        .describe_component(&ComponentId::new("a")?)
        .await?;
    assert!(!exports.functions.is_empty());

    for round in 0..3 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let client = lattice.client.clone();
            calls.spawn(async move { call(&client, "a", "/ok").await });
        }
        for status in calls.join_all().await {
            assert_eq!(status?, 200, "round {round}");
        }
        let woken = lattice.events.named("component_scaled").await?;
        assert_eq!(woken["max_instances"], 4);
        let awake = known(&lattice, &host.id, "a").await?;
        assert!(!awake.dormant);
        // It goes on counting where it was.
        let stats = awake.stats.context("no stats")?;
        assert_eq!((stats.calls, stats.errors), (100 * (round + 1), 0));
        if round == 0 {
            assert!(stats.peak >= 50, "{stats:?}");
        }
        lattice
            .control
            .scale_component(&dormant(&host.id, "a", &image, 4))
            .await?;
        lattice.events.named("component_scaled").await?;
        assert!(known(&lattice, &host.id, "a").await?.dormant);
    }

    // Woken by request, no call needed.
    lattice
        .control
        .scale_component(&scale(&host.id, "a", &image, 5))
        .await?;
    lattice.events.named("component_scaled").await?;
    let awake = known(&lattice, &host.id, "a").await?;
    assert!(!awake.dormant && awake.max_instances == 5);
    assert_eq!(call(&lattice.client, "a", "/ok").await?, 200);
    host.stop().await
}

/// Sent to sleep over and over while calls come without a pause: each of them is answered.
#[tokio::test]
async fn sleeping_and_waking_under_load_loses_nothing() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = guest(lattice.folder.path(), 0)?;
    lattice
        .control
        .scale_component(&dormant(&host.id, "a", &image, 50))
        .await?;
    lattice.events.named("component_scaled").await?;
    let mut callers = tokio::task::JoinSet::new();
    let (end, ended) = tokio::sync::watch::channel(false);
    for _ in 0..8 {
        let (client, ended) = (lattice.client.clone(), ended.clone());
        callers.spawn(async move {
            let mut calls = 0_u32;
            while !*ended.borrow() {
                assert_eq!(call(&client, "a", "/sleep?ms=5").await?, 200);
                calls += 1;
            }
            Ok::<_, CallError>(calls)
        });
    }
    for _ in 0..30 {
        lattice
            .control
            .scale_component(&dormant(&host.id, "a", &image, 50))
            .await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    end.send_replace(true);
    let mut calls = 0;
    for done in callers.join_all().await {
        calls += done?;
    }
    println!("{calls} calls during 30 sleeps");
    assert!(calls > 50);
    host.stop().await
}

#[tokio::test]
async fn calls_in_flight_finish_while_it_falls_asleep_and_updates_keep_waiting_calls() -> Result<()>
{
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = guest(lattice.folder.path(), 0)?;
    lattice
        .control
        .scale_component(&scale(&host.id, "a", &image, 4))
        .await?;
    lattice.events.named("component_scaled").await?;
    let client = lattice.client.clone();
    let slow = tokio::spawn(async move { call(&client, "a", "/sleep?ms=1500").await });
    inventory(&lattice, &host.id, |inventory| {
        let stats = inventory
            .components
            .first()
            .and_then(|known| known.stats.as_ref());
        stats.is_some_and(|stats| stats.in_flight == 1)
    })
    .await?;
    lattice
        .control
        .scale_component(&dormant(&host.id, "a", &image, 4))
        .await?;
    lattice.events.named("component_scaled").await?;
    assert!(known(&lattice, &host.id, "a").await?.dormant);
    assert!(!slow.is_finished());
    // A call that comes now need not wait for that one.
    assert_eq!(call(&lattice.client, "a", "/ok").await?, 200);
    assert!(!slow.is_finished());
    assert_eq!(slow.await??, 200);

    // Asleep, updated and stopped, with calls coming all the while.
    let next = guest(lattice.folder.path(), 1)?;
    let asleep = dormant(&host.id, "a", &image, 4);
    lattice.control.scale_component(&asleep).await?;
    let update = ScaleComponent {
        allow_update: true,
        ..scale(&host.id, "a", &next, 4)
    };
    let mut calls = tokio::task::JoinSet::new();
    lattice.control.scale_component(&update).await?;
    for _ in 0..20 {
        let client = lattice.client.clone();
        calls.spawn(async move { call(&client, "a", "/ok").await });
    }
    for status in calls.join_all().await {
        assert_eq!(status?, 200);
    }
    assert_eq!(known(&lattice, &host.id, "a").await?.image_ref, next);
    host.stop().await
}

#[tokio::test]
async fn one_that_cannot_be_loaded_again_says_so_to_each_call() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = guest(lattice.folder.path(), 0)?;
    lattice
        .control
        .scale_component(&dormant(&host.id, "a", &image, 4))
        .await?;
    lattice.events.named("component_scaled").await?;
    let path = image.trim_start_matches("file://").to_owned();
    let bytes = std::fs::read(&path)?;
    std::fs::remove_file(&path)?;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let client = lattice.client.clone();
        calls.spawn(async move { call(&client, "a", "/ok").await });
    }
    for answer in calls.join_all().await {
        let error = answer.unwrap_err().to_string();
        assert!(
            error.contains("was dormant and can't be loaded again"),
            "{error}"
        );
        assert!(error.contains("No such file"), "{error}");
    }
    lattice.events.named("component_scale_failed").await?;
    let asleep = known(&lattice, &host.id, "a").await?;
    assert!(asleep.dormant);
    assert_eq!(asleep.stats.context("no stats")?.errors, 10);

    // Another file in its place that isn't one; then the right one again.
    std::fs::write(&path, b"hello")?;
    let error = call(&lattice.client, "a", "/ok")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("not a WebAssembly file"), "{error}");
    std::fs::write(&path, bytes)?;
    assert_eq!(call(&lattice.client, "a", "/ok").await?, 200);
    host.stop().await
}

/// What lies where its image lay is trusted no more than at its start.
#[tokio::test]
async fn its_signature_is_looked_at_again() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let account = AccountKey::generate();
    let config = HostConfig {
        allow_unsigned: false,
        issuers: vec![account.public().to_string()],
        ..lattice.config()?
    };
    let host = Host::start(config).await?;
    let path = lattice.folder.path().join("signed.wasm");
    let key = ComponentKey::generate().public();
    let write = |account: &AccountKey, number| -> Result<()> {
        let validity = Validity::unlimited(OffsetDateTime::now_utc());
        let (bytes, details) = (component_bytes(number)?, ComponentDetails::default());
        let signed = sign_component(&bytes, account, &key, &details, &validity)?;
        Ok(std::fs::write(&path, signed)?)
    };
    write(&account, 1)?;
    let image = format!("file://{}", path.display());
    let request = dormant(&host.id, "a", &image, 1);
    lattice.control.scale_component(&request).await?;
    lattice.events.named("component_scaled").await?;
    write(&AccountKey::generate(), 2)?;
    let error = ask(&lattice.client, "a").await.unwrap_err().to_string();
    assert!(error.contains("does not trust"), "{error}");
    write(&account, 3)?;
    assert_eq!(ask(&lattice.client, "a").await?, 3);
    host.stop().await
}

/// A call that waits when the component is stopped is answered first.
#[tokio::test]
async fn stopping_it_answers_those_that_wait() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = guest(lattice.folder.path(), 0)?;
    for round in 0..10 {
        let request = dormant(&host.id, "a", &image, 4);
        lattice.control.scale_component(&request).await?;
        lattice.events.named("component_scaled").await?;
        let client = lattice.client.clone();
        let waiting = tokio::spawn(async move { call(&client, "a", "/ok").await });
        // As soon as it has come, and not later than it may take.
        inventory(&lattice, &host.id, |inventory| {
            let known = inventory.components.first();
            let stats = known.and_then(|known| known.stats.as_ref());
            stats.is_some_and(|stats| stats.peak > 0 || stats.calls > 0)
        })
        .await?;
        lattice
            .control
            .scale_component(&scale(&host.id, "a", &image, 0))
            .await?;
        assert_eq!(waiting.await??, 200, "round {round}");
        while lattice.events.named("component_scaled").await?["max_instances"] != 0 {}
    }
    host.stop().await
}

/// Says that this process is a host, and where its settings are.
const HOST_MARK: &str = "TRELLIS_TEST_DORMANT_HOST";

/// Not a test: a host's main function, when the test below has started this program.
#[tokio::test]
async fn host_main() {
    let Some(url) = std::env::var_os(HOST_MARK) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let config = HostConfig {
        nats: trellis_lattice::connect::NatsSettings::new(url.to_string_lossy()),
        allow_unsigned: true,
        cache_dir: folder.path().join("cache"),
        data_dir: folder.path().join("data"),
        ..HostConfig::default()
    };
    let (ready, _id) = tokio::sync::oneshot::channel();
    trellis_host::run(config, ready, Default::default())
        .await
        .unwrap();
}

/// Bytes of machine code that a process has made itself, and what it has in memory, in KiB.
fn memory(pid: u32) -> Result<(u64, u64)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut code = 0;
    for line in maps.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let made = match words[..] {
            [range, rights, _, _, "0"] => Some((range, rights)),
            // Mapped from the cache of compiled components.
            [range, rights, _, _, _, path, ..] if path.contains("/cache/") => Some((range, rights)),
            _ => None,
        };
        if let Some((range, rights)) = made
            && rights.contains('x')
        {
            let (from, to) = range.split_once('-').context("no range")?;
            code += u64::from_str_radix(to, 16)? - u64::from_str_radix(from, 16)?;
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|kib| kib.trim().strip_suffix(" kB"))
        .context("no VmRSS")?;
    Ok((code, resident.trim().parse()?))
}

#[tokio::test]
async fn memory_falls_while_components_sleep() -> Result<()> {
    const COUNT: u8 = 8;
    let mut lattice = Lattice::start().await?;
    let mut process = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--exact", "dormant::host_main", "--nocapture"])
        .env(HOST_MARK, lattice.server.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let pid = process.id().context("it has ended")?;
    let host = lattice.events.named("host_heartbeat").await?;
    let host = HostId::new(host["host_id"].as_str().unwrap())?;
    let (empty, _) = memory(pid)?;
    let images: Vec<_> = (0..COUNT)
        .map(|number| guest(lattice.folder.path(), number))
        .collect::<Result<_>>()?;
    let ids: Vec<_> = (0..COUNT).map(|number| format!("a{number}")).collect();
    for (id, image) in ids.iter().zip(&images) {
        let request = dormant(&host, id, image, 4);
        lattice.control.scale_component(&request).await?;
        lattice.events.named("component_scaled").await?;
    }
    // The host tells of it, and stops the actor beside that.
    let gone = trellis_tests::wait::until("what sleeps has no machine code", || async {
        let code = memory(pid)?.0;
        ensure!(code == empty, "{code} bytes, {empty} before");
        Ok(())
    });
    gone.await?;

    let mut slowest = Duration::ZERO;
    for id in &ids {
        let started = Instant::now();
        assert_eq!(call(&lattice.client, id, "/ok").await?, 200);
        slowest = slowest.max(started.elapsed());
        lattice.events.named("component_scaled").await?;
    }
    let awake = memory(pid)?;
    ensure!(awake.0 > empty, "machine code: {awake:?}, {empty} before");
    for (id, image) in ids.iter().zip(&images) {
        let request = dormant(&host, id, image, 4);
        lattice.control.scale_component(&request).await?;
        lattice.events.named("component_scaled").await?;
    }
    let asleep = trellis_tests::wait::until("the code is gone", || async {
        let now = memory(pid)?;
        ensure!(now.0 == empty, "{now:?}");
        Ok(now)
    })
    .await?;
    println!(
        "{COUNT} components: awake {} KiB of code, {} KiB resident; asleep {} KiB resident; slowest first call {slowest:?}",
        (awake.0 - empty) / 1024,
        awake.1,
        asleep.1
    );
    assert!(asleep.1 < awake.1, "{asleep:?} {awake:?}");
    process.kill().await?;
    Ok(())
}

/// The calls of another component of the same host come over NATS while it sleeps, and wake it too.
#[tokio::test]
async fn it_keeps_its_place_among_those_that_share_the_load() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let hosts = [lattice.host().await?, lattice.host().await?];
    let image = guest(lattice.folder.path(), 0)?;
    for host in &hosts {
        let request = dormant(&host.id, "a", &image, 4);
        lattice.control.scale_component(&request).await?;
        lattice.events.named("component_scaled").await?;
    }
    let calls = futures::stream::iter(0..60)
        .map(|_| call(&lattice.client, "a", "/ok"))
        .buffer_unordered(10);
    let statuses: Vec<_> = calls.collect().await;
    for status in statuses {
        assert_eq!(status?, 200);
    }
    for host in &hosts {
        assert!(!known(&lattice, &host.id, "a").await?.dormant);
    }
    Ok(())
}

/// Where it sleeps on two hosts and is stopped on one of them, the calls that still come there are answered.
#[tokio::test]
async fn stopping_one_that_sleeps_loses_no_call() -> Result<()> {
    let lattice = Lattice::start().await?;
    let hosts = [lattice.host().await?, lattice.host().await?];
    let image = guest(lattice.folder.path(), 0)?;
    for round in 0..10 {
        for host in &hosts {
            let request = dormant(&host.id, "a", &image, 4);
            lattice.control.scale_component(&request).await?;
            inventory(&lattice, &host.id, |inventory| {
                inventory.components.iter().any(|one| one.dormant)
            })
            .await?;
        }
        let gone = &hosts[round % 2].id;
        lattice
            .control
            .scale_component(&scale(gone, "a", &image, 0))
            .await?;
        let calls = futures::stream::iter(0..200)
            .map(|_| call(&lattice.client, "a", "/ok"))
            .buffer_unordered(4);
        let statuses: Vec<_> = calls.collect().await;
        for status in statuses {
            assert_eq!(status?, 200, "round {round}");
        }
        inventory(&lattice, gone, |inventory| inventory.components.is_empty()).await?;
    }
    Ok(())
}
