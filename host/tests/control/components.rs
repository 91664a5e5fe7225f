//! Components: run, scaled, updated, stopped, refused; their calls, their links, their configuration.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result};
use serde_json::json;
use time::OffsetDateTime;
use trellis_host::HostConfig;
use trellis_lattice::{
    ComponentId, LatticeName,
    claims::{AccountKey, ComponentDetails, ComponentKey, Validity, sign_component},
    control::component::{ComponentLimits, ScaleComponent, UpdateComponent},
};
use trellis_rpc::{Call, CallContext, CallError, Operation, Outgoing, nats::NatsRpc};
use trellis_tests::wait::until;

use crate::kit::{Host, Lattice, component, component_bytes, inventory, scale};

/// Asks the component for its number.
pub async fn ask(client: &async_nats::Client, id: &str) -> Result<u32, CallError> {
    let rpc = NatsRpc::new(client.clone(), LatticeName::default());
    let call = Call {
        operation: Operation::new("test:actors/ask@0.1.0", "number"),
        context: CallContext::default(),
        params: Outgoing::unary(bytes::Bytes::new()),
    };
    let results = rpc.route(&ComponentId::new(id).unwrap()).call(call).await?;
    // A small number is one byte of LEB128.
    assert_eq!(results.root.len(), 1);
    Ok(u32::from(results.root[0]))
}

#[tokio::test]
async fn a_component_is_run_scaled_described_and_stopped() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = component(lattice.folder.path(), 42)?;
    let annotations = [("managed-by".to_owned(), "test".to_owned())];
    let request = ScaleComponent {
        annotations: Some(annotations.into()),
        ..scale(&host.id, "a", &image, 3)
    };
    lattice.control.scale_component(&request).await?;
    let scaled = lattice.events.named("component_scaled").await?;
    assert_eq!(
        scaled,
        json!({"annotations": {"managed-by": "test"}, "component_id": "a", "host_id": host.id,
            "image_ref": image, "max_instances": 3, "public_key": "a"})
    );
    assert_eq!(ask(&lattice.client, "a").await?, 42);

    let id = ComponentId::new("a")?;
    let known = lattice.control.inventory(&host.id).await?;
    let known = known.component(&id).context("not in the inventory")?;
    assert_eq!(
        (known.max_instances, known.image_ref.as_str()),
        (3, image.as_str())
    );
    assert_eq!(known.annotations["managed-by"], "test");
    let exports = lattice.control.describe_component(&id).await?;
    let functions: Vec<_> = exports
        .functions
        .iter()
        .map(|f| (f.instance.as_str(), f.function.as_str()))
        .collect();
    assert_eq!(functions, [("test:actors/ask@0.1.0", "number")]);
    assert!(
        exports.functions[0].ty.is_object(),
        "{:?}",
        exports.functions[0]
    );

    lattice
        .control
        .scale_component(&scale(&host.id, "a", &image, 1))
        .await?;
    assert_eq!(
        lattice.events.named("component_scaled").await?["max_instances"],
        1
    );
    lattice
        .control
        .scale_component(&scale(&host.id, "a", &image, 0))
        .await?;
    let stopped = lattice.events.named("component_scaled").await?;
    assert_eq!(stopped["max_instances"], 0);
    assert_eq!(stopped["annotations"]["managed-by"], "test");
    assert!(
        lattice
            .control
            .inventory(&host.id)
            .await?
            .components
            .is_empty()
    );
    assert!(matches!(
        ask(&lattice.client, "a").await,
        Err(CallError::NoResponder { .. })
    ));

    // What does not run is stopped already.
    lattice
        .control
        .scale_component(&scale(&host.id, "a", &image, 0))
        .await?;
    assert_eq!(
        lattice.events.named("component_scaled").await?["max_instances"],
        0
    );
    Ok(())
}

#[tokio::test]
async fn requests_about_one_component_keep_their_order() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let image = component(lattice.folder.path(), 1)?;
    let mut counts: Vec<u32> = (1..30).map(|number| number % 4).collect();
    counts.push(7);
    for count in &counts {
        // Sent without waiting for answers, as fast as can be.
        let body = serde_json::to_vec(&scale(&host.id, "a", &image, *count))?;
        let subject = lattice.control.subjects().component_scale(&host.id);
        lattice.client.publish(subject, body.into()).await?;
    }
    let mut seen = Vec::new();
    for _ in &counts {
        let scaled = lattice.events.named("component_scaled").await?;
        seen.push(u32::try_from(scaled["max_instances"].as_u64().unwrap())?);
    }
    assert_eq!(seen, counts);
    let known = lattice.control.inventory(&host.id).await?;
    assert_eq!(known.components[0].max_instances, 7);
    Ok(())
}

#[tokio::test]
async fn an_update_replaces_the_image_without_a_failed_call() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let images = [
        component(lattice.folder.path(), 1)?,
        component(lattice.folder.path(), 2)?,
    ];
    lattice
        .control
        .scale_component(&scale(&host.id, "a", &images[0], 4))
        .await?;
    lattice.events.named("component_scaled").await?;

    // Another image is not taken by a scale that does not say so; the scale is.
    let answer = lattice
        .request(
            &format!("component.scale.{}", host.id),
            &serde_json::to_vec(&scale(&host.id, "a", &images[1], 5))?,
        )
        .await?;
    assert!(
        answer["message"]
            .as_str()
            .unwrap()
            .contains("its image stays"),
        "{answer}"
    );
    let scaled = lattice.events.named("component_scaled").await?;
    assert_eq!(
        (&scaled["image_ref"], &scaled["max_instances"]),
        (&json!(images[0]), &json!(5))
    );

    let update = UpdateComponent {
        component_id: ComponentId::new("a")?,
        host_id: host.id.clone(),
        new_component_ref: images[1].clone(),
        annotations: None,
    };
    let client = lattice.client.clone();
    let updated = async {
        lattice.control.update_component(&update).await?;
        lattice.events.named("component_scaled").await
    };
    tokio::pin!(updated);
    let mut seen = BTreeSet::new();
    let event = loop {
        tokio::select! {
            event = &mut updated => break event?,
            answer = ask(&client, "a") => { seen.insert(answer?); }
        }
    };
    assert_eq!(event["image_ref"], json!(images[1]));
    assert_eq!(event["max_instances"], 5);
    until("the new image answers", || async {
        anyhow::ensure!(ask(&client, "a").await? == 2);
        Ok(())
    })
    .await?;
    assert!(seen.is_subset(&[1, 2].into()), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn two_hosts_share_a_component_s_load_and_one_may_leave() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let hosts = [lattice.host().await?, lattice.host().await?];
    // The two answer differently, so that it shows who answered.
    for (number, host) in hosts.iter().enumerate() {
        let image = component(lattice.folder.path(), u32::try_from(number)?)?;
        lattice
            .control
            .scale_component(&scale(&host.id, "a", &image, 10))
            .await?;
        lattice.events.named("component_scaled").await?;
    }
    let mut answered = [0; 2];
    for _ in 0..100 {
        answered[ask(&lattice.client, "a").await? as usize] += 1;
    }
    assert!(answered[0] >= 20 && answered[1] >= 20, "{answered:?}");

    let [first, second] = hosts;
    let stopping = tokio::spawn(first.stop());
    while !stopping.is_finished() {
        ask(&lattice.client, "a").await?;
    }
    stopping.await??;
    assert_eq!(ask(&lattice.client, "a").await?, 1);
    second.stop().await
}

/// Tries to run it, and gives the reason why that failed.
async fn refused(lattice: &mut Lattice, host: &Host, image: &str) -> Result<String> {
    lattice
        .control
        .scale_component(&scale(&host.id, "a", image, 1))
        .await?;
    let failed = lattice.events.named("component_scale_failed").await?;
    assert_eq!(
        (&failed["component_id"], &failed["image_ref"]),
        (&json!("a"), &json!(image))
    );
    assert!(
        lattice
            .control
            .inventory(&host.id)
            .await?
            .components
            .is_empty()
    );
    Ok(failed["error"].as_str().unwrap().to_owned())
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> Result<String> {
    let path = folder.join(name);
    std::fs::write(&path, bytes)?;
    Ok(format!("file://{}", path.display()))
}

#[tokio::test]
async fn what_cannot_run_says_why() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let config = lattice.config()?;
    let config = HostConfig {
        runtime: trellis_host::runtime::RuntimeConfig {
            max_component_bytes: 10_000,
            ..config.runtime.clone()
        },
        ..config
    };
    let host = Host::start(config).await?;
    let folder = lattice.folder.path().to_owned();
    let missing = refused(&mut lattice, &host, "file:///no/such/file.wasm").await?;
    assert!(
        missing.contains("/no/such/file.wasm: No such file"),
        "{missing}"
    );
    let text = file(&folder, "text.wasm", b"hello")?;
    assert!(
        refused(&mut lattice, &host, &text)
            .await?
            .contains("not a WebAssembly file")
    );
    let module = file(&folder, "module.wasm", &wat::parse_str("(module)")?)?;
    assert!(
        refused(&mut lattice, &host, &module)
            .await?
            .contains("not a component")
    );
    let large = file(&folder, "large.wasm", &[0; 10_001])?;
    assert!(
        refused(&mut lattice, &host, &large)
            .await?
            .contains("larger than the 10000 bytes")
    );

    let mut broken = component_bytes(1)?;
    broken.truncate(broken.len() - 5);
    let broken = file(&folder, "broken.wasm", &broken)?;
    refused(&mut lattice, &host, &broken).await?;

    let image = component(&folder, 1)?;
    let request = ScaleComponent {
        config: vec!["nowhere".into()],
        ..scale(&host.id, "a", &image, 1)
    };
    lattice.control.scale_component(&request).await?;
    let failed = lattice.events.named("component_scale_failed").await?;
    assert!(
        failed["error"].as_str().unwrap().contains("\"nowhere\""),
        "{failed}"
    );
    let limits = ComponentLimits {
        max_memory_limit: Some(1 << 60),
        ..ComponentLimits::default()
    };
    let request = ScaleComponent {
        limits: Some(limits),
        ..scale(&host.id, "a", &image, 1)
    };
    lattice.control.scale_component(&request).await?;
    let failed = lattice.events.named("component_scale_failed").await?;
    assert!(
        failed["error"].as_str().unwrap().contains("memory_bytes"),
        "{failed}"
    );
    assert!(matches!(
        ask(&lattice.client, "a").await,
        Err(CallError::NoResponder { .. })
    ));
    Ok(())
}

#[tokio::test]
async fn signed_components_run_and_their_claims_are_known() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let account = AccountKey::generate();
    let config = HostConfig {
        allow_unsigned: false,
        issuers: vec![account.public().to_string()],
        ..lattice.config()?
    };
    let host = Host::start(config).await?;
    let folder = lattice.folder.path().to_owned();
    let unsigned = component(&folder, 5)?;
    assert!(
        refused(&mut lattice, &host, &unsigned)
            .await?
            .contains("is not signed")
    );

    let key = ComponentKey::generate().public();
    let details = ComponentDetails {
        name: Some("five".into()),
        revision: Some(3),
        ..Default::default()
    };
    let validity = Validity::unlimited(OffsetDateTime::now_utc());
    let sign = |account: &AccountKey| -> Result<Vec<u8>> {
        Ok(sign_component(
            &component_bytes(5)?,
            account,
            &key,
            &details,
            &validity,
        )?)
    };
    let stranger = file(&folder, "stranger.wasm", &sign(&AccountKey::generate())?)?;
    assert!(
        refused(&mut lattice, &host, &stranger)
            .await?
            .contains("does not trust")
    );

    let signed = file(&folder, "signed.wasm", &sign(&account)?)?;
    lattice
        .control
        .scale_component(&scale(&host.id, "a", &signed, 1))
        .await?;
    let scaled = lattice.events.named("component_scaled").await?;
    assert_eq!(scaled["public_key"], key.as_str());
    assert_eq!(scaled["claims"]["name"], "five");
    assert_eq!(ask(&lattice.client, "a").await?, 5);
    let known = lattice.control.inventory(&host.id).await?;
    assert_eq!(known.components[0].name.as_deref(), Some("five"));
    assert_eq!(known.components[0].revision, 3);
    let claims = until("the claims", || async {
        lattice.control.claims().await?.pop().context("none yet")
    })
    .await?;
    assert_eq!(
        (claims["sub"].as_str(), claims["name"].as_str()),
        (key.as_str(), "five")
    );
    Ok(())
}

#[tokio::test]
async fn a_component_of_another_host_is_taken_over_after_a_restart() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let image = component(lattice.folder.path(), 9)?;
    for _ in 0..2 {
        let host = lattice.host().await?;
        lattice
            .control
            .scale_component(&scale(&host.id, "a", &image, 2))
            .await?;
        inventory(&lattice, &host.id, |inventory| {
            inventory.components.len() == 1
        })
        .await?;
        assert_eq!(ask(&lattice.client, "a").await?, 9);
        host.stop().await?;
        assert!(ask(&lattice.client, "a").await.is_err());
    }
    lattice.events.named("host_stopped").await?;
    Ok(())
}
