//! What is lost is replaced in time, and two managers never command at once. Times are printed; what is asserted has
//! room for a busy machine.

use std::time::{Duration, Instant};

use crate::{
    hosts::{Host, Lattice},
    manager::{Freezable, Manager, ask, try_ask},
    nats::{Nats, until},
    stage::{self, Stage, deploy, status, until_status},
};

/// A bound for a busy machine; a quiet one is several times faster.
const GENEROUS: Duration = Duration::from_secs(15);

/// When the first command after that moment came.
async fn first_command(lattice: &Lattice, after: Instant) -> Duration {
    let first = || {
        let shared = lattice.lock().unwrap();
        let mut times = shared.commanded.iter().map(|(_, at)| *at);
        times.find(|at| *at > after)
    };
    until("a command", async || first().is_some()).await;
    first().unwrap() - after
}

/// Commands never come from an earlier leadership than the one before.
fn one_after_the_other(lattice: &Lattice) {
    let shared = lattice.lock().unwrap();
    let fences: Vec<u64> = shared.commanded.iter().map(|(fence, _)| *fence).collect();
    assert!(fences.is_sorted(), "{fences:?}");
}

async fn as_shipped() -> (Nats, Lattice, Manager, async_nats::Client, Host, Host) {
    let nats = Nats::start(true).await;
    let lattice = Lattice::default();
    let a = Host::join(&nats, &lattice, "a").await;
    let b = Host::join(&nats, &lattice, "b").await;
    let manager = Manager::start_as_shipped(nats.settings()).await;
    let client = nats.connect().await;
    deploy(&client).await;
    until_status(&client, "deployed").await;
    assert_eq!((a.count("kvc-kvc"), b.count("kvc-kvc")), (50, 50));
    (nats, lattice, manager, client, a, b)
}

#[tokio::test]
async fn a_host_that_is_killed_is_replaced() {
    let (_nats, lattice, manager, _client, a, b) = as_shipped().await;
    let killed = Instant::now();
    b.kill().await;
    let took = first_command(&lattice, killed).await;
    println!(
        "host killed -> replacement commanded: {} ms",
        took.as_millis()
    );
    assert!(took < GENEROUS, "{took:?}");
    until("all on one host", async || a.count("kvc-kvc") == 100).await;
    manager.stop().await;
}

#[tokio::test]
async fn a_host_that_is_stopped_is_replaced() {
    let (_nats, lattice, manager, _client, a, b) = as_shipped().await;
    let paused = Instant::now();
    b.pause();
    let took = first_command(&lattice, paused).await;
    println!(
        "host stopped -> replacement commanded: {} ms",
        took.as_millis()
    );
    assert!(took < GENEROUS, "{took:?}");
    until("all on one host", async || a.count("kvc-kvc") == 100).await;
    manager.stop().await;
}

#[tokio::test]
async fn a_host_that_does_not_beat_is_replaced_too() {
    let nats = Nats::start(true).await;
    let lattice = Lattice::default();
    let a = Host::join_1_x(&nats, &lattice, "a").await;
    let b = Host::join_1_x(&nats, &lattice, "b").await;
    let manager = Manager::start(nats.settings()).await;
    let client = nats.connect().await;
    deploy(&client).await;
    until_status(&client, "deployed").await;
    let killed = Instant::now();
    b.kill().await;
    let took = first_command(&lattice, killed).await;
    println!(
        "1.x host killed -> replacement commanded: {} ms",
        took.as_millis()
    );
    until("all on one host", async || a.count("kvc-kvc") == 100).await;
    manager.stop().await;
}

#[tokio::test]
async fn when_the_leader_is_killed_another_commands() {
    let (nats, lattice, leader, client, a, _b) = as_shipped().await;
    let second = Manager::start_as_shipped(nats.settings()).await;
    // It has to have seen the lease.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let killed = Instant::now();
    leader.crash().await;
    // A request may still go to the one that is gone.
    until("the other one answers", async || {
        try_ask(&client, "undeploy.kvc", "", Duration::from_millis(200))
            .await
            .is_ok()
    })
    .await;
    let took = first_command(&lattice, killed).await;
    println!("leader killed -> another commands: {} ms", took.as_millis());
    assert!(took < GENEROUS, "{took:?}");
    until("nothing left", async || a.is_empty()).await;
    one_after_the_other(&lattice);
    second.stop().await;
}

#[tokio::test]
async fn what_an_earlier_leader_noted_is_not_told_as_if_it_were_so_now() {
    let (stage, [host]) = stage::deployed(["a"]).await;
    let Stage {
        nats,
        manager,
        client,
        ..
    } = stage;
    manager.stop().await;
    host.kill().await;
    let second = Manager::start(nats.settings()).await;
    // From its first answer on.
    for _ in 0..20 {
        let told = status(&client).await;
        assert_ne!(told["status"]["type"], "deployed", "{told}");
    }
    second.stop().await;
}

#[tokio::test]
async fn a_leader_that_was_stopped_and_comes_back_commands_nothing() {
    let nats = Nats::start(true).await;
    let lattice = Lattice::default();
    let a = Host::join(&nats, &lattice, "a").await;
    let leader = Freezable::start(nats.settings()).await;
    let client = nats.connect().await;
    deploy(&client).await;
    until_status(&client, "deployed").await;
    let first = lattice.lock().unwrap().commanded[0].0;

    let second = Manager::start_as_shipped(nats.settings()).await;
    let thaw = leader.freeze();
    // What the frozen one has to do when it goes on: half of this is to be on a second host.
    let b = Host::join(&nats, &lattice, "b").await;
    until("another one commands", async || b.count("kvc-kvc") == 50).await;
    // More news for it: what runs is changed behind everybody's back.
    let before = lattice.lock().unwrap().commanded.len();
    assert!(lattice.lock().unwrap().commanded[before - 1].0 > first);
    ask_until_answered(&client, "undeploy.kvc").await;
    drop(thaw);
    until("nothing left", async || a.is_empty() && b.is_empty()).await;
    ask_until_answered(&client, "deploy.kvc").await;
    until_status(&client, "deployed").await;
    one_after_the_other(&lattice);
    let of_first = lattice.lock().unwrap().commanded[before..]
        .iter()
        .filter(|(fence, _)| *fence == first)
        .count();
    assert_eq!(of_first, 0);
    second.stop().await;
    leader.stop();
}

async fn ask_until_answered(client: &async_nats::Client, verb: &str) {
    until(verb, async || {
        try_ask(client, verb, "", Duration::from_secs(1))
            .await
            .is_ok_and(|reply| reply["result"] == "acknowledged")
    })
    .await;
}

#[tokio::test]
async fn a_manager_that_loses_its_lease_in_the_middle_stops_and_later_goes_on() {
    let (_nats, lattice, manager, client, a, b) = as_shipped().await;
    let context = async_nats::jetstream::new(client.clone());
    let notes = context.get_key_value("TRELLISWADM_default").await.unwrap();
    ask(&client, "undeploy.kvc", "").await;
    // Somebody takes the lease, whose number the hosts come to know.
    let taken = r#"{"holder": "somebody", "fence": 4102444800000}"#;
    notes.put("leader", taken.into()).await.unwrap();
    for host in ["a", "b"] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("trellis-fence", "4102444800000");
        let subject = format!("wasmbus.ctl.v1.default.host.get.{host}");
        client
            .request_with_headers(subject, headers, "".into())
            .await
            .unwrap();
    }
    let lost = Instant::now();
    // When that somebody is silent for long enough, it leads again, with a greater number, and ends what it began.
    until("nothing left", async || a.is_empty() && b.is_empty()).await;
    println!(
        "lease lost -> undeployed all the same: {} ms",
        lost.elapsed().as_millis()
    );
    one_after_the_other(&lattice);
    manager.stop().await;
}

/// The processor time that this process has used, in ticks of 10 ms.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let times = fields.split_whitespace().skip(11).take(2);
    times.filter_map(|time| time.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn when_nothing_happens_hosts_are_asked_nothing() {
    use futures::StreamExt as _;
    let (nats, lattice, manager, client, a, b) = as_shipped().await;
    let c = Host::join(&nats, &lattice, "c").await;
    until("a third on each", async || c.count("kvc-kvc") >= 33).await;
    until_status(&client, "deployed").await;
    let mut all = client.subscribe(">").await.unwrap();
    client.flush().await.unwrap();
    const TIME: Duration = Duration::from_secs(5);
    let (begun, before) = (Instant::now(), ticks());
    let mut subjects = Vec::new();
    while let Ok(Some(message)) =
        tokio::time::timeout(TIME.saturating_sub(begun.elapsed()), all.next()).await
    {
        subjects.push(message.subject.to_string());
    }
    let beats = subjects
        .iter()
        .filter(|subject| subject.starts_with("trellis.beat."));
    let control = subjects
        .iter()
        .filter(|subject| subject.starts_with("wasmbus.ctl."));
    println!(
        "idle, 3 hosts, {} s: {} messages, {} of them beats, {} to hosts; {} ms of processor time, the hosts' included",
        TIME.as_secs(),
        subjects.len(),
        beats.count(),
        control.clone().count(),
        (ticks() - before) * 10,
    );
    // A look at everything may fall in this time, but no more.
    assert!(control.count() <= 2 * (3 + 1 + 2), "{subjects:?}");
    drop((a, b));
    manager.stop().await;
}
