//! Messages of a stream: the example's actor gets each until it has handled it, whatever is killed meanwhile.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream;
use nix::sys::signal::Signal;
use trellis_tests::{
    actors, lattice::Lattice, process::signal_to, provider::process_of, wait::until,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_loses_no_order() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    let manifest = fs::read_to_string(actors::project().join("examples/orders/app.yaml"))?;
    let image = "file://../../target/actors/orders.wasm";
    ensure!(manifest.contains(image), "{manifest}");
    let manifest = manifest.replace(image, &lattice.actor("orders")?);
    lattice.deploy(&manifest).await?;
    let js = jetstream::new(lattice.nats.connect().await?);
    let made = until("the stream is made", || async {
        Ok(js.get_stream("ORDERS").await?)
    });
    made.await.with_context(|| lattice.logs())?;

    // Each order has an item of its own. Amid them the provider dies, and then the server.
    for number in 0..300 {
        if number == 100 {
            signal_to(
                process_of(&lattice, "messaging-nats").await?,
                Signal::SIGKILL,
            )?;
        }
        if number == 200 {
            lattice.nats.crash().await?;
            lattice.nats.resume().await?;
        }
        let order = format!("item-{number} 1");
        let sent = until("the stream takes an order", || async {
            let sent = js.publish("orders.new", order.clone().into()).await?;
            Ok(sent.await?)
        });
        sent.await?;
    }
    let sent = js.publish("orders.new", "a lot of pears".into()).await?;
    sent.await?;

    let counted = until("every order is counted", || async {
        let counts = js.get_key_value("orders").await?;
        for number in 0..300 {
            let item = format!("item-{number}");
            ensure!(counts.get(&*item).await?.is_some(), "{item} is not");
        }
        Ok(())
    });
    counted.await.with_context(|| lattice.logs())?;
    let refused = until("what is no order is put aside", || async {
        let stream = js.get_stream("ORDERS").await?;
        let refused = stream.get_last_raw_message_by_subject("orders.refused");
        Ok(refused.await?)
    });
    let refused = refused.await.with_context(|| lattice.logs())?;
    assert_eq!(&refused.payload[..], b"a lot of pears");
    for (name, value) in [
        ("Trellis-Dead-Letter-Error", "no order: \"a lot of pears\""),
        ("Trellis-Dead-Letter-Deliveries", "3"),
        ("Trellis-Dead-Letter-Component", "orders-orders"),
    ] {
        let has = refused.headers.get(name).map(|value| value.as_str());
        assert_eq!(has, Some(value), "{name}");
    }
    // Once it is undeployed, what comes waits for the next time.
    lattice.succeed(&["app", "undeploy", "orders"]).await?;
    js.publish("orders.new", "later 1".into()).await?.await?;
    lattice.deploy(&manifest).await?;
    let counted = until("the order that waited is counted", || async {
        let counts = js.get_key_value("orders").await?;
        let later = counts.get("later").await?.context("not yet")?;
        ensure!(later == "1");
        Ok(())
    });
    counted.await.with_context(|| lattice.logs())
}
