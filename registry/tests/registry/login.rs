//! Who is let in, and over what.

use std::sync::Arc;

use base64::Engine as _;
use trellis_registry::{Client, Login, RegistryError, Settings, Silent};
use trellis_tests::registry::{PASSWORD, Registry, USER};

use crate::kit::{client, component, login, reference, settings};

#[tokio::test]
async fn only_who_has_the_password_is_let_in() {
    let registry = Registry::with_login().await.unwrap();
    let host = registry.host();
    let tag = reference(&format!("{host}/acme/cart:1.0"));
    let artefact = component(1000);
    let known = Client::new(Settings {
        login: Some(login(&host)),
        ..settings(&[&host])
    })
    .unwrap();
    known.push(&tag, &artefact, Arc::new(Silent)).await.unwrap();
    known.resolve(&tag).await.unwrap();

    let wrong = Client::new(Settings {
        login: Some(Login {
            password: "wrong".into(),
            ..login(&host)
        }),
        ..settings(&[&host])
    })
    .unwrap();
    let anonymous = client(&[&host]);
    for (client, who) in [(wrong, "user \"ann\""), (anonymous, "anonymous")] {
        let pull = client.resolve(&tag).await.unwrap_err();
        let push = client.push(&tag, &artefact, Arc::new(Silent)).await;
        for error in [pull, push.unwrap_err()] {
            assert!(
                matches!(error, RegistryError::Unauthorised { .. }),
                "{error}"
            );
            let text = error.to_string();
            assert!(
                text.contains(who) && text.contains(&format!("docker login {host}")),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn docker_s_configuration_is_used() {
    let registry = Registry::with_login().await.unwrap();
    let host = registry.host();
    let folder = tempfile::tempdir().unwrap();
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = serde_json::json!({"auths": {(host.as_str()): {"auth": auth}}});
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let client = Client::new(Settings {
        docker_config: Some(folder.path().to_owned()),
        ..settings(&[&host])
    })
    .unwrap();
    let tag = reference(&format!("{host}/acme/cart:1.0"));
    client
        .push(&tag, &component(1000), Arc::new(Silent))
        .await
        .unwrap();
    client.resolve(&tag).await.unwrap();
}

#[tokio::test]
async fn over_tls_its_authority_must_be_trusted() {
    let registry = Registry::with_tls().await.unwrap();
    let host = registry.host();
    let tag = reference(&format!("{host}/acme/cart:1.0"));
    let trusting = Client::new(Settings {
        login: Some(login(&host)),
        ca_files: vec![registry.authority()],
        ..settings(&[])
    })
    .unwrap();
    trusting
        .push(&tag, &component(200_000), Arc::new(Silent))
        .await
        .unwrap();
    let resolved = trusting.resolve(&tag).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("cart");
    trusting
        .pull(&tag, &resolved.content, &to, &Silent)
        .await
        .unwrap();

    let error = client(&[]).resolve(&tag).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Certificate { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--registry-ca"), "{error}");
    let error = client(&[&host]).resolve(&tag).await.unwrap_err();
    assert!(matches!(error, RegistryError::IsTls { .. }), "{error}");
}

#[tokio::test]
async fn plain_http_must_be_allowed() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let tag = reference(&format!("{host}/acme/cart:1.0"));
    let client = client(&[]);
    let pull = client.resolve(&tag).await.unwrap_err();
    let push = client.push(&tag, &component(100), Arc::new(Silent)).await;
    for error in [pull, push.unwrap_err()] {
        assert!(matches!(error, RegistryError::NotTls { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("--insecure-registry {host}")),
            "{text}"
        );
    }
}
