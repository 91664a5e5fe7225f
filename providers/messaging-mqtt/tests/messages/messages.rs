//! Messages, questions and answers, in both directions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use rumqttc::PublishProperties;
use tokio::sync::watch;
use trellis_provider::rpc::interface::{Function as _, messaging::HandleMessage};
use trellis_provider_testkit::{answer, wait::until};
use trellis_tests::mosquitto::MosquittoServer;

use crate::kit::{Client, Stage, component, message, next, receives, sends, text};

#[tokio::test]
async fn a_component_gets_the_messages_of_its_subscriptions_and_answers_them() -> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let (_serving, mut messages) = component(&stage.host, "echo").await?;
    let url = broker.url();
    let links = vec![
        receives(
            "echo",
            &[("url", &url), ("subscriptions", "orders/+,news/#")],
        ),
        sends("echo", &[("url", &url)]),
    ];
    let running = stage.provider(links).await?;
    let mut client = Client::connect(&broker).await?;
    ensure!(client.publish("news/a/b", "hello").await?);
    assert_eq!(
        next(&mut messages).await?,
        message("news/a/b", "hello", None)
    );

    // A question: what the asker knows it by comes back with the answer.
    client.subscribe("answers/#").await?;
    let question = PublishProperties {
        response_topic: Some("answers/7".to_owned()),
        correlation_data: Some(Bytes::from_static(b"\x00\xff7")),
        ..PublishProperties::default()
    };
    client.say("orders/new", "one", question).await?;
    let got = next(&mut messages).await?;
    let reply_to = got.reply_to.context("no reply-to")?;
    assert_eq!(
        (got.subject.as_str(), reply_to.as_str()),
        ("orders/new", "answers/7#00ff37")
    );
    stage
        .publish("echo", &message(&reply_to, "done", None))
        .await?;
    let answer = next(&mut client.messages).await?;
    assert_eq!(
        (&answer.topic[..], text(&answer).as_str()),
        (&b"answers/7"[..], "done")
    );
    let known_by = answer
        .properties
        .and_then(|properties| properties.correlation_data);
    assert_eq!(known_by.as_deref(), Some(&b"\x00\xff7"[..]));

    // A client that is not ours, and that knows its answer by that data alone.
    let asked = broker.ask("orders/new", "two", 20);
    let answered = async {
        let got = next(&mut messages).await?;
        let reply_to = got.reply_to.context("no reply-to")?;
        stage
            .publish("echo", &message(&reply_to, "two, too", None))
            .await
    };
    let (asked, answered) = tokio::join!(asked, answered);
    answered?;
    assert_eq!(asked?, "two, too");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_component_publishes_and_requests() -> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let running = stage
        .provider(vec![sends("a", &[("url", &broker.url())])])
        .await?;
    let mut client = Client::connect(&broker).await?;
    client.subscribe("shop/#").await?;
    stage
        .publish("a", &message("shop/x", "hi", Some("shop/back")))
        .await?;
    let got = next(&mut client.messages).await?;
    let back = got
        .properties
        .clone()
        .and_then(|properties| properties.response_topic);
    assert_eq!(
        (text(&got).as_str(), back.as_deref()),
        ("hi", Some("shop/back"))
    );

    // Many questions at once, answered in another order.
    let questions = (0..50).map(|number| {
        let (stage, number) = (&stage, number.to_string());
        async move {
            let answer = stage.request("a", "shop/ask", &number, 20_000).await?;
            ensure!(answer.body == format!("answer {number}"), "{answer:?}");
            Ok(())
        }
    });
    let answers = async {
        let mut asked = Vec::new();
        while asked.len() < 50 {
            asked.push(next(&mut client.messages).await?);
        }
        for question in asked.into_iter().rev() {
            let properties = question.properties.clone().context("no properties")?;
            let to = properties.response_topic.context("no response topic")?;
            let known_by = PublishProperties {
                correlation_data: properties.correlation_data,
                ..PublishProperties::default()
            };
            client
                .say(&to, &format!("answer {}", text(&question)), known_by)
                .await?;
        }
        anyhow::Ok(())
    };
    let (asked, answered) = tokio::join!(futures::future::join_all(questions), answers);
    answered?;
    asked.into_iter().collect::<Result<Vec<()>>>()?;

    let late = stage.request("a", "shop/ask", "q", 300).await.unwrap_err();
    assert_eq!(
        late.to_string(),
        "no answer from \"shop/ask\" within 300 ms"
    );
    let nobody = stage
        .request("a", "nobody/here", "q", 20_000)
        .await
        .unwrap_err();
    assert_eq!(nobody.to_string(), "nobody answers at \"nobody/here\"");

    for topic in ["", "a/+", "a/#", "$SYS/x", "x\u{0}", "a#zz"] {
        let refused = stage.publish("a", &message(topic, "", None)).await;
        ensure!(refused.is_err(), "published to {topic:?}");
        let refused = stage.publish("a", &message("fine", "", Some(topic))).await;
        ensure!(
            refused.is_err_and(|error| error.to_string().starts_with("reply-to: ")),
            "answers led to {topic:?}"
        );
        let refused = stage.request("a", topic, "", 1000).await;
        ensure!(
            refused.is_err_and(|error| error.to_string().starts_with("topic ")),
            "asked at {topic:?}"
        );
    }
    let stranger = stage
        .publish("stranger", &message("shop/x", "", None))
        .await;
    ensure!(stranger.is_err_and(|error| error.to_string().contains("\"stranger\" has no link")));
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_component_has_as_many_messages_at_once_as_its_link_says_and_all_before_the_end()
-> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let (go_on, goes_on) = watch::channel(false);
    let (now, most, all) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let counters = (now.clone(), most.clone(), all.clone());
    let _serving = answer(&stage.host, "slow", move |_| {
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
    let url = broker.url();
    let config = [
        ("url", url.as_str()),
        ("subscriptions", "work"),
        ("max_in_flight", "3"),
    ];
    let running = stage.provider(vec![receives("slow", &config)]).await?;
    let client = Client::connect(&broker).await?;
    for _ in 0..20 {
        client.publish("work", "x").await?;
    }
    until("three run", || async {
        ensure!(now.load(Ordering::SeqCst) == 3);
        Ok(())
    })
    .await?;
    // What the component has begun with is handled and acknowledged before the provider ends.
    let stopped = running.stop();
    go_on.send_replace(true);
    stopped.await?;
    assert_eq!(
        (most.load(Ordering::SeqCst), all.load(Ordering::SeqCst)),
        (3, 3)
    );
    // What it has not is with the broker, and comes to the next process: each exactly once, for all went well.
    let running = stage.provider(vec![receives("slow", &config)]).await?;
    until("all are handled", || async {
        let all = all.load(Ordering::SeqCst);
        ensure!(all == 20, "{all}");
        Ok(())
    })
    .await?;
    // One more, behind which a message that comes twice would be.
    client.publish("work", "the last").await?;
    until("the last is handled", || async {
        ensure!(all.load(Ordering::SeqCst) > 20);
        Ok(())
    })
    .await?;
    running.stop().await?;
    assert_eq!(
        (most.load(Ordering::SeqCst), all.load(Ordering::SeqCst)),
        (3, 21)
    );
    Ok(())
}

#[tokio::test]
async fn messages_of_qos_0_come_at_most_once() -> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let (_serving, mut messages) = component(&stage.host, "echo").await?;
    let url = broker.url();
    let links = vec![
        receives(
            "echo",
            &[("url", &url), ("subscriptions", "a"), ("qos", "0")],
        ),
        sends("echo", &[("url", &url), ("qos", "0")]),
    ];
    let running = stage.provider(links).await?;
    for number in 0..100 {
        stage
            .publish("echo", &message("a", &number.to_string(), None))
            .await?;
    }
    for number in 0..100 {
        assert_eq!(next(&mut messages).await?.body, number.to_string());
    }
    ensure!(
        tokio::time::timeout(Duration::from_millis(50), messages.recv())
            .await
            .is_err()
    );
    running.stop().await?;
    Ok(())
}
