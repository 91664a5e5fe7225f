//! A host in a PoP whose hub goes and comes: what it begins with, what it refuses meanwhile, and how soon it knows what it
//! missed. Over real servers, by the configurations that are deployed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream;
use serde_json::json;
use trellis_host::HostConfig;
use trellis_lattice::{
    ComponentId, HostId, Link,
    claims::HostKey,
    client::ControlClient,
    config::Config,
    connect::NatsSettings,
    control::{component::ScaleComponent, provider::StartProvider},
    mirror::{Copy, Mirror},
    topology::{Data, HUB, Role},
};
use trellis_tests::{
    pops::Pops,
    wait::{until, until_within},
};

use crate::{
    kit::{Host, component, runs},
    probe,
};

/// How soon after the hub is back all that was missed must be known.
const CONVERGED: Duration = Duration::from_secs(5);
const BUCKETS: [&str; 2] = ["LATTICEDATA_default", "CONFIGDATA_default"];

async fn start(pops: &[&str]) -> Result<Pops> {
    let pops: Vec<_> = pops.iter().map(|pop| (*pop, None)).collect();
    let data = Data {
        subjects: vec!["probe.>".into()],
        ..Data::default()
    };
    Pops::start_with(&pops, data, None).await
}

/// Settings for a host in a PoP, which is the same one whenever it is started with them.
fn config(pops: &Pops, pop: &str) -> Result<HostConfig> {
    let folder = pops
        .directory()
        .join(format!("{pop}-{:x}", rand::random::<u64>()));
    std::fs::create_dir(&folder)?;
    Ok(HostConfig {
        nats: pops.settings(pop, Role::Host)?,
        provider_seed_file: Some(pops.seed_file(pop, Role::Provider)),
        js_domain: Some(HUB.to_owned()),
        host_key: Some(HostKey::generate().seed()),
        allow_unsigned: true,
        builtin_executable: probe::script(&folder)?,
        builtin_providers: vec!["probe".into()],
        cache_dir: folder.join("cache"),
        data_dir: folder.join("data"),
        provider_stop_grace: Duration::from_secs(5),
        ..HostConfig::default()
    })
}

fn link(target: &str) -> Link {
    serde_json::from_value(json!({
        "source_id": "x", "target": target, "wit_namespace": "wasi", "wit_package": "keyvalue",
        "interfaces": ["store"],
    }))
    .unwrap()
}

fn value(value: &str) -> Config {
    [("a".to_owned(), value.to_owned())].into()
}

async fn fill(control: &ControlClient) -> Result<()> {
    control.put_link(&link("kv")).await?;
    Ok(control.put_config("c", &value("1")).await?)
}

async fn is_filled(control: &ControlClient) -> Result<()> {
    let links = control.links().await?;
    ensure!(links == [link("kv")], "{links:?}");
    let config = control.config("c").await?;
    ensure!(config == Some(value("1")), "{config:?}");
    Ok(())
}

/// A PoP's copy of a bucket, as it is.
async fn copy(client: &async_nats::Client, bucket: &str) -> Result<Copy> {
    let mirror = Mirror::beside(client, HUB, bucket, Duration::from_secs(5));
    let mirror = mirror.context("the PoP's server has no domain")?;
    mirror.look().await?.context("there is no copy")
}

/// Waits until a PoP's copies have all that the hub's buckets have.
async fn copied(pops: &Pops, pop: &str) -> Result<()> {
    let hub = jetstream::new(pops.connect(HUB, Role::Host).await?);
    let here = pops.connect(pop, Role::Host).await?;
    for bucket in BUCKETS {
        until("the copy is whole", || async {
            let origin = hub.get_stream(format!("KV_{bucket}")).await?;
            let copy = copy(&here, bucket).await?;
            let last = origin.cached_info().state.last_sequence;
            ensure!(
                copy.origin
                    == Some(trellis_lattice::mirror::Incarnation::of(
                        origin.cached_info()
                    )),
                "{bucket}: of another one"
            );
            ensure!(
                copy.is_live() && copy.last_sequence == last,
                "{bucket}: {copy:?}, not {last}"
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Waits until a PoP has noticed that the hub is away.
async fn cut_off(pops: &Pops, pop: &str) -> Result<()> {
    let here = pops.connect(pop, Role::Host).await?;
    until("the copy is cut off", || async {
        let silent = copy(&here, BUCKETS[0]).await?.silent_for;
        ensure!(
            silent.is_none_or(|silent| silent > Duration::from_secs(4)),
            "{silent:?}"
        );
        Ok(())
    })
    .await
}

/// As SIGKILL does to a host of its own process.
async fn kill(host: Host) -> HostId {
    host.task.abort();
    let _ = host.task.await;
    host.id
}

#[tokio::test]
async fn it_begins_with_its_pops_copy_and_refuses_changes_until_the_hub_is_back() -> Result<()> {
    let pops = start(&["fra"]).await?;
    let settings = config(&pops, "fra")?;
    let host = Host::start(settings.clone()).await?;
    let control = pops.control_at("fra").await?;
    fill(&control).await?;
    copied(&pops, "fra").await?;
    kill(host).await;

    // Cut in silence, then audibly: what waits for an answer and what is told at once that there is none.
    for audibly in [false, true] {
        let wire = &pops.leaf("fra")?.wire;
        if audibly {
            wire.close();
        } else {
            wire.hold();
        }
        let host = Host::start(settings.clone()).await?;
        is_filled(&control).await?;
        let began = Instant::now();
        let refused = control
            .put_config("d", &value("2"))
            .await
            .unwrap_err()
            .to_string();
        ensure!(
            began.elapsed() < Duration::from_secs(5),
            "refused after {:?}",
            began.elapsed()
        );
        ensure!(
            refused.contains("JetStream domain \"hub\", and that is away"),
            "{refused}"
        );
        let refused = control
            .put_link(&link("other"))
            .await
            .unwrap_err()
            .to_string();
        ensure!(refused.contains("away"), "{refused}");
        is_filled(&control).await?;

        wire.heal();
        let name = format!("after-{audibly}");
        until_within("a change is made again", CONVERGED, || async {
            Ok(control.put_config(&name, &value("3")).await?)
        })
        .await?;
        is_filled(&control).await?;
        copied(&pops, "fra").await?;
        host.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn without_a_copy_it_waits_for_the_hub_and_says_so_in_the_end() -> Result<()> {
    let pops = start(&["fra", "iad"]).await?;
    for pop in ["fra", "iad"] {
        pops.leaf(pop)?.wire.close();
        let client = pops.connect(pop, Role::Operator).await?;
        let hub = jetstream::with_domain(client, HUB);
        until("the hub is away", || async {
            ensure!(hub.query_account().await.is_err(), "it answers");
            Ok(())
        })
        .await?;
    }
    // The one's hub comes back while it waits, the other's does not.
    let starting = tokio::spawn(Host::start(config(&pops, "fra")?));
    let error = tokio::spawn(Host::start(config(&pops, "iad")?));
    pops.leaf("fra")?.wire.heal();
    starting.await??.stop().await?;
    let error = error.await?.err().context("it started with nothing")?;
    let error = format!("{error:#}");
    ensure!(error.contains("HubAway { domain: \"hub\""), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_changed_while_it_was_cut_off_it_knows_soon_after() -> Result<()> {
    let mut pops = start(&["fra", "iad"]).await?;
    let (fra, iad) = (config(&pops, "fra")?, config(&pops, "iad")?);
    let _hosts = (Host::start(fra).await?, Host::start(iad).await?);
    let here = pops.control_at("fra").await?;
    let there = pops.control_at("iad").await?;
    fill(&there).await?;
    until("it is known here", || is_filled(&here)).await?;
    copied(&pops, "fra").await?;

    for (round, silently) in [true, false].into_iter().enumerate() {
        let wire = &pops.leaf("fra")?.wire;
        if silently {
            wire.hold();
        } else {
            wire.close();
        }
        cut_off(&pops, "fra").await?;
        let (name, target) = (format!("cut-{round}"), format!("kv-{round}"));
        let new = Link {
            source_id: ComponentId::new(&target)?,
            ..link("kv")
        };
        there.put_config(&name, &value("cut")).await?;
        there.put_link(&new).await?;
        // It says what it knows.
        ensure!(here.config(&name).await?.is_none());
        ensure!(!here.links().await?.contains(&new));
        pops.leaf("fra")?.wire.heal();
        pops.linked("fra").await?;
        let began = Instant::now();
        until_within("what was missed is known", CONVERGED, || async {
            ensure!(here.links().await?.contains(&new), "no link");
            Ok(())
        })
        .await?;
        println!(
            "round {round}: the link was known {:?} after the link to the hub was back",
            began.elapsed()
        );
        ensure!(here.config(&name).await? == Some(value("cut")));
        copied(&pops, "fra").await?;
        println!(
            "round {round}: the copy was whole after {:?}",
            began.elapsed()
        );
    }

    // The hub comes back with its disk, and has forgotten who followed.
    pops.hub.crash().await?;
    pops.hub.resume().await?;
    for pop in ["fra", "iad"] {
        pops.linked(pop).await?;
    }
    let began = Instant::now();
    let new = Link {
        source_id: ComponentId::new("restarted")?,
        ..link("kv")
    };
    until_within("a change is made", CONVERGED, || async {
        Ok(there.put_link(&new).await?)
    })
    .await?;
    until_within("it is known", CONVERGED, || async {
        ensure!(here.links().await?.contains(&new), "no link");
        Ok(())
    })
    .await?;
    println!("hub restarted: known after {:?}", began.elapsed());
    copied(&pops, "fra").await?;
    println!(
        "hub restarted: the copy was whole after {:?}",
        began.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn a_bucket_that_the_hub_lost_is_filled_again_and_copied_anew() -> Result<()> {
    let pops = start(&["fra"]).await?;
    let settings = config(&pops, "fra")?;
    let host = Host::start(settings.clone()).await?;
    let control = pops.control_at("fra").await?;
    fill(&control).await?;
    copied(&pops, "fra").await?;
    let client = pops.connect("fra", Role::Host).await?;
    let before = copy(&client, BUCKETS[0]).await?;
    let hub = jetstream::with_domain(pops.connect(HUB, Role::Host).await?, HUB);
    for bucket in BUCKETS {
        hub.delete_stream(format!("KV_{bucket}")).await?;
    }
    until("the hub has it again", || async {
        let bucket = hub.get_key_value(BUCKETS[0]).await?;
        let entry = bucket.get("COMPONENT_x").await?.context("no entry")?;
        let entry: serde_json::Value = serde_json::from_slice(&entry)?;
        ensure!(
            entry == json!({"url": "", "links": [serde_json::to_value(link("kv"))?]}),
            "{entry}"
        );
        Ok(())
    })
    .await?;
    copied(&pops, "fra").await?;
    let after = copy(&client, BUCKETS[0]).await?;
    ensure!(after.origin != before.origin && after.created > before.created);
    is_filled(&control).await?;

    // And the new copy does what the old one did.
    kill(host).await;
    pops.leaf("fra")?.wire.close();
    let host = Host::start(settings).await?;
    is_filled(&control).await?;
    host.stop().await
}

/// What a host runs, in a few words.
async fn running(control: &ControlClient, host: &HostId) -> Result<Vec<String>> {
    let inventory = control.inventory(host).await?;
    let components = inventory.components.iter().map(|component| {
        let annotation = component.annotations.get("for").cloned();
        format!(
            "{} {} {annotation:?}",
            component.id, component.max_instances
        )
    });
    let providers = inventory.providers.iter().map(|provider| {
        let annotation = provider.annotations.get("for").cloned();
        format!("{} {annotation:?} {:?}", provider.id, provider.not_ready)
    });
    Ok(components.chain(providers).collect())
}

#[tokio::test]
async fn killed_while_the_hub_is_away_it_comes_back_with_what_it_ran() -> Result<()> {
    let pops = start(&["fra"]).await?;
    let settings = config(&pops, "fra")?;
    let host = Host::start(settings.clone()).await?;
    let control = pops.control_at("fra").await?;
    fill(&control).await?;
    let annotations = [("for".to_owned(), "test".to_owned())];
    let image = component(pops.directory(), 3)?;
    let id = host.id.clone();
    let scale = |component: &str, count| -> Result<ScaleComponent> {
        Ok(serde_json::from_value(json!({
            "component_ref": image, "component_id": component, "host_id": id, "count": count,
            "annotations": {"for": "test"}, "config": ["c"],
        }))?)
    };
    let client = pops.connect("fra", Role::Provider).await?;
    let mut told = crate::kit::Told::of(&client, "kv").await?;
    control.scale_component(&scale("x", 7)?).await?;
    control.scale_component(&scale("gone", 1)?).await?;
    control
        .start_provider(&StartProvider {
            provider_id: ComponentId::new("kv")?,
            provider_ref: "builtin:probe".into(),
            host_id: host.id.clone(),
            config: vec!["c".into()],
            annotations: Some(annotations.into()),
        })
        .await?;
    let started = told.next("started").await?;
    until("all runs", || async {
        let runs = running(&control, &host.id).await?;
        ensure!(
            runs.len() == 3 && runs.iter().any(|run| run == "kv Some(\"test\") None"),
            "{runs:?}"
        );
        Ok(())
    })
    .await?;
    control.scale_component(&scale("gone", 0)?).await?;
    let wanted = ["x 7 Some(\"test\")", "kv Some(\"test\") None"];
    let as_wanted = async |host: &HostId| {
        until("it runs what it ran", || async {
            let runs = running(&control, host).await?;
            ensure!(runs == wanted, "{runs:?}");
            Ok(())
        })
        .await
    };
    as_wanted(&host.id).await?;
    let ledger = settings.data_dir.join("runs.json");
    until("it is written down", || async {
        let written = std::fs::read_to_string(&ledger)?;
        ensure!(
            written.contains("kv") && !written.contains("gone"),
            "{written}"
        );
        Ok(())
    })
    .await?;
    copied(&pops, "fra").await?;

    pops.leaf("fra")?.wire.hold();
    kill(host).await;
    until("its provider has ended", || async {
        ensure!(!runs(crate::kit::pid(&started)), "it runs");
        Ok(())
    })
    .await?;
    let began = Instant::now();
    let host = Host::start(settings.clone()).await?;
    ensure!(host.id == id);
    let again = told.next("started").await?;
    ensure!(again["host_data"]["config"]["a"] == "1", "{again}");
    ensure!(
        again["host_data"]["link_definitions"][0]["source_id"] == "x",
        "{again}"
    );
    as_wanted(&host.id).await?;
    println!("all of it ran again after {:?}", began.elapsed());

    // Who leaves in order leaves nothing behind.
    host.stop().await?;
    ensure!(!ledger.exists());
    let host = Host::start(settings.clone()).await?;
    control.scale_component(&scale("y", 1)?).await?;
    until("only what is asked for runs", || async {
        let runs = running(&control, &host.id).await?;
        ensure!(runs == ["y 1 Some(\"test\")"], "{runs:?}");
        let written = std::fs::read_to_string(&ledger)?;
        ensure!(written.contains("\"y\""), "{written}");
        Ok(())
    })
    .await?;

    // Where an application manager can be heard, it decides.
    kill(host).await;
    pops.leaf("fra")?.wire.heal();
    pops.linked("fra").await?;
    let manager = pops.connect(HUB, Role::Wadm).await?;
    let mut asked = manager.subscribe("wadm.api.default.model.list").await?;
    manager.flush().await?;
    let starting = tokio::spawn(Host::start(settings));
    let request = futures::StreamExt::next(&mut asked)
        .await
        .context("not asked")?;
    manager
        .publish(request.reply.context("no reply")?, "{}".into())
        .await?;
    let host = starting.await??;
    control.scale_component(&scale("z", 1)?).await?;
    until("only what it is told to run runs", || async {
        let runs = running(&control, &host.id).await?;
        ensure!(runs == ["z 1 Some(\"test\")"], "{runs:?}");
        Ok(())
    })
    .await?;
    host.stop().await
}

/// Where the server beside the host is of the domain itself, or has no JetStream, there is no copy and nothing is missed.
#[tokio::test]
async fn at_the_hub_itself_it_works_as_anywhere() -> Result<()> {
    let pops = start(&[]).await?;
    let settings = HostConfig {
        nats: NatsSettings {
            ..pops.settings(HUB, Role::Host)?
        },
        ..config(&pops, HUB)?
    };
    let host = Host::start(settings).await?;
    fill(&pops.control).await?;
    is_filled(&pops.control).await?;
    let client = pops.connect(HUB, Role::Host).await?;
    ensure!(Mirror::beside(&client, HUB, BUCKETS[0], Duration::from_secs(1)).is_none());
    host.stop().await
}
