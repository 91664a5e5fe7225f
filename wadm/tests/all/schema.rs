//! The JSON schema: it takes what manifests are, and refuses what they can't be.

use std::path::Path;

use serde_json::{Value, json};
use trellis_wadm::manifest;

/// What the schema says against a manifest.
fn refusal(manifest: &Value) -> Option<String> {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    let location = "trellis.json";
    compiler.add_resource(location, manifest::schema()).unwrap();
    let index = compiler.compile(location, &mut schemas).unwrap();
    schemas
        .validate(manifest, index)
        .err()
        .map(|error| format!("{error:#}"))
}

#[track_caller]
pub fn accepts(name: &str, manifest: &Value) {
    if let Some(why) = refusal(manifest) {
        panic!("{name}: {why}");
    }
}

/// A manifest's text as the JSON that editors check, not as what we read of it.
fn as_json(text: &str) -> Value {
    manifest::to_json(text).unwrap()
}

#[test]
fn the_examples_are_good() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let file = entry.unwrap().path().join("app.yaml");
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        accepts(&file.display().to_string(), &as_json(&text));
        seen += 1;
    }
    assert!(seen >= 5, "{seen}");
}

#[test]
fn what_was_put_to_1_x_is_good() {
    let mut seen = 0;
    for line in include_str!("captured/api.jsonl").lines() {
        let captured: Value = serde_json::from_str(line).unwrap();
        let put = captured["subject"] == "wadm.api.default.model.put"
            && captured["reply"]["result"] != "error";
        if put {
            accepts("put", &as_json(captured["request"].as_str().unwrap()));
            seen += 1;
        }
    }
    let stored: Value = serde_json::from_str(include_str!("captured/stored-app.json")).unwrap();
    for (version, manifest) in stored["manifests"].as_object().unwrap() {
        accepts(version, manifest);
        seen += 1;
    }
    assert!(seen >= 3, "{seen}");
}

/// A manifest with one component that has one trait.
fn with_trait(ty: &str, properties: Value) -> Value {
    json!({
        "apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "metadata": {"name": "shop"},
        "spec": {"components": [{
            "name": "cart", "type": "component", "properties": {"image": "file:///cart.wasm"},
            "traits": [{"type": ty, "properties": properties}],
        }]},
    })
}

#[test]
fn every_trait_s_fields_are_known() {
    let good = [
        (
            "spreadscaler",
            json!({"instances": 3, "spread": [{"name": "a", "requirements": {"x": "y"}, "weight": 1}]}),
        ),
        ("spreadscaler", json!({"replicas": 3})),
        ("daemonscaler", json!({"instances": 1})),
        (
            "link",
            json!({"namespace": "wasi", "package": "http", "interfaces": ["incoming-handler"], "target": {"name": "b"}}),
        ),
        (
            "link",
            json!({"namespace": "wasi", "package": "http", "interfaces": [], "target": "b", "source_config": [{"name": "c"}]}),
        ),
        (
            "placement",
            json!({
                "require": {"region": "eu"}, "avoid": {"disk": "slow"}, "tolerate": {"gpu": "yes"},
                "topologySpread": [{"label": "pop", "maxSkew": 2}], "priority": -1, "overflow": true,
                "residency": {"region": "eu"}, "onPartition": "keep", "partitionGrace": "2m",
            }),
        ),
        (
            "rollout",
            json!({
                "strategy": "canary", "maxUnavailable": 0, "maxSurge": 2, "steps": [{"weight": 10, "pause": "1m 30s"}],
                "health": {"errorRate": 0.01, "latencyP99": "250ms", "minCalls": 5}, "autoRollback": false, "deadline": "2m",
            }),
        ),
        (
            "autoscale",
            json!({"min": 0, "max": 5, "targetConcurrency": 0.5, "idle": "30s"}),
        ),
        ("somebody-else-s", json!([1, {"any": "thing"}])),
    ];
    for (ty, properties) in good {
        let manifest = with_trait(ty, properties);
        accepts(ty, &manifest);
        manifest::parse(&manifest.to_string()).map_or_else(
            |errors| {
                // The only thing that is not there.
                let errors = errors.to_string();
                assert!(errors.contains("no component is named \"b\""), "{errors}");
            },
            |_| (),
        );
    }
}

/// What the schema refuses, reading refuses too: an editor never marks what would be taken.
#[test]
fn what_it_refuses_is_refused_when_read() {
    let bad = [
        ("spreadscaler", json!({})),
        ("spreadscaler", json!({"instances": -1})),
        ("spreadscaler", json!({"instances": "many"})),
        ("spreadscaler", json!({"instances": 1, "spred": []})),
        (
            "link",
            json!({"namespace": "wasi", "package": "http", "target": {"name": "b"}}),
        ),
        (
            "placement",
            json!({"topologySpread": [{"label": "pop", "maxSkew": 0}]}),
        ),
        ("placement", json!({"topologySpread": [{"label": ""}]})),
        ("placement", json!({"priority": "high"})),
        ("placement", json!({"requires": {}})),
        ("rollout", json!({"strategy": "bluegreen"})),
        ("rollout", json!({"deadline": "soon"})),
        (
            "rollout",
            json!({"strategy": "canary", "steps": [{"weight": 0}]}),
        ),
        (
            "rollout",
            json!({"strategy": "canary", "steps": [{"weight": 101}]}),
        ),
        ("rollout", json!({"health": {"errorRate": 2}})),
        ("autoscale", json!({})),
        ("autoscale", json!({"max": 0})),
        ("autoscale", json!({"max": 1, "targetConcurrency": 0})),
        ("autoscale", json!({"max": 1, "targetConcurrency": 1.5})),
    ];
    for (ty, properties) in bad {
        let manifest = with_trait(ty, properties);
        assert!(refusal(&manifest).is_some(), "taken: {manifest}");
        assert!(
            manifest::parse(&manifest.to_string()).is_err(),
            "read: {manifest}"
        );
    }
    let good = with_trait("autoscale", json!({"max": 1}));
    type Break = fn(&mut Value);
    let broken: [(&str, Break); 6] = [
        ("apiVersion", |m| m["apiVersion"] = json!("v1")),
        ("kind", |m| m["kind"] = json!("App")),
        ("a name", |m| m["metadata"]["name"] = json!("my shop")),
        ("unknown", |m| m["extra"] = json!(1)),
        ("a type", |m| {
            m["spec"]["components"][0]["type"] = json!("actor")
        }),
        ("no components", |m| m["spec"]["components"] = json!([])),
    ];
    accepts("good", &good);
    for (what, break_it) in broken {
        let mut manifest = good.clone();
        break_it(&mut manifest);
        assert!(refusal(&manifest).is_some(), "taken: {what}");
        assert!(
            manifest::parse(&manifest.to_string()).is_err(),
            "read: {what}"
        );
    }
}

#[test]
fn it_describes_fields_for_people() {
    let schema = manifest::schema();
    let instances = &schema["definitions"]["SpreadProperties"]["properties"]["instances"];
    assert!(
        instances["description"]
            .as_str()
            .unwrap()
            .contains("How many"),
        "{instances}"
    );
    let text = schema.to_string();
    for leaked in ["super::", "trellis_lattice", "[`"] {
        assert!(!text.contains(leaked), "{leaked} in the schema");
    }
}
