//! Provider processes: started, told of what changes, watched, started again, ended.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use trellis_host::HostConfig;
use trellis_lattice::{
    ComponentId, HostId, Link,
    claims::{AccountKey, ProviderDetails, ProviderKey, Validity, sign_archive, this_target},
    config::Config,
    control::provider::{StartProvider, StopProvider},
};

use crate::{
    kit::{DEADLINE, Host, Lattice, gone, inventory, pid},
    probe,
};

fn kill_9(pid: u64) -> Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?)
}

fn link(source: &str, target: &str, target_config: &[&str]) -> Link {
    serde_json::from_value(json!({
        "source_id": source, "target": target, "wit_namespace": "wasi", "wit_package": "keyvalue",
        "interfaces": ["store"], "target_config": target_config,
    }))
    .unwrap()
}

fn config(values: &[(&str, &str)]) -> Config {
    values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

async fn stop(lattice: &Lattice, host: &HostId, id: &str) -> Result<()> {
    let request = StopProvider {
        provider_id: ComponentId::new(id)?,
        host_id: host.clone(),
    };
    Ok(lattice.control.stop_provider(&request).await?)
}

#[tokio::test]
async fn a_provider_gets_its_host_data_and_runs_until_it_is_stopped() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let mut told = lattice.probe("kv").await?;
    lattice
        .control
        .put_config("own", &config(&[("a", "b")]))
        .await?;
    lattice
        .control
        .put_config("url", &config(&[("url", "redis://h")]))
        .await?;
    lattice.control.put_link(&link("x", "kv", &["url"])).await?;
    lattice.start_probe(&host.id, "kv", &["own"]).await?;

    let started = told.next("started").await?;
    let data = &started["host_data"];
    assert_eq!(data["host_id"], host.id.as_str());
    assert_eq!(data["provider_key"], "kv");
    assert_eq!(data["lattice_rpc_url"], lattice.server.url());
    assert_eq!(data["config"], json!({"a": "b"}));
    assert_eq!(data["keep_stdin"], true);
    assert_eq!(
        data["link_definitions"],
        json!([{"source_id": "x", "target": "kv", "name": "default", "wit_namespace": "wasi",
            "wit_package": "keyvalue", "interfaces": ["store"], "source_config": {},
            "target_config": {"url": "redis://h"}, "source_secrets": null, "target_secrets": null}])
    );
    let environment: Vec<&str> = started["environment"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(environment.contains(&"PATH"));
    for name in ["HOME", "CARGO_MANIFEST_DIR", "USER"] {
        assert!(!environment.contains(&name), "{environment:?}");
    }

    let event = lattice.events.named("provider_started").await?;
    assert_eq!(
        (&event["provider_id"], &event["image_ref"]),
        (&json!("kv"), &json!("builtin:probe"))
    );
    let healthy = lattice.events.named("health_check_passed").await?;
    assert_eq!(healthy, json!({"host_id": host.id, "provider_id": "kv"}));
    let known = inventory(&lattice, &host.id, |inventory| {
        !inventory.providers.is_empty()
    })
    .await?;
    assert_eq!(known.providers[0].name.as_deref(), Some("probe"));

    let again = lattice
        .start_probe(&host.id, "kv", &[])
        .await
        .unwrap_err()
        .to_string();
    assert!(again.contains("already running"), "{again}");

    stop(&lattice, &host.id, "kv").await?;
    assert_eq!(
        told.next("default.shutdown").await?["body"],
        json!({"host_id": host.id})
    );
    let stopped = lattice.events.named("provider_stopped").await?;
    assert_eq!(
        (&stopped["provider_id"], &stopped["reason"]),
        (&json!("kv"), &json!("stop"))
    );
    assert!(
        lattice
            .control
            .inventory(&host.id)
            .await?
            .providers
            .is_empty()
    );
    gone(pid(&started)).await
}

#[tokio::test]
async fn links_and_configurations_reach_a_provider_that_runs() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let (mut old, mut new) = (lattice.probe("old").await?, lattice.probe("new").await?);
    lattice
        .control
        .put_config("own", &config(&[("a", "1")]))
        .await?;
    lattice
        .control
        .put_config("url", &config(&[("url", "1")]))
        .await?;
    lattice.start_probe(&host.id, "old", &["own"]).await?;
    lattice.start_probe(&host.id, "new", &[]).await?;
    for _ in 0..2 {
        lattice.events.named("health_check_passed").await?;
    }

    lattice
        .control
        .put_link(&link("x", "old", &["url"]))
        .await?;
    assert_eq!(
        old.next("linkdefs.put").await?["body"]["target_config"],
        json!({"url": "1"})
    );
    lattice
        .control
        .put_config("url", &config(&[("url", "2")]))
        .await?;
    assert_eq!(
        old.next("linkdefs.put").await?["body"]["target_config"],
        json!({"url": "2"})
    );
    lattice
        .control
        .put_config("own", &config(&[("a", "2")]))
        .await?;
    assert_eq!(old.next("config.update").await?["body"], json!({"a": "2"}));

    // The new target has the link before the old one loses it.
    lattice.control.replace_link(&link("x", "new", &[])).await?;
    assert_eq!(new.next("linkdefs.put").await?["body"]["source_id"], "x");
    assert!(
        !old.drain()
            .await
            .iter()
            .any(|told| told["what"] == "linkdefs.del")
    );
    assert_eq!(old.next("linkdefs.del").await?["body"]["target"], "old");

    lattice
        .control
        .delete_link(&link("x", "new", &[]).key())
        .await?;
    assert_eq!(
        new.next("linkdefs.del").await?["body"],
        json!({"source_id": "x", "target": "new", "name": "default", "wit_namespace": "wasi",
            "wit_package": "keyvalue", "interfaces": ["store"], "source_config": {}, "target_config": {},
            "source_secrets": null, "target_secrets": null})
    );
    Ok(())
}

#[tokio::test]
async fn links_of_providers_elsewhere_are_told_as_in_1_x() -> Result<()> {
    let lattice = Lattice::start().await?;
    let _host = lattice.host().await?;
    // Nobody of ours: a 1.x host's provider would listen there.
    let mut heard = lattice
        .client
        .subscribe("wasmbus.rpc.default.*.linkdefs.*")
        .await?;
    lattice.client.flush().await?;
    lattice.control.put_link(&link("x", "theirs", &[])).await?;
    lattice
        .control
        .delete_link(&link("x", "theirs", &[]).key())
        .await?;
    let mut subjects = Vec::new();
    for _ in 0..4 {
        let message = tokio::time::timeout(DEADLINE, futures::StreamExt::next(&mut heard)).await?;
        subjects.push(
            message
                .context("no more")?
                .subject
                .replace("wasmbus.rpc.default.", ""),
        );
    }
    assert_eq!(
        subjects,
        [
            "x.linkdefs.put",
            "theirs.linkdefs.put",
            "x.linkdefs.del",
            "theirs.linkdefs.del"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_killed_provider_is_back_with_its_links() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let mut told = lattice.probe("kv").await?;
    lattice.start_probe(&host.id, "kv", &[]).await?;
    let first = told.next("started").await?;
    lattice.events.named("health_check_passed").await?;
    lattice.control.put_link(&link("x", "kv", &[])).await?;
    told.next("linkdefs.put").await?;

    kill_9(pid(&first))?;
    let failed = lattice.events.named("health_check_failed").await?;
    assert!(
        failed["message"].as_str().unwrap().contains("signal: 9"),
        "{failed}"
    );
    let second = told.next("started").await?;
    assert_ne!(pid(&first), pid(&second));
    assert_eq!(second["host_data"]["link_definitions"][0]["source_id"], "x");
    lattice.events.named("provider_started").await?;
    lattice.events.named("health_check_passed").await?;
    assert_eq!(
        lattice.control.inventory(&host.id).await?.providers.len(),
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_provider_that_fails_at_once_is_tried_again_ever_more_slowly() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    lattice
        .control
        .put_config("bad", &config(&[("behaviour", "fail")]))
        .await?;
    lattice.start_probe(&host.id, "kv", &["bad"]).await?;
    let mut failures = Vec::new();
    for _ in 0..3 {
        let failed = lattice.events.named("provider_start_failed").await?;
        let error = failed["error"].as_str().unwrap();
        assert!(
            error.contains("exit status: 1") && error.contains("told to fail"),
            "{error}"
        );
        failures.push(tokio::time::Instant::now());
    }
    assert!(failures[2] - failures[1] > Duration::from_millis(250));
    // As soon as it can start, it does.
    lattice.control.put_config("bad", &config(&[])).await?;
    lattice.events.named("provider_started").await?;
    stop(&lattice, &host.id, "kv").await?;
    lattice.events.named("provider_stopped").await?;
    Ok(())
}

#[tokio::test]
async fn health_is_told_when_it_changes() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let config_fast = HostConfig {
        health_interval: Duration::from_millis(100),
        ..lattice.config()?
    };
    let host = Host::start(config_fast).await?;
    lattice.control.put_config("c", &config(&[])).await?;
    lattice.start_probe(&host.id, "kv", &["c"]).await?;
    lattice.events.named("health_check_passed").await?;
    lattice.events.named("health_check_status").await?;
    lattice
        .control
        .put_config("c", &config(&[("behaviour", "sick")]))
        .await?;
    let failed = lattice.events.named("health_check_failed").await?;
    assert_eq!(failed["message"], "as told");
    lattice.control.put_config("c", &config(&[])).await?;
    lattice.events.named("health_check_passed").await?;
    Ok(())
}

#[tokio::test]
async fn a_provider_that_does_not_want_to_end_is_killed() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let config_short = HostConfig {
        provider_stop_grace: Duration::from_millis(200),
        ..lattice.config()?
    };
    let host = Host::start(config_short).await?;
    let mut told = lattice.probe("kv").await?;
    lattice
        .control
        .put_config("c", &config(&[("behaviour", "stubborn")]))
        .await?;
    lattice.start_probe(&host.id, "kv", &["c"]).await?;
    let started = told.next("started").await?;
    lattice.events.named("provider_started").await?;
    stop(&lattice, &host.id, "kv").await?;
    lattice.events.named("provider_stopped").await?;
    gone(pid(&started)).await
}

#[tokio::test]
async fn what_cannot_be_started_says_why() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let host = lattice.host().await?;
    let folder = lattice.folder.path().to_owned();
    let broken = folder.join("broken");
    std::fs::write(&broken, "#!/no/such/interpreter\n")?;
    std::fs::set_permissions(&broken, PermissionsExt::from_mode(0o755))?;
    let text = folder.join("text");
    std::fs::write(&text, "hello")?;
    for (reference, says) in [
        (
            "builtin:htpp".to_owned(),
            "there is no built-in provider \"htpp\"; there are: probe",
        ),
        (
            "file:///no/such/provider".to_owned(),
            "/no/such/provider: No such file",
        ),
        (format!("file://{}", broken.display()), "No such file"),
        (
            format!("file://{}", text.display()),
            "not a provider archive",
        ),
        (format!("file://{}", folder.display()), "is not a file"),
    ] {
        let request = StartProvider {
            provider_id: ComponentId::new("p")?,
            provider_ref: reference.clone(),
            host_id: host.id.clone(),
            config: Vec::new(),
            annotations: None,
        };
        lattice.control.start_provider(&request).await?;
        let failed = lattice.events.named("provider_start_failed").await?;
        assert!(
            failed["error"].as_str().unwrap().contains(says),
            "{reference}: {failed}"
        );
        inventory(&lattice, &host.id, |inventory| {
            inventory.providers.is_empty()
        })
        .await?;
    }
    lattice.start_probe(&host.id, "p", &["nowhere"]).await?;
    let failed = lattice.events.named("provider_start_failed").await?;
    assert!(
        failed["error"].as_str().unwrap().contains("\"nowhere\""),
        "{failed}"
    );
    Ok(())
}

#[tokio::test]
async fn archives_and_executables_run_as_the_policy_allows() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let account = AccountKey::generate();
    let strict = HostConfig {
        allow_unsigned: false,
        issuers: vec![account.public().to_string()],
        ..lattice.config()?
    };
    let host = Host::start(strict).await?;
    let folder = lattice.folder.path().to_owned();
    let script = probe::script(&folder)?;
    let start = |reference: String| StartProvider {
        provider_id: ComponentId::new("p").unwrap(),
        provider_ref: reference,
        host_id: host.id.clone(),
        config: Vec::new(),
        annotations: None,
    };
    lattice
        .control
        .start_provider(&start(format!("file://{}", script.display())))
        .await?;
    let failed = lattice.events.named("provider_start_failed").await?;
    assert!(
        failed["error"].as_str().unwrap().contains("not signed"),
        "{failed}"
    );
    inventory(&lattice, &host.id, |inventory| {
        inventory.providers.is_empty()
    })
    .await?;

    let key = ProviderKey::generate().public();
    let target = this_target();
    let binary = std::fs::read(&script)?;
    let details = ProviderDetails {
        name: Some("archived".into()),
        ..Default::default()
    };
    let archive = sign_archive(
        &[(target.as_str(), binary.as_slice())]
            .map(|(t, b)| (t.to_owned(), b.to_vec()))
            .into(),
        &account,
        &key,
        &details,
        &Validity::unlimited(OffsetDateTime::now_utc()),
        true,
    )?;
    let path = folder.join("probe.par.gz");
    std::fs::write(&path, archive)?;
    let mut told = lattice.probe("p").await?;
    lattice
        .control
        .start_provider(&start(format!("file://{}", path.display())))
        .await?;
    let started = told.next("started").await?;
    // 1.x's providers get keys for secrets.
    assert!(
        started["host_data"]["provider_xkey_private_key"]
            .as_str()
            .unwrap()
            .starts_with("SX")
    );
    let event = lattice.events.named("provider_started").await?;
    assert_eq!(event["claims"]["name"], "archived");
    let known = lattice.control.inventory(&host.id).await?;
    assert_eq!(known.providers[0].name.as_deref(), Some("archived"));
    let claims = lattice.control.claims().await?;
    assert_eq!(claims[0]["sub"], key.as_str());
    host.stop().await?;
    gone(pid(&started)).await
}
