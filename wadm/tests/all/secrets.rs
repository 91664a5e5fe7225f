//! Secrets in manifests: references that lead somewhere, put where 1.x puts them, and taken away again.

use std::collections::BTreeMap;

use trellis_lattice::config::Config;
use trellis_wadm::{
    command::Command,
    desired::{App, Want},
    manifest,
    plan::{self, Input, Plan, State},
    store::Owned,
};

use crate::{model::Model, schema};

const GOOD: &str = "\
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: Rust counter
spec:
  policies:
    - name: vault
      type: policy.secret.wasmcloud.dev/v1alpha1
      properties:
        backend: vault
        mount: kv/prod
  components:
    - name: counter
      type: component
      properties:
        image: file:///counter.wasm
      traits:
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
            target:
              name: kv
              config:
                - name: redis-url
                  properties: {host: 127.0.0.1}
              secrets:
                - name: password
                  properties: {policy: vault, key: redis, field: pass, version: \"3\"}
    - name: kv
      type: capability
      properties:
        image: builtin:keyvalue-redis
        secrets:
          - name: default-password
            properties:
              policy: vault
              key: default
";

fn good() -> String {
    GOOD.replace("Rust counter", "rust-counter")
}

fn with(from: &str, to: &str) -> String {
    let good = good();
    assert_eq!(good.matches(from).count(), 1, "{from:?} must occur once");
    good.replace(from, to)
}

#[test]
fn a_good_manifest_has_no_complaints_and_fits_the_schema() {
    let (_, warnings) = manifest::parse(&good()).unwrap();
    assert_eq!(warnings, []);
    schema::accepts("secrets", &manifest::to_json(&good()).unwrap());
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let cases = [
        (
            with("policy: vault, key: redis", "policy: vualt, key: redis"),
            "line 30, column 40: spec.components[0].traits[0].properties.target.secrets[0].properties.policy: no policy is named \"vualt\"; did you mean \"vault\"?",
        ),
        (
            with("v1alpha1\n", "v9\n"),
            "line 30, column 40: spec.components[0].traits[0].properties.target.secrets[0].properties.policy: policy \"vault\" is of type \"policy.secret.wasmcloud.dev/v9\", and must be of \"policy.secret.wasmcloud.dev/v1alpha1\" to be a secret's",
        ),
        (
            with("        backend: vault\n", ""),
            "line 9, column 7: spec.policies[0].properties.backend: is missing: name the secrets backend, such as nats-kv",
        ),
        (
            with("backend: vault", "backend: va.ult"),
            "line 10, column 18: spec.policies[0].properties.backend: is \"va.ult\", but must be a part of a subject: not empty, without white space, '.', '*' and '>'",
        ),
        (
            with("policy: vault, key: redis, field", "policy: vault, field"),
            "line 30, column 19: spec.components[0].traits[0].properties.target.secrets[0].properties.key: is missing",
        ),
        (
            with("key: redis, field", "key: \"\", field"),
            "line 30, column 52: spec.components[0].traits[0].properties.target.secrets[0].properties.key: is empty: name the secret as its backend knows it",
        ),
        (
            with("version: \"3\"", "version: 3"),
            "line 30, column 81: spec.components[0].traits[0].properties.target.secrets[0].properties.version: must be text, but 3 is a number: put it in quotes, \"3\"",
        ),
        (
            with("name: default-password", "name: password"),
            "line 36, column 13: spec.components[1].properties.secrets[0]: secret \"password\" is given twice with different properties: they have one name in the lattice, SECRET_rust_counter-password",
        ),
        (
            with(
                "key: default\n",
                "key: default\n          - {name: default-password, properties: {policy: vault, key: default}}\n",
            ),
            "line 40, column 20: spec.components[1].properties.secrets[1].name: another secret is named \"default-password\" already",
        ),
        (
            with(
                "  components:\n",
                "    - {name: vault, type: other, properties: {}}\n  components:\n",
            ),
            "line 12, column 14: spec.policies[1].name: another policy is named \"vault\" already",
        ),
    ];
    for (text, said) in cases {
        let errors = manifest::parse(&text).unwrap_err().to_string();
        assert!(
            errors.lines().any(|line| line == said),
            "{said}\n{errors}\n{text}"
        );
    }
}

#[test]
fn another_policy_is_no_mistake() {
    let text = with(
        "  components:\n",
        "    - {name: k8s, type: kubernetes/service, properties: {}}\n  components:\n",
    );
    let (_, warnings) = manifest::parse(&text).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

fn app(text: &str) -> App {
    App::new("v1", &manifest::parse(text).unwrap().0, &|_| None)
}

#[test]
fn references_are_named_and_written_as_1_x_does() {
    let app = app(&good());
    let reference = app.configs["SECRET_rust_counter-password"]
        .as_ref()
        .unwrap();
    assert_eq!(
        serde_json::to_value(reference).unwrap(),
        serde_json::json!({
            "type": "secret.wasmcloud.dev/v1alpha1", "name": "password", "backend": "vault",
            "key": "redis", "field": "pass", "version": "3",
            "policy": r#"{"type":"properties.secret.wasmcloud.dev/v1alpha1","properties":{"mount":"kv/prod"}}"#,
        })
    );
    let link = app.links().next().unwrap();
    assert_eq!(
        link.target_config,
        ["rust_counter-redis_url", "SECRET_rust_counter-password"]
    );
    let provider = app.parts.iter().find_map(|part| match &part.want {
        Ok(Want::Workload(workload)) if workload.is_provider => Some(workload),
        _ => None,
    });
    assert_eq!(
        provider.unwrap().configs,
        ["SECRET_rust_counter-default_password"]
    );
}

/// What 1.x stored is not checked again: then the part says why it can't be.
#[test]
fn a_stored_manifest_without_its_policy_fails_where_it_needs_it() {
    let mut manifest = manifest::parse(&good()).unwrap().0;
    manifest.spec.policies.clear();
    let app = App::new("v1", &manifest, &|_| None);
    let failed: Vec<&str> = app
        .parts
        .iter()
        .filter_map(|part| part.want.as_ref().err().map(String::as_str))
        .collect();
    assert_eq!(
        failed,
        [
            "secret \"password\": no policy of secrets is named \"vault\"",
            "secret \"default-password\": no policy of secrets is named \"vault\"",
        ]
    );
}

fn plans(model: &Model, app: Option<&App>, owned: &BTreeMap<String, Owned>) -> Plan {
    let desired = app.map(|app| ("rust-counter".to_owned(), app.clone()));
    plan::plan(Input {
        desired: &desired.into_iter().collect(),
        owned,
        observed: &model.observed,
        rolling: Input::NO_ROLLOUT,
    })
}

fn puts(plan: &Plan) -> BTreeMap<&str, &Config> {
    let puts = plan.steps.iter().filter_map(|step| match &step.command {
        Command::PutConfig { name, config } => Some((name.as_str(), config)),
        _ => None,
    });
    puts.collect()
}

#[test]
fn references_are_put_before_what_needs_them_and_removed_after_it() {
    let app = app(&good());
    let mut model = Model::default();
    model.join("one", "west");
    let names: Vec<String> = app.configs.keys().cloned().collect();
    for name in &names {
        model.observed.configs.insert(name.clone(), None);
    }
    let first = plans(&model, Some(&app), &BTreeMap::new());
    assert_eq!(puts(&first).len(), 3);
    assert_eq!(
        puts(&first)["SECRET_rust_counter-password"]["backend"],
        "vault"
    );
    let link = &first.apps["rust-counter"].parts[0];
    assert!(matches!(&link.state, State::Reconciling(why) if why.contains("waiting for config")));

    for (name, config) in &app.configs {
        model.observed.configs.insert(name.clone(), config.clone());
    }
    let second = plans(&model, Some(&app), &first.owned);
    assert!(puts(&second).is_empty());
    assert!(second.steps.iter().any(|step| {
        matches!(&step.command, Command::PutLink { link, .. }
            if link.target_config.contains(&"SECRET_rust_counter-password".to_owned()))
    }));

    // Another key of the backend, the same name: put again.
    let moved = App::new(
        "v2",
        &manifest::parse(&with("key: redis, field", "key: redis2, field"))
            .unwrap()
            .0,
        &|_| None,
    );
    let third = plans(&model, Some(&moved), &second.owned);
    assert_eq!(
        puts(&third).keys().collect::<Vec<_>>(),
        [&"SECRET_rust_counter-password"]
    );

    let last = plans(&model, None, &second.owned);
    let deleted: Vec<_> = last
        .steps
        .iter()
        .filter_map(|step| match &step.command {
            Command::DeleteConfig(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        deleted,
        [
            "SECRET_rust_counter-default_password",
            "SECRET_rust_counter-password",
            "rust_counter-redis_url"
        ]
    );
}
