//! As many instances as calls need, none while there are none, and no call is lost on the way.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures::future::join_all;
use trellis_lattice::{ComponentId, control::host::ComponentDescription};
use trellis_tests::{
    http::{Http, Load},
    lattice::Lattice,
    manifest, port,
    wait::until,
};

const MAX: u32 = 20;

/// An actor that can be slow, scaled by its calls, behind an HTTP server.
fn manifest(image: &str, at: SocketAddr) -> String {
    let actor = format!(
        "    - name: work
      type: component
      properties:
        image: {image}
      traits:
        - type: autoscale
          properties:
            min: 0
            max: {MAX}
            targetConcurrency: 0.7
            idle: 2s
"
    );
    let http = manifest::http_server("work", &at.to_string());
    manifest::application("scaled", &format!("{actor}{http}"))
}

/// The component wherever it runs.
async fn there(lattice: &Lattice) -> Result<Vec<ComponentDescription>> {
    let id = ComponentId::new("scaled-work")?;
    let mut there = Vec::new();
    for host in lattice.control.hosts().await? {
        let inventory = lattice.control.inventory(&host.id).await?;
        there.extend(inventory.component(&id).cloned());
    }
    Ok(there)
}

/// How many instances there are that don't sleep.
async fn awake(lattice: &Lattice) -> Result<u32> {
    let there = there(lattice).await?;
    let awake = there.iter().filter(|one| !one.dormant);
    Ok(awake.map(|one| one.max_instances).sum())
}

async fn asleep(lattice: &Lattice) -> Result<()> {
    until("it sleeps", || async {
        let there = there(lattice).await?;
        anyhow::ensure!(
            !there.is_empty() && there.iter().all(|one| one.dormant),
            "{there:?}"
        );
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))
}

#[tokio::test(flavor = "multi_thread")]
async fn from_zero_at_the_first_call_up_under_load_and_back() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    lattice.add_host().await?;
    lattice.start_wadm().await?;
    let at = SocketAddr::from(([127, 0, 0, 1], port::free()?));
    let image = lattice.actor("misbehave")?;
    lattice.deploy(&manifest(&image, at)).await?;
    let http = Http::new(at);
    until("the HTTP server serves", || async {
        let answer = http.get("/ok").await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))?;

    // One call, then many at once, each time from sleep: all of them are answered. How long it stays awake is wadm's: a
    // command to sleep may have been on its way already.
    for calls in [1, 8, 1] {
        asleep(&lattice).await?;
        let answers = join_all((0..calls).map(|_| http.get("/ok"))).await;
        for answer in answers {
            let answer = answer?;
            assert_eq!(answer.status, 200, "{answer:?}\n{}", lattice.logs());
        }
    }

    // Ten calls at once want fifteen instances, thirty of them more than there may be.
    asleep(&lattice).await?;
    let load = Load::start(at, "/sleep?ms=100", 10);
    until("ten calls have their instances", || async {
        let awake = awake(&lattice).await?;
        anyhow::ensure!((15..=MAX).contains(&awake), "{awake}");
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))?;
    let more = Load::start(at, "/sleep?ms=100", 20);
    until("there are as many as there may be", || async {
        let awake = awake(&lattice).await?;
        anyhow::ensure!(awake == MAX, "{awake}");
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))?;
    for load in [load, more] {
        load.goes_on(20).await?;
        let seen = load.stop().await;
        assert_eq!(seen.failed(), 0, "{seen:?}\n{}", lattice.logs());
    }

    // Nobody calls any more.
    asleep(&lattice).await?;
    let answer = http.get("/ok").await?;
    assert_eq!(answer.status, 200, "{answer:?}");

    // Calls that come about when it falls asleep: none is lost either.
    let begun = Instant::now();
    let mut slept = 0;
    while slept < 3 && begun.elapsed() < Duration::from_secs(40) {
        asleep(&lattice).await?;
        slept += 1;
        let answer = http.get("/ok").await?;
        assert_eq!(answer.status, 200, "{answer:?}\n{}", lattice.logs());
    }
    lattice.succeed(&["app", "undeploy", "scaled"]).await?;
    lattice.empty_until(&["scaled-address"]).await
}
