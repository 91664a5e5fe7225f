//! Connections that drop.

use std::sync::{Arc, atomic::Ordering};

use trellis_registry::{RegistryError, Silent};
use trellis_tests::{dropping::Dropping, registry::Registry};

use crate::kit::{Noted, client, component, reference};

const SIZE: usize = 4 << 20;
/// What is said around content: headers, and what requests before it were answered on the same connection.
const TALK: u64 = 64 << 10;

#[tokio::test]
async fn a_pull_goes_on_where_it_was_cut() {
    let registry = Registry::start().await.unwrap();
    let tag = reference(&format!("{}/acme/cart:1.0", registry.host()));
    let artefact = component(SIZE);
    client(&[&registry.host()])
        .push(&tag, &artefact, Arc::new(Silent))
        .await
        .unwrap();

    let way = Dropping::before(registry.at(), 1 << 20, 3).await.unwrap();
    let from = reference(&format!("{}/acme/cart:1.0", way.host()));
    let client = client(&[&way.host()]);
    let resolved = client.resolve(&from).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("cart");
    let noted = Noted::new();
    client
        .pull(&from, &resolved.content, &to, noted.as_ref())
        .await
        .unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), artefact.content);
    assert_eq!(way.dropped(), 3);
    assert_eq!(noted.tries.load(Ordering::SeqCst), 3);
    let positions = noted.positions.lock().unwrap();
    assert!(positions.is_sorted(), "it never began again");
    // What was on its way when it was cut comes twice, and no more.
    let whole = artefact.content.len() as u64;
    assert!(
        way.passed() < whole + whole / 2,
        "{} of {whole}",
        way.passed()
    );
}

#[tokio::test]
async fn another_pull_goes_on_where_one_gave_up() {
    let registry = Registry::start().await.unwrap();
    let tag = reference(&format!("{}/acme/cart:1.0", registry.host()));
    let artefact = component(SIZE);
    let direct = client(&[&registry.host()]);
    direct
        .push(&tag, &artefact, Arc::new(Silent))
        .await
        .unwrap();
    let resolved = direct.resolve(&tag).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("cart");
    // Half of it, as one that was killed leaves it.
    let half = artefact.content.len() / 2;
    std::fs::write(&to, &artefact.content[..half]).unwrap();

    let way = Dropping::before(registry.at(), u64::MAX, 0).await.unwrap();
    let from = reference(&format!("{}/acme/cart:1.0", way.host()));
    let there = client(&[&way.host()]);
    there
        .pull(&from, &resolved.content, &to, &Silent)
        .await
        .unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), artefact.content);
    assert!(way.passed() < half as u64 + TALK, "{}", way.passed());

    // What was left is something else: it begins again, and is right in the end.
    std::fs::write(&to, vec![0; half]).unwrap();
    there
        .pull(&from, &resolved.content, &to, &Silent)
        .await
        .unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), artefact.content);
}

#[tokio::test]
async fn a_push_is_tried_again() {
    let registry = Registry::start().await.unwrap();
    // In the middle of the content.
    let way = Dropping::before(registry.at(), 50_000, 2).await.unwrap();
    let tag = reference(&format!("{}/acme/cart:1.0", way.host()));
    let artefact = component(100_000);
    let noted = Noted::new();
    client(&[&way.host()])
        .push(&tag, &artefact, noted.clone())
        .await
        .unwrap();
    assert_eq!(way.dropped(), 2);
    assert_eq!(noted.tries.load(Ordering::SeqCst), 2);
    let direct = reference(&format!("{}/acme/cart:1.0", registry.host()));
    client(&[&registry.host()]).resolve(&direct).await.unwrap();
}

#[tokio::test]
async fn it_is_given_up_in_the_end() {
    let mut registry = Registry::start().await.unwrap();
    let tag = reference(&format!("{}/acme/cart:1.0", registry.host()));
    registry.stop();
    let error = client(&[&registry.host()]).resolve(&tag).await.unwrap_err();
    assert!(matches!(error, RegistryError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("connection"), "{error}");
}
