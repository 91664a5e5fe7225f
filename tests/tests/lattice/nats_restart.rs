//! nats-server ends under the lattice and comes back: so does everything else, by itself.

use anyhow::Result;
use trellis_tests::{
    http::{Http, Load},
    lattice::Lattice,
    wait::until,
};

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_after_nats_restarts() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    lattice.config("kv", &[("bucket", "counts")]).await?;
    lattice.run_actor("counter", "http_counter", 16).await?;
    lattice
        .run_provider("kv", "builtin:keyvalue-nats", &["kv"])
        .await?;
    let link = Lattice::link("counter", "kv", "wasi:keyvalue", &["store", "atomics"])?;
    lattice
        .control
        .put_link(&trellis_lattice::Link {
            target_config: vec!["kv".into()],
            ..link
        })
        .await?;
    let at = lattice.serve_http("http", "counter").await?;
    let http = Http::new(at);
    let load = Load::start(at, "/hits", 2);
    load.goes_on(20)
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    load.stop().await;
    let before: u64 = http.get("/hits").await?.body.trim().parse()?;

    for round in 0..2 {
        lattice.nats.crash().await?;
        lattice.nats.resume().await?;
        let load = Load::start(at, "/hits", 2);
        load.goes_on(20)
            .await
            .map_err(|error| error.context(lattice.logs()))?;
        load.stop().await;
        for host in &mut lattice.hosts {
            assert!(host.process.running()?, "round {round}: no process exits");
        }
    }
    let after: u64 = http.get("/hits").await?.body.trim().parse()?;
    assert!(
        after > before + 40,
        "nothing counted is lost: {before}, then {after}"
    );

    // Control works again, and so does what follows from it.
    let host = lattice.host()?.id.clone();
    until("the host is back", || async {
        // Its connection for control is not the one that calls go over.
        Ok(lattice.control.inventory(&host).await?)
    })
    .await?;
    lattice
        .run_actor_on(&host, "hello", "http_hello", 2, &[])
        .await?;
    let hello = Http::new(lattice.serve_http("http-2", "hello").await?);
    until("an actor started afterwards answers", || async {
        let answer = hello.get("/").await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))
}
