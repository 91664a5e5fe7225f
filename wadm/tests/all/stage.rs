//! A lattice with hosts and a manager, and the captured application.

use serde_json::Value;

use crate::{
    hosts::{Host, Lattice},
    manager::{Manager, ask},
    nats::{Nats, until},
};

/// The manifest that was captured with 1.x.
pub fn captured() -> String {
    let first = include_str!("captured/api.jsonl").lines().next().unwrap();
    let first: Value = serde_json::from_str(first).unwrap();
    first["request"].as_str().unwrap().to_owned()
}

/// A lattice and a manager at work on it.
pub struct Stage {
    pub nats: Nats,
    pub lattice: Lattice,
    pub manager: Manager,
    pub client: async_nats::Client,
}

/// Hosts of these names, and a manager.
pub async fn begin<const HOSTS: usize>(names: [&str; HOSTS]) -> (Stage, [Host; HOSTS]) {
    let nats = Nats::start(true).await;
    let lattice = Lattice::default();
    let mut hosts = Vec::new();
    for name in names {
        hosts.push(Host::join(&nats, &lattice, name).await);
    }
    let manager = Manager::start(nats.settings()).await;
    let client = nats.connect().await;
    let stage = Stage {
        nats,
        lattice,
        manager,
        client,
    };
    let Ok(hosts) = hosts.try_into() else {
        unreachable!("one host a name");
    };
    (stage, hosts)
}

/// The same, and the application runs.
pub async fn deployed<const HOSTS: usize>(names: [&str; HOSTS]) -> (Stage, [Host; HOSTS]) {
    let begun = begin(names).await;
    deploy(&begun.0.client).await;
    until_status(&begun.0.client, "deployed").await;
    begun
}

pub async fn deploy(client: &async_nats::Client) {
    let put = ask(client, "put", captured()).await;
    assert_ne!(put["result"], "error", "{put}");
    let deployed = ask(client, "deploy.kvc", "").await;
    assert_eq!(deployed["result"], "acknowledged", "{deployed}");
}

pub async fn status(client: &async_nats::Client) -> Value {
    ask(client, "status.kvc", "").await["status"].clone()
}

pub async fn until_status(client: &async_nats::Client, wanted: &str) {
    until(&format!("status {wanted}"), async || {
        status(client).await["status"]["type"] == wanted
    })
    .await;
}

pub fn asked(lattice: &Lattice) -> Vec<String> {
    let shared = lattice.lock().unwrap();
    shared
        .asked
        .iter()
        .map(|(subject, _)| subject.clone())
        .collect()
}

/// Everything of the application is gone.
pub fn nothing_left(lattice: &Lattice, hosts: &[&Host]) -> bool {
    let shared = lattice.lock().unwrap();
    shared.links.is_empty() && shared.configs.is_empty() && hosts.iter().all(|host| host.is_empty())
}
