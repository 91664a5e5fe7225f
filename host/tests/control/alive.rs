//! How a host is known to be there: its beats, its key that no other has, its word when it leaves.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use trellis_host::{HostConfig, HostError};
use trellis_lattice::{
    ComponentId, HostId,
    claims::HostKey,
    control::host::{BEAT_EVERY, CAPACITY},
    control::label::PutLabel,
};
use trellis_tests::wait::until;

use crate::{
    dormant::{call, guest},
    kit::{DEADLINE, Host, Lattice, scale},
};

/// The hosts' beats from now on.
async fn beats(lattice: &Lattice) -> Result<async_nats::Subscriber> {
    let beats = lattice
        .client
        .subscribe(lattice.control.subjects().beats())
        .await?;
    lattice.client.flush().await?;
    Ok(beats)
}

async fn next(beats: &mut async_nats::Subscriber) -> Result<String> {
    let beat = tokio::time::timeout(DEADLINE, beats.next()).await?;
    let beat = beat.context("no more beats")?;
    anyhow::ensure!(beat.payload.is_empty());
    Ok(beat.subject.to_string())
}

#[tokio::test]
async fn a_host_beats_while_it_is_there() -> Result<()> {
    let lattice = Lattice::start().await?;
    let mut beats = beats(&lattice).await?;
    let host = lattice.host().await?;
    let subject = lattice.control.subjects().beat(&host.id);
    assert_eq!(next(&mut beats).await?, subject);
    let started = tokio::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(next(&mut beats).await?, subject);
    }
    let took = started.elapsed();
    assert!(took >= BEAT_EVERY * 4 && took < BEAT_EVERY * 10, "{took:?}");

    host.stop().await?;
    while let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(1), beats.next()).await {}
    let silence = tokio::time::timeout(BEAT_EVERY * 3, beats.next()).await;
    assert!(silence.is_err(), "it beats on");
    Ok(())
}

#[tokio::test]
async fn beats_of_a_time_without_nats_are_not_sent_later() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    lattice.server.crash().await?;
    tokio::time::sleep(BEAT_EVERY * 5).await;
    lattice.server.resume().await?;
    // Its own connection is back before the host's may be.
    let mut beats = until("a subscription", || beats(&lattice)).await?;
    next(&mut beats).await?;
    let first = tokio::time::Instant::now();
    for _ in 0..3 {
        next(&mut beats).await?;
    }
    let took = first.elapsed();
    assert!(took >= BEAT_EVERY * 2, "three beats within {took:?}");
    host.stop().await
}

#[tokio::test]
async fn actors_that_compute_do_not_hold_up_the_beats() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = guest(lattice.folder.path(), 0)?;
    lattice
        .control
        .scale_component(&scale(&host.id, "busy", &image, 200))
        .await?;
    lattice.events.named("component_scaled").await?;
    // This test's one thread is all that the host has, and it is busy: who listens needs a thread too.
    let url = lattice.server.url();
    let listener = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(longest_silence(&url))
    });
    let mut calls = tokio::task::JoinSet::new();
    let client = lattice.server.connect().await?;
    for _ in 0..50 {
        let client = client.clone();
        calls.spawn(async move { call(&client, "busy", "/loop").await });
    }
    while !listener.is_finished() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let longest = listener.join().unwrap()?;
    println!("longest silence with 50 busy calls: {longest:?}");
    // From then on an application manager asks whether it is still there.
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    calls.shutdown().await;
    host.stop().await
}

/// The longest time between two of ten beats.
async fn longest_silence(url: &str) -> Result<Duration> {
    let client = async_nats::connect(url).await?;
    let mut beats = client.subscribe("trellis.beat.default.*").await?;
    next(&mut beats).await?;
    let mut longest = Duration::ZERO;
    for _ in 0..9 {
        let before = tokio::time::Instant::now();
        next(&mut beats).await?;
        longest = longest.max(before.elapsed());
    }
    Ok(longest)
}

#[tokio::test]
async fn a_second_host_of_one_key_does_not_start_and_a_restarted_one_does() -> Result<()> {
    let lattice = Lattice::start().await?;
    let key = HostKey::generate();
    let config = || -> Result<HostConfig> {
        Ok(HostConfig {
            host_key: Some(key.seed()),
            friendly_name: Some("ann".into()),
            ..lattice.config()?
        })
    };
    let first = Host::start(config()?).await?;
    let (ready, _id) = tokio::sync::oneshot::channel();
    let second = trellis_host::run(config()?, ready, Default::default());
    let refused = tokio::time::timeout(DEADLINE, second).await?.unwrap_err();
    assert!(matches!(refused, HostError::SameKey { .. }), "{refused}");
    let told = refused.to_string();
    for part in [first.id.as_str(), "\"ann\"", "Stop that one", "--host-key"] {
        assert!(told.contains(part), "{told}");
    }
    // The first one hasn't noticed.
    assert_eq!(lattice.control.hosts().await?.len(), 1);

    first.stop().await?;
    for _ in 0..2 {
        let again = Host::start(config()?).await?;
        again.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn capacity_must_be_a_number_at_start_and_later() -> Result<()> {
    let lattice = Lattice::start().await?;
    let with = |value: &str| -> Result<HostConfig> {
        Ok(HostConfig {
            labels: [(CAPACITY.to_owned(), value.to_owned())].into(),
            ..lattice.config()?
        })
    };
    let (ready, _id) = tokio::sync::oneshot::channel();
    let refused = trellis_host::run(with("lots")?, ready, Default::default()).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("\"lots\" is no number"), "{refused}");

    let host = Host::start(with("40")?).await?;
    for (key, value) in [
        (CAPACITY, "lots"),
        ("", "x"),
        ("two\nlines", "x"),
        ("pop", "fra\n"),
    ] {
        let label = PutLabel {
            key: key.into(),
            value: value.into(),
        };
        let refused = lattice.control.put_label(&host.id, &label).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("label.put request: field `"), "{refused}");
    }
    let labels = lattice.control.inventory(&host.id).await?.labels;
    assert_eq!((labels[CAPACITY].as_str(), labels.len()), ("40", 4));
    Ok(())
}

/// Others take over at once what it ran, while it still ends what it began.
#[tokio::test]
async fn a_host_says_that_it_leaves_before_its_calls_have_ended() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = guest(lattice.folder.path(), 0)?;
    lattice
        .control
        .scale_component(&scale(&host.id, "slow", &image, 2))
        .await?;
    lattice.events.named("component_scaled").await?;
    let id: HostId = host.id.clone();
    let client = lattice.client.clone();
    let running = tokio::spawn(async move { call(&client, "slow", "/sleep?ms=3000").await });
    in_flight(&lattice, &id, "slow", 1).await?;

    let stopping = tokio::spawn(host.stop());
    let asked = tokio::time::Instant::now();
    let stopped = lattice.events.named("host_stopped").await?;
    assert_eq!(stopped["reason"], "shutdown");
    assert!(!running.is_finished(), "{:?}", asked.elapsed());
    assert_eq!(running.await??, 200);
    stopping.await?
}

/// Waits until so many calls of a component run.
async fn in_flight(lattice: &Lattice, host: &HostId, id: &str, calls: u32) -> Result<()> {
    let id = ComponentId::new(id)?;
    crate::kit::inventory(lattice, host, |inventory| {
        let stats = inventory
            .component(&id)
            .and_then(|known| known.stats.as_ref());
        stats.is_some_and(|stats| stats.in_flight == calls)
    })
    .await
    .map(drop)
}
