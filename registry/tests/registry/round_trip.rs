//! What was pushed comes back, by tag and by digest; what is not it does not.

use std::sync::Arc;

use trellis_registry::{Artefact, Digest, Kind, RegistryError, Settings, Silent};
use trellis_tests::registry::Registry;

use crate::kit::{Noted, client, component, reference, settings};

#[tokio::test]
async fn a_component_comes_back_by_tag_and_by_digest() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let client = client(&[&host]);
    let artefact = component(300_000);
    let tag = reference(&format!("{host}/acme/cart:1.0"));
    let noted = Noted::new();
    let pushed = client.push(&tag, &artefact, noted.clone()).await.unwrap();
    assert_eq!(pushed.size, artefact.content.len() as u64);
    assert_eq!(noted.positions.lock().unwrap().last(), Some(&pushed.size));

    let folder = tempfile::tempdir().unwrap();
    for (name, from) in [
        ("tag", tag.clone()),
        ("digest", tag.with_digest(pushed.manifest)),
    ] {
        let resolved = client.resolve(&from).await.unwrap();
        assert_eq!(resolved.manifest, pushed.manifest);
        assert_eq!(resolved.content.kind, Kind::Component);
        let to = folder.path().join(name);
        client
            .pull(&from, &resolved.content, &to, &Silent)
            .await
            .unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), artefact.content);
    }
    // Once more: nothing is sent that is there, and the same comes of it.
    let again = client
        .push(&tag, &artefact, Arc::new(Silent))
        .await
        .unwrap();
    assert_eq!(again, pushed);
}

#[tokio::test]
async fn a_provider_archive_of_1_x_comes_back() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let client = client(&[&host]);
    let binaries = [("x86_64-linux".to_owned(), b"#!/bin/sh\n".to_vec())].into();
    let archive = trellis_lattice::claims::sign_archive(
        &binaries,
        &trellis_lattice::claims::AccountKey::generate(),
        &trellis_lattice::claims::ProviderKey::generate().public(),
        &trellis_lattice::claims::ProviderDetails::default(),
        &trellis_lattice::claims::Validity::unlimited(time::OffsetDateTime::now_utc()),
        true,
    );
    let artefact = Artefact::of(archive.unwrap().into(), time::OffsetDateTime::now_utc()).unwrap();
    assert_eq!(artefact.kind, Kind::Provider);
    let tag = reference(&format!("{host}/acme/store:2"));
    client
        .push(&tag, &artefact, Arc::new(Silent))
        .await
        .unwrap();
    let resolved = client.resolve(&tag).await.unwrap();
    assert_eq!(resolved.content.kind, Kind::Provider);
    assert_eq!(resolved.content.digest, Digest::of(&artefact.content));
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let client = client(&[&host]);
    let tag = reference(&format!("{host}/acme/cart:1.0"));
    let missing = client.resolve(&tag).await.unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
    assert!(missing.to_string().contains(&tag.to_string()), "{missing}");
    client
        .push(&tag, &component(100), Arc::new(Silent))
        .await
        .unwrap();
    let other = tag.with_digest(Digest::of(b"other"));
    assert!(client.resolve(&other).await.unwrap_err().is_not_found());
    let to_digest = client.push(&other, &component(100), Arc::new(Silent)).await;
    assert!(matches!(to_digest, Err(RegistryError::PushToDigest { .. })));
}

#[tokio::test]
async fn content_that_was_changed_in_the_registry_is_refused() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let client = client(&[&host]);
    let tag = reference(&format!("{host}/acme/cart:1.0"));
    let pushed = client
        .push(&tag, &component(50_000), Arc::new(Silent))
        .await
        .unwrap();
    registry.tamper(&pushed.content.to_string()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("cart");
    let resolved = client.resolve(&tag).await.unwrap();
    let refused = client
        .pull(&tag, &resolved.content, &to, &Silent)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, RegistryError::Mismatch { .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("was changed"), "{refused}");
    assert_eq!(std::fs::read(&to).unwrap(), b"", "nothing of it is kept");

    // The manifest: who names a digest gets that one or none.
    registry.tamper(&pushed.manifest.to_string()).unwrap();
    let by_digest = client.resolve(&tag.with_digest(pushed.manifest)).await;
    assert!(by_digest.is_err(), "{by_digest:?}");
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_comes() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let tag = reference(&format!("{host}/acme/cart:1.0"));
    let artefact = component(50_000);
    client(&[&host])
        .push(&tag, &artefact, Arc::new(Silent))
        .await
        .unwrap();
    let small = trellis_registry::Client::new(Settings {
        max_bytes: 10_000,
        ..settings(&[&host])
    })
    .unwrap();
    let resolved = small.resolve(&tag).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("cart");
    let pulled = small.pull(&tag, &resolved.content, &to, &Silent).await;
    assert!(matches!(pulled, Err(RegistryError::TooLarge { .. })));
    assert!(!to.exists());
    let pushed = small.push(&tag, &artefact, Arc::new(Silent)).await;
    assert!(matches!(pushed, Err(RegistryError::TooLarge { .. })));
}
