//! Garbage on every subject of the control interface.

use anyhow::Result;
use serde_json::{Value, json};
use trellis_lattice::Link;

use crate::kit::Lattice;

fn link(source: &str, target: &str) -> Link {
    serde_json::from_value(json!({
        "source_id": source, "target": target, "wit_namespace": "wasi", "wit_package": "keyvalue",
        "interfaces": ["store", "atomics"],
    }))
    .unwrap()
}

#[tokio::test]
async fn garbage_is_refused_by_name_and_changes_nothing() -> Result<()> {
    let lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let before = lattice.control.inventory(&host.id).await?;
    let id = &host.id;
    // The subject, the body, and what the answer must say.
    let mut cases: Vec<(String, Vec<u8>, &str)> = Vec::new();
    for subject in [
        "component.auction".to_owned(),
        "provider.auction".to_owned(),
        format!("host.stop.{id}"),
        format!("component.scale.{id}"),
        format!("component.update.{id}"),
        format!("provider.start.{id}"),
        format!("provider.stop.{id}"),
        format!("label.put.{id}"),
        format!("label.del.{id}"),
        "link.put".to_owned(),
        "link.del".to_owned(),
        "config.put.c".to_owned(),
    ] {
        for body in [&b"{"[..], b"", b"\xff\xfe\x00", b"[1,2]", b"null", b"\"x\""] {
            cases.push((subject.clone(), body.to_vec(), "field"));
        }
        cases.push((subject.clone(), [b"[".repeat(100_000)].concat(), "field"));
    }
    let text = |value: Value| value.to_string().into_bytes();
    let scale =
        json!({"component_ref": "file:///x", "component_id": "x", "host_id": id, "count": 1});
    let with = |field: &str, value: Value| {
        let mut body = scale.clone();
        body[field] = value;
        text(body)
    };
    let scales = [
        ("count", json!(-1), "`count`"),
        ("count", json!(1u64 << 40), "`count`"),
        ("component_id", json!("a.b"), "`component_id`"),
        ("component_id", json!(""), "`component_id`"),
        ("host_id", json!("NOTHERE"), "`host_id`"),
        ("component_ref", json!("relative.wasm"), "`component_ref`"),
        (
            "component_ref",
            json!("builtin:http-server"),
            "`component_ref`",
        ),
        ("config", json!([1]), "`config[0]`"),
        ("annotations", json!({"a": 1}), "`annotations.a`"),
        (
            "limits",
            json!({"max_memory_limit": -1}),
            "`limits.max_memory_limit`",
        ),
    ];
    for (field, value, says) in scales {
        cases.push((format!("component.scale.{id}"), with(field, value), says));
    }
    cases.push((
        format!("component.update.{id}"),
        text(json!({"component_id": "x", "host_id": id, "new_component_ref": "file:///y"})),
        "`component_id`",
    ));
    let start = |reference: &str| {
        text(json!({"provider_id": "p", "provider_ref": reference, "host_id": id}))
    };
    cases.push((format!("provider.start.{id}"), start(""), "`provider_ref`"));
    cases.push((
        format!("provider.start.{id}"),
        start("ghcr.io/x/y:latest"),
        "`provider_ref`",
    ));
    cases.push((
        format!("provider.stop.{id}"),
        text(json!({"provider_id": "p", "host_id": id})),
        "not running",
    ));
    cases.push((
        format!("label.put.{id}"),
        text(json!({"key": "", "value": "x"})),
        "`key`",
    ));
    let mut bad = serde_json::to_value(link("a", "b"))?;
    bad["interfaces"] = json!(["store", "not a name"]);
    cases.push(("link.put".into(), text(bad.clone()), "`interfaces[1]`"));
    bad["interfaces"] = json!([]);
    cases.push(("link.put".into(), text(bad.clone()), "`interfaces`"));
    bad["interfaces"] = json!(["store"]);
    bad["replace"] = json!("yes");
    cases.push(("link.put".into(), text(bad.clone()), "`replace`"));
    bad["replace"] = json!(true);
    bad["source_id"] = json!("a:b");
    cases.push(("link.put".into(), text(bad), "\"a:b\" can't be kept"));
    cases.push(("config.put.c".into(), text(json!({"k": 1})), "`k`"));
    cases.push((
        "config.put.c:d".into(),
        text(json!({})),
        "config name \"c:d\"",
    ));
    cases.push(("config.get.c:d".into(), Vec::new(), "config name \"c:d\""));
    cases.push(("config.del.c:d".into(), Vec::new(), "config name \"c:d\""));
    let large = "x".repeat(600 * 1024);
    cases.push((
        "config.put.c".into(),
        text(json!({"k": large})),
        "more than the",
    ));
    for subject in [
        "link.frobnicate",
        "config.frobnicate.x",
        "claims.put",
        "link.put.x",
    ] {
        cases.push((subject.into(), Vec::new(), "there is no request"));
    }
    cases.push((
        format!("component.frobnicate.{id}"),
        Vec::new(),
        "there is no request",
    ));

    for (subject, body, says) in cases {
        let answer = lattice.request(&subject, &body).await?;
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(answer["success"], false, "{subject} {shown}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(says), "{subject} {shown}: {message}");
    }
    // These take no body; whatever is there changes nothing.
    for subject in [
        "host.ping",
        &format!("host.get.{id}"),
        "link.get",
        "claims.get",
        "config.get.c",
    ] {
        assert_eq!(
            lattice.request(subject, b"\xff{garbage").await?["success"],
            true,
            "{subject}"
        );
    }

    let after = lattice.control.inventory(&host.id).await?;
    assert_eq!(
        (&after.components, &after.labels),
        (&before.components, &before.labels)
    );
    assert!(after.providers.is_empty());
    assert!(lattice.control.links().await?.is_empty());
    assert_eq!(lattice.control.config("c").await?, None);
    host.stop().await
}
