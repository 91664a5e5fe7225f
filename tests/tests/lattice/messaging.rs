//! Messages: an actor behind the messaging provider echoes what it is sent.

use anyhow::Result;
use futures::StreamExt as _;
use trellis_lattice::Link;
use trellis_tests::{lattice::Lattice, wait::until};

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_echoed() -> Result<()> {
    let lattice = Lattice::start().await?;
    lattice
        .config("subscriptions", &[("subscriptions", "echo.>|workers")])
        .await?;
    lattice.run_actor("echo", "echo_messaging", 8).await?;
    lattice
        .run_provider("messaging", "builtin:messaging-nats", &[])
        .await?;
    let publish = Lattice::link("echo", "messaging", "wasmcloud:messaging", &["consumer"])?;
    lattice.control.put_link(&publish).await?;
    let deliver = Lattice::link("messaging", "echo", "wasmcloud:messaging", &["handler"])?;
    lattice
        .control
        .put_link(&Link {
            source_config: vec!["subscriptions".into()],
            ..deliver
        })
        .await?;

    let client = lattice.nats.connect().await?;
    let first = until("the first echo", || async {
        Ok(client.request("echo.first", "hello".into()).await?.payload)
    });
    assert_eq!(
        first.await.map_err(|error| error.context(lattice.logs()))?,
        "hello"
    );

    // Many at once, of sizes up to what one NATS message can hold, and each comes back once.
    let mut replies = client.subscribe("answers").await?;
    for size in (0..200_usize).map(|index| index * 100) {
        client
            .publish_with_reply("echo.many", "answers", vec![b'x'; size].into())
            .await?;
    }
    let mut sizes = Vec::new();
    while sizes.len() < 200 {
        let reply = tokio::time::timeout(trellis_tests::wait::DEADLINE, replies.next()).await?;
        sizes.push(reply.map_or(0, |message| message.payload.len()));
    }
    sizes.sort_unstable();
    assert_eq!(sizes, (0..200).map(|index| index * 100).collect::<Vec<_>>());
    Ok(())
}
