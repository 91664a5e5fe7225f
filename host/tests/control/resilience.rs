//! What a host does when NATS goes and comes, with and without what it had stored.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use trellis_lattice::{Link, config::Config};
use trellis_tests::wait::until;

use crate::kit::{Lattice, component, scale};

/// Much less than a heartbeat's interval, much more than joining again takes.
const SOON: Duration = Duration::from_secs(8);

fn link(target: &str) -> Link {
    serde_json::from_value(json!({
        "source_id": "x", "target": target, "wit_namespace": "wasi", "wit_package": "keyvalue",
        "interfaces": ["store"],
    }))
    .unwrap()
}

async fn fill(lattice: &Lattice) -> Result<()> {
    lattice.control.put_link(&link("kv")).await?;
    let config: Config = [("a".to_owned(), "b".to_owned())].into();
    lattice.control.put_config("c", &config).await?;
    Ok(())
}

/// Waits until the lattice answers as it did before.
async fn whole_again(lattice: &Lattice) -> Result<()> {
    until("the lattice's state", || async {
        let links = lattice.control.links().await?;
        anyhow::ensure!(links == [link("kv")], "{links:?}");
        let config = lattice.control.config("c").await?.context("no config")?;
        anyhow::ensure!(config["a"] == "b");
        Ok(())
    })
    .await
}

/// Restarts the server until the heartbeat of a host that joined it again is heard: who listens may come back after the
/// host, and then has missed it.
async fn heartbeat_after_restart(lattice: &mut Lattice) -> Result<serde_json::Value> {
    for _ in 0..5 {
        lattice.server.crash().await?;
        lattice.server.resume().await?;
        let heartbeat = lattice.events.named("host_heartbeat");
        if let Ok(heard) = tokio::time::timeout(SOON, heartbeat).await {
            return heard;
        }
    }
    anyhow::bail!("no heartbeat was heard in {SOON:?} after any of five restarts")
}

#[tokio::test]
async fn a_restarted_server_is_joined_again() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = component(lattice.folder.path(), 3)?;
    lattice
        .control
        .scale_component(&scale(&host.id, "a", &image, 1))
        .await?;
    let mut told = lattice.probe("kv").await?;
    lattice.start_probe(&host.id, "kv", &[]).await?;
    lattice.events.named("health_check_passed").await?;
    fill(&lattice).await?;
    told.next("linkdefs.put").await?;

    // Right after the connection is back, not a heartbeat's interval later.
    let heartbeat = heartbeat_after_restart(&mut lattice).await?;
    assert_eq!(heartbeat["components"][0]["id"], "a");
    assert_eq!(heartbeat["providers"][0]["id"], "kv");
    whole_again(&lattice).await?;
    // The provider hears what it may have missed.
    assert_eq!(told.next("linkdefs.put").await?["body"]["source_id"], "x");
    // And what is new is followed.
    lattice
        .control
        .put_config("c", &[("a".to_owned(), "2".to_owned())].into())
        .await?;
    let new = Link {
        source_id: trellis_lattice::ComponentId::new("y")?,
        ..link("kv")
    };
    lattice.control.put_link(&new).await?;
    while told.next("linkdefs.put").await?["body"]["source_id"] != "y" {}
    host.stop().await
}

#[tokio::test]
async fn a_lost_bucket_is_filled_again_with_what_hosts_know() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let _hosts = (lattice.host().await?, lattice.host().await?);
    fill(&lattice).await?;
    whole_again(&lattice).await?;
    let jetstream = async_nats::jetstream::new(lattice.client.clone());
    for bucket in ["LATTICEDATA_default", "CONFIGDATA_default"] {
        jetstream.delete_key_value(bucket).await?;
    }
    // A server with its store in memory loses it by a restart; here the restart makes the hosts look.
    lattice.server.crash().await?;
    lattice.server.resume().await?;
    whole_again(&lattice).await?;
    let entry = until("the entry", || async {
        let bucket = jetstream.get_key_value("LATTICEDATA_default").await?;
        bucket.get("COMPONENT_x").await?.context("not there")
    });
    let entry: serde_json::Value = serde_json::from_slice(&entry.await?)?;
    assert_eq!(
        entry,
        json!({"url": "", "links": [serde_json::to_value(link("kv"))?]})
    );
    Ok(())
}

#[tokio::test]
async fn a_host_serves_from_memory_while_its_bucket_is_away() -> Result<()> {
    let lattice = Lattice::start().await?;
    let _host = lattice.host().await?;
    fill(&lattice).await?;
    let jetstream = async_nats::jetstream::new(lattice.client.clone());
    for bucket in ["LATTICEDATA_default", "CONFIGDATA_default"] {
        jetstream.delete_key_value(bucket).await?;
    }
    whole_again(&lattice).await?;
    let refused = lattice
        .control
        .put_link(&link("other"))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("JetStream"), "{refused}");
    whole_again(&lattice).await
}
