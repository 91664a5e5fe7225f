//! The manager at work over a real NATS server: what it asks of hosts, and that it goes on whatever ends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    hosts::{Host, Lattice},
    manager::{Manager, ask, try_ask},
    nats::{Nats, until},
    stage::{Stage, asked, begin, deploy, deployed, nothing_left, status, until_status},
};

#[tokio::test]
async fn it_asks_for_what_1_x_asked_for() {
    let (
        Stage {
            nats: _nats,
            lattice,
            manager,
            client,
        },
        [host],
    ) = deployed(["a"]).await;

    let mut asked: Vec<(String, Value)> = lattice.lock().unwrap().asked.clone();
    asked.sort_by(|a, b| {
        a.0.cmp(&b.0)
            .then_with(|| a.1.to_string().cmp(&b.1.to_string()))
    });
    for (_, body) in &mut asked {
        if let Some(scaler) = body.pointer_mut("/annotations/wasmcloud.dev~1scaler") {
            assert_eq!(scaler.as_str().unwrap().len(), 64);
            *scaler = "ID".into();
        }
    }
    let annotations = json!({
        "wasmcloud.dev/appspec": "kvc", "wasmcloud.dev/managed-by": "wadm",
        "wasmcloud.dev/scaler": "ID", "wasmcloud.dev/spread_name": "default",
    });
    let provider = |name: &str, image: &str| {
        json!({
            "provider_id": name, "provider_ref": format!("file:///srv/wasm/{image}.par.gz"), "host_id": "a",
            "config": [], "annotations": annotations,
        })
    };
    let expected = [
        (
            "component.scale.a",
            json!({
                "component_ref": "file:///srv/wasm/kvc.wasm", "component_id": "kvc-kvc", "annotations": annotations,
                "count": 100, "host_id": "a", "config": [], "allow_update": false,
            }),
        ),
        (
            "config.put.kvc-default_http",
            json!({"address": "127.0.0.1:18192"}),
        ),
        (
            "config.put.kvc-kvconf",
            json!({"url": "redis://127.0.0.1:16379"}),
        ),
        (
            "link.put",
            json!({
                "source_id": "kvc-httpserver", "target": "kvc-kvc", "name": "default", "wit_namespace": "wasi",
                "wit_package": "http", "interfaces": ["incoming-handler"], "source_config": ["kvc-default_http"], "target_config": [],
            }),
        ),
        (
            "link.put",
            json!({
                "source_id": "kvc-kvc", "target": "kvc-kv", "name": "default", "wit_namespace": "wasi",
                "wit_package": "keyvalue", "interfaces": ["store", "atomics"], "source_config": [], "target_config": ["kvc-kvconf"],
            }),
        ),
        (
            "provider.start.a",
            provider("kvc-httpserver", "http-server"),
        ),
        ("provider.start.a", provider("kvc-kv", "keyvalue-redis")),
    ];
    let mut expected: Vec<(String, Value)> = expected
        .into_iter()
        .map(|(subject, body)| (subject.to_owned(), body))
        .collect();
    expected.sort_by(|a, b| {
        a.0.cmp(&b.0)
            .then_with(|| a.1.to_string().cmp(&b.1.to_string()))
    });
    assert_eq!(asked, expected);

    // The parts, named and ordered as in 1.x.
    let parts: Vec<(String, String)> = status(&client).await["scalers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| {
            (
                part["kind"].as_str().unwrap().into(),
                part["name"].as_str().unwrap().into(),
            )
        })
        .collect();
    let theirs: Value = include_str!("captured/api.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|captured| captured["subject"] == "wadm.api.default.model.status.kvc")
        .unwrap();
    let theirs: Vec<(String, String)> = theirs["reply"]["status"]["scalers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| {
            (
                part["kind"].as_str().unwrap().into(),
                part["name"].as_str().unwrap().into(),
            )
        })
        .collect();
    assert_eq!(parts, theirs);

    let undeployed = ask(&client, "undeploy.kvc", "").await;
    assert_eq!(undeployed["result"], "acknowledged");
    until_status(&client, "undeployed").await;
    assert!(nothing_left(&lattice, &[&host]));
    manager.stop().await;
}

#[tokio::test]
async fn the_first_command_comes_at_once() {
    let (
        Stage {
            nats: _nats,
            lattice,
            manager,
            client,
        },
        [host],
    ) = begin(["a"]).await;
    // Until it has looked around.
    deploy(&client).await;
    until_status(&client, "deployed").await;
    ask(&client, "undeploy.kvc", "").await;
    until_status(&client, "undeployed").await;
    lattice.lock().unwrap().asked.clear();
    let begun = Instant::now();
    deploy(&client).await;
    until("a command", async || !asked(&lattice).is_empty()).await;
    let first = lattice
        .lock()
        .unwrap()
        .commanded
        .iter()
        .map(|(_, at)| *at)
        .find(|at| *at > begun);
    println!("deployed -> first command: {:?}", first.unwrap() - begun);
    // A bound for a busy machine; the log of a quiet one shows a few milliseconds.
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    until_status(&client, "deployed").await;
    assert_eq!(host.count("kvc-kvc"), 100);
    manager.stop().await;
}

#[tokio::test]
async fn a_lost_host_s_work_goes_elsewhere_and_a_new_host_gets_its_part() {
    let (
        Stage {
            nats,
            lattice,
            manager,
            ..
        },
        [a, b],
    ) = deployed(["a", "b"]).await;
    assert_eq!((a.count("kvc-kvc"), b.count("kvc-kvc")), (50, 50));
    b.kill().await;
    until("all on one host", async || {
        a.count("kvc-kvc") == 100 && a.has_provider("kvc-kv") && a.has_provider("kvc-httpserver")
    })
    .await;
    let c = Host::join(&nats, &lattice, "c").await;
    until("half on the new host", async || {
        (a.count("kvc-kvc"), c.count("kvc-kvc")) == (50, 50)
    })
    .await;
    // The providers had no reason to move.
    assert!(a.has_provider("kvc-kv") && a.has_provider("kvc-httpserver"));
    manager.stop().await;
}

#[tokio::test]
async fn without_a_host_it_waits_and_says_so() {
    let (
        Stage {
            nats,
            lattice,
            manager,
            client,
        },
        [],
    ) = begin([]).await;
    deploy(&client).await;
    until_status(&client, "failed").await;
    let message = status(&client).await["status"]["message"].clone();
    assert_eq!(message, "there is no host in the lattice");
    let _host = Host::join(&nats, &lattice, "a").await;
    until_status(&client, "deployed").await;
    manager.stop().await;
}

#[tokio::test]
async fn what_fails_is_told_and_tried_again() {
    let (
        Stage {
            nats: _nats,
            lattice,
            manager,
            client,
        },
        [host],
    ) = begin(["a"]).await;
    lattice.lock().unwrap().provider_error = Some("no provider is named keyvalue-redsi".into());
    deploy(&client).await;
    until_status(&client, "failed").await;
    let message = status(&client).await["status"]["message"].clone();
    let message = message.as_str().unwrap();
    assert!(
        message.contains(
            "start provider kvc-kv on a: no provider is named keyvalue-redsi; trying again"
        ),
        "{message}"
    );
    // The rest runs meanwhile.
    assert_eq!(host.count("kvc-kvc"), 100);
    lattice.lock().unwrap().provider_error = None;
    until_status(&client, "deployed").await;
    manager.stop().await;
}

#[tokio::test]
async fn a_manager_that_ends_in_the_middle_leaves_nothing_behind() {
    let nats = Nats::start(true).await;
    let lattice = Lattice::default();
    let host = Host::join(&nats, &lattice, "a").await;
    let client = nats.connect().await;
    // Ended after ever more commands, in deploying and in undeploying.
    for after in [1, 3, 5] {
        for undeploy in [false, true] {
            let manager = Manager::start(nats.settings()).await;
            deploy(&client).await;
            if undeploy {
                until_status(&client, "deployed").await;
                lattice.lock().unwrap().asked.clear();
                // Deleted with its manifest: only the manager's notes tell of it now.
                assert_eq!(ask(&client, "del.kvc", "").await["result"], "deleted");
            }
            until("some commands", async || asked(&lattice).len() >= after).await;
            manager.crash().await;

            let manager = Manager::start(nats.settings()).await;
            if !undeploy {
                until_status(&client, "deployed").await;
                assert_eq!(host.count("kvc-kvc"), 100);
                assert_eq!(lattice.lock().unwrap().links.len(), 2);
                ask(&client, "del.kvc", "").await;
            }
            until_status(&client, "undeployed").await;
            assert!(nothing_left(&lattice, &[&host]));
            manager.stop().await;
            lattice.lock().unwrap().asked.clear();
        }
    }
}

#[tokio::test]
async fn of_two_managers_one_acts_until_it_is_gone() {
    let (
        Stage {
            nats,
            lattice,
            manager,
            client,
        },
        [host],
    ) = deployed(["a"]).await;
    let second = Manager::start(nats.settings()).await;
    assert_eq!(asked(&lattice).len(), 7, "{:?}", asked(&lattice));
    manager.crash().await;
    // A request may still go to the one that is gone.
    until("the other one answers", async || {
        try_ask(&client, "undeploy.kvc", "", Duration::from_secs(2))
            .await
            .is_ok()
    })
    .await;
    until_status(&client, "undeployed").await;
    assert!(nothing_left(&lattice, &[&host]));
    let mut all = asked(&lattice);
    let number = all.len();
    all.sort();
    // Seven to put it there, seven to take it away, each once.
    assert_eq!(number, 14, "{all:?}");
    second.stop().await;
}

#[tokio::test]
async fn it_goes_on_after_nats_was_away() {
    let (
        Stage {
            mut nats,
            lattice,
            manager,
            client,
        },
        [host],
    ) = deployed(["a"]).await;
    let before = asked(&lattice).len();
    nats.crash().await;
    nats.resume().await;
    until("the manager is back", async || {
        try_ask(&client, "list", "", Duration::from_secs(2))
            .await
            .is_ok()
    })
    .await;
    // A host that ran all the while is asked for nothing.
    until_status(&client, "deployed").await;
    assert_eq!(asked(&lattice)[before..], [] as [String; 0]);
    // Changed while nobody looked.
    host.running.lock().unwrap().components.clear();
    until("put right", async || host.count("kvc-kvc") == 100).await;
    ask(&client, "undeploy.kvc", "").await;
    until_status(&client, "undeployed").await;
    assert!(nothing_left(&lattice, &[&host]));
    manager.stop().await;
}

#[tokio::test]
async fn nonsense_among_the_events_changes_nothing() {
    let (
        Stage {
            nats: _nats,
            lattice: _,
            manager,
            client,
        },
        [host],
    ) = begin(["a"]).await;
    for (event, payload) in [
        ("component_scaled", "garbage"),
        ("provider_stopped", "{}"),
        (
            "host_heartbeat",
            r#"{"specversion":"1.0","id":"1","type":"com.wasmcloud.lattice.host_heartbeat","source":"a b","data":{}}"#,
        ),
        (
            "host_stopped",
            r#"{"specversion":"1.0","id":"1","type":"com.wasmcloud.lattice.host_stopped","source":"nobody","data":{}}"#,
        ),
        ("linkdef_set", "\0"),
    ] {
        let subject = format!("wasmbus.evt.default.{event}");
        client.publish(subject, payload.into()).await.unwrap();
    }
    deploy(&client).await;
    until_status(&client, "deployed").await;
    assert_eq!(host.count("kvc-kvc"), 100);
    manager.stop().await;
}
