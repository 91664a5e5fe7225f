//! A component that is told what changes in a store: the example, on each provider that tells.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream;
use trellis_tests::{actors, lattice::Lattice, redis::RedisServer, wait::until};

/// The example's manifest with this lattice's actor.
fn manifest(lattice: &Lattice) -> Result<String> {
    let manifest = fs::read_to_string(actors::project().join("examples/restock/app.yaml"))?;
    let image = "file://../../target/actors/restock.wasm";
    ensure!(manifest.contains(image), "{manifest}");
    Ok(manifest.replace(image, &lattice.actor("restock")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_hears_of_changes_in_nats() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    lattice.deploy(&manifest(&lattice)?).await?;
    let js = jetstream::new(lattice.nats.connect().await?);
    let made = until("the bucket is made", || async {
        Ok(js.get_key_value("stock").await?)
    });
    let stock = made.await.with_context(|| lattice.logs())?;
    let order = async |item: &str| -> Result<_> { Ok(stock.get(format!("order.{item}")).await?) };

    // The first may be written before the bucket is watched.
    let ordered = until("pears are ordered", || async {
        stock.put("stock.pears", "3".into()).await?;
        ensure!(order("pears").await?.context("not yet")? == "20");
        Ok(())
    });
    ordered.await.with_context(|| lattice.logs())?;
    stock.put("stock.pears", "23".into()).await?;
    let enough = until("the order is gone", || async {
        ensure!(order("pears").await?.is_none());
        Ok(())
    });
    enough.await.with_context(|| lattice.logs())?;

    // What changes around the server's restart is told after it.
    lattice.nats.crash().await?;
    lattice.nats.resume().await?;
    let put = until("the stock takes a value", || async {
        Ok(stock.put("stock.plums", "0".into()).await?)
    });
    put.await?;
    let ordered = until("plums are ordered", || async {
        ensure!(order("plums").await?.context("not yet")? == "20");
        Ok(())
    });
    ordered.await.with_context(|| lattice.logs())?;
    stock.purge("stock.plums").await?;
    let gone = until("the order for plums is gone", || async {
        ensure!(order("plums").await?.is_none());
        Ok(())
    });
    gone.await.with_context(|| lattice.logs())?;
    lattice.succeed(&["app", "undeploy", "restock"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_hears_of_changes_in_redis() -> Result<()> {
    let redis = RedisServer::start().await?;
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    let settings = format!("url: {}", redis.url());
    let manifest = manifest(&lattice)?
        .replace("builtin:keyvalue-nats", "builtin:keyvalue-redis")
        .replace("bucket: stock", &settings);

    // Redis announces nothing unless it is told to: the link is refused, and the application's status says what to do.
    lattice.begin_deploy(&manifest).await?;
    let told = until("the link is refused", || async {
        let status = lattice.run(&["app", "status", "restock"]).await?;
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        ensure!(status.contains("notify-keyspace-events"), "{status}");
        Ok(status)
    });
    told.await.with_context(|| lattice.logs())?;

    let watch = "watch: stock.*";
    let manifest = manifest.replace(
        watch,
        &format!("{watch}\n                    watch_enable_events: \"true\""),
    );
    lattice.deploy(&manifest).await?;
    let ordered = until("pears are ordered", || async {
        redis.command("SET stock.pears 3").await?;
        let order = redis.command("GET order.pears").await?;
        ensure!(order == "$2\r\n20", "{order}");
        Ok(())
    });
    ordered.await.with_context(|| lattice.logs())?;
    redis.command("DEL stock.pears").await?;
    let gone = until("the order is gone", || async {
        let order = redis.command("EXISTS order.pears").await?;
        ensure!(order == ":0", "{order}");
        Ok(())
    });
    gone.await.with_context(|| lattice.logs())?;
    lattice.succeed(&["app", "undeploy", "restock"]).await?;
    Ok(())
}
