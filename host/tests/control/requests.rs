//! Every subject of the control interface: what it answers.

use anyhow::Result;
use serde_json::{Value, json};
use trellis_host::{HostConfig, HostError, StoreError};
use trellis_lattice::{
    ComponentId, Link,
    claims::HostKey,
    connect::NatsSettings,
    control::{
        component::ComponentAuction,
        label::{DeleteLabel, PutLabel},
        provider::ProviderAuction,
    },
    event::Event,
};
use trellis_tests::nats::NatsServer;

use crate::kit::{Host, Lattice};

fn link(source: &str, target: &str) -> Link {
    serde_json::from_value(json!({
        "source_id": source, "target": target, "wit_namespace": "wasi", "wit_package": "keyvalue",
        "interfaces": ["store", "atomics"],
    }))
    .unwrap()
}

#[tokio::test]
async fn a_host_joins_says_who_it_is_and_leaves() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let key = HostKey::generate();
    let config = HostConfig {
        host_key: Some(key.seed()),
        friendly_name: Some("ann".into()),
        labels: [("pop".into(), "fra".into())].into(),
        ..lattice.config()?
    };
    let host = Host::start(config).await?;
    assert_eq!(host.id.as_str(), key.public().as_str());

    let started = lattice.events.named("host_started").await?;
    assert_eq!(started["friendly_name"], "ann");
    let heartbeat = lattice.events.named("host_heartbeat").await?;
    assert_eq!(heartbeat["host_id"], host.id.as_str());
    assert_eq!(heartbeat["labels"]["pop"], "fra");

    let hosts = lattice.control.hosts().await?;
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0].id, host.id);
    assert_eq!(
        hosts[0].rpc_host.as_deref(),
        Some(lattice.server.url().as_str())
    );
    let inventory = lattice.control.inventory(&host.id).await?;
    assert_eq!(inventory.friendly_name, "ann");
    assert!(inventory.labels.contains_key("hostcore.os"));

    lattice.control.stop_host(&host.id, None).await?;
    tokio::time::timeout(crate::kit::DEADLINE, host.task).await???;
    let stopped = lattice.events.named("host_stopped").await?;
    assert_eq!(stopped["reason"], "asked by the lattice");
    assert!(lattice.control.hosts().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn labels_are_put_and_deleted() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let put = PutLabel {
        key: "pop".into(),
        value: "fra".into(),
    };
    lattice.control.put_label(&host.id, &put).await?;
    assert_eq!(
        lattice.events.named("labels_changed").await?["labels"]["pop"],
        "fra"
    );
    lattice
        .control
        .delete_label(&host.id, &DeleteLabel { key: "pop".into() })
        .await?;
    assert_eq!(
        lattice.events.named("labels_changed").await?["labels"].get("pop"),
        None
    );
    // Deleting what isn't there is no error, and no change.
    lattice
        .control
        .delete_label(&host.id, &DeleteLabel { key: "pop".into() })
        .await?;
    let put = PutLabel {
        key: "hostcore.os".into(),
        value: "plan9".into(),
    };
    let refused = lattice
        .control
        .put_label(&host.id, &put)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("hostcore."), "{refused}");
    Ok(())
}

#[tokio::test]
async fn configurations_are_kept_in_the_bucket() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let _host = lattice.host().await?;
    let answer = lattice
        .request("config.put.app-db", br#"{"url":"redis://h"}"#)
        .await?;
    assert_eq!(
        answer,
        json!({"success": true, "message": "successfully put config"})
    );
    assert_eq!(
        lattice.events.named("config_set").await?,
        json!({"config_name": "app-db"})
    );
    let answer = lattice.request("config.get.app-db", b"").await?;
    assert_eq!(
        answer,
        json!({"success": true, "message": "", "response": {"url": "redis://h"}})
    );

    let buckets = async_nats::jetstream::new(lattice.client.clone());
    let bucket = buckets.get_key_value("CONFIGDATA_default").await?;
    assert_eq!(
        bucket.get("app-db").await?.unwrap(),
        r#"{"url":"redis://h"}"#
    );

    let answer = lattice.request("config.get.other", b"").await?;
    assert_eq!(
        answer,
        json!({"success": true, "message": "Configuration not found"})
    );
    let answer = lattice.request("config.del.app-db", b"").await?;
    assert_eq!(
        answer,
        json!({"success": true, "message": "successfully deleted config"})
    );
    assert_eq!(
        lattice.events.named("config_deleted").await?,
        json!({"config_name": "app-db"})
    );
    assert_eq!(bucket.get("app-db").await?, None);
    assert_eq!(lattice.control.config("app-db").await?, None);
    Ok(())
}

#[tokio::test]
async fn links_are_put_refused_replaced_and_deleted() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let _host = lattice.host().await?;
    lattice.control.put_link(&link("a", "kv")).await?;
    let set = lattice.events.next(|event| match event {
        Event::LinkSet(link) => Some(link.clone()),
        _ => None,
    });
    assert_eq!(set.await?, link("a", "kv"));
    // The same link again is no change and no error.
    lattice.control.put_link(&link("a", "kv")).await?;
    assert_eq!(lattice.control.links().await?, [link("a", "kv")]);

    let buckets = async_nats::jetstream::new(lattice.client.clone());
    let bucket = buckets.get_key_value("LATTICEDATA_default").await?;
    let entry = bucket.get("COMPONENT_a").await?.unwrap();
    let expected = json!({"url": "", "links": [serde_json::to_value(link("a", "kv"))?]});
    assert_eq!(serde_json::from_slice::<Value>(&entry)?, expected);

    let body = serde_json::to_vec(&link("a", "other"))?;
    let answer = lattice.request("link.put", &body).await?;
    assert_eq!(
        answer,
        json!({"success": false, "message": "link already exists with different target, consider deleting the existing link or using a different link name"})
    );
    let failed = lattice.events.named("linkdef_set_failed").await?;
    assert_eq!(failed["target"], "other");
    assert_eq!(lattice.control.links().await?, [link("a", "kv")]);

    lattice.control.replace_link(&link("a", "other")).await?;
    assert_eq!(lattice.control.links().await?, [link("a", "other")]);

    let answer = lattice
        .request(
            "link.del",
            br#"{"source_id":"a","wit_namespace":"wasi","wit_package":"keyvalue"}"#,
        )
        .await?;
    assert_eq!(
        answer,
        json!({"success": true, "message": "successfully deleted link"})
    );
    let deleted = lattice.events.named("linkdef_deleted").await?;
    assert_eq!(
        deleted,
        json!({"source_id": "a", "target": "other", "name": "default", "wit_namespace": "wasi",
            "wit_package": "keyvalue", "interfaces": ["store", "atomics"]})
    );
    assert!(lattice.control.links().await?.is_empty());
    // Deleting what isn't there is no error.
    lattice
        .control
        .delete_link(&link("a", "other").key())
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_link_needs_the_configurations_that_it_names() -> Result<()> {
    let lattice = Lattice::start().await?;
    let _host = lattice.host().await?;
    let link = Link {
        target_config: vec!["nowhere".into()],
        ..link("a", "kv")
    };
    let refused = lattice
        .control
        .put_link(&link)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("`target_config`") && refused.contains("\"nowhere\""),
        "{refused}"
    );
    assert!(lattice.control.links().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn many_links_of_one_source_put_at_once_over_two_hosts_are_all_kept() -> Result<()> {
    let lattice = Lattice::start().await?;
    let _hosts = (lattice.host().await?, lattice.host().await?);
    let links: Vec<_> = (0..40)
        .map(|number| Link {
            name: trellis_lattice::LinkName::new(format!("l{number}")).unwrap(),
            ..link("a", &format!("t{number}"))
        })
        .collect();
    let puts = links.iter().map(|link| lattice.control.put_link(link));
    for put in futures::future::join_all(puts).await {
        put?;
    }
    trellis_tests::wait::until("all links", || async {
        let known = lattice.control.links().await?.len();
        anyhow::ensure!(known == 40, "{known}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn auctions_look_at_labels_and_at_what_runs() -> Result<()> {
    let lattice = Lattice::start().await?;
    let config = HostConfig {
        labels: [("pop".into(), "fra".into())].into(),
        ..lattice.config()?
    };
    let fra = Host::start(config).await?;
    let _other = lattice.host().await?;
    let auction = |constraints: Value| ComponentAuction {
        component_ref: "file:///x.wasm".into(),
        component_id: "x".into(),
        constraints: serde_json::from_value(constraints).unwrap(),
    };
    assert_eq!(
        lattice
            .control
            .auction_component(&auction(json!({})))
            .await?
            .len(),
        2
    );
    let bids = lattice
        .control
        .auction_component(&auction(json!({"pop": "fra"})))
        .await?;
    assert_eq!(
        bids.iter().map(|bid| &bid.host_id).collect::<Vec<_>>(),
        [&fra.id]
    );
    assert!(
        lattice
            .control
            .auction_component(&auction(json!({"pop": "iad"})))
            .await?
            .is_empty()
    );

    let auction = ProviderAuction {
        provider_ref: "builtin:probe".into(),
        provider_id: "p".into(),
        constraints: [("pop".into(), "fra".into())].into(),
    };
    assert_eq!(lattice.control.auction_provider(&auction).await?.len(), 1);
    lattice.start_probe(&fra.id, "p", &[]).await?;
    assert!(lattice.control.auction_provider(&auction).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_cannot_start_says_why() -> Result<()> {
    let lattice = Lattice::start().await?;
    let refused = |config: HostConfig| async move {
        let (ready, _id) = tokio::sync::oneshot::channel();
        trellis_host::run(config, ready, Default::default())
            .await
            .unwrap_err()
    };
    let nobody = HostConfig {
        nats: NatsSettings::new(format!("nats://127.0.0.1:{}", trellis_tests::port::free()?)),
        ..lattice.config()?
    };
    let error = refused(nobody).await;
    assert!(matches!(error, HostError::Connect(_)));
    assert!(error.to_string().contains("nats-server -js"), "{error}");

    let plain = NatsServer::without_jetstream().await?;
    let off = HostConfig {
        nats: NatsSettings::new(plain.url()),
        ..lattice.config()?
    };
    let error = refused(off).await;
    assert!(
        matches!(error, HostError::Store(StoreError::JetStreamOff { .. })),
        "{error:?}"
    );
    assert!(error.to_string().contains("nats-server -js"), "{error}");

    let key = HostConfig {
        host_key: Some("SNnotakey".into()),
        ..lattice.config()?
    };
    assert!(refused(key).await.to_string().starts_with("host key: "));
    let issuer = HostConfig {
        issuers: vec!["Mx".into()],
        ..lattice.config()?
    };
    assert!(
        refused(issuer)
            .await
            .to_string()
            .contains("trusted issuer \"Mx\"")
    );
    let label = HostConfig {
        labels: [("hostcore.os".into(), "x".into())].into(),
        ..lattice.config()?
    };
    assert!(refused(label).await.to_string().contains("hostcore.os"));
    let folder = HostConfig {
        data_dir: "/dev/null/x".into(),
        ..lattice.config()?
    };
    assert!(refused(folder).await.to_string().contains("/dev/null/x"));
    Ok(())
}

#[tokio::test]
async fn requests_to_other_hosts_have_no_answer() -> Result<()> {
    let lattice = Lattice::start().await?;
    let _host = lattice.host().await?;
    let other = trellis_lattice::HostId::new("NOTHERE")?;
    let error = lattice
        .control
        .inventory(&other)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("NOTHERE is not in lattice"), "{error}");
    let nobody = ComponentId::new("nobody")?;
    assert!(lattice.control.describe_component(&nobody).await.is_err());
    Ok(())
}
