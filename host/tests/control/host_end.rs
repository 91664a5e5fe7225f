//! No provider outlives its host, however that ends.

use std::process::Stdio;

use anyhow::Result;
use trellis_host::HostConfig;
use trellis_lattice::HostId;

use crate::{
    kit::{Lattice, gone, pid, runs},
    probe,
};

#[tokio::test]
async fn a_host_that_stops_ends_its_providers() -> Result<()> {
    let lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let mut told = lattice.probe("kv").await?;
    lattice.start_probe(&host.id, "kv", &[]).await?;
    let started = told.next("started").await?;
    host.stop().await?;
    told.next("default.shutdown").await?;
    gone(pid(&started)).await
}

#[tokio::test]
async fn a_host_that_is_dropped_takes_its_providers_with_it() -> Result<()> {
    let lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let mut told = lattice.probe("kv").await?;
    lattice.start_probe(&host.id, "kv", &[]).await?;
    let started = told.next("started").await?;
    assert!(runs(pid(&started)));
    host.task.abort();
    gone(pid(&started)).await
}

/// Says that this process is a host, and where its settings are.
const HOST_MARK: &str = "TRELLIS_TEST_HOST";

/// Not a test: a host's main function, when the test below has started this program.
#[tokio::test]
async fn host_main() {
    let Some(url) = std::env::var_os(HOST_MARK) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let config = HostConfig {
        nats: trellis_lattice::connect::NatsSettings::new(url.to_string_lossy()),
        builtin_executable: probe::script(folder.path()).unwrap(),
        builtin_providers: vec!["probe".into()],
        cache_dir: folder.path().join("cache"),
        data_dir: folder.path().join("data"),
        ..HostConfig::default()
    };
    let (ready, _id) = tokio::sync::oneshot::channel();
    trellis_host::run(config, ready, Default::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_provider_does_not_outlive_a_host_that_is_killed() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let mut told = lattice.probe("kv").await?;
    let mut process = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--exact", "host_end::host_main", "--nocapture"])
        .env(HOST_MARK, lattice.server.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let host = lattice.events.named("host_heartbeat").await?;
    let host = HostId::new(host["host_id"].as_str().unwrap())?;
    lattice.start_probe(&host, "kv", &[]).await?;
    let started = told.next("started").await?;
    process.kill().await?;
    gone(pid(&started)).await
}
