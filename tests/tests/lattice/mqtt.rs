//! Messages over MQTT: the example, as its README has it, with a real Mosquitto broker.

use std::fs;

use anyhow::{Result, ensure};
use trellis_tests::{actors, lattice::Lattice, mosquitto::MosquittoServer, wait::until};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_echoes_over_mqtt() -> Result<()> {
    let mut broker = MosquittoServer::start().await?;
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    let example = actors::project().join("examples/echo-mqtt/app.yaml");
    let manifest = fs::read_to_string(example)?;
    let image = "file://../../target/actors/echo_messaging.wasm";
    let url = "mqtt://127.0.0.1:1883";
    ensure!(
        manifest.contains(image) && manifest.contains(url),
        "{manifest}"
    );
    let manifest = manifest
        .replace(image, &lattice.actor("echo_messaging")?)
        .replace(url, &broker.url());
    lattice.deploy(&manifest).await?;
    let echoed = until("the first echo", || {
        broker.ask("trellis/echo/hello", "hello", 5)
    });
    let echoed = echoed
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    assert_eq!(echoed, "hello");

    // One without a place for its answer fails, and is put aside after three attempts, which take three seconds.
    let put_aside = until("the message is put aside", || async {
        let (put_aside, said) = tokio::join!(
            broker.hear("trellis/failed", 20),
            broker.say("trellis/echo/mute", "to nobody")
        );
        said?;
        put_aside
    });
    let put_aside = put_aside
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    assert_eq!(put_aside, "to nobody");

    // The broker goes away and comes back: the lattice says so, and goes on by itself.
    broker.stop().await?;
    broker.resume().await?;
    let echoed = until("an echo after the restart", || {
        broker.ask("trellis/echo/again", "again", 5)
    });
    let echoed = echoed
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    assert_eq!(echoed, "again");

    lattice.succeed(&["app", "undeploy", "echo-mqtt"]).await?;
    until("nobody answers any more", || async {
        ensure!(broker.ask("trellis/echo/gone", "gone", 1).await.is_err());
        Ok(())
    })
    .await
}
