//! TLS to the broker.

use anyhow::{Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use trellis_tests::mosquitto::{Access, MosquittoServer};

use crate::kit::{PROVIDER, Stage, component, message, next, receives, sends};

#[tokio::test]
async fn a_broker_is_believed_with_a_certificate_that_is_trusted() -> Result<()> {
    let mut own = CertificateParams::new(Vec::new())?;
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(own, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    let access = Access {
        certificate: Some((&certificate, &key)),
        ..Access::default()
    };
    let (broker, stage) = (MosquittoServer::with(access).await?, Stage::set().await?);
    let ca = broker.folder().join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let (url, ca) = (
        broker.url().replace("mqtt:", "mqtts:"),
        ca.display().to_string(),
    );
    let (_serving, mut messages) = component(&stage.host, "echo").await?;
    let running = stage.provider(Vec::new()).await?;

    let plain = broker.url();
    for (config, told) in [
        (&[("url", url.as_str())][..], "certificate"),
        (
            &[("url", url.as_str()), ("tls_ca_file", "/nowhere.pem")][..],
            "field `tls_ca_file`: /nowhere.pem",
        ),
        (&[("url", plain.as_str())][..], "MQTT at 127.0.0.1"),
    ] {
        let link = sends("echo", config);
        stage.host.put(PROVIDER, &link).await?;
        let message = stage.host.until_healthy(PROVIDER, false).await?;
        ensure!(message.contains(told), "{message}");
        stage.host.delete(PROVIDER, &link).await?;
        stage.host.until_healthy(PROVIDER, true).await?;
    }

    let trusting = [("url", url.as_str()), ("tls_ca_file", ca.as_str())];
    let subscribed = [&trusting[..], &[("subscriptions", "a")]].concat();
    stage
        .host
        .put(PROVIDER, &receives("echo", &subscribed))
        .await?;
    stage.host.put(PROVIDER, &sends("echo", &trusting)).await?;
    stage
        .publish("echo", &message("a", "over TLS", None))
        .await?;
    assert_eq!(next(&mut messages).await?.body, "over TLS");
    running.stop().await?;
    Ok(())
}
