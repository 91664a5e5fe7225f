//! Where instances go, and when they move.

use anyhow::Result;
use nix::sys::signal::Signal;
use trellis_tests::lattice::Lattice;

use super::hello;

/// Two of five in zone a, three in zone b.
const BY_WEIGHT: &str = "        - type: spreadscaler
          properties:
            instances: 5
            spread:
              - name: a
                weight: 40
                requirements: {zone: a}
              - name: b
                weight: 60
                requirements: {zone: b}
";

async fn three_hosts() -> Result<Lattice> {
    let mut lattice = Lattice::without_hosts().await?;
    for zone in ["zone=a", "zone=b", "zone=b"] {
        lattice.add_host_with(&["--label", zone]).await?;
    }
    lattice.start_wadm().await?;
    Ok(lattice)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_s_instances_run_again_elsewhere() -> Result<()> {
    let mut lattice = three_hosts().await?;
    let image = lattice.actor("http_hello")?;
    lattice.deploy(&hello("spread", &image, BY_WEIGHT)).await?;
    let counts = lattice.instances("spread-hello").await?;
    assert_eq!(counts.values().sum::<u32>(), 5, "{counts:?}");
    assert_eq!(counts["host-0"], 2, "{counts:?}");

    let killed = &mut lattice.hosts[1].process;
    killed.signal(Signal::SIGKILL)?;
    killed.ended().await?;
    lattice
        .instances_until("spread-hello", &[("host-0", 2), ("host-2", 3)])
        .await?;

    // One that comes back gets its part, and no more.
    lattice.add_host_with(&["--label", "zone=b"]).await?;
    lattice
        .instances_until(
            "spread-hello",
            &[("host-0", 2), ("host-2", 2), ("host-3", 1)],
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_move_exactly_what_they_must() -> Result<()> {
    let lattice = three_hosts().await?;
    let image = lattice.actor("http_hello")?;
    lattice.deploy(&hello("spread", &image, BY_WEIGHT)).await?;
    lattice
        .succeed(&["label", "put", "host-2", "zone=a"])
        .await?;
    lattice
        .instances_until(
            "spread-hello",
            &[("host-0", 1), ("host-1", 3), ("host-2", 1)],
        )
        .await?;
    // A taint drives everything away; taking it off brings back what evenness gives.
    lattice
        .succeed(&["label", "put", "host-2", "trellis.dev/taint.upkeep=now"])
        .await?;
    lattice
        .instances_until("spread-hello", &[("host-0", 2), ("host-1", 3)])
        .await?;
    lattice
        .succeed(&["label", "del", "host-2", "trellis.dev/taint.upkeep"])
        .await?;
    lattice
        .instances_until(
            "spread-hello",
            &[("host-0", 1), ("host-1", 3), ("host-2", 1)],
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn residency_holds_while_a_region_is_lost() -> Result<()> {
    let mut lattice = Lattice::without_hosts().await?;
    for labels in [
        "region=eu,pop=fra",
        "region=eu,pop=ams",
        "region=us,pop=iad",
    ] {
        lattice.add_host_with(&["--label", labels]).await?;
    }
    lattice.start_wadm().await?;
    let traits = "        - type: spreadscaler
          properties:
            instances: 4
        - type: placement
          properties:
            require: {region: eu}
            topologySpread:
              - label: pop
";
    let image = lattice.actor("http_hello")?;
    lattice.deploy(&hello("eu", &image, traits)).await?;
    lattice
        .instances_until("eu-hello", &[("host-0", 2), ("host-1", 2)])
        .await?;
    for (host, left) in [(0, &[("host-1", 4)][..]), (1, &[])] {
        let killed = &mut lattice.hosts[host].process;
        killed.signal(Signal::SIGKILL)?;
        killed.ended().await?;
        lattice.instances_until("eu-hello", left).await?;
    }
    // The last host of the region is gone, the other region's gets nothing, and the reason is told.
    let status = trellis_tests::wait::until("the reason is told", || async {
        let status = lattice.succeed(&["app", "status", "eu"]).await?;
        anyhow::ensure!(status.contains("region=eu"), "{status}");
        Ok(status)
    })
    .await?;
    assert!(lattice.instances("eu-hello").await?.is_empty(), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemonscaler_follows_the_hosts() -> Result<()> {
    let mut lattice = three_hosts().await?;
    let traits = "        - type: daemonscaler
          properties:
            instances: 2
            spread:
              - name: b
                requirements: {zone: b}
";
    let image = lattice.actor("http_hello")?;
    lattice.deploy(&hello("daemon", &image, traits)).await?;
    lattice
        .instances_until("daemon-hello", &[("host-1", 2), ("host-2", 2)])
        .await?;
    lattice.add_host_with(&["--label", "zone=b"]).await?;
    lattice
        .instances_until(
            "daemon-hello",
            &[("host-1", 2), ("host-2", 2), ("host-3", 2)],
        )
        .await?;
    let leaving = &mut lattice.hosts[1].process;
    leaving.signal(Signal::SIGTERM)?;
    leaving.ended().await?;
    lattice
        .succeed(&["label", "put", "host-2", "zone=c"])
        .await?;
    lattice
        .instances_until("daemon-hello", &[("host-3", 2)])
        .await
}
