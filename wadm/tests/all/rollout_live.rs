//! Rollouts over a real NATS server: hosts that take, refuse or spoil a new image, users that hold and undo, managers
//! that are killed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    hosts::{Host, Lattice},
    manager::{Manager, ask},
    nats::until,
    stage::{Stage, begin},
};

fn image(version: u32) -> String {
    format!("file:///cart-{version}.wasm")
}

fn manifest(version: u32, rollout: &str) -> String {
    format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: shop, annotations: {{version: v{version}}}}}
spec:
  components:
    - name: cart
      type: component
      properties: {{image: '{}'}}
      traits:
        - {{type: spreadscaler, properties: {{instances: 3}}}}
        - {{type: rollout, properties: {rollout}}}
",
        image(version)
    )
}

async fn deploy(stage: &Stage, version: u32, rollout: &str) {
    let put = ask(&stage.client, "put", manifest(version, rollout)).await;
    assert_ne!(put["result"], "error", "{put}");
    let deployed = ask(&stage.client, "deploy.shop", "").await;
    assert_eq!(deployed["result"], "acknowledged", "{deployed}");
}

async fn rollout(stage: &Stage, action: &str) -> Value {
    let request = json!({ "action": action }).to_string();
    ask(&stage.client, "rollout.shop", request).await
}

/// Three hosts that run version 1.
async fn first(rollout: &str) -> (Stage, [Host; 3]) {
    let (stage, hosts) = begin(["a", "b", "c"]).await;
    deploy(&stage, 1, rollout).await;
    until_all(&hosts, 1).await;
    until_status(&stage, "deployed").await;
    stage.lattice.lock().unwrap().asked.clear();
    (stage, hosts)
}

fn images(hosts: &[Host]) -> Vec<String> {
    let image = |host: &Host| {
        let running = host.running.lock().unwrap();
        let there = running.components.get("shop-cart")?;
        Some(there["image_ref"].as_str()?.to_owned())
    };
    hosts.iter().filter_map(image).collect()
}

fn count(hosts: &[Host], version: u32) -> usize {
    let wanted = image(version);
    images(hosts)
        .iter()
        .filter(|there| **there == wanted)
        .count()
}

async fn until_all(hosts: &[Host], version: u32) {
    until(&format!("version {version} everywhere"), async || {
        count(hosts, version) == hosts.len()
    })
    .await;
}

async fn until_phase(stage: &Stage, phase: &str) -> Value {
    let mut last = Value::Null;
    until(&format!("phase {phase}"), async || {
        last = rollout(stage, "status").await;
        last["rollout"]["phase"] == phase
    })
    .await;
    last
}

async fn until_status(stage: &Stage, wanted: &str) {
    until(&format!("status {wanted}"), async || {
        ask(&stage.client, "status.shop", "").await["status"]["status"]["type"] == wanted
    })
    .await;
}

/// Hosts that were told to run an image, in order.
fn told(lattice: &Lattice, version: u32) -> Vec<String> {
    let shared = lattice.lock().unwrap();
    let told = shared
        .asked
        .iter()
        .filter(|(_, body)| body["component_ref"] == image(version).as_str());
    told.map(|(_, body)| body["host_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_update_rolls_host_by_host() {
    let (stage, hosts) = first("{}").await;
    let status = rollout(&stage, "status").await;
    assert_eq!(status["rollout"], Value::Null, "{status}");
    let begun = Instant::now();
    deploy(&stage, 2, "{}").await;
    let mut counts = vec![0];
    until("version 2 everywhere", async || {
        let now = count(&hosts, 2);
        if counts.last() != Some(&now) {
            counts.push(now);
        }
        // Each host runs one of both at any time.
        assert_eq!(images(&hosts).len(), 3);
        now == 3
    })
    .await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let done = until_phase(&stage, "done").await;
    assert_eq!(done["rollout"]["from"], "v1");
    assert_eq!(done["rollout"]["to"], "v2");
    assert_eq!(done["rollout"]["parts"][0]["updated"], 3);
    until_status(&stage, "deployed").await;
    // One after the other, and each was told once.
    let mut told = told(&stage.lattice, 2);
    told.sort();
    assert_eq!(told, ["a", "b", "c"]);
    stage.manager.stop().await;
}

#[tokio::test]
async fn an_image_that_is_refused_reaches_one_host_and_goes_back() {
    let (stage, hosts) = first("{}").await;
    stage.lattice.lock().unwrap().refused.insert(image(2));
    deploy(&stage, 2, "{}").await;
    let reply = until_phase(&stage, "rolled-back").await;
    assert_eq!(reply["deployed"], "v1");
    let message = reply["rollout"]["message"].as_str().unwrap();
    assert!(message.contains("it is no component"), "{message}");
    assert_eq!(count(&hosts, 1), 3);
    until_status(&stage, "deployed").await;
    let mut reached = told(&stage.lattice, 2);
    reached.dedup();
    assert_eq!(reached.len(), 1, "{reached:?}");
    // It doesn't begin again.
    let undone = rollout(&stage, "undo").await;
    assert_eq!(undone["result"], "noop", "{undone}");
    let versions = ask(&stage.client, "versions.shop", "").await;
    assert_eq!(versions["versions"][0]["deployed"], true, "{versions}");
    stage.manager.stop().await;
}

#[tokio::test]
async fn a_pause_holds_a_resume_goes_on_and_an_undo_goes_back() {
    let slow = "{strategy: canary, steps: [{weight: 30, pause: 300ms}, {weight: 60, pause: 1h}]}";
    let (stage, hosts) = first(slow).await;
    let refused = rollout(&stage, "undo").await;
    assert_eq!(refused["result"], "error", "{refused}");
    deploy(&stage, 2, slow).await;
    until("the canary's second step", async || count(&hosts, 2) == 2).await;
    let paused = rollout(&stage, "pause").await;
    assert_eq!(paused["result"], "acknowledged", "{paused}");
    until("paused", async || {
        rollout(&stage, "status").await["rollout"]["paused"] == true
    })
    .await;
    let resumed = rollout(&stage, "resume").await;
    assert_eq!(resumed["result"], "acknowledged", "{resumed}");
    until("resumed", async || {
        rollout(&stage, "status").await["rollout"]["paused"] == false
    })
    .await;
    assert_eq!(rollout(&stage, "resume").await["result"], "noop");
    assert_eq!(count(&hosts, 2), 2);
    let undone = rollout(&stage, "undo").await;
    assert_eq!(undone["result"], "acknowledged", "{undone}");
    until_all(&hosts, 1).await;
    until_phase(&stage, "rolled-back").await;
    until_status(&stage, "deployed").await;
    stage.manager.stop().await;
}

#[tokio::test]
async fn a_pause_before_the_first_host_keeps_all() {
    let (stage, hosts) = first("{strategy: canary, steps: [{weight: 30, pause: 500ms}]}").await;
    let canary = "{strategy: canary, steps: [{weight: 30, pause: 500ms}]}";
    deploy(&stage, 2, canary).await;
    until("the canary", async || count(&hosts, 2) == 1).await;
    rollout(&stage, "pause").await;
    until("paused", async || {
        rollout(&stage, "status").await["rollout"]["paused"] == true
    })
    .await;
    // Longer than the step would have lasted.
    let held = Instant::now();
    until("the step's time is over", async || {
        assert_eq!(count(&hosts, 2), 1);
        held.elapsed() > Duration::from_millis(1500)
    })
    .await;
    rollout(&stage, "resume").await;
    until_all(&hosts, 2).await;
    until_phase(&stage, "done").await;
    // Done: undone like any other version.
    let undone = rollout(&stage, "undo").await;
    assert_eq!(undone["result"], "acknowledged", "{undone}");
    until_all(&hosts, 1).await;
    stage.manager.stop().await;
}

#[tokio::test]
async fn a_manager_that_is_killed_in_the_middle_is_followed_by_one_that_goes_on() {
    let held = "{strategy: canary, steps: [{weight: 30, pause: 3s}]}";
    let (stage, hosts) = first(held).await;
    deploy(&stage, 2, held).await;
    until("the canary", async || count(&hosts, 2) == 1).await;
    until_phase(&stage, "holding").await;
    stage.manager.crash().await;
    let next = Manager::start(stage.nats.settings()).await;
    until_all(&hosts, 2).await;
    let mut told = told(&stage.lattice, 2);
    told.sort();
    assert_eq!(told, ["a", "b", "c"], "nobody is told twice");
    next.stop().await;
}

#[tokio::test]
async fn calls_that_fail_send_a_canary_back_and_good_ones_let_it_pass() {
    let gated = "{strategy: canary, steps: [{weight: 30, pause: 2s}], health: {errorRate: 0.1, minCalls: 20}}";
    let (stage, hosts) = first(gated).await;
    {
        let mut shared = stage.lattice.lock().unwrap();
        shared.calls = 50;
        shared.failing.insert(image(2), 5);
    }
    deploy(&stage, 2, gated).await;
    let reply = until_phase(&stage, "rolled-back").await;
    let message = reply["rollout"]["message"].as_str().unwrap();
    assert!(message.contains("calls failed"), "{message}");
    until_all(&hosts, 1).await;
    assert_eq!(told(&stage.lattice, 2).len(), 1);
    stage.lattice.lock().unwrap().failing.clear();
    deploy(&stage, 3, gated).await;
    until_all(&hosts, 3).await;
    until_phase(&stage, "done").await;
    stage.manager.stop().await;
}
