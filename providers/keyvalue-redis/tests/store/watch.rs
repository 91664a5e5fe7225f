//! Components that are told of what changes.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::{Semaphore, mpsc};
use trellis_keyvalue_redis::KeyvalueRedis;
use trellis_provider::rpc::{
    CallError, IncomingCall,
    interface::{Function as _, keyvalue::OnSet},
};
use trellis_provider_testkit::{
    Host, NatsServer, RedisServer, Running, Side, answer,
    keyvalue::Bucket,
    wait::until,
    watch::{Watcher, changes_are_told},
};

const WATCHER: &str = "wasi:keyvalue/watcher";

/// A Redis that announces, and a host; nothing of the provider.
pub(super) async fn servers() -> Result<(NatsServer, RedisServer, Host)> {
    let nats = NatsServer::without_jetstream().await?;
    let redis = RedisServer::start().await?;
    redis
        .command("CONFIG SET notify-keyspace-events KA")
        .await?;
    let host = Host::on(&nats).await?;
    Ok((nats, redis, host))
}

/// Waits until so many patterns are listened to.
pub(super) async fn until_listening(redis: &RedisServer, patterns: &str) -> Result<()> {
    until("as many listen", || async {
        let now = redis.command("PUBSUB NUMPAT").await?;
        ensure!(now == patterns, "{now}");
        Ok(())
    })
    .await
}

/// The link of the component that changes something.
pub(super) fn shop<'a>(config: &'a [(&'a str, &'a str)]) -> Side<'a> {
    Side {
        source: "shop",
        target: "kv",
        interface: "wasi:keyvalue/store",
        config,
    }
}

/// The link of a component that is told.
pub(super) fn watches<'a>(target: &'a str, config: &'a [(&'a str, &'a str)]) -> Side<'a> {
    Side {
        source: "kv",
        target,
        interface: WATCHER,
        config,
    }
}

pub(super) fn bucket<'a>(host: &'a Host, name: &'a str) -> Bucket<'a> {
    Bucket {
        host,
        source: "shop",
        provider: "kv",
        name,
    }
}

#[tokio::test]
async fn each_change_of_the_wanted_keys_is_told_once_and_in_order() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    let url = redis.url();
    // Some keys are under several entries.
    let keys = "key,c*,k*,*t, odd[1]?\\^*";
    let links = vec![
        shop(&[("url", &url)]).link(),
        watches("watcher", &[("url", &url), ("watch", keys)]).link(),
    ];
    let mut watcher = Watcher::start(&host, "watcher").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    let default = bucket(&host, "default");
    changes_are_told(default, &mut watcher).await?;

    default.set("odd1x", "unheard").await?;
    default.set("odd[1]?\\^ \n", "").await?;
    watcher.hears("default", "odd[1]?\\^ \n", Some("")).await?;

    // Each sum is told, at the latest as the next one.
    for _ in 0..100 {
        default.increment("count", 1).await?;
    }
    let mut last = 0;
    for n in 1..=100 {
        let (key, sum) = watcher.next("default").await?;
        let sum: u64 = sum.context("a sum")?.parse()?;
        ensure!(key == "count" && sum >= last.max(n), "{sum} after {last}");
        last = sum;
    }
    ensure!(last == 100, "{last}");

    // Only strings have a value to be told, and only text is a key.
    redis.command("LPUSH kind x").await?;
    redis.command("SET \"k\\xff\" x").await?;
    redis.command("EXPIRE count 1000").await?;
    redis.command("PERSIST count").await?;
    redis.command("APPEND count 1").await?;
    watcher.hears("default", "count", Some("1001")).await?;

    // Renamed, one key ends and the other has the value: in any order, for they are two.
    redis.command("RENAME count cost").await?;
    let mut both = [
        watcher.next("default").await?,
        watcher.next("default").await?,
    ];
    both.sort();
    ensure!(
        both == [
            ("cost".to_owned(), Some("1001".to_owned())),
            ("count".to_owned(), None)
        ],
        "{both:?}"
    );
    host.until_healthy("kv", true).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn many_changes_at_once_are_told() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    let url = redis.url();
    let watch = [("url", &*url), ("watch", "k*,*0")];
    let links = vec![watches("watcher", &watch).link()];
    let mut watcher = Watcher::start(&host, "watcher").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    let mut left = HashSet::new();
    for hundred in 0..50 {
        let keys = (0..100).map(|one| format!("k{hundred}-{one}"));
        let keys: Vec<String> = keys.collect();
        let pairs: Vec<String> = keys.iter().map(|key| format!("{key} {key}")).collect();
        let set = redis.command(&format!("MSET {}", pairs.join(" "))).await?;
        ensure!(set == "+OK", "{set}");
        left.extend(keys);
    }
    while !left.is_empty() {
        let (key, value) = watcher.next("default").await?;
        ensure!(value.as_ref() == Some(&key), "{key}: {value:?}");
        ensure!(left.remove(&key), "{key} is told twice");
    }
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_bucket_s_watchers_hear_of_that_bucket() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    // Another database's keys are other keys.
    let url = format!("{}/3", redis.url());
    let odd = "odd:*[name]%";
    let links = vec![
        shop(&[("url", &url)]).link(),
        watches("default", &[("url", &url), ("watch", "*")]).link(),
        watches(
            "cart",
            &[("url", &url), ("watch", "key,c*"), ("watch_bucket", odd)],
        )
        .named("cart".parse()?),
    ];
    let mut default = Watcher::start(&host, "default").await?;
    let mut cart = Watcher::start(&host, "cart").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    changes_are_told(bucket(&host, odd), &mut cart).await?;
    redis.command("SET key elsewhere").await?;
    bucket(&host, "default").set("key", "here").await?;
    default.hears("default", "key", Some("here")).await?;
    bucket(&host, odd).set("key", "there").await?;
    cart.hears(odd, "key", Some("there")).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_value_that_ends_is_told_as_deleted() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    let url = redis.url();
    let links = vec![
        shop(&[("url", &url), ("ttl", "200ms")]).link(),
        watches("watcher", &[("url", &url), ("watch", "*")]).link(),
    ];
    let mut watcher = Watcher::start(&host, "watcher").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    bucket(&host, "default").set("short", "x").await?;
    watcher.hears("default", "short", Some("x")).await?;
    watcher.hears("default", "short", None).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_form_of_1x_is_understood() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    let url = redis.url();
    let links = vec![
        shop(&[("url", &url)]).link(),
        watches("watcher", &[("URL", &url), ("WATCH", "SET@one,del@two")]).link(),
    ];
    let mut watcher = Watcher::start(&host, "watcher").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    let default = bucket(&host, "default");
    default.set("two", "unheard").await?;
    default.set("one", "1").await?;
    watcher.hears("default", "one", Some("1")).await?;
    default.delete("one").await?;
    default.delete("two").await?;
    watcher.hears("default", "two", None).await?;
    running.stop().await?;
    Ok(())
}

/// Something changes and is told.
pub(super) async fn changes_are_heard(host: &Host, watcher: &mut Watcher) -> Result<()> {
    bucket(host, "default").set("key", "x").await?;
    watcher.hears("default", "key", Some("x")).await
}

#[tokio::test]
async fn a_watch_is_only_for_links_to_a_component() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    let url = redis.url();
    let own = host.data("kv", &[("url", &url), ("watch", "*")], Vec::new())?;
    let error = Running::start::<KeyvalueRedis>(&host, own)
        .await
        .err()
        .context("it started")?;
    let error = format!("{error:#}");
    ensure!(error.contains("field `watch`"), "{error}");

    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], Vec::new())?).await?;
    let enable = ("watch_enable_events", "true");
    for (link, part) in [
        (
            shop(&[("url", &url), ("watch", "*")]),
            "target_config: field `watch`: over this link the component calls the provider",
        ),
        (
            shop(&[("url", &url), ("watch_bucket", "cart")]),
            "target_config: field `watch_bucket`: it has a meaning only beside `watch`",
        ),
        (
            watches("watcher", &[("url", &url)]),
            "source_config: field `watch`: is missing",
        ),
        (
            watches("watcher", &[("url", &url), enable]),
            "source_config: field `watch_enable_events`: it has a meaning only beside `watch`",
        ),
        (
            watches("watcher", &[("url", &url), ("watch", "a,,b")]),
            "source_config: field `watch`: it has an entry without a key",
        ),
    ] {
        host.put("kv", &link.link()).await?;
        let why = host.until_healthy("kv", false).await?;
        ensure!(why.contains(part), "{part:?} is not in {why:?}");
        host.delete("kv", &link.link()).await?;
        host.until_healthy("kv", true).await?;
    }
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_link_decides_who_is_told() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    let url = redis.url();
    let watch = [("url", &*url), ("watch", "*")];
    let links = vec![shop(&[("url", &url)]).link(), watches("one", &watch).link()];
    let mut one = Watcher::start(&host, "one").await?;
    let mut two = Watcher::start(&host, "two").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    changes_are_heard(&host, &mut one).await?;

    // The same link leads to another component.
    host.put("kv", &watches("two", &watch).link()).await?;
    let default = bucket(&host, "default");
    let redirected = async {
        loop {
            default.set("to", "whom").await?;
            tokio::select! {
                told = one.next("default") => told?,
                told = two.next("default") => break told,
            };
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(20), redirected).await??;
    ensure!(told.0 == "to", "{told:?}");

    // Nothing is told while there is no link.
    host.delete("kv", &watches("two", &watch).link()).await?;
    until_listening(&redis, ":0").await?;
    default.set("key", "unheard").await?;
    host.put("kv", &watches("two", &watch).link()).await?;
    until_listening(&redis, ":1").await?;
    changes_are_heard(&host, &mut two).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_was_taken_in_is_told_before_the_provider_ends() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    let url = redis.url();
    let links = vec![
        shop(&[("url", &url)]).link(),
        watches("watcher", &[("url", &url), ("watch", "*")]).link(),
    ];
    // A component that begins and doesn't end before it is let.
    let (begun, mut begins) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let (ended, mut ends) = mpsc::unbounded_channel();
    let held = gate.clone();
    let _serving = answer(&host, "watcher", move |call: IncomingCall| {
        let (begun, ended, held) = (begun.clone(), ended.clone(), held.clone());
        async move {
            let over = || CallError::Failed("the test is over".to_owned());
            let set = OnSet::decode_params(call.params)?;
            begun.send(set.key.clone()).map_err(|_| over())?;
            let _open = held.acquire().await.map_err(|_| over())?;
            ended.send((set.key, set.value)).map_err(|_| over())?;
            Ok(OnSet::answer(&()))
        }
    })
    .await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    let default = bucket(&host, "default");
    for value in ["one", "two", "three"] {
        default.set("key", value).await?;
    }
    // They are handed over in their order: when one of the later ones has begun, the earlier ones are the provider's to tell.
    for later in 0..16 {
        default.set(&format!("later-{later}"), "x").await?;
    }
    while !begins
        .recv()
        .await
        .context("it begins")?
        .starts_with("later-")
    {}
    let stopping = tokio::spawn(running.stop());
    until_listening(&redis, ":0").await?;
    ensure!(!stopping.is_finished(), "it has ended too early");
    gate.add_permits(1000);
    stopping.await??;
    let mut values = Vec::new();
    while let Ok((key, value)) = ends.try_recv() {
        if key == "key" {
            values.push(value);
        }
    }
    ensure!(values.len() == 3 && values[2] == "three", "{values:?}");
    Ok(())
}
