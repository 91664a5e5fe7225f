//! A canary: a new image on a part of the instances first, watched, and a hand on it.

use std::net::SocketAddr;

use anyhow::Result;
use trellis_tests::{
    http::{Http, Load},
    lattice::Lattice,
    manifest, port,
    rollout::versioned,
    wait::until,
};

const ONE: &str = "release one fails 00 of 100 calls";
const TWO: &str = "release two fails 00 of 100 calls";
const SIX: &str = "release six fails 00 of 100 calls";
const BAD: &str = "release bad fails 40 of 100 calls";

/// The flaky actor on the hosts of one tier behind an HTTP server on another: calls go to all of them alike.
fn greet(image: &str, version: &str, at: SocketAddr, pause: &str) -> String {
    let flaky = format!(
        "    - name: flaky
      type: component
      properties:
        image: {image}
      traits:
        - type: spreadscaler
          properties:
            instances: 30
        - type: placement
          properties:
            require: {{tier: app}}
        - type: rollout
          properties:
            strategy: canary
            steps:
              - {{weight: 10, pause: {pause}}}
            maxSurge: 20
            deadline: 40s
            health:
              errorRate: 0.1
              minCalls: 40
"
    );
    let http = manifest::http_server("flaky", &at.to_string())
        + "        - type: placement
          properties:
            require: {tier: edge}
";
    versioned(
        &manifest::application("greet", &format!("{flaky}{http}")),
        "greet",
        version,
    )
}

/// Three hosts and an edge, with release one.
async fn release_one(pause: &str) -> Result<(Lattice, SocketAddr)> {
    let mut lattice = Lattice::without_hosts().await?;
    for tier in ["tier=app", "tier=app", "tier=app", "tier=edge"] {
        lattice.add_host_with(&["--label", tier]).await?;
    }
    lattice.start_wadm().await?;
    let at = SocketAddr::from(([127, 0, 0, 1], port::free()?));
    let image = lattice.actor("flaky")?;
    lattice.deploy(&greet(&image, "one", at, pause)).await?;
    Http::new(at)
        .get_until_good("/")
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    assert_eq!(lattice.images("greet-flaky").await?.len(), 3);
    Ok((lattice, at))
}

/// Waits until all three hosts have that image.
async fn everywhere(lattice: &Lattice, image: &str) -> Result<()> {
    until("all hosts have the image", || async {
        let images = lattice.images("greet-flaky").await?;
        anyhow::ensure!(
            images.len() == 3 && images.values().all(|one| one == image),
            "{images:?}"
        );
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))
}

/// Everybody who asks now hears that release, and nobody fails.
async fn all_say(at: SocketAddr, says: &str) -> Result<()> {
    let load = Load::start(at, "/", 4);
    load.goes_on(200).await?;
    let seen = load.stop().await;
    let good = seen.answers.keys().all(|(_, body)| body.trim() == says);
    anyhow::ensure!(seen.failed() == 0 && good, "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_whose_calls_fail_goes_back_and_reaches_no_other_host() -> Result<()> {
    // Held for so long that nothing but its calls can decide.
    let (lattice, at) = release_one("10m").await?;
    let one = lattice.actor("flaky")?;
    let bad = lattice.actor_saying("flaky", "bad", (ONE, BAD))?;
    let load = Load::start(at, "/", 4);
    load.goes_on(100).await?;

    lattice.begin_deploy(&greet(&bad, "bad", at, "10m")).await?;
    let mut most = 0;
    let told = loop {
        let images = lattice.images("greet-flaky").await?;
        most = most.max(images.values().filter(|image| **image == bad).count());
        let reply = lattice.rollout("greet").await?;
        match reply.rollout {
            Some(rollout) if rollout.phase == "rolled-back" => break rollout,
            _ => load.goes_on(1).await?,
        }
    };
    assert_eq!(most, 1, "hosts that had the bad image at once: {told:?}");
    assert!(
        told.message.contains("calls failed") && told.message.contains("more than 10.0 %"),
        "{told:?}"
    );
    assert_eq!(told.to, "one");
    assert_eq!(
        lattice.deployed_version("greet").await?.as_deref(),
        Some("one")
    );
    everywhere(&lattice, &one).await?;
    let seen = load.stop().await;
    // A third of the calls came to it, two in five of them failed, for as long as it took to see that.
    assert!(
        seen.failed() > 0 && seen.failed() < seen.total() / 4,
        "{} of {} calls failed",
        seen.failed(),
        seen.total()
    );
    all_say(at, ONE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_canary_is_promoted_and_goes_as_its_user_says() -> Result<()> {
    let (lattice, at) = release_one("3s").await?;
    let two = lattice.actor_saying("flaky", "two", (ONE, TWO))?;
    let six = lattice.actor_saying("flaky", "six", (ONE, SIX))?;
    let load = Load::start(at, "/", 4);
    load.goes_on(100).await?;

    // By itself: one host, held, then the others.
    lattice.begin_deploy(&greet(&two, "two", at, "3s")).await?;
    let held = lattice
        .rollout_until("greet", "the canary is held", |reply| {
            let rollout = reply.rollout.as_ref();
            rollout.is_some_and(|rollout| rollout.to == "two" && rollout.phase == "holding")
        })
        .await?;
    let part = &held.rollout.expect("it was there").parts[0];
    assert_eq!((part.updated, part.hosts), (1, 3), "{part:?}");
    lattice
        .rollout_until("greet", "two is everywhere", |reply| {
            let rollout = reply.rollout.as_ref();
            rollout.is_some_and(|rollout| rollout.to == "two" && rollout.phase == "done")
        })
        .await?;
    everywhere(&lattice, &two).await?;

    // Paused at its first host it stays there, however long the step.
    lattice.begin_deploy(&greet(&six, "six", at, "1s")).await?;
    lattice
        .rollout_until("greet", "six has its first host", |reply| {
            let rollout = reply.rollout.as_ref();
            rollout.is_some_and(|rollout| rollout.to == "six" && rollout.parts[0].updated == 1)
        })
        .await?;
    lattice
        .succeed(&["app", "rollout", "pause", "greet"])
        .await?;
    let paused = lattice
        .rollout_until("greet", "it is paused", |reply| {
            reply.rollout.as_ref().is_some_and(|rollout| rollout.paused)
        })
        .await?;
    let before = paused.rollout.expect("it was there").parts[0].updated;
    assert_eq!(before, 1);
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_secs(4) {
        // Longer than the step would have been held.
        load.goes_on(20).await?;
    }
    let rollout = lattice
        .rollout("greet")
        .await?
        .rollout
        .expect("it is there");
    assert!(rollout.paused && !rollout.is_over(), "{rollout:?}");
    assert_eq!(rollout.parts[0].updated, 1, "{rollout:?}");
    lattice
        .succeed(&["app", "rollout", "resume", "greet"])
        .await?;
    everywhere(&lattice, &six).await?;
    lattice
        .rollout_until("greet", "six is everywhere", |reply| {
            let rollout = reply.rollout.as_ref();
            rollout.is_some_and(|rollout| rollout.to == "six" && rollout.phase == "done")
        })
        .await?;

    // Undone when it is over, and again in the middle.
    lattice
        .succeed(&["app", "rollout", "undo", "greet"])
        .await?;
    everywhere(&lattice, &two).await?;
    assert_eq!(
        lattice.deployed_version("greet").await?.as_deref(),
        Some("two")
    );
    until("nothing is being rolled out", || async {
        let rollout = lattice.rollout("greet").await?.rollout;
        anyhow::ensure!(
            rollout.as_ref().is_some_and(|one| one.is_over()),
            "{rollout:?}"
        );
        Ok(())
    })
    .await?;
    lattice
        .begin_deploy(&greet(&six, "six-again", at, "10m"))
        .await?;
    lattice
        .rollout_until("greet", "six is held once more", |reply| {
            let rollout = reply.rollout.as_ref();
            rollout.is_some_and(|rollout| rollout.to == "six-again" && rollout.phase == "holding")
        })
        .await?;
    lattice
        .succeed(&["app", "rollout", "undo", "greet"])
        .await?;
    everywhere(&lattice, &two).await?;

    let seen = load.stop().await;
    assert_eq!(seen.failed(), 0, "{seen:?}\n{}", lattice.logs());
    all_say(at, TWO).await
}
