//! What hosts do: pull once, keep, remove.

use std::{path::Path, sync::Arc};

use trellis_registry::{Artefact, Cache, Client, Images, Kind, Pushed, RegistryError, Silent};
use trellis_tests::{dropping::Dropping, registry::Registry};

use crate::kit::{client, component, reference, settings};

const LIMIT: u64 = 1 << 30;

async fn push(client: &Client, host: &str, name: &str, artefact: &Artefact) -> (String, Pushed) {
    let tag = format!("{host}/acme/{name}");
    let to = reference(&tag);
    let pushed = client.push(&to, artefact, Arc::new(Silent)).await;
    (tag, pushed.unwrap())
}

fn images(folder: &Path, host: &str, cache_bytes: u64) -> Images {
    Images::new(
        settings(&[host]),
        false,
        Cache::open(folder, cache_bytes).unwrap(),
    )
}

#[tokio::test]
async fn many_that_ask_at_once_cost_one_pull() {
    let registry = Registry::start().await.unwrap();
    let artefact = component(1 << 20);
    push(
        &client(&[&registry.host()]),
        &registry.host(),
        "cart:1",
        &artefact,
    )
    .await;
    let way = Dropping::before(registry.at(), u64::MAX, 0).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let images = Arc::new(images(folder.path(), &way.host(), LIMIT));
    let tag = format!("oci://{}/acme/cart:1", way.host());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (images, tag) = (images.clone(), tag.clone());
        asking.spawn(async move {
            let image = images.get(&tag, Kind::Component, LIMIT).await.unwrap();
            image.read().await.unwrap()
        });
    }
    for bytes in asking.join_all().await {
        assert_eq!(bytes, artefact.content);
    }
    let whole = artefact.content.len() as u64;
    assert!(
        way.passed() < whole + whole / 2,
        "{} of {whole}",
        way.passed()
    );
}

#[tokio::test]
async fn a_tag_is_asked_for_each_time_and_a_digest_never_again() {
    let mut registry = Registry::start().await.unwrap();
    let host = registry.host();
    let client = client(&[&host]);
    let (first, second) = (component(1000), component(2000));
    let (tag, pushed) = push(&client, &host, "cart:1", &first).await;
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path(), &host, LIMIT);
    let read = async |reference: &str| {
        let image = images.get(reference, Kind::Component, LIMIT).await?;
        image.read().await
    };
    let by_digest = format!("{host}/acme/cart@{}", pushed.manifest);
    assert_eq!(read(&tag).await.unwrap(), first.content);
    assert_eq!(read(&by_digest).await.unwrap(), first.content);
    push(&client, &host, "cart:1", &second).await;
    assert_eq!(read(&tag).await.unwrap(), second.content);
    // The registry is away: what the tag meant the last time counts.
    registry.stop();
    assert_eq!(read(&tag).await.unwrap(), second.content);
    assert_eq!(read(&by_digest).await.unwrap(), first.content);
    assert!(read(&format!("{host}/acme/cart:2")).await.is_err());
}

#[tokio::test]
async fn what_was_changed_in_the_cache_is_pulled_again() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let artefact = component(1000);
    let (tag, _) = push(&client(&[&host]), &host, "cart:1", &artefact).await;
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path(), &host, LIMIT);
    let image = images.get(&tag, Kind::Component, LIMIT).await.unwrap();
    std::fs::write(image.path(), "something else").unwrap();
    assert!(matches!(
        image.read().await,
        Err(RegistryError::Mismatch { .. })
    ));
    let image = images.get(&tag, Kind::Component, LIMIT).await.unwrap();
    assert_eq!(image.read().await.unwrap(), artefact.content);
}

#[tokio::test]
async fn the_cache_s_bound_holds() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let client = client(&[&host]);
    let folder = tempfile::tempdir().unwrap();
    let one = component(100_000);
    let size = one.content.len() as u64;
    // Room for two.
    let images = images(folder.path(), &host, size * 5 / 2);
    let mut held = Vec::new();
    for number in 0..4 {
        let (tag, _) = push(
            &client,
            &host,
            &format!("cart{number}:1"),
            &component(100_000 + number),
        )
        .await;
        let image = images.get(&tag, Kind::Component, LIMIT).await;
        match number {
            // It stays while the next two come and go.
            0 => held.push(image.unwrap()),
            _ => drop(image.unwrap()),
        }
        let there = std::fs::read_dir(folder.path()).unwrap().count() - 1;
        assert!(there <= 2, "{there} files");
    }
    assert!(held[0].path().is_file());
    let (tag, _) = push(&client, &host, "large:1", &component(200_000)).await;
    let full = images
        .get(&tag, Kind::Component, LIMIT)
        .await
        .unwrap_err()
        .to_string();
    assert!(full.contains("--registry-cache-bytes"), "{full}");
}

#[tokio::test]
async fn what_is_not_what_is_needed_is_told() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let (tag, _) = push(&client(&[&host]), &host, "cart:1", &component(1000)).await;
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path(), &host, LIMIT);
    let kind = images
        .get(&tag, Kind::Provider, LIMIT)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        kind.contains("is a component, and a provider archive is needed"),
        "{kind}"
    );
    let size = images.get(&tag, Kind::Component, 100).await;
    assert!(matches!(size, Err(RegistryError::TooLarge { .. })));
    let latest = images
        .check(&format!("{host}/acme/cart"))
        .unwrap_err()
        .to_string();
    assert!(latest.contains("--registry-allow-latest"), "{latest}");
}
