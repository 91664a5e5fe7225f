//! Our own traits: every mistake in them is told with its place, field and remedy.

use trellis_wadm::{desired::App, manifest};

/// A manifest of one component with a scaler and a trait, one field a line.
fn with(scaler: &str, ty: &str, properties: &str) -> String {
    format!(
        "\
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: shop}}
spec:
  components:
    - name: cart
      type: component
      properties: {{image: \"file:///srv/cart.wasm\"}}
      traits:
        - {scaler}
        - type: {ty}
          properties: {properties}
"
    )
}

const SPREAD: &str = "{type: spreadscaler, properties: {instances: 3}}";
const DAEMON: &str = "{type: daemonscaler, properties: {instances: 1}}";

/// The errors, each without the part of the place that they share.
fn errors(text: &str) -> String {
    let Err(errors) = manifest::parse(text) else {
        return "no mistake".into();
    };
    let lines: Vec<String> = errors
        .to_string()
        .lines()
        .map(|line| {
            assert!(line.starts_with("line 1"), "{line}");
            let (_, rest) = line.split_once("spec.components[0].traits[1].").unwrap();
            rest.to_owned()
        })
        .collect();
    lines.join("\n")
}

fn check(scaler: &str, ty: &str, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (properties, expected) in cases {
        let told = errors(&with(scaler, ty, properties));
        if told != *expected {
            wrong.push(format!(
                "{properties}\ntold:     {told}\nexpected: {expected}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn residency_that_a_spread_contradicts() {
    let spread = "{type: spreadscaler, properties: {instances: 3, spread: [{name: x, requirements: {region: us}}]}}";
    check(
        spread,
        "placement",
        &[(
            "{residency: {region: eu}}",
            "properties.residency.region: is eu, but spread \"x\" requires region=us: no host could ever meet both",
        )],
    );
}

#[test]
fn residency_of_two_that_are_linked() {
    let text = |cart: &str, store: &str| {
        format!(
            "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: shop}}
spec:
  components:
    - name: cart
      type: component
      properties: {{image: \"file:///srv/cart.wasm\"}}
      traits:
        - {{type: placement, properties: {cart}}}
        - type: link
          properties: {{namespace: wasi, package: keyvalue, interfaces: [store], target: {{name: store}}}}
    - name: store
      type: capability
      properties: {{image: \"builtin:keyvalue-nats\"}}
      traits:
        - {{type: placement, properties: {store}}}
"
        )
    };
    let field = "spec.components[0].traits[1].properties.target.name: \"cart\" is kept within region=eu, and";
    for (cart, store, told) in [
        ("{residency: {region: eu}}", "{}", None),
        ("{}", "{residency: {region: eu}}", None),
        ("{residency: {region: eu}}", "{residency: {pop: fra}}", None),
        (
            "{residency: {region: eu}}",
            "{residency: {region: us}}",
            Some("\"store\" is kept within region=us"),
        ),
        (
            "{residency: {region: eu}}",
            "{require: {region: us}}",
            Some("\"store\" requires region=us"),
        ),
    ] {
        match (manifest::parse(&text(cart, store)), told) {
            (Ok((manifest, _)), None) => {
                let app = App::new("v1", &manifest, &|_| None);
                let within = app.links().next().unwrap().within.as_ref();
                assert_eq!(within.is_some(), cart != "{}" || store != "{}");
            }
            (Err(errors), Some(told)) => {
                let errors = errors.to_string();
                assert!(errors.contains(field) && errors.contains(told), "{errors}");
            }
            (parsed, told) => panic!("{cart}, {store}: {parsed:?}, not {told:?}"),
        }
    }
}

#[test]
fn placement() {
    check(
        SPREAD,
        "placement",
        &[
            ("{}", "no mistake"),
            (
                "{require: {region: eu}, avoid: {region: us}, tolerate: {gpu: yes}, priority: -3, overflow: true}",
                "no mistake",
            ),
            ("[]", "properties: must be a group of fields, not a list"),
            (
                "{requires: {a: b}}",
                "properties.requires: unknown field; did you mean \"require\"?",
            ),
            (
                "{region: eu}",
                "properties.region: unknown field; known are require, residency, avoid, tolerate, topologySpread, priority, overflow, onPartition, partitionGrace",
            ),
            (
                "{residency: {region: eu, pop: fra}, onPartition: keep, partitionGrace: 2m}",
                "no mistake",
            ),
            ("{partitionGrace: 0s}", "no mistake"),
            (
                "{onPartition: kep}",
                "properties.onPartition: is \"kep\": use \"replace\" or \"keep\"; did you mean \"keep\"?",
            ),
            (
                "{onPartition: keep, partitionGrace: 0s}",
                "properties.partitionGrace: is 0: nothing would be kept; leave it out, or use `onPartition: replace`",
            ),
            (
                "{partitionGrace: 8days}",
                "properties.partitionGrace: is more than a week",
            ),
            (
                "{residency: {}}",
                "properties.residency: names nothing: give `region`, `pop` or both",
            ),
            (
                "{residency: {region: eu west}}",
                "properties.residency.region: region name \"eu west\" has to have 1 to 63 letters, digits, '-' or '_'",
            ),
            (
                "{residency: {region: eu}, require: {region: us}}",
                "properties.require.region: is us, but `residency` keeps it within region=eu",
            ),
            (
                "{residency: {pop: fra}, avoid: {pop: fra}}",
                "properties.avoid.pop: is fra, but `residency` keeps it within pop=fra",
            ),
            (
                "{require: eu}",
                "properties.require: must be a group of fields, not text",
            ),
            (
                "{require: {zone: 1}}",
                "properties.require.zone: must be text, but 1 is a number: put it in quotes, \"1\"",
            ),
            (
                "{avoid: [a]}",
                "properties.avoid: must be a group of fields, not a list",
            ),
            (
                "{tolerate: {gpu: true}}",
                "properties.tolerate.gpu: must be text, but true is a truth value: put it in quotes, \"true\"",
            ),
            (
                "{require: {a: b}, avoid: {a: b}}",
                "properties.avoid.a: a=b is required too: no host could ever meet both",
            ),
            (
                "{priority: high}",
                "properties.priority: must be a whole number from -2147483648 to 2147483647",
            ),
            (
                "{priority: 1.5}",
                "properties.priority: must be a whole number from -2147483648 to 2147483647",
            ),
            (
                "{overflow: 1}",
                "properties.overflow: must be true or false, not a number",
            ),
            (
                "{overflow: \"yes\"}",
                "properties.overflow: must be true or false, not text",
            ),
            (
                "{topologySpread: {label: pop}}",
                "properties.topologySpread: must be a list, not a group of fields",
            ),
            (
                "{topologySpread: [pop]}",
                "properties.topologySpread[0]: must be a group of fields, not text",
            ),
            (
                "{topologySpread: [{maxSkew: 1}]}",
                "properties.topologySpread[0].label: is missing",
            ),
            (
                "{topologySpread: [{label: \"\"}]}",
                "properties.topologySpread[0].label: is empty",
            ),
            (
                "{topologySpread: [{label: pop}, {label: pop}]}",
                "properties.topologySpread[1].label: \"pop\" is there twice",
            ),
            (
                "{topologySpread: [{label: pop, maxSkew: 0}]}",
                "properties.topologySpread[0].maxSkew: must be at least 1: 0 could only be met by some numbers of instances",
            ),
            (
                "{topologySpread: [{label: pop, maxSkew: -1}]}",
                "properties.topologySpread[0].maxSkew: must be a whole number from 0 to 4294967295, not \"-1\"",
            ),
            (
                "{topologySpread: [{label: pop, skew: 1}]}",
                "properties.topologySpread[0].skew: unknown field; known are label, maxSkew",
            ),
            (
                "{topologySpread: [{label: a}, {label: b}, {label: c}, {label: d}, {label: e}]}",
                "properties.topologySpread: has more than 4 labels",
            ),
        ],
    );
    check(
        "{type: spreadscaler, properties: {instances: 10001}}",
        "placement",
        &[(
            "{topologySpread: [{label: pop}]}",
            "properties.topologySpread: 10001 instances can't be spread over a topology: at most 10000",
        )],
    );
}

#[test]
fn rollout() {
    check(
        SPREAD,
        "rollout",
        &[
            ("{}", "no mistake"),
            (
                "{strategy: canary, steps: [{weight: 10, pause: 1m}, {weight: 50}], health: {errorRate: 0.1, latencyP99: 2s}}",
                "no mistake",
            ),
            (
                "{stratgy: canary}",
                "properties.stratgy: unknown field; did you mean \"strategy\"?",
            ),
            (
                "{strategy: bluegreen}",
                "properties.strategy: is \"bluegreen\": use \"rolling\" or \"canary\"",
            ),
            (
                "{strategy: canry, steps: [{weight: 1}]}",
                "properties.strategy: is \"canry\": use \"rolling\" or \"canary\"; did you mean \"canary\"?",
            ),
            (
                "{strategy: 1}",
                "properties.strategy: must be text, but 1 is a number: put it in quotes, \"1\"",
            ),
            (
                "{maxUnavailable: -1}",
                "properties.maxUnavailable: must be a whole number from 0 to 4294967295, not \"-1\"",
            ),
            (
                "{maxSurge: 25%}",
                "properties.maxSurge: must be a whole number from 0 to 4294967295, not \"25%\"",
            ),
            (
                "{maxSurge: 0}",
                "properties.maxSurge: is 0, and so is `maxUnavailable`: nothing could ever be updated; give one of them 1",
            ),
            (
                "{steps: [{weight: 10}]}",
                "properties.steps: only a canary has steps: add `strategy: canary`, or remove them",
            ),
            (
                "{strategy: canary}",
                "properties.steps: is missing: a canary has at least one step, such as `{weight: 10, pause: 1m}`",
            ),
            (
                "{strategy: canary, steps: 10}",
                "properties.steps: must be a list, not a number",
            ),
            (
                "{strategy: canary, steps: [{pause: 1m}]}",
                "properties.steps[0].weight: is missing",
            ),
            (
                "{strategy: canary, steps: [{weight: 0}]}",
                "properties.steps[0].weight: must be a percentage from 1 to 100",
            ),
            (
                "{strategy: canary, steps: [{weight: 101}]}",
                "properties.steps[0].weight: must be a percentage from 1 to 100",
            ),
            (
                "{strategy: canary, steps: [{weight: 20}, {weight: 20}]}",
                "properties.steps[1].weight: must be more than the 20 of the step before",
            ),
            (
                "{strategy: canary, steps: [{weight: 20, pause: 60}]}",
                "properties.steps[0].pause: must be a time like \"30s\", \"500ms\" or \"2m\", not \"60\"",
            ),
            (
                "{strategy: canary, steps: [{weight: 20, pause: 8days}]}",
                "properties.steps[0].pause: is more than a week",
            ),
            (
                "{strategy: canary, steps: [{weight: 20, wait: 1m}]}",
                "properties.steps[0].wait: unknown field; known are weight, pause",
            ),
            (
                "{autoRollback: \"no\"}",
                "properties.autoRollback: must be true or false, not text",
            ),
            (
                "{deadline: soon}",
                "properties.deadline: must be a time like \"30s\", \"500ms\" or \"2m\", not \"soon\"",
            ),
            (
                "{deadline: [1]}",
                "properties.deadline: must be a time like \"30s\", not a list",
            ),
            (
                "{deadline: 0s}",
                "properties.deadline: is 0: every step would have failed",
            ),
            (
                "{deadline: 8days}",
                "properties.deadline: is more than a week",
            ),
            (
                "{health: {}}",
                "properties.health: watches nothing: give `errorRate`, `latencyP99` or both",
            ),
            (
                "{health: good}",
                "properties.health: must be a group of fields, not text",
            ),
            (
                "{health: {errorRate: 5}}",
                "properties.health.errorRate: must be a part of all calls, from 0 to 1",
            ),
            (
                "{health: {errorRate: 5%}}",
                "properties.health.errorRate: must be a number like 0.05, not text",
            ),
            (
                "{health: {latencyP99: fast}}",
                "properties.health.latencyP99: must be a time like \"30s\", \"500ms\" or \"2m\", not \"fast\"",
            ),
            (
                "{health: {latencyP99: 1s, minCalls: few}}",
                "properties.health.minCalls: must be a whole number from 0 to 4294967295, not \"few\"",
            ),
            (
                "{health: {latencyP90: 1s}}",
                "properties.health: watches nothing: give `errorRate`, `latencyP99` or both\nproperties.health.latencyP90: unknown field; did you mean \"latencyP99\"?",
            ),
        ],
    );
    let steps: Vec<String> = (1..=33)
        .map(|weight| format!("{{weight: {weight}}}"))
        .collect();
    let many = format!("{{strategy: canary, steps: [{}]}}", steps.join(", "));
    check(
        SPREAD,
        "rollout",
        &[(&many, "properties.steps: has more than 32 steps")],
    );
}

#[test]
fn autoscale() {
    check(
        SPREAD,
        "autoscale",
        &[
            ("{max: 5}", "no mistake"),
            (
                "{min: 0, max: 5, targetConcurrency: 1, idle: 5m}",
                "no mistake",
            ),
            ("{}", "properties.max: is missing"),
            ("{max: 0}", "properties.max: must be at least 1"),
            (
                "{max: ten}",
                "properties.max: must be a whole number from 0 to 4294967295, not \"ten\"",
            ),
            ("{min: 3, max: 2}", "properties.max: is less than `min`, 3"),
            (
                "{min: -1, max: 2}",
                "properties.min: must be a whole number from 0 to 4294967295, not \"-1\"",
            ),
            (
                "{max: 2, targetConcurrency: 0}",
                "properties.targetConcurrency: must be more than 0 and at most 1: an instance takes one call at a time",
            ),
            (
                "{max: 2, targetConcurrency: 2}",
                "properties.targetConcurrency: must be more than 0 and at most 1: an instance takes one call at a time",
            ),
            (
                "{max: 2, targetConcurrency: half}",
                "properties.targetConcurrency: must be a number like 0.05, not text",
            ),
            (
                "{max: 2, idle: 30}",
                "properties.idle: must be a time like \"30s\", \"500ms\" or \"2m\", not \"30\"",
            ),
            (
                "{max: 2, idle: 2weeks}",
                "properties.idle: is more than a week",
            ),
            (
                "{max: 2, minimum: 1}",
                "properties.minimum: unknown field; known are min, max, targetConcurrency, idle",
            ),
        ],
    );
    check(
        DAEMON,
        "autoscale",
        &[(
            "{max: 5}",
            "properties: a daemonscaler's instances can't be scaled by calls",
        )],
    );
    let provider = with(SPREAD, "autoscale", "{max: 5}")
        .replace("type: component", "type: capability")
        .replace("file:///srv/cart.wasm", "builtin:http-server");
    assert_eq!(
        errors(&provider),
        "properties: a provider can't be scaled by its calls"
    );
}

#[test]
fn what_holds_for_all_of_them() {
    for (ty, properties) in [
        ("placement", "{}"),
        ("rollout", "{}"),
        ("autoscale", "{max: 1}"),
    ] {
        // Twice the same.
        let twice = with(
            &format!("{{type: {ty}, properties: {properties}}}"),
            ty,
            properties,
        );
        assert_eq!(errors(&twice), format!("type: there is a {ty} already"));
        // Mistyped.
        let mistyped = with(SPREAD, &format!("{ty}s"), properties);
        assert_eq!(
            errors(&mistyped),
            format!("type: unknown trait \"{ty}s\"; did you mean {ty:?}?")
        );
        // Without properties.
        let text = with(SPREAD, ty, properties);
        let without = &text[..text.rfind("          properties").unwrap()];
        assert_eq!(errors(without), "properties: is missing");
        // Of what runs elsewhere.
        let shared = text
            .replace(
                &format!("        - {SPREAD}\n"),
                "        - {type: x-none, properties: {}}\n",
            )
            .replace(
                "image: \"file:///srv/cart.wasm\"",
                "application: {name: other, component: c}",
            );
        assert_eq!(
            errors(&shared),
            "properties: a component of another application is placed there, not here"
        );
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let text = with(DAEMON, "placement", "{topologySpread: [{label: pop}]}");
    let (_, warnings) = manifest::parse(&text).unwrap();
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].ends_with("topologySpread: has no effect: a daemonscaler is on every host"),
        "{warnings:?}"
    );
}
