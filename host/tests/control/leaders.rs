//! Application managers that lead one after the other: only the last one commands.

use anyhow::Result;
use serde_json::json;
use trellis_lattice::{
    ComponentId, HostId, Link,
    client::{ControlClient, ControlError},
    control::{
        component::UpdateComponent,
        label::{DeleteLabel, PutLabel},
        provider::{StartProvider, StopProvider},
    },
};

use crate::kit::{Lattice, component, scale};

fn link() -> Link {
    serde_json::from_value(json!({
        "source_id": "a", "target": "kv", "wit_namespace": "wasi", "wit_package": "keyvalue",
        "interfaces": ["store"],
    }))
    .unwrap()
}

/// Every command there is, and how each was answered.
async fn commands(
    control: &ControlClient,
    host: &HostId,
    image: &str,
) -> Result<Vec<(&'static str, Result<(), ControlError>)>> {
    let (component, provider) = (ComponentId::new("a")?, ComponentId::new("kv")?);
    let label = |key: &str| PutLabel {
        key: key.into(),
        value: "fra".into(),
    };
    let update = UpdateComponent {
        component_id: component,
        host_id: host.clone(),
        new_component_ref: image.into(),
        annotations: None,
    };
    let start = StartProvider {
        provider_id: provider.clone(),
        provider_ref: "builtin:probe".into(),
        host_id: host.clone(),
        config: vec![],
        annotations: None,
    };
    let stop = StopProvider {
        provider_id: provider,
        host_id: host.clone(),
    };
    let unlabel = DeleteLabel { key: "pop".into() };
    Ok(vec![
        (
            "scale",
            control.scale_component(&scale(host, "a", image, 1)).await,
        ),
        ("update", control.update_component(&update).await),
        ("start", control.start_provider(&start).await),
        ("stop", control.stop_provider(&stop).await),
        ("label", control.put_label(host, &label("pop")).await),
        ("unlabel", control.delete_label(host, &unlabel).await),
        ("link", control.put_link(&link()).await),
        ("unlink", control.delete_link(&link().key()).await),
        (
            "config",
            control
                .put_config("c", &[("a".into(), "b".into())].into())
                .await,
        ),
        ("unconfig", control.delete_config("c").await),
        ("stop host", control.stop_host(host, None).await),
    ])
}

#[tokio::test]
async fn a_follower_s_ping_ends_the_former_leader_s_commands() -> Result<()> {
    let lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = component(lattice.folder.path(), 1)?;
    let old = lattice.control.clone().with_fence(1000);
    old.put_label(
        &host.id,
        &PutLabel {
            key: "first".into(),
            value: "yes".into(),
        },
    )
    .await?;

    // A new one leads: all it has done yet is to ask who is there.
    let new = lattice.control.clone().with_fence(1001);
    assert_eq!(new.hosts().await?.len(), 1);

    for (command, answer) in commands(&old, &host.id, &image).await? {
        let Err(ControlError::Refused { message, .. }) = &answer else {
            panic!("{command}: {answer:?}");
        };
        assert!(message.contains("fenced"), "{command}: {message}");
        assert!(
            message.contains("another application manager leads now"),
            "{command}: {message}"
        );
    }
    // Nothing of it was done, and asking is still answered.
    let inventory = old.inventory(&host.id).await?;
    assert!(inventory.components.is_empty() && inventory.providers.is_empty());
    assert_eq!(inventory.labels["first"], "yes");
    assert_eq!(inventory.labels.get("pop"), None);
    assert_eq!((old.hosts().await?.len(), old.links().await?.len()), (1, 0));
    assert_eq!(old.config("c").await?, None);

    // The one that leads commands, and so do people, who have no number.
    let mut answers = commands(&new, &host.id, &image).await?;
    let host_ends = answers.pop();
    for (command, answer) in &answers {
        // What it asks to update may not run yet.
        let fenced = matches!(answer, Err(error) if error.to_string().contains("fenced"));
        assert!(!fenced, "{command}: {answer:?}");
    }
    assert!(
        matches!(host_ends, Some(("stop host", Ok(())))),
        "{host_ends:?}"
    );
    Ok(())
}

#[tokio::test]
async fn any_request_tells_who_leads_and_none_is_needed() -> Result<()> {
    let lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let label = |value: &str| PutLabel {
        key: "pop".into(),
        value: value.into(),
    };
    let old = lattice.control.clone().with_fence(5);
    old.put_label(&host.id, &label("a")).await?;
    lattice
        .control
        .clone()
        .with_fence(6)
        .inventory(&host.id)
        .await?;
    let refused = old.put_label(&host.id, &label("b")).await.unwrap_err();
    assert!(refused.to_string().contains("fenced"), "{refused}");
    lattice.control.put_label(&host.id, &label("c")).await?;
    // A clone's number is its own.
    old.clone()
        .with_fence(6)
        .put_label(&host.id, &label("d"))
        .await?;
    assert!(old.put_label(&host.id, &label("e")).await.is_err());
    let inventory = lattice.control.inventory(&host.id).await?;
    assert_eq!(inventory.labels["pop"], "d");
    Ok(())
}
