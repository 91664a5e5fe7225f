//! A Redis that announces nothing, or no more.

use anyhow::{Context as _, Result, ensure};
use trellis_keyvalue_redis::KeyvalueRedis;
use trellis_provider_testkit::{Running, wait::until, watch::Watcher};

use super::watch::{bucket, changes_are_heard, servers, shop, until_listening, watches};

#[tokio::test]
async fn a_redis_that_announces_nothing_is_refused_with_what_to_do() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    redis
        .command("CONFIG SET notify-keyspace-events K$g")
        .await?;
    let url = redis.url();
    let links = vec![
        shop(&[("url", &url)]).link(),
        watches("watcher", &[("url", &url), ("watch", "*")]).link(),
    ];
    let mut watcher = Watcher::start(&host, "watcher").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    let why = host.until_healthy("kv", false).await?;
    for part in [
        "source_config: field `watch`: Redis at 127.0.0.1:",
        "its setting notify-keyspace-events is \"g$K\" and lacks \"xe\"",
        "redis.conf",
        "`watch_enable_events: \"true\"`",
    ] {
        ensure!(why.contains(part), "{part:?} is not in {why:?}");
    }
    // Once it is set, the link is taken.
    redis
        .command("CONFIG SET notify-keyspace-events KA")
        .await?;
    host.until_healthy("kv", true).await?;
    bucket(&host, "default").set("key", "x").await?;
    watcher.hears("default", "key", Some("x")).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_missing_is_turned_on_and_the_rest_left_on() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    redis
        .command("CONFIG SET notify-keyspace-events Elm")
        .await?;
    let url = redis.url();
    let watch = [
        ("url", &*url),
        ("watch", "*"),
        ("watch_enable_events", "true"),
    ];
    let links = vec![
        shop(&[("url", &url)]).link(),
        watches("watcher", &watch).link(),
    ];
    let mut watcher = Watcher::start(&host, "watcher").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    bucket(&host, "default").set("key", "x").await?;
    watcher.hears("default", "key", Some("x")).await?;
    let set = redis.command("CONFIG GET notify-keyspace-events").await?;
    let set = set.lines().last().context("the setting")?;
    ensure!("ElmK$gxe".chars().all(|flag| set.contains(flag)), "{set}");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_redis_that_hides_its_settings_is_followed_all_the_same() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    redis
        .command("ACL SETUSER app on >hush ~* &* +@all -config")
        .await?;
    let url = redis.url().replace("redis://", "redis://app:hush@");
    let watch = [
        ("url", &*url),
        ("watch", "*"),
        ("watch_enable_events", "true"),
    ];
    let links = vec![
        shop(&[("url", &url)]).link(),
        watches("watcher", &watch).link(),
    ];
    let mut watcher = Watcher::start(&host, "watcher").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    changes_are_heard(&host, &mut watcher).await?;

    // One who may look and not change, and who may read some keys only.
    host.delete("kv", &watches("watcher", &watch).link())
        .await?;
    until_listening(&redis, ":0").await?;
    redis
        .command("CONFIG SET notify-keyspace-events Kl")
        .await?;
    redis
        .command("ACL SETUSER app resetkeys ~mine.* +config|get")
        .await?;
    host.put("kv", &watches("watcher", &watch).link()).await?;
    let why = host.until_healthy("kv", false).await?;
    ensure!(
        why.contains("field `watch_enable_events`: Redis at 127.0.0.1:")
            && why.contains("does not let this user change notify-keyspace-events (NOPERM)")
            && !why.contains("hush"),
        "{why}"
    );
    redis
        .command("CONFIG SET notify-keyspace-events KA")
        .await?;
    host.until_healthy("kv", true).await?;
    redis.command("MSET theirs unheard mine.x heard").await?;
    watcher.hears("default", "mine.x", Some("heard")).await?;

    // One who may not listen.
    redis.command("ACL SETUSER app resetchannels").await?;
    until("it is told why nothing is heard", || async {
        let health = host.health("kv").await?;
        let why = health.message.unwrap_or_default();
        let listen = "access denied: the user has to be allowed to listen to __keyspace@0__:KEY";
        ensure!(why.contains(listen), "{why:?}");
        Ok(())
    })
    .await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_redis_that_is_started_again_is_followed_again() -> Result<()> {
    let (_nats, mut redis, host) = servers().await?;
    let url = redis.url();
    // Started again, Redis has forgotten that it was told to announce.
    let watch = [
        ("url", &*url),
        ("watch", "*"),
        ("watch_enable_events", "true"),
        ("connection_timeout_ms", "500"),
    ];
    let links = vec![
        shop(&[("url", &url)]).link(),
        watches("watcher", &watch).link(),
    ];
    let mut watcher = Watcher::start(&host, "watcher").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    changes_are_heard(&host, &mut watcher).await?;
    redis.crash().await?;
    until("the provider says that it doesn't follow", || async {
        let health = host.health("kv").await?;
        let why = health.message.unwrap_or_default();
        ensure!(
            why.contains("what changes meanwhile is not told"),
            "{why:?}"
        );
        Ok(())
    })
    .await?;
    redis.resume().await?;
    redis.command("SET key missed").await?;
    host.until_healthy("kv", true).await?;
    changes_are_heard(&host, &mut watcher).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_that_has_fallen_silent_is_given_up() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    let url = redis.url();
    let watch = [
        ("url", &*url),
        ("watch", "*"),
        ("connection_timeout_ms", "500"),
        ("response_timeout_ms", "200"),
    ];
    let links = vec![
        shop(&[("url", &url)]).link(),
        watches("watcher", &watch).link(),
    ];
    let mut watcher = Watcher::start(&host, "watcher").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    changes_are_heard(&host, &mut watcher).await?;
    // Its connections stay open, and nothing is answered.
    redis.command("CLIENT PAUSE 12000 ALL").await?;
    until("the watch is given up", || async {
        let health = host.health("kv").await?;
        let why = health.message.unwrap_or_default();
        let late = "did not answer within 700 ms: what changes meanwhile is not told";
        ensure!(why.contains(late), "{why:?}");
        Ok(())
    })
    .await?;
    host.until_healthy("kv", true).await?;
    changes_are_heard(&host, &mut watcher).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn announcements_that_are_turned_off_are_noticed() -> Result<()> {
    let (_nats, redis, host) = servers().await?;
    let url = redis.url();
    let links = vec![
        shop(&[("url", &url)]).link(),
        watches("watcher", &[("url", &url), ("watch", "*")]).link(),
    ];
    let mut watcher = Watcher::start(&host, "watcher").await?;
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    changes_are_heard(&host, &mut watcher).await?;
    redis
        .command("CONFIG SET notify-keyspace-events \"\"")
        .await?;
    let why = host.until_healthy("kv", false).await?;
    ensure!(why.contains("notify-keyspace-events is \"\""), "{why}");
    redis
        .command("CONFIG SET notify-keyspace-events KA")
        .await?;
    host.until_healthy("kv", true).await?;
    changes_are_heard(&host, &mut watcher).await?;
    running.stop().await?;
    Ok(())
}
