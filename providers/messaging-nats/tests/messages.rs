//! The provider between a real NATS server and a component that the test plays.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use trellis_messaging_nats::MessagingNats;
use trellis_provider::{
    contract::ResolvedLink,
    rpc::interface::{
        Function as _,
        messaging::{BrokerMessage, HandleMessage, Publish, Request, RequestParams},
    },
};
use trellis_provider_testkit::{Host, NatsServer, Running, Side, answer, wait::until};

fn receives(component: &str, config: &[(&str, &str)]) -> ResolvedLink {
    Side {
        source: "msg",
        target: component,
        interface: "wasmcloud:messaging/handler",
        config,
    }
    .link()
}

fn sends(component: &str, config: &[(&str, &str)]) -> ResolvedLink {
    Side {
        source: component,
        target: "msg",
        interface: "wasmcloud:messaging/consumer",
        config,
    }
    .link()
}

fn message(subject: &str, body: &str, reply_to: Option<&str>) -> BrokerMessage {
    BrokerMessage {
        subject: subject.to_owned(),
        body: body.to_owned().into(),
        reply_to: reply_to.map(str::to_owned),
    }
}

/// A component that tells the test of each message.
async fn component(
    host: &Host,
    id: &str,
) -> Result<(
    trellis_provider::rpc::nats::Serving,
    mpsc::UnboundedReceiver<BrokerMessage>,
)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let serving = answer(host, id, move |call| {
        let sender = sender.clone();
        async move {
            let message = HandleMessage::decode_params(call.params)?;
            sender.send(message).ok();
            Ok(HandleMessage::answer(&Ok(())))
        }
    })
    .await?;
    Ok((serving, receiver))
}

async fn publish(host: &Host, component: &str, message: &BrokerMessage) -> Result<()> {
    host.call::<Publish>(component, "msg", message)
        .await?
        .map_err(anyhow::Error::msg)
}

async fn next(messages: &mut mpsc::UnboundedReceiver<BrokerMessage>) -> Result<BrokerMessage> {
    let next = tokio::time::timeout(Duration::from_secs(20), messages.recv());
    next.await
        .context("no message came")?
        .context("the component is gone")
}

#[tokio::test]
async fn a_component_gets_the_messages_of_its_subscriptions_and_answers_them() -> Result<()> {
    let nats = NatsServer::without_jetstream().await?;
    let host = Host::on(&nats).await?;
    let (_serving, mut messages) = component(&host, "echo").await?;
    let links = vec![
        receives("echo", &[("subscriptions", "orders.*|workers,news.>")]),
        sends("echo", &[]),
    ];
    let running = Running::start::<MessagingNats>(&host, host.data("msg", &[], links)?).await?;

    host.client().publish("news.a.b", "hello".into()).await?;
    assert_eq!(
        next(&mut messages).await?,
        message("news.a.b", "hello", None)
    );
    // A request: the component is told where the answer goes, and publishes there.
    let asked = host.client().request("orders.new", "one".into());
    let answered = async {
        let got = next(&mut messages).await?;
        let reply_to = got.reply_to.context("no reply-to")?;
        assert_eq!(
            (got.subject.as_str(), &got.body[..]),
            ("orders.new", &b"one"[..])
        );
        publish(&host, "echo", &message(&reply_to, "done", None)).await?;
        anyhow::Ok(())
    };
    let (asked, answered) = tokio::join!(asked, answered);
    answered?;
    assert_eq!(&asked?.payload[..], b"done");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_component_publishes_and_requests() -> Result<()> {
    let nats = NatsServer::without_jetstream().await?;
    let host = Host::on(&nats).await?;
    let running =
        Running::start::<MessagingNats>(&host, host.data("msg", &[], vec![sends("a", &[])])?)
            .await?;
    let client = nats.connect().await?;
    let mut heard = client.subscribe("shop.>").await?;
    client.flush().await?;
    publish(&host, "a", &message("shop.x", "hi", Some("shop.back"))).await?;
    let got = heard.next().await.context("nothing")?;
    assert_eq!(
        (&got.payload[..], got.reply.as_deref()),
        (&b"hi"[..], Some("shop.back"))
    );

    let ask = |subject: &str, timeout_ms| {
        let params = RequestParams {
            subject: subject.to_owned(),
            body: "q".into(),
            timeout_ms,
        };
        let host = &host;
        async move { host.call::<Request>("a", "msg", &params).await }
    };
    let (answer, ()) = tokio::join!(ask("shop.ask", 10_000), async {
        if let Some(question) = heard.next().await
            && let Some(reply) = question.reply
        {
            client.publish(reply, "a".into()).await.ok();
        }
    });
    assert_eq!(&answer?.map_err(anyhow::Error::msg)?.body[..], b"a");
    let late = ask("shop.ask", 200).await?.unwrap_err();
    assert_eq!(late, "no answer from \"shop.ask\" within 200 ms");
    let nobody = ask("nobody.here", 5000).await?.unwrap_err();
    assert_eq!(nobody, "nobody answers at \"nobody.here\"");

    for subject in [
        "wasmbus.ctl.v1.default.host.ping",
        "wadm.api.default.model.list",
        "$JS.API.INFO",
        "default.b.wrpc.0.0.1.x.y",
        "a b",
        "a.*",
        "",
        "x\r\nPUB y 0\r\n",
    ] {
        let refused = host
            .call::<Publish>("a", "msg", &message(subject, "", None))
            .await?;
        ensure!(refused.is_err(), "published to {subject:?}");
        let refused = host
            .call::<Publish>("a", "msg", &message("fine", "", Some(subject)))
            .await?;
        ensure!(refused.is_err(), "answers led to {subject:?}");
        let refused = ask(subject, 1000).await?;
        ensure!(
            refused.is_err_and(|error| error.starts_with("subject ")),
            "asked at {subject:?}"
        );
    }
    let stranger = host
        .call::<Publish>("stranger", "msg", &message("shop.x", "", None))
        .await?;
    ensure!(stranger.is_err_and(|error| error.contains("\"stranger\" has no link")));
    let large = host
        .call::<Publish>("a", "msg", &message("shop.x", &"x".repeat(2 << 20), None))
        .await;
    ensure!(!matches!(large, Ok(Ok(()))), "larger than NATS takes");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn another_nats_is_the_operator_s_choice_and_has_no_closed_subjects() -> Result<()> {
    let (nats, other) = (
        NatsServer::without_jetstream().await?,
        NatsServer::without_jetstream().await?,
    );
    let host = Host::on(&nats).await?;
    let (_serving, mut messages) = component(&host, "hears").await?;
    let url = other.url();
    let links = vec![
        receives("hears", &[("subscriptions", ">"), ("cluster_uris", &url)]),
        sends("hears", &[("cluster_uris", &url)]),
    ];
    let running = Running::start::<MessagingNats>(&host, host.data("msg", &[], links)?).await?;
    publish(&host, "hears", &message("wasmbus.there", "x", None)).await?;
    assert_eq!(next(&mut messages).await?.subject, "wasmbus.there");

    // On the lattice's own it is not.
    host.put("msg", &receives("hears", &[("subscriptions", ">")]))
        .await?;
    let told = host.until_healthy("msg", false).await?;
    ensure!(
        told.contains("source_config: field `subscriptions`: subject \">\" is the lattice's own"),
        "{told}"
    );
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_replaced_link_loses_no_message_and_a_deleted_one_ends() -> Result<()> {
    let nats = NatsServer::without_jetstream().await?;
    let host = Host::on(&nats).await?;
    let (_one, mut first) = component(&host, "one").await?;
    let (_two, mut second) = component(&host, "two").await?;
    let link = |to, subscriptions| receives(to, &[("subscriptions", subscriptions)]);
    let links = vec![link("one", "a,b")];
    let running = Running::start::<MessagingNats>(&host, host.data("msg", &[], links)?).await?;
    let client = host.client();
    let mut total = 0;
    for round in 0..20 {
        let target = if round % 2 == 0 { "two" } else { "one" };
        for _ in 0..50 {
            client.publish("a", "x".into()).await?;
            total += 1;
        }
        host.put(
            "msg",
            &link(target, if round % 2 == 0 { "a,c" } else { "a,b" }),
        )
        .await?;
        for _ in 0..50 {
            client.publish("a", "x".into()).await?;
            total += 1;
        }
    }
    let (mut by_one, mut by_two) = (0, 0);
    until("every message has come", || {
        while first.try_recv().is_ok() {
            by_one += 1;
        }
        while second.try_recv().is_ok() {
            by_two += 1;
        }
        let came = by_one + by_two;
        async move {
            ensure!(came == total, "{came} of {total}");
            Ok(())
        }
    })
    .await?;
    ensure!(by_one > 0 && by_two > 0, "{by_one} and {by_two}");
    host.delete("msg", &link("one", "a")).await?;
    until("nobody listens any more", || async {
        let question = async_nats::Request::new().timeout(Some(Duration::from_millis(200)));
        let asked = client.send_request("a", question).await;
        ensure!(
            asked.is_err_and(|error| error.kind() == async_nats::RequestErrorKind::NoResponders)
        );
        Ok(())
    })
    .await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_component_has_as_many_messages_at_once_as_its_link_says_and_all_before_the_end()
-> Result<()> {
    let nats = NatsServer::without_jetstream().await?;
    let host = Host::on(&nats).await?;
    let (go_on, goes_on) = watch::channel(false);
    let (now, most, all) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let counters = (now.clone(), most.clone(), all.clone());
    let _serving = answer(&host, "slow", move |_| {
        let (now, most, all) = counters.clone();
        let mut goes_on = goes_on.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _ = goes_on.wait_for(|go| *go).await;
            now.fetch_sub(1, Ordering::SeqCst);
            all.fetch_add(1, Ordering::SeqCst);
            Ok(HandleMessage::answer(&Ok(())))
        }
    })
    .await?;
    let link = receives("slow", &[("subscriptions", "work"), ("max_in_flight", "3")]);
    let running =
        Running::start::<MessagingNats>(&host, host.data("msg", &[], vec![link])?).await?;
    for _ in 0..20 {
        host.client().publish("work", "x".into()).await?;
    }
    host.client().flush().await?;
    until("three run", || async {
        ensure!(now.load(Ordering::SeqCst) == 3);
        Ok(())
    })
    .await?;
    // What has come is handled before the provider ends.
    let stopped = running.stop();
    go_on.send_replace(true);
    stopped.await?;
    assert_eq!(
        (most.load(Ordering::SeqCst), all.load(Ordering::SeqCst)),
        (3, 20)
    );
    Ok(())
}

#[tokio::test]
async fn wrong_settings_are_named() -> Result<()> {
    let nats = NatsServer::without_jetstream().await?;
    let host = Host::on(&nats).await?;
    let running =
        Running::start::<MessagingNats>(&host, host.data("msg", &[], Vec::new())?).await?;
    for (config, told) in [
        (
            [("subscriptions", "a,_INBOX.>")],
            "field `subscriptions`: subject \"_INBOX.>\" is the lattice's own",
        ),
        (
            [("subscriptions", "a|")],
            "field `subscriptions`: subject \"a|\" has an empty queue group",
        ),
        (
            [("max_in_flight", "0")],
            "field `max_in_flight`: 0 is not from 1 to 4096",
        ),
        ([("client_jwt", "x")], ""),
    ] {
        let link = receives("x", &config);
        host.put("msg", &link).await?;
        if !told.is_empty() {
            let message = host.until_healthy("msg", false).await?;
            ensure!(message.contains(told), "{message}");
        }
        host.delete("msg", &link).await?;
        host.until_healthy("msg", true).await?;
    }
    running.stop().await?;
    Ok(())
}
