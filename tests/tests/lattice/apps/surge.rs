//! How many hosts change at once during an update: as many as its manifest lets, and never so many that fewer serve than
//! it promises.

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use trellis_lattice::{
    HostId,
    control::component::ScaleComponent,
    event::{CloudEvent, Event},
};
use trellis_tests::{
    http::{Http, Load},
    lattice::Lattice,
    manifest, port,
    rollout::versioned,
    wait::DEADLINE,
};

const ONE: &str = "release one fails 00 of 100 calls";
const TWO: &str = "release two fails 00 of 100 calls";

/// What is seen of an update, in the order in which NATS carried it.
enum Seen {
    /// A host is told to run an image.
    Told(HostId, String),
    /// A host says that it runs an image.
    Runs(HostId, String),
}

fn greet(image: &str, version: &str, at: SocketAddr, rollout: &str) -> String {
    let flaky = format!(
        "    - name: flaky
      type: component
      properties:
        image: {image}
      traits:
        - type: spreadscaler
          properties:
            instances: 30
        - type: rollout
          properties: {rollout}
"
    );
    let http = manifest::http_server("flaky", &at.to_string());
    versioned(
        &manifest::application("greet", &format!("{flaky}{http}")),
        "greet",
        version,
    )
}

/// How an update went.
#[derive(Debug)]
struct Went {
    /// The most hosts that changed at once.
    at_once: usize,
    /// The fewest instances that hosts had.
    fewest: u32,
    /// The most.
    most: u32,
}

/// Updates three hosts from one image to the next under load, and watches.
async fn update(rollout: &str) -> Result<Went> {
    let mut lattice = Lattice::start().await?;
    lattice.add_host().await?;
    lattice.add_host().await?;
    lattice.start_wadm().await?;
    let at = SocketAddr::from(([127, 0, 0, 1], port::free()?));
    let one = lattice.actor("flaky")?;
    let two = lattice.actor_saying("flaky", "two", (ONE, TWO))?;
    lattice.deploy(&greet(&one, "one", at, rollout)).await?;
    Http::new(at)
        .get_until_good("/")
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    lattice
        .instances_until(
            "greet-flaky",
            &[("host-0", 10), ("host-1", 10), ("host-2", 10)],
        )
        .await?;

    let nats = lattice.nats.connect().await?;
    // One subscription, so that what is told and what follows from it come in their order.
    let mut all = nats.subscribe("wasmbus.>").await?;
    nats.flush().await?;
    let load = Load::start(at, "/", 4);
    load.goes_on(100).await?;
    let (mut fewest, mut most) = (30, 30);
    let counting = async {
        loop {
            match lattice.instances("greet-flaky").await {
                Ok(counts) => {
                    fewest = fewest.min(counts.values().sum());
                    most = most.max(counts.values().sum());
                }
                Err(error) => break error,
            }
        }
    };
    let second = greet(&two, "two", at, rollout);
    tokio::select! {
        deployed = lattice.deploy(&second) => deployed.map(drop)?,
        error = counting => return Err(error),
    }
    load.goes_on(100).await?;
    let answers = load.stop().await;
    assert_eq!(answers.failed(), 0, "{answers:?}\n{}", lattice.logs());

    let (mut changing, mut updated) = (BTreeSet::new(), BTreeSet::new());
    let mut at_once = 0;
    while updated.len() < 3 {
        let next = tokio::time::timeout(DEADLINE, all.next()).await;
        let message = next.ok().flatten().context("an update was not seen")?;
        match seen(&message)? {
            Some(Seen::Told(host, image)) => {
                assert_eq!(image, two, "{host} is told to run the old image");
                if !updated.contains(&host) {
                    changing.insert(host);
                }
                at_once = at_once.max(changing.len());
            }
            Some(Seen::Runs(host, image)) if image == two => {
                changing.remove(&host);
                updated.insert(host);
            }
            _ => {}
        }
    }
    Ok(Went {
        at_once,
        fewest,
        most,
    })
}

/// What a message says of the update, if it does.
fn seen(message: &async_nats::Message) -> Result<Option<Seen>> {
    if message.subject.contains(".component.scale.") {
        let scale: ScaleComponent = serde_json::from_slice(&message.payload)?;
        return Ok(Some(Seen::Told(scale.host_id, scale.component_ref)));
    }
    if !message.subject.ends_with(".component_scaled") {
        return Ok(None);
    }
    match CloudEvent::read(&message.payload)?.event()? {
        Event::ComponentScaled(scaled) => {
            assert_eq!(scaled.max_instances, 10, "{scaled:?}");
            Ok(Some(Seen::Runs(scaled.host_id, scaled.image_ref)))
        }
        other => anyhow::bail!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_room_for_one_host_s_instances_hosts_change_one_by_one() -> Result<()> {
    let went = update("{maxUnavailable: 0, maxSurge: 10}").await?;
    assert_eq!(
        (went.at_once, went.fewest, went.most),
        (1, 30, 30),
        "{went:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_room_for_two_hosts_instances_two_hosts_change_at_once() -> Result<()> {
    // Ten may be missing and ten too many: no more than that are on their way at any time.
    let went = update("{maxUnavailable: 10, maxSurge: 10}").await?;
    assert_eq!(went.at_once, 2, "{went:?}");
    assert!(went.fewest >= 20 && went.most <= 40, "{went:?}");
    Ok(())
}
