//! The API on a real NATS server, against what 1.x answered to the same requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use trellis_wadm::{WadmConfig, WadmError};

use crate::{
    manager::{Manager, ask},
    nats::{Nats, until},
};

fn manifest(name: &str, image: &str) -> String {
    json!({
        "apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "metadata": {"name": name},
        "spec": {"components": [{"name": "c", "type": "component", "properties": {"image": image}}]},
    })
    .to_string()
}

/// The captured conversation, said again: the same results, of the same form.
#[tokio::test]
async fn it_answers_as_1_x_does() {
    let nats = Nats::start(true).await;
    let manager = Manager::start(nats.settings()).await;
    let client = nats.connect().await;
    // 1.x's version ids, and ours.
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    for line in include_str!("captured/api.jsonl").lines() {
        let captured: Value = serde_json::from_str(line).unwrap();
        let subject = captured["subject"].as_str().unwrap();
        let verb = subject.strip_prefix("wadm.api.default.model.").unwrap();
        let mut request = captured["request"].as_str().unwrap().to_owned();
        for (theirs, ours) in &versions {
            request = request.replace(theirs, ours);
        }
        let theirs = &captured["reply"];
        let mut ours = ask(&client, verb, &request).await;
        if verb == "status.kvc" {
            // Asked for at leisure there.
            until("the manager has looked", async || {
                ours = ask(&client, verb, &request).await;
                ours["status"]["status"]["type"] != "waiting"
            })
            .await;
        }
        if let Some(version) = theirs["current_version"].as_str() {
            let our_version = ours["current_version"].as_str().unwrap();
            versions.insert(version.to_owned(), our_version.to_owned());
        }
        assert_eq!(ours["result"], theirs["result"], "{subject}: {ours}");
        assert_eq!(form(&ours), form(theirs), "{subject}: {ours}");
        // Where 1.x's text is right, ours is the same, ids apart.
        let theirs_text = versions
            .iter()
            .fold(theirs.to_string(), |text, (theirs, ours)| {
                text.replace(theirs, ours)
            });
        match verb.split('.').next().unwrap() {
            "deploy" | "undeploy" | "get" | "versions" | "del" => {
                assert_eq!(ours, serde_json::from_str::<Value>(&theirs_text).unwrap());
            }
            _ => {}
        }
    }
    manager.stop().await;
}

/// The fields and their types. A status' message comes and goes, and warnings are ours.
fn form(value: &Value) -> Value {
    let comes_and_goes = |fields: &serde_json::Map<String, Value>, name: &str| {
        name == "warnings" || (name == "message" && fields.contains_key("type"))
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !comes_and_goes(fields, name))
            .map(|(name, value)| (name.clone(), form(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(form).collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn versions_come_and_go() {
    let nats = Nats::start(true).await;
    let manager = Manager::start(nats.settings()).await;
    let client = nats.connect().await;
    let first = ask(&client, "put", manifest("a", "file:///1.wasm")).await;
    let again = ask(&client, "put", manifest("a", "file:///1.wasm")).await;
    assert_eq!(again["current_version"], first["current_version"]);
    assert_eq!(again["total_versions"], 1);
    let second = ask(&client, "put", manifest("a", "file:///2.wasm")).await;
    assert_eq!(second["total_versions"], 2);

    // Without a version the newest is deployed; an older one can be named.
    let deployed = ask(&client, "deploy.a", "").await;
    assert_eq!(deployed["version"], second["current_version"]);
    let old = json!({"version": first["current_version"]}).to_string();
    assert_eq!(
        ask(&client, "deploy.a", &old).await["version"],
        first["current_version"]
    );
    let missing = ask(&client, "deploy.a", r#"{"version": "v9"}"#).await;
    assert_eq!(missing["result"], "notfound");
    let versions = ask(&client, "history.a", "").await;
    assert_eq!(versions["versions"][0]["deployed"], true);
    assert_eq!(versions["versions"][1]["deployed"], false);

    // A version that has a name keeps what it stands for.
    let named = manifest("a", "file:///3.wasm").replace(
        r#""name":"a""#,
        r#""name":"a","annotations":{"version":"v3"}"#,
    );
    assert_eq!(ask(&client, "put", &named).await["current_version"], "v3");
    let other = named.replace("3.wasm", "4.wasm");
    let refused = ask(&client, "put", &other).await;
    assert_eq!(refused["result"], "error");
    assert!(
        refused["message"].as_str().unwrap().contains("version v3"),
        "{refused}"
    );

    // Deleting the deployed one undeploys.
    let deleted = ask(&client, "del.a", &old).await;
    assert_eq!(
        (&deleted["result"], &deleted["undeploy"]),
        (&json!("deleted"), &json!(true))
    );
    until("it is undeployed", async || {
        ask(&client, "list", "").await[0]["status"] == "undeployed"
    })
    .await;
    let list = ask(&client, "list", "").await;
    assert_eq!(list[0]["deployed_version"], Value::Null);
    assert_eq!(list[0]["version"], "v3");
    assert_eq!(ask(&client, "get", "").await["models"], list);
    let get = ask(&client, "get.a", r#"{"version": "v3"}"#).await;
    assert_eq!(get["manifest"]["metadata"]["annotations"]["version"], "v3");
    assert_eq!(ask(&client, "del.a", "").await["result"], "deleted");
    assert_eq!(ask(&client, "del.a", "").await["result"], "noop");
    assert_eq!(ask(&client, "list", "").await, json!([]));
    manager.stop().await;
}

#[tokio::test]
async fn what_was_done_is_remembered() {
    let nats = Nats::start(true).await;
    let manager = Manager::start(nats.settings()).await;
    let client = nats.connect().await;
    let first = ask(&client, "put", manifest("a", "file:///1.wasm")).await;
    ask(&client, "deploy.a", "").await;
    // Nothing new twice.
    ask(&client, "put", manifest("a", "file:///1.wasm")).await;
    ask(&client, "deploy.a", "").await;
    let second = ask(&client, "put", manifest("a", "file:///2.wasm")).await;
    ask(&client, "deploy.a", "").await;
    ask(&client, "undeploy.a", "").await;
    ask(&client, "undeploy.a", "").await;
    let history = ask(&client, "history.a", "").await;
    let (first, second) = (&first["current_version"], &second["current_version"]);
    let happened: Vec<_> = history["happened"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["what"].as_str().unwrap(), &one["version"]))
        .collect();
    assert_eq!(
        happened,
        [
            ("put", first),
            ("deployed", first),
            ("put", second),
            ("deployed", second),
            ("undeployed", second),
        ]
    );
    let versions = &history["versions"];
    assert_eq!(
        (&versions[0]["version"], &versions[1]["version"]),
        (first, second)
    );
    assert_eq!(versions[0]["last_deployed"], history["happened"][1]["at"]);
    assert_eq!(versions[1]["put"], history["happened"][2]["at"]);
    assert_eq!(versions[1]["deployed"], false);
    // With the application its history goes.
    ask(&client, "del.a", "").await;
    assert_eq!(ask(&client, "history.a", "").await["result"], "notfound");
    ask(&client, "put", manifest("a", "file:///1.wasm")).await;
    let history = ask(&client, "history.a", "").await;
    assert_eq!(history["happened"].as_array().unwrap().len(), 1);
    manager.stop().await;
}

#[tokio::test]
async fn applications_can_t_take_each_other_s_things() {
    let nats = Nats::start(true).await;
    let manager = Manager::start(nats.settings()).await;
    let client = nats.connect().await;
    ask(&client, "put", manifest("my-app", "file:///1.wasm")).await;
    // Both names make the same ids in the lattice.
    ask(&client, "put", manifest("my_app", "file:///1.wasm")).await;
    assert_eq!(
        ask(&client, "deploy.my-app", "").await["result"],
        "acknowledged"
    );
    let refused = ask(&client, "deploy.my_app", "").await;
    assert_eq!(refused["result"], "error");
    assert_eq!(
        refused["message"],
        "component id my_app-c is in use by application my-app: undeploy that, or give the component another `id`"
    );
    manager.stop().await;
}

#[tokio::test]
async fn nonsense_is_answered_with_what_is_wrong() {
    let nats = Nats::start(true).await;
    let manager = Manager::start(nats.settings()).await;
    let client = nats.connect().await;
    ask(&client, "put", manifest("a", "file:///1.wasm")).await;
    let relative = manifest("b", "file://b.wasm");
    let cases: Vec<(&str, &[u8], &str)> = vec![
        ("put", b"\xff\xfe", "not UTF-8"),
        ("put", b"", "the manifest is empty"),
        ("put", b"{", "not YAML"),
        ("put", b"[]", "must be a group of fields"),
        (
            "put",
            b"{\"apiVersion\": 1}",
            "line 1, column 16: apiVersion: must be text",
        ),
        ("put", relative.as_bytes(), "relative path"),
        ("put.a", b"{}", "takes no name"),
        ("deploy", b"", "needs an application's name"),
        ("deploy.a", b"garbage", "request: field"),
        ("deploy.a", b"{\"version\": 5}", "version"),
        ("deploy.a.b", b"", "can't be an application's name"),
        ("undeploy.a", b"[1]", "request"),
        ("del.a", b"\x00\x01", "request"),
        ("get.a", b"nope", "request"),
        ("launch.a", b"", "unknown request \"launch\""),
        ("x", b"", "unknown request \"x\""),
    ];
    for (verb, body, expected) in cases {
        let reply = ask(&client, verb, body).await;
        assert_eq!(reply["result"], "error", "{verb}: {reply}");
        let message = reply["message"].as_str().unwrap();
        assert!(
            message.contains(expected),
            "{verb}: {message:?} lacks {expected:?}"
        );
    }
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Content-Type", "application/xml");
    let request = async_nats::Request::new()
        .payload("<a/>".into())
        .headers(headers);
    let reply = client
        .send_request("wadm.api.default.model.put", request)
        .await
        .unwrap();
    let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
    assert!(
        reply["message"].as_str().unwrap().contains("Content-Type"),
        "{reply}"
    );
    // Nothing of it was applied.
    let list = ask(&client, "list", "").await;
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["deployed_version"], Value::Null);
    manager.stop().await;
}

#[tokio::test]
async fn an_answer_that_would_be_too_large_is_a_short_one() {
    let nats = Nats::start(true).await;
    let manager = Manager::start(nats.settings()).await;
    let client = nats.connect().await;
    // Very many mistakes.
    let fields: String = (0..6_000)
        .map(|n| format!("field-number-{n}-of-many: 1\n"))
        .collect();
    let refused = ask(&client, "put", format!("kind: Application\n{fields}")).await;
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("\nand 5953 more"), "{message}");
    assert!(message.contains("line 2, column 1: "), "{message}");
    // One mistake that quotes nearly all of it, twice.
    let quoted = format!("kind: {}\n", "1".repeat(200_000));
    let refused = ask(&client, "put", quoted).await;
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("(shortened)"), "{message}");
    // Warnings too.
    let ignored: String = (0..60)
        .map(|n| format!(r#""x{n}{}": 1,"#, "y".repeat(3_000)))
        .collect();
    let warned = manifest("w", "file:///1.wasm")
        .replace(r#""metadata":{"#, &format!(r#""metadata":{{{ignored}"#));
    let put = ask(&client, "put", warned).await;
    assert_eq!(put["result"], "created", "{put}");
    let warnings = put["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 51);
    assert_eq!(warnings[50], "and 10 more");
    assert!(warnings[0].as_str().unwrap().len() <= 1024, "{put}");
    // And an answer that is no refusal.
    let description = "x".repeat(200 * 1024);
    for app in 0..6 {
        let text = manifest(&format!("a{app}"), "file:///1.wasm").replace(
            r#""metadata":{"#,
            &format!(r#""metadata":{{"annotations":{{"description":"{description}"}},"#),
        );
        assert_eq!(ask(&client, "put", text).await["result"], "created");
    }
    let list = ask(&client, "list", "").await;
    assert_eq!(list["result"], "error");
    assert!(
        list["message"].as_str().unwrap().contains("max_payload"),
        "{list}"
    );
    manager.stop().await;
}

#[tokio::test]
async fn a_version_that_is_put_twice_at_once_is_there_once() {
    let nats = Nats::start(true).await;
    let manager = Manager::start(nats.settings()).await;
    let client = nats.connect().await;
    let puts = (0..12).map(|number| {
        let (client, text) = (
            client.clone(),
            manifest("a", &format!("file:///{number}.wasm")),
        );
        tokio::spawn(async move { ask(&client, "put", text).await })
    });
    let replies = futures::future::join_all(puts).await;
    let created = replies
        .iter()
        .filter(|reply| reply.as_ref().unwrap()["result"] == "created")
        .count();
    assert_eq!(created, 1);
    let versions = ask(&client, "versions.a", "").await;
    assert_eq!(versions["versions"].as_array().unwrap().len(), 12);
    manager.stop().await;
}

async fn fails(config: WadmConfig) -> WadmError {
    let (ready, _) = oneshot::channel();
    trellis_wadm::run(config, ready, CancellationToken::new())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn without_what_it_needs_it_says_so() {
    let nats = Nats::start(false).await;
    let config = WadmConfig {
        nats: nats.settings(),
        ..WadmConfig::default()
    };
    let error = fails(config.clone()).await.to_string();
    assert!(error.contains("JetStream is off"), "{error}");
    assert!(error.contains("nats-server -js"), "{error}");
    drop(nats);
    let error = fails(config).await.to_string();
    assert!(error.contains("no NATS server at"), "{error}");
    let error = fails(WadmConfig {
        lattices: Vec::new(),
        ..WadmConfig::default()
    })
    .await;
    assert!(matches!(error, WadmError::NoLattice));
}
