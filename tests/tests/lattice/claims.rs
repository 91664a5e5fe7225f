//! Hosts refuse actors that are not signed as they must be, each for its own reason.

use std::fs;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use time::OffsetDateTime;
use trellis_lattice::{
    claims::{AccountKey, ComponentDetails, ComponentKey, Validity, sign_component},
    event::{CloudEvent, Event},
};
use trellis_tests::{actors, lattice::Lattice};

/// Asks the host to run these bytes, and gives the reason why it does not.
async fn refusal(lattice: &Lattice, name: &str, bytes: &[u8]) -> Result<String> {
    let path = lattice.directory().join(format!("{name}.wasm"));
    fs::write(&path, bytes)?;
    let events = lattice.control.subjects().event("component_scale_failed");
    let mut events = lattice.control.nats().subscribe(events).await?;
    lattice.control.nats().flush().await?;
    let host = lattice.host()?.id.clone();
    // A refusal may come with the answer, or as an event after it.
    if let Err(error) = lattice
        .scale(&host, name, &format!("file://{}", path.display()), 1, &[])
        .await
    {
        return Ok(error.to_string());
    }
    let message = tokio::time::timeout(trellis_tests::wait::DEADLINE, events.next()).await?;
    match CloudEvent::read(&message.context("no event")?.payload)?.event()? {
        Event::ComponentScaleFailed(failed) => Ok(failed.error),
        other => anyhow::bail!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actors_that_are_not_rightly_signed_are_refused() -> Result<()> {
    let lattice = Lattice::start().await?;
    let hello = actors::built("http_hello")?;
    let sign = |issuer: &AccountKey, validity: &Validity| {
        let details = ComponentDetails {
            name: Some("hello".into()),
            ..ComponentDetails::default()
        };
        let subject = ComponentKey::generate().public();
        sign_component(&hello, issuer, &subject, &details, validity)
    };
    let hour = time::Duration::HOUR;
    let now = OffsetDateTime::now_utc();
    let unlimited = Validity::unlimited(now);
    let good = sign(&lattice.issuer, &unlimited)?;

    let mut tampered = good.clone();
    // A custom section at the end: still a valid component, no longer what was signed.
    tampered.extend([0, 5, 4, b'e', b'v', b'i', b'l']);
    let past = Validity {
        expires: Some(now - hour),
        ..Validity::unlimited(now - 2 * hour)
    };
    let expired = sign(&lattice.issuer, &past)?;
    let early = sign(
        &lattice.issuer,
        &Validity {
            not_before: Some(now + hour),
            ..unlimited
        },
    )?;
    let foreign = sign(&AccountKey::generate(), &unlimited)?;
    let cases: [(&str, &[u8], &str); 6] = [
        ("unsigned", &hello, "unsigned"),
        ("tampered", &tampered, "altered after signing"),
        ("expired", &expired, "expired"),
        ("early", &early, "not valid until"),
        ("foreign", &foreign, "issuer"),
        ("text", b"not a component at all", "not a"),
    ];
    for (name, bytes, word) in cases {
        let reason = refusal(&lattice, name, bytes).await?;
        assert!(reason.to_lowercase().contains(word), "{name}: {reason}");
    }
    let inventory = lattice.control.inventory(&lattice.host()?.id).await?;
    assert!(
        inventory.components.is_empty(),
        "none of them runs: {inventory:?}"
    );

    lattice.run_actor("hello", "http_hello", 1).await
}
