//! What the manager does when somebody takes its store away.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, kv};
use serde_json::json;

use crate::{
    manager::ask,
    nats::until,
    stage::{Stage, asked, deployed, nothing_left, until_status},
};

const MANIFESTS: &str = "wadm_manifests";
const NOTES: &str = "TRELLISWADM_default";

async fn bucket(client: &async_nats::Client, name: &str) -> Option<kv::Store> {
    jetstream::new(client.clone())
        .get_key_value(name)
        .await
        .ok()
}

/// An entry as JSON; `None` when it or its bucket isn't there.
async fn entry(client: &async_nats::Client, name: &str, key: &str) -> Option<serde_json::Value> {
    let entry = bucket(client, name).await?.get(key).await.ok()??;
    serde_json::from_slice(&entry).ok()
}

#[tokio::test]
async fn buckets_that_are_deleted_come_back_as_they_were() {
    for lost in [&[MANIFESTS][..], &[NOTES], &[NOTES, MANIFESTS]] {
        let (stage, [host]) = deployed(["a"]).await;
        let Stage {
            nats: _nats,
            lattice,
            manager,
            client,
        } = stage;
        let before = [
            entry(&client, MANIFESTS, "default-kvc").await.unwrap(),
            entry(&client, NOTES, "owned.kvc").await.unwrap(),
            entry(&client, NOTES, "status.kvc").await.unwrap(),
            entry(&client, NOTES, "leader").await.unwrap(),
        ];
        let commands = asked(&lattice).len();
        for name in lost {
            let deleted = jetstream::new(client.clone()).delete_key_value(name).await;
            assert!(deleted.unwrap().success);
        }
        for (name, key, wanted) in [
            (MANIFESTS, "default", &json!(["kvc"])),
            (MANIFESTS, "default-kvc", &before[0]),
            (NOTES, "owned.kvc", &before[1]),
            (NOTES, "status.kvc", &before[2]),
            // The same manager leads.
            (NOTES, "leader", &before[3]),
        ] {
            until(&format!("{key} in {name}"), async || {
                entry(&client, name, key).await.as_ref() == Some(wanted)
            })
            .await;
        }
        until_status(&client, "deployed").await;
        assert_eq!(asked(&lattice)[commands..], [] as [String; 0], "{lost:?}");
        assert_eq!(host.count("kvc-kvc"), 100);

        // Changes are seen as before: long before everything is read anew.
        let begun = Instant::now();
        let undeployed = ask(&client, "undeploy.kvc", "").await;
        assert_eq!(undeployed["result"], "acknowledged", "{undeployed}");
        until_status(&client, "undeployed").await;
        assert!(begun.elapsed() < Duration::from_secs(15), "{lost:?}");
        assert!(nothing_left(&lattice, &[&host]));
        manager.stop().await;
    }
}

#[tokio::test]
async fn an_index_that_is_overwritten_undeploys_nothing() {
    let (stage, [host]) = deployed(["a"]).await;
    let Stage {
        nats: _nats,
        lattice,
        manager,
        client,
    } = stage;
    let commands = asked(&lattice).len();
    let kv = bucket(&client, MANIFESTS).await.unwrap();
    // Application `b` of lattice `default-a`; for all the key tells, it could be ours.
    let theirs = json!({
        "manifests": {"v1": {
            "apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "metadata": {"name": "b"},
            "spec": {"components": [{"name": "c", "type": "component", "properties": {"image": "file:///c.wasm"}}]},
        }},
        "deployed_version": "v1",
    });
    kv.put("default-a-b", theirs.to_string().into())
        .await
        .unwrap();
    for nothing in ["[]", "deleted"] {
        match nothing {
            "deleted" => kv.delete("default").await.unwrap(),
            _ => {
                kv.put("default", nothing.into()).await.unwrap();
            }
        }
        until("the index is back", async || {
            entry(&client, MANIFESTS, "default").await == Some(json!(["kvc"]))
        })
        .await;
        until_status(&client, "deployed").await;
    }
    assert_eq!(asked(&lattice)[commands..], [] as [String; 0]);
    assert_eq!(host.count("kvc-kvc"), 100);

    // What is deleted through the API goes, and stays away.
    assert_eq!(ask(&client, "del.kvc", "").await["result"], "deleted");
    until_status(&client, "undeployed").await;
    assert!(nothing_left(&lattice, &[&host]));
    kv.put("default", "[]".into()).await.unwrap();
    manager.stop().await;
    assert_eq!(entry(&client, MANIFESTS, "default").await, Some(json!([])));
}
