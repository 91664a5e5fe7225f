//! What the broker keeps for a link, and for how long.

use anyhow::{Result, ensure};
use trellis_provider_testkit::wait::until;
use trellis_tests::mosquitto::MosquittoServer;

use crate::kit::{Client, PROVIDER, Stage, component, next, receives};

#[tokio::test]
async fn messages_wait_while_the_provider_is_away() -> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let (_serving, mut messages) = component(&stage.host, "echo").await?;
    let url = broker.url();
    let config = [("url", url.as_str()), ("subscriptions", "a/#")];
    let running = stage.provider(vec![receives("echo", &config)]).await?;
    let client = Client::connect(&broker).await?;
    client.publish("a/0", "0").await?;
    assert_eq!(next(&mut messages).await?.subject, "a/0");
    running.stop().await?;
    for number in 1..=300 {
        ensure!(
            client.publish(&format!("a/{number}"), "x").await?,
            "nobody has subscribed"
        );
    }
    let running = stage.provider(vec![receives("echo", &config)]).await?;
    for number in 1..=300 {
        assert_eq!(next(&mut messages).await?.subject, format!("a/{number}"));
    }
    // A deleted link leaves nothing behind.
    stage
        .host
        .delete(PROVIDER, &receives("echo", &config))
        .await?;
    until("nobody has subscribed", || async {
        ensure!(!client.publish("a/x", "x").await?);
        Ok(())
    })
    .await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_replaced_link_loses_no_message() -> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let (_one, mut first) = component(&stage.host, "one").await?;
    let (_two, mut second) = component(&stage.host, "two").await?;
    let url = broker.url();
    // Target, subscriptions, and what the connection is made with, by turns.
    let link = |round: usize| {
        let target = ["one", "two"][round % 2];
        let subscriptions = ["a,b", "a,c", "+"][round % 3];
        let in_flight = if round % 4 == 3 { "16" } else { "64" };
        receives(
            target,
            &[
                ("url", url.as_str()),
                ("subscriptions", subscriptions),
                ("max_in_flight", in_flight),
            ],
        )
    };
    let running = stage.provider(vec![link(0)]).await?;
    let client = Client::connect(&broker).await?;
    let mut total = 0;
    for round in 1..=16 {
        for _ in 0..10 {
            client.publish("a", &total.to_string()).await?;
            total += 1;
        }
        stage.host.put(PROVIDER, &link(round)).await?;
        for _ in 0..10 {
            client.publish("a", &total.to_string()).await?;
            total += 1;
        }
    }
    let (mut by_one, mut by_two) = (
        std::collections::HashSet::new(),
        std::collections::HashSet::new(),
    );
    until("every message has come", || {
        while let Ok(message) = first.try_recv() {
            by_one.insert(message.body);
        }
        while let Ok(message) = second.try_recv() {
            by_two.insert(message.body);
        }
        let came = by_one.union(&by_two).count();
        async move {
            ensure!(came == total, "{came} of {total}");
            Ok(())
        }
    })
    .await?;
    ensure!(!by_one.is_empty() && !by_two.is_empty());
    // The last one is `a,c`: what earlier ones had is not subscribed to any more.
    until("the old subscriptions are gone", || async {
        ensure!(client.publish("c", "x").await? && !client.publish("b", "x").await?);
        Ok(())
    })
    .await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn two_processes_share_the_messages_of_a_group() -> Result<()> {
    let (broker, one, two) = (
        MosquittoServer::start().await?,
        Stage::set().await?,
        Stage::set().await?,
    );
    let (_one, mut first) = component(&one.host, "worker").await?;
    let (_two, mut second) = component(&two.host, "worker").await?;
    let url = broker.url();
    let config = |id: &'static str| {
        let config = [
            ("url", url.as_str()),
            ("subscriptions", "$share/workers/jobs/#"),
            ("client_id", id),
        ];
        receives("worker", &config)
    };
    let first_running = one.provider(vec![config("worker-1")]).await?;
    let second_running = two.provider(vec![config("worker-2")]).await?;
    let client = Client::connect(&broker).await?;
    for number in 0..200 {
        client.publish("jobs/new", &number.to_string()).await?;
    }
    let (mut by_one, mut by_two) = (Vec::new(), Vec::new());
    until("every message has come", || {
        while let Ok(message) = first.try_recv() {
            by_one.push(message.body);
        }
        while let Ok(message) = second.try_recv() {
            by_two.push(message.body);
        }
        let came = by_one.len() + by_two.len();
        async move {
            ensure!(came == 200, "{came} of 200");
            Ok(())
        }
    })
    .await?;
    ensure!(
        by_one.len() > 50 && by_two.len() > 50,
        "{} and {}",
        by_one.len(),
        by_two.len()
    );
    let all: std::collections::HashSet<_> = by_one.iter().chain(&by_two).collect();
    assert_eq!(all.len(), 200);
    first_running.stop().await?;
    second_running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn two_with_one_session_are_told_so() -> Result<()> {
    let (broker, one, two) = (
        MosquittoServer::start().await?,
        Stage::set().await?,
        Stage::set().await?,
    );
    let (_one, _first) = component(&one.host, "worker").await?;
    let (_two, mut second) = component(&two.host, "worker").await?;
    let url = broker.url();
    let link = receives(
        "worker",
        &[
            ("url", &url),
            ("subscriptions", "jobs"),
            ("client_id", "the-same"),
        ],
    );
    let first_running = one.provider(vec![link.clone()]).await?;
    let second_running = two.provider(vec![link]).await?;
    // They take it from each other, less and less often; the broker does not say why it closes connections.
    until("one of them says what may be wrong", || async {
        let (one, two) = (
            one.host.health(PROVIDER).await?,
            two.host.health(PROVIDER).await?,
        );
        let told = format!("{one:?} {two:?}");
        ensure!(
            told.contains("if another client has the id") && told.contains("the-same"),
            "{told}"
        );
        Ok(())
    })
    .await?;
    first_running.stop().await?;
    two.host.until_healthy(PROVIDER, true).await?;
    let client = Client::connect(&broker).await?;
    client.publish("jobs", "x").await?;
    assert_eq!(next(&mut second).await?.body, "x");
    second_running.stop().await?;
    Ok(())
}
