//! What the manager tells beside 1.x's status: why an application is as it is, and events as they happen.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use trellis_lattice::{app::AppEvent, event::CloudEvent};

use crate::{
    manager::{Manager, ask, try_ask},
    nats::{PATIENCE, until},
    stage::{begin, deployed, until_status},
};

/// An application of one component on every host.
fn everywhere() -> String {
    json!({
        "apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "metadata": {"name": "all"},
        "spec": {"components": [{
            "name": "c", "type": "component", "properties": {"image": "file:///c.wasm"},
            "traits": [{"type": "daemonscaler", "properties": {"instances": 2}}],
        }]},
    })
    .to_string()
}

/// The next event of that name.
async fn next(events: &mut async_nats::Subscriber, name: &str) -> AppEvent {
    let found = async {
        while let Some(message) = events.next().await {
            let envelope = CloudEvent::read(&message.payload).unwrap();
            assert_eq!(envelope.specversion, "1.0");
            assert!(envelope.time.is_some());
            let event = AppEvent::read(&envelope).unwrap();
            assert_eq!(
                message.subject.as_str(),
                format!("wadm.evt.default.{}", event.name())
            );
            if event.name() == name {
                return event;
            }
        }
        panic!("no more events");
    };
    let found = tokio::time::timeout(PATIENCE, found).await;
    found.unwrap_or_else(|_| panic!("no event {name}"))
}

#[tokio::test]
async fn it_explains_what_it_did() {
    let (stage, [_a, _b]) = deployed(["a", "b"]).await;
    let client = &stage.client;
    let explained = ask(client, "explain.kvc", "").await;
    assert_eq!(explained["result"], "success", "{explained}");
    let explanation = &explained["explanation"];
    assert_eq!(explanation["hosts"], 2);
    assert_eq!(explanation["status"]["type"], "deployed");
    let components = explanation["components"].as_array().unwrap();
    assert_eq!(components.len(), 3);
    for component in components {
        assert_eq!(component["desired"], component["running"], "{component}");
        assert_eq!(component["status"]["type"], "deployed");
    }
    assert_eq!(explanation["links"].as_array().unwrap().len(), 2);
    assert_eq!(explanation["links"][0]["there"], true);
    assert_eq!(explanation["configs"][0]["there"], true);

    // One component, by its name or its id.
    for name in ["httpserver", "kvc-httpserver"] {
        let body = json!({ "component": name }).to_string();
        let one = ask(client, "explain.kvc", body).await;
        let one = &one["explanation"];
        assert_eq!(one["components"].as_array().unwrap().len(), 1);
        assert_eq!(one["components"][0]["id"], "kvc-httpserver");
        assert_eq!(one["links"].as_array().unwrap().len(), 1, "{one}");
    }
    let none = ask(client, "explain.kvc", json!({"component": "x"}).to_string()).await;
    assert_eq!(none["result"], "notfound");
    assert!(
        none["message"].as_str().unwrap().contains("kvc-httpserver"),
        "{none}"
    );
    let none = ask(client, "explain.nothing", "").await;
    assert_eq!(none["result"], "notfound", "{none}");
    let wrong = ask(client, "explain.kvc", "nonsense").await;
    assert_eq!(wrong["result"], "error", "{wrong}");
    let wrong = ask(client, "explain", "").await;
    assert_eq!(wrong["result"], "error", "{wrong}");
    stage.manager.stop().await;
}

#[tokio::test]
async fn who_leads_answers_and_nobody_else() {
    let (stage, [_a]) = deployed(["a"]).await;
    let second = Manager::start(stage.nats.settings()).await;
    for _ in 0..20 {
        let explained = ask(&stage.client, "explain.kvc", "").await;
        assert_eq!(explained["explanation"]["status"]["type"], "deployed");
    }
    // Whoever goes on knows it too, as soon as it leads.
    stage.manager.crash().await;
    until("the second explains", async || {
        let short = Duration::from_millis(300);
        let explained = try_ask(&stage.client, "explain.kvc", "", short).await;
        explained.is_ok_and(|explained| explained["explanation"]["components"][0]["running"] == 100)
    })
    .await;
    second.stop().await;
}

#[tokio::test]
async fn one_host_that_refuses_fails_only_there() {
    let (stage, [a, _b]) = begin(["a", "b"]).await;
    let client = &stage.client;
    let mut events = client.subscribe("wadm.evt.default.>").await.unwrap();
    client.flush().await.unwrap();
    stage.lattice.lock().unwrap().refusing = Some("b".into());
    ask(client, "put", everywhere()).await;
    ask(client, "deploy.all", "").await;
    let failed = next(&mut events, "command_failed").await;
    let AppEvent::CommandFailed {
        app,
        host,
        error,
        failures,
        ..
    } = failed
    else {
        unreachable!("that name");
    };
    assert_eq!(
        (app.as_str(), error.as_str(), failures),
        ("all", "not signed", 1)
    );
    assert_eq!(host.unwrap().as_str(), "b");
    until("it is unhealthy, not failed", async || {
        let status = ask(client, "status.all", "").await;
        let status = &status["status"]["status"];
        a.count("all-c") == 2
            && status["type"] == "unhealthy"
            && status["message"].as_str().unwrap().contains("not signed")
    })
    .await;
    let explained = ask(client, "explain.all", "").await;
    let component = &explained["explanation"]["components"][0];
    assert_eq!(component["status"]["type"], "unhealthy");
    assert_eq!(
        (&component["desired"], &component["running"]),
        (&json!(4), &json!(2))
    );
    let on_b: &Value = component["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|host| host["host"] == "b")
        .unwrap();
    assert_eq!(on_b["running"], 0);
    assert_eq!(on_b["attempt"]["error"], "not signed");
    stage.lattice.lock().unwrap().refusing = None;
    until("it is deployed", async || {
        ask(client, "status.all", "").await["status"]["status"]["type"] == "deployed"
    })
    .await;
    stage.manager.stop().await;
}

#[tokio::test]
async fn what_happens_is_told() {
    let (stage, [_a, b]) = begin(["a", "b"]).await;
    let client = &stage.client;
    let mut events = client.subscribe("wadm.evt.default.>").await.unwrap();
    client.flush().await.unwrap();
    ask(client, "put", everywhere()).await;
    let deployed = ask(client, "deploy.all", "").await;
    let version = deployed["version"].as_str().unwrap().to_owned();
    assert_eq!(
        next(&mut events, "app_deployed").await,
        AppEvent::Deployed {
            app: "all".into(),
            version: version.clone(),
            before: None,
        }
    );
    loop {
        let event = next(&mut events, "app_status_changed").await;
        let AppEvent::StatusChanged { app, status, .. } = event else {
            unreachable!("that name");
        };
        assert_eq!(app, "all");
        if status.ty == trellis_lattice::app::StatusType::Deployed {
            break;
        }
    }
    b.kill().await;
    let AppEvent::HostLost { host, apps, .. } = next(&mut events, "host_lost").await else {
        unreachable!("that name");
    };
    assert_eq!(
        (host.as_str(), apps.as_slice()),
        ("b", &["all".to_owned()][..])
    );
    let explained = ask(client, "explain.all", "").await;
    let lost = &explained["explanation"]["lost_hosts"][0];
    assert_eq!(
        (&lost["host"], &lost["ran"][0]),
        (&json!("b"), &json!("all-c"))
    );
    ask(client, "undeploy.all", "").await;
    assert_eq!(
        next(&mut events, "app_undeployed").await,
        AppEvent::Undeployed {
            app: "all".into(),
            before: version,
        }
    );
    until("it is undeployed", async || {
        ask(client, "status.all", "").await["status"]["status"]["type"] == "undeployed"
    })
    .await;
    stage.manager.stop().await;
}

#[tokio::test]
async fn nothing_is_told_anew_by_who_leads_next() {
    let (stage, [_a]) = deployed(["a"]).await;
    let client = stage.client.clone();
    let mut events = client.subscribe("wadm.evt.default.>").await.unwrap();
    client.flush().await.unwrap();
    stage.manager.crash().await;
    let second = Manager::start(stage.nats.settings()).await;
    until("the second explains", async || {
        let short = Duration::from_millis(300);
        let explained = try_ask(&client, "explain.kvc", "", short).await;
        explained.is_ok_and(|explained| explained["explanation"]["status"]["type"] == "deployed")
    })
    .await;
    // What it tells of first is what happens from now on.
    ask(&client, "undeploy.kvc", "").await;
    let message = tokio::time::timeout(PATIENCE, events.next())
        .await
        .unwrap()
        .unwrap();
    let event = AppEvent::read(&CloudEvent::read(&message.payload).unwrap()).unwrap();
    assert_eq!(event.name(), "app_undeployed");
    until_status(&client, "undeployed").await;
    second.stop().await;
}
