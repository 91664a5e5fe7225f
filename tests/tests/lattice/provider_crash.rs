//! A provider is killed under load and comes back with its links.

use anyhow::Result;
use nix::sys::signal::Signal;
use trellis_tests::{
    counter,
    http::Load,
    lattice::Lattice,
    process::{alive, signal_to},
    provider::process_of,
    redis::RedisServer,
    wait::until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_provider_comes_back_with_its_links() -> Result<()> {
    let redis = RedisServer::start().await?;
    let lattice = Lattice::start().await?;
    counter::run_on_redis(&lattice, &[("url", &redis.url())], 32).await?;
    let at = lattice.serve_http("http", "counter").await?;

    let load = Load::start(at, "/hits", 4);
    load.goes_on(50).await?;
    for _ in 0..2 {
        let before = process_of(&lattice, "keyvalue-redis").await?;
        signal_to(before, Signal::SIGKILL)?;
        let after = until("another process of the provider runs", || async {
            let now = process_of(&lattice, "keyvalue-redis").await?;
            anyhow::ensure!(now != before, "still {now}");
            Ok(now)
        });
        let after = after.await.map_err(|error| error.context(lattice.logs()))?;
        load.goes_on(50)
            .await
            .map_err(|error| error.context(lattice.logs()))?;
        assert!(alive(after));
    }
    let seen = load.stop().await;
    assert!(
        seen.longest.as_secs() < 45,
        "every request ended in bounded time: {seen:?}"
    );

    // The HTTP server too: its port is taken again by its next process.
    let server = process_of(&lattice, "http-server").await?;
    signal_to(server, Signal::SIGKILL)?;
    let load = Load::start(at, "/hits", 2);
    load.goes_on(50)
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    load.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_never_outlive_their_host() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    lattice.run_actor("hello", "http_hello", 1).await?;
    lattice.serve_http("http", "hello").await?;
    let provider = process_of(&lattice, "http-server").await?;
    lattice.hosts[0].process.signal(Signal::SIGKILL)?;
    lattice.hosts[0].process.ended().await?;
    until("the provider ends with its host", || async {
        anyhow::ensure!(!alive(provider), "it still runs");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_host_takes_its_providers_along() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    lattice.run_actor("hello", "http_hello", 1).await?;
    lattice.serve_http("http", "hello").await?;
    let provider = process_of(&lattice, "http-server").await?;
    let host = &mut lattice.hosts[0].process;
    host.signal(Signal::SIGTERM)?;
    let status = host.ended().await?;
    assert!(status.success(), "{status}\n{}", host.output());
    assert!(!alive(provider));
    Ok(())
}
