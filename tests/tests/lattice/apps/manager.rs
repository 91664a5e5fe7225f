//! Application managers and NATS fail in the middle of things; nothing is done twice, nothing is left behind.

use anyhow::Result;
use nix::sys::signal::Signal;
use trellis_tests::{http::Http, lattice::Lattice, manifest, port, wait::until};

use super::hello;

const FIVE: &str = "        - type: spreadscaler
          properties:
            instances: 5
";

async fn three_hosts() -> Result<Lattice> {
    let mut lattice = Lattice::start().await?;
    lattice.add_host().await?;
    lattice.add_host().await?;
    lattice.start_wadm().await?;
    Ok(lattice)
}

async fn all_five(lattice: &Lattice, component: &str) -> Result<()> {
    until("all five run", || async {
        let counts = lattice.instances(component).await?;
        anyhow::ensure!(counts.values().sum::<u32>() == 5, "{counts:?}");
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_killed_in_the_middle_leaves_nothing_twice_or_behind() -> Result<()> {
    let mut lattice = three_hosts().await?;
    let image = lattice.actor("http_hello")?;
    for round in 0..3 {
        lattice.begin_deploy(&hello("five", &image, FIVE)).await?;
        let killed = &mut lattice.managers[round];
        killed.signal(Signal::SIGKILL)?;
        killed.ended().await?;
        lattice.start_wadm().await?;
        all_five(&lattice, "five-hello").await?;
        lattice.succeed(&["app", "undeploy", "five"]).await?;
        lattice.empty_until(&[]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_killed_another_goes_on() -> Result<()> {
    let mut lattice = three_hosts().await?;
    lattice.start_wadm().await?;
    let image = lattice.actor("http_hello")?;
    lattice.deploy(&hello("five", &image, FIVE)).await?;
    // The first one that was started leads.
    let leader = &mut lattice.managers[0];
    leader.signal(Signal::SIGKILL)?;
    leader.ended().await?;
    let host = &mut lattice.hosts[2].process;
    host.signal(Signal::SIGKILL)?;
    host.ended().await?;
    all_five(&lattice, "five-hello").await?;
    lattice.succeed(&["app", "undeploy", "five"]).await?;
    lattice.empty_until(&[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_goes_on_when_nats_restarts_in_the_middle() -> Result<()> {
    let mut lattice = three_hosts().await?;
    let image = lattice.actor("http_hello")?;
    lattice.begin_deploy(&hello("five", &image, FIVE)).await?;
    lattice.nats.crash().await?;
    lattice.nats.resume().await?;
    all_five(&lattice, "five-hello").await?;
    lattice.succeed(&["app", "undeploy", "five"]).await?;
    lattice.empty_until(&[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_applications_share_a_provider() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    let store = "    - name: kv
      type: capability
      properties:
        image: builtin:keyvalue-nats
";
    let store = manifest::application("store", store).replacen(
        "  name: store\n",
        "  name: store\n  annotations: {experimental.wasmcloud.dev/shared: \"true\"}\n",
        1,
    );
    lattice.deploy(&store).await?;
    let counter = lattice.actor("http_counter")?;
    let mut ports = Vec::new();
    for name in ["one", "two"] {
        let at = format!("127.0.0.1:{}", port::free()?);
        let component = format!(
            "    - name: counter
      type: component
      properties:
        image: {counter}
      traits:
        - type: link
          properties:
            target:
              name: kv
              config:
                - name: bucket
                  properties: {{bucket: {name}}}
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
    - name: kv
      type: capability
      properties:
        application: {{name: store, component: kv}}
{}",
            manifest::http_server("counter", &at)
        );
        lattice
            .deploy(&manifest::application(name, &component))
            .await?;
        ports.push(at);
    }
    for at in &ports {
        assert_eq!(Http::new(at.parse()?).get_until_good("/hits").await?, "1\n");
    }
    // One goes; the other one and the provider they shared stay.
    lattice.succeed(&["app", "delete", "one"]).await?;
    until("the first one's port is closed", || async {
        let answer = Http::new(ports[0].parse()?).get("/hits").await;
        anyhow::ensure!(answer.is_err(), "{answer:?}");
        Ok(())
    })
    .await?;
    assert_eq!(
        Http::new(ports[1].parse()?).get_until_good("/hits").await?,
        "2\n"
    );
    for name in ["two", "store"] {
        lattice.succeed(&["app", "delete", name]).await?;
    }
    lattice
        .empty_until(&["one-bucket", "two-bucket", "one-address", "two-address"])
        .await?;
    let host = lattice.host()?.process.id();
    until("no process is left", || async {
        let left = trellis_tests::process::children_of(host, "provider")?;
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}
