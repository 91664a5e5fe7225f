//! Autoscaling over a real NATS server: instances follow calls, sleep without any, and wake again.

use std::time::{Duration, Instant};

use crate::{
    hosts::Host,
    manager::ask,
    nats::until,
    stage::{Stage, begin},
};

const MANIFEST: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {name: shop}
spec:
  components:
    - name: cart
      type: component
      properties: {image: 'file:///cart.wasm'}
      traits:
        - {type: spreadscaler, properties: {instances: 2}}
        - {type: autoscale, properties: {min: 0, max: 12, targetConcurrency: 0.5, idle: 2s}}
";

fn counts(hosts: &[Host]) -> u64 {
    hosts.iter().map(|host| host.count("shop-cart")).sum()
}

fn asleep(hosts: &[Host]) -> usize {
    let sleeps = |host: &&Host| {
        let running = host.running.lock().unwrap();
        let there = running.components.get("shop-cart");
        there.is_some_and(|there| there["dormant"] == true)
    };
    hosts.iter().filter(sleeps).count()
}

#[tokio::test]
async fn instances_follow_calls_sleep_and_wake() {
    let (stage, hosts): (Stage, [Host; 2]) = begin(["a", "b"]).await;
    let put = ask(&stage.client, "put", MANIFEST).await;
    assert_ne!(put["result"], "error", "{put}");
    ask(&stage.client, "deploy.shop", "").await;
    until("two instances", async || counts(&hosts) == 2).await;
    // Two hosts with two calls each at once: eight instances at half of one call each.
    stage.lattice.lock().unwrap().peak = 2;
    until("eight instances", async || counts(&hosts) == 8).await;
    stage.lattice.lock().unwrap().peak = 5;
    until("the most instances", async || counts(&hosts) == 12).await;
    let quiet = Instant::now();
    stage.lattice.lock().unwrap().peak = 0;
    until("one that sleeps", async || {
        counts(&hosts) == 1 && asleep(&hosts) == 1
    })
    .await;
    assert!(quiet.elapsed() >= Duration::from_secs(1), "too soon");
    until("deployed", async || {
        ask(&stage.client, "status.shop", "").await["status"]["status"]["type"] == "deployed"
    })
    .await;
    // A call wakes it on its host, and it stays awake.
    stage.lattice.lock().unwrap().peak = 1;
    until("two instances awake", async || {
        counts(&hosts) >= 2 && asleep(&hosts) == 0
    })
    .await;
    stage.manager.stop().await;
}
