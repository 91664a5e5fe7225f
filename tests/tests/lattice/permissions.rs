//! Who may do what, on real servers with the configurations that are deployed.

mod streams;

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use async_nats::{Client, ConnectOptions, Event, Subscriber, jetstream, jetstream::kv};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;
use trellis_lattice::{
    LatticeName,
    claims::UserKey,
    connect::{NatsSettings, inbox_prefix},
    topology::{Buckets, Data, HUB, LEAF_FILE, Role},
};
use trellis_tests::{
    nats,
    pops::Pops,
    port,
    process::Process,
    wait::{until, until_within},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that hears what the server refuses.
struct Probe {
    /// The server's own domain: requests to it by name are taken for requests to it without.
    domain: String,
    client: Client,
    refusals: mpsc::UnboundedReceiver<String>,
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
enum Try {
    Publish,
    Subscribe,
}
use Try::{Publish, Subscribe};

impl Probe {
    async fn new(pops: &Pops, server: &str, role: Role) -> Result<Self> {
        let settings = pops.settings(server, role)?;
        let key = settings.user_key()?.context("a seed")?;
        let (tell, refusals) = mpsc::unbounded_channel();
        let client = ConnectOptions::with_nkey(key.seed())
            .custom_inbox_prefix(inbox_prefix(&key.public()))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    // The probe may be gone.
                    let _ = tell.send(error.to_string());
                }
                async {}
            })
            .connect(settings.url)
            .await?;
        Ok(Self {
            domain: server.to_owned(),
            client,
            refusals,
        })
    }

    /// Which of these the server refuses.
    async fn refused<'a>(&mut self, tries: &[(Try, &'a str)]) -> Result<BTreeSet<&'a str>> {
        let mut subscriptions = Vec::new();
        for &(what, subject) in tries {
            match what {
                Publish => self.client.publish(subject.to_owned(), "".into()).await?,
                Subscribe => subscriptions.push(self.client.subscribe(subject.to_owned()).await?),
            }
        }
        // Refused to everybody: what was refused before it has been told when this is.
        self.client.publish("nobody.may", "".into()).await?;
        let mut refused = BTreeSet::new();
        loop {
            let told = tokio::time::timeout(PATIENCE, self.refusals.recv()).await;
            let told = told.context("the server is silent")?.context("closed")?;
            if told.contains("nobody.may") {
                return Ok(refused);
            }
            let told = told.to_lowercase();
            let by_name = format!("$JS.{}.API.", self.domain);
            let subject = tries.iter().map(|(_, subject)| *subject).find(|subject| {
                let own = match subject.strip_prefix(&by_name) {
                    Some(entry) if entry.starts_with("$KV.") => entry.to_owned(),
                    Some(request) => format!("$JS.API.{request}"),
                    None => (*subject).to_owned(),
                };
                // The server writes it in quotes.
                [own.as_str(), subject]
                    .iter()
                    .any(|one| told.contains(&format!("\"{}\"", one.to_lowercase())))
            });
            refused
                .insert(subject.with_context(|| format!("a refusal of something else: {told}"))?);
        }
    }
}

/// Asserts what one role may do and what not.
async fn check(
    pops: &Pops,
    server: &str,
    role: Role,
    may: &[(Try, &str)],
    may_not: &[(Try, &str)],
) -> Result<()> {
    let mut probe = Probe::new(pops, server, role).await?;
    let refused = probe.refused(may).await?;
    ensure!(
        refused.is_empty(),
        "{role} at {server} is refused {refused:?}"
    );
    let refused = probe.refused(may_not).await?;
    let all: BTreeSet<_> = may_not.iter().map(|(_, subject)| *subject).collect();
    let allowed: Vec<_> = all.difference(&refused).collect();
    ensure!(
        allowed.is_empty(),
        "{role} at {server} is allowed {allowed:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_its_work_and_nothing_else() -> Result<()> {
    let pops = Pops::start(&[("fra", Some("eu"))]).await?;
    let other = pops.settings("fra", Role::Host)?.user_key()?;
    let foreign = format!(
        "{}.>",
        inbox_prefix(&other.context("the host's seed")?.public())
    );
    let nobody = [
        (Subscribe, "_INBOX.>"),
        (Subscribe, ">"),
        (Subscribe, "$KV.>"),
        (Subscribe, "$JS.>"),
        (Publish, "$SYS.REQ.SERVER.PING"),
        (Publish, "other.kv.wrpc.0.0.1.a.b"),
        (Publish, "wasmbus.ctl.v1.other.host.ping"),
        (Publish, "$JS.API.STREAM.LIST"),
        (Publish, "$JS.ACK.KV_LATTICEDATA_default.c.1.1.1.1.0"),
    ];
    for role in Role::CLIENTS {
        for server in [HUB, "fra"] {
            check(
                &pops,
                server,
                role,
                &[(Publish, "_INBOX.anybody.1")],
                &nobody,
            )
            .await?;
        }
    }
    let provider = [
        (Publish, "wasmbus.ctl.v1.default.host.stop.N1"),
        (Publish, "wasmbus.ctl.v1.default.host.ping"),
        (Publish, "wasmbus.evt.default.host_stopped"),
        (Publish, "wasmbus.rpc.default.kv.shutdown"),
        (Publish, "wadm.api.default.model.list"),
        (Publish, "trellis.beat.default.N1"),
        (Publish, "$KV.LATTICEDATA_default.x"),
        (Publish, "$JS.hub.API.$KV.CONFIGDATA_default.x"),
        (Publish, "$JS.API.STREAM.INFO.KV_LATTICEDATA_default"),
        (Publish, "$JS.hub.API.STREAM.MSG.GET.KV_LATTICEDATA_default"),
        (Publish, "$JS.hub.API.STREAM.INFO.KV_wadm_manifests"),
        (Publish, "$JS.API.STREAM.DELETE.KV_CONFIGDATA_default"),
        (Publish, "$JS.hub.API.STREAM.SNAPSHOT.KV_CONFIGDATA_default"),
        (
            Publish,
            "$JS.hub.API.DIRECT.GET.KV_CONFIGDATA_default.$KV.CONFIGDATA_default.x",
        ),
        (
            Publish,
            "$JS.hub.API.CONSUMER.CREATE.KV_LATTICEDATA_default.c.$KV.LATTICEDATA_default.>",
        ),
        (
            Publish,
            "$JS.API.CONSUMER.MSG.NEXT.KV_TRELLISWADM_default.c",
        ),
        (Publish, "$JS.ACK.KV_CONFIGDATA_default.c.1.1.1.1.0"),
        (Publish, "$JS.ACK.KV_wadm_manifests.c.1.1.1.1.0"),
        (
            Publish,
            "$JS.ACK.hub.ACCOUNT.KV_LATTICEDATA_default.c.1.1.1.1.0.x",
        ),
        (Publish, "orders.new"),
        (Subscribe, "wasmbus.ctl.v1.default.>"),
        (Subscribe, "wasmbus.evt.default.>"),
        (Subscribe, "wadm.>"),
        (Subscribe, foreign.as_str()),
    ];
    let its_own = [
        (
            Publish,
            "default.hello.wrpc.0.0.1.wasi:http/incoming-handler.handle",
        ),
        (Publish, "default.hello.pop.fra.wrpc.0.0.1.a.b"),
        (Publish, "trellis.pops.default"),
        (Publish, "$JS.hub.API.STREAM.INFO.KV_counts"),
        (Publish, "$JS.API.STREAM.CREATE.KV_counts"),
        (Publish, "$KV.counts.x"),
        (Publish, "$JS.API.STREAM.NAMES"),
        (Publish, "$JS.hub.API.STREAM.NAMES"),
        (Publish, "$JS.ACK.ORDERS.c.1.1.1.1.0"),
        (Publish, "$JS.ACK.hub.ACCOUNT.ORDERS.c.1.1.1.1.0.x"),
        (Subscribe, "wasmbus.rpc.default.kv.linkdefs.*"),
        (Subscribe, "default.kv.wrpc.0.0.1.>"),
        (Subscribe, "default.kv.region.eu.wrpc.0.0.1.>"),
    ];
    check(&pops, "fra", Role::Provider, &its_own, &provider).await?;

    let host = [
        (Publish, "wasmbus.ctl.v1.default.component.scale.N1"),
        (Publish, "wasmbus.ctl.v1.default.link.put"),
        (Publish, "wadm.api.default.model.del.shop"),
        (Publish, "wadm.evt.default.rollout"),
        (Publish, "$JS.hub.API.STREAM.INFO.KV_wadm_manifests"),
        (Publish, "$KV.TRELLISWADM_default.x"),
        (Publish, "$JS.hub.API.STREAM.INFO.KV_counts"),
        (Publish, "$JS.API.STREAM.NAMES"),
        (Publish, "$JS.ACK.ORDERS.c.1.1.1.1.0"),
        (Subscribe, "wadm.api.default.>"),
    ];
    let its_own = [
        (Publish, "wasmbus.evt.default.host_heartbeat"),
        (Publish, "trellis.beat.default.N1"),
        (Publish, "trellis.pops.default"),
        (Publish, "wasmbus.rpc.default.kv.linkdefs.put"),
        (Publish, "default.kv.wrpc.0.0.1.a.b"),
        (Publish, "wasmbus.ctl.v1.default.host.get.N1"),
        (Publish, "wadm.api.default.model.list"),
        (Publish, "wasmcloud.secrets.v1alpha1.vault.get"),
        (Subscribe, "wasmbus.ctl.v1.default.*.*.N1"),
        (Subscribe, "default.hello.wrpc.0.0.1.>"),
        (Subscribe, "trellis.pops.default"),
    ];
    check(&pops, "fra", Role::Host, &its_own, &host).await?;

    let operator = [
        (Publish, "wasmbus.evt.default.host_stopped"),
        (Publish, "trellis.beat.default.N1"),
        (Publish, "wasmbus.rpc.default.kv.linkdefs.put"),
        (Publish, "$KV.LATTICEDATA_default.x"),
        (Publish, "$JS.hub.API.$KV.CONFIGDATA_default.x"),
        (Publish, "$JS.hub.API.STREAM.DELETE.KV_CONFIGDATA_default"),
        (Publish, "$JS.hub.API.STREAM.INFO.KV_LATTICEDATA_default"),
        (Publish, "wadm.evt.default.rollout"),
        (Subscribe, "default.>"),
        (Subscribe, "wasmbus.ctl.v1.default.>"),
        (Subscribe, "wadm.api.default.>"),
        (Subscribe, foreign.as_str()),
    ];
    let its_own = [
        (Publish, "wasmbus.ctl.v1.default.host.stop.N1"),
        (Publish, "wadm.api.default.model.put"),
        (Publish, "default.hello.wrpc.0.0.1.a.b"),
        (Publish, "$JS.hub.API.STREAM.INFO.KV_CONFIGDATA_default"),
        (Subscribe, "wasmbus.evt.default.>"),
        (Subscribe, "wadm.evt.default.>"),
    ];
    for server in [HUB, "fra"] {
        check(&pops, server, Role::Operator, &its_own, &operator).await?;
    }

    let wadm = [
        (Publish, "wasmbus.evt.default.host_stopped"),
        (Publish, "default.hello.wrpc.0.0.1.a.b"),
        (Publish, "$KV.LATTICEDATA_default.x"),
        (Publish, "$JS.hub.API.STREAM.INFO.KV_LATTICEDATA_default"),
        (Subscribe, "default.>"),
        (Subscribe, "wasmbus.rpc.default.>"),
    ];
    let its_own = [
        (Publish, "wasmbus.ctl.v1.default.component.scale.N1"),
        (Publish, "wadm.evt.default.rollout"),
        (Publish, "wadm.api.default.model.list"),
        (Publish, "$JS.hub.API.STREAM.CREATE.KV_wadm_manifests"),
        (Subscribe, "wadm.api.default.model.>"),
        (Subscribe, "wasmbus.evt.default.>"),
        (Subscribe, "trellis.beat.default.*"),
    ];
    check(&pops, HUB, Role::Wadm, &its_own, &wadm).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_connects_with_another_key() -> Result<()> {
    let pops = Pops::start(&[("fra", None)]).await?;
    let url = pops.hub.url();
    let stranger = NatsSettings {
        seed: Some(UserKey::generate().seed()),
        ..NatsSettings::new(url)
    };
    let leaf = NatsSettings {
        seed_file: Some(pops.seed_file("fra", Role::Leaf)),
        ..NatsSettings::new(url)
    };
    let neighbour = NatsSettings {
        seed_file: Some(pops.seed_file("fra", Role::Host)),
        ..NatsSettings::new(url)
    };
    for (who, settings) in [
        ("nobody in particular", NatsSettings::new(url)),
        ("a stranger", stranger),
        ("a leaf's key", leaf),
        ("a PoP's host, at the hub", neighbour),
    ] {
        let connected = settings.connect("test").await;
        ensure!(connected.is_err(), "{who} is let in");
    }
    Ok(())
}

/// A leaf with a configuration of its own: whoever took a PoP's machine over.
struct Rogue {
    client: Client,
    server: Process,
}

impl Rogue {
    async fn start(pops: &Pops, seed: &UserKey) -> Result<Self> {
        let folder = pops.directory().join("rogue");
        std::fs::create_dir_all(&folder)?;
        let port = port::free()?;
        std::fs::write(
            folder.join("nats.conf"),
            format!(
                "server_name: rogue\nlisten: \"127.0.0.1:{port}\"\n\
                 jetstream {{ domain: rogue, store_dir: {:?} }}\n\
                 leafnodes {{ reconnect: \"1s\", remotes: [ {{ urls: [\"nats-leaf://{}\"]\n include {LEAF_FILE:?}\n }} ] }}\n",
                folder.join("jetstream"),
                pops.leaf("fra")?.wire.at(),
            ),
        )?;
        std::fs::write(folder.join(LEAF_FILE), format!("nkey: {}\n", seed.seed()))?;
        let mut command = std::process::Command::new(nats::program());
        command.arg("--config").arg(folder.join("nats.conf"));
        let server = Process::start("rogue", &folder, command)?;
        let settings = NatsSettings::new(format!("nats://127.0.0.1:{port}"));
        let client = until("the rogue's server answers", || async {
            Ok(settings.connect("rogue").await?)
        })
        .await?;
        Ok(Self { client, server })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_leaf_key_reaches_its_lattice_only() -> Result<()> {
    let witness = UserKey::generate();
    let mut pops = Pops::start_with(&[("fra", None)], Data::default(), Some(&witness)).await?;
    let key = pops.seed_file("fra", Role::Leaf);
    let key = UserKey::read_file(&key)?;
    pops.leaf_mut("fra")?.server.stop().await?;
    let witness = NatsSettings {
        seed: Some(witness.seed()),
        ..NatsSettings::new(pops.hub.url())
    };
    let witness = witness.connect("witness").await?;
    let mut seen = witness.subscribe(">").await?;
    let rogue = Rogue::start(&pops, &key).await?;
    // What the hub passes on it has to have heard that somebody wants.
    heard_by(&rogue.client, "default.kv.wrpc.0.0.1.a.first", &mut seen)
        .await
        .with_context(|| rogue.server.output())?;
    for subject in [
        "other.kv.wrpc.0.0.1.a.b",
        "wasmbus.ctl.v1.other.host.ping",
        "wasmbus.evt.other.host_stopped",
        "wadm.api.other.model.list",
        "orders.new",
        "$KV.LATTICEDATA_default.x",
        "$JS.API.STREAM.DELETE.KV_LATTICEDATA_default",
        "default.kv.wrpc.0.0.1.a.last",
    ] {
        rogue.client.publish(subject, "".into()).await?;
    }
    let mut heard = BTreeSet::new();
    while !heard.contains("default.kv.wrpc.0.0.1.a.last") {
        let next = tokio::time::timeout(PATIENCE, seen.next()).await;
        let next = next.context("the last is not heard")?.context("closed")?;
        if !next.subject.starts_with("$SYS") && !next.subject.starts_with("_INBOX") {
            heard.insert(next.subject.to_string());
        }
    }
    heard.retain(|subject| {
        !subject.starts_with("default.kv.wrpc.") && !subject.starts_with("$JS.EVENT")
    });
    assert_eq!(heard, BTreeSet::new(), "nothing else passes");

    // Nor does it hear another lattice.
    let mut own = rogue.client.subscribe("wasmbus.evt.default.>").await?;
    let mut foreign = rogue.client.subscribe("other.>").await?;
    witness.publish("other.secret", "".into()).await?;
    heard_by(&witness, "wasmbus.evt.default.x", &mut own).await?;
    witness.publish("other.secret", "".into()).await?;
    heard_by(&witness, "wasmbus.evt.default.y", &mut own).await?;
    let nothing = tokio::time::timeout(Duration::from_millis(100), foreign.next()).await;
    ensure!(nothing.is_err(), "{nothing:?}");
    Ok(())
}

/// Says something until who listens elsewhere hears it: that somebody listens takes its way through the servers.
async fn heard_by(speaker: &Client, subject: &str, listener: &mut Subscriber) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        speaker.publish(subject.to_owned(), "".into()).await?;
        let pause = tokio::time::Instant::now() + Duration::from_millis(200);
        while let Ok(message) = tokio::time::timeout_at(pause, listener.next()).await {
            if message.context("closed")?.subject.as_str() == subject {
                return Ok(());
            }
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{subject} is not heard"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_with_another_key_is_not_let_in() -> Result<()> {
    let mut pops = Pops::start(&[("fra", None)]).await?;
    pops.leaf_mut("fra")?.server.stop().await?;
    for (who, key) in [
        ("a stranger", UserKey::generate()),
        (
            "a client's key",
            UserKey::read_file(&pops.seed_file(HUB, Role::Operator))?,
        ),
    ] {
        let rogue = Rogue::start(&pops, &key).await?;
        until(&format!("{who} is refused"), || async {
            let said = rogue.server.output();
            ensure!(said.contains("Authorization Violation"), "{said}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_keep_the_lattice_s_state_at_the_hub_and_a_copy_in_their_pop() -> Result<()> {
    let pops = Pops::start(&[("fra", None)]).await?;
    let client = pops.connect("fra", Role::Host).await?;
    let hub = jetstream::with_domain(client.clone(), HUB);
    let bucket = "LATTICEDATA_default";
    let store = hub
        .create_key_value(kv::Config {
            bucket: bucket.into(),
            ..kv::Config::default()
        })
        .await?;
    store.put("COMPONENT_a", "1".into()).await?;
    let mut watch = store.watch_with_history(">").await?;
    let first = tokio::time::timeout(PATIENCE, watch.next()).await?;
    assert_eq!(first.context("ended")??.value, "1");

    let own = jetstream::new(client);
    let copy = own
        .create_key_value(kv::Config {
            bucket: bucket.into(),
            mirror: Some(jetstream::stream::Source {
                name: format!("KV_{bucket}"),
                external: Some(jetstream::stream::External {
                    api_prefix: format!("$JS.{HUB}.API"),
                    ..jetstream::stream::External::default()
                }),
                ..jetstream::stream::Source::default()
            }),
            mirror_direct: true,
            ..kv::Config::default()
        })
        .await?;
    until_within("the copy has what the bucket has", PATIENCE, || async {
        let value = copy.get("COMPONENT_a").await?;
        ensure!(value.as_deref() == Some(b"1"), "{value:?}");
        Ok(())
    })
    .await
    .with_context(|| pops.logs())?;
    store.put("COMPONENT_a", "2".into()).await?;
    until_within("a change comes", PATIENCE, || async {
        let value = copy.get("COMPONENT_a").await?;
        ensure!(value.as_deref() == Some(b"2"), "{value:?}");
        Ok(())
    })
    .await?;
    own.delete_key_value(bucket).await?;
    Ok(())
}

/// What keyvalue-nats does with a bucket.
async fn use_bucket(store: &kv::Store) -> Result<()> {
    store.put("a", "1".into()).await?;
    let revision = store.update(
        "a",
        "2".into(),
        store.entry("a").await?.context("a")?.revision,
    );
    revision.await?;
    assert_eq!(store.get("a").await?.as_deref(), Some(&b"2"[..]));
    let keys: Vec<String> = store.keys().await?.try_collect().await?;
    assert_eq!(keys, ["a"]);
    store.purge("a").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_use_buckets_of_their_own() -> Result<()> {
    let pops = Pops::start(&[("fra", None)]).await?;
    let client = pops.connect("fra", Role::Provider).await?;
    for context in [
        jetstream::new(client.clone()),
        jetstream::with_domain(client.clone(), HUB),
        jetstream::with_domain(client.clone(), "fra"),
    ] {
        let config = kv::Config {
            bucket: "counts".into(),
            ..kv::Config::default()
        };
        let store = match context.get_key_value("counts").await {
            Ok(store) => store,
            Err(_) => context.create_key_value(config).await?,
        };
        use_bucket(&store).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_with_named_buckets_and_subjects_use_these_alone() -> Result<()> {
    let witness = UserKey::generate();
    let data = Data::new(
        &LatticeName::default(),
        Buckets::Named(vec!["counts".into()]),
        vec!["orders.>".into()],
    )?;
    let pops = Pops::start_with(&[("fra", None), ("iad", None)], data, Some(&witness)).await?;
    let may = [
        (Publish, "orders.new"),
        (Subscribe, "orders.>"),
        (Publish, "$JS.hub.API.STREAM.INFO.KV_counts"),
    ];
    let may_not = [
        (Publish, "invoices.new"),
        (Publish, "$JS.hub.API.STREAM.CREATE.KV_counts"),
        (Publish, "$JS.API.STREAM.CREATE.KV_copy"),
        (
            Publish,
            "$JS.hub.API.CONSUMER.CREATE.KV_LATTICEDATA_default.KV_counts.>",
        ),
        (Publish, "$JS.hub.API.STREAM.UPDATE.KV_counts"),
        (Publish, "$JS.API.STREAM.NAMES"),
        (Publish, "$JS.ACK.ORDERS.c.1.1.1.1.0"),
    ];
    check(&pops, "fra", Role::Provider, &may, &may_not).await?;

    let witness = NatsSettings {
        seed: Some(witness.seed()),
        ..NatsSettings::new(pops.hub.url())
    };
    let made = jetstream::new(witness.connect("witness").await?);
    let config = kv::Config {
        bucket: "counts".into(),
        ..kv::Config::default()
    };
    made.create_key_value(config).await?;
    let client = pops.connect("fra", Role::Provider).await?;
    let hub = jetstream::with_domain(client.clone(), HUB);
    use_bucket(&hub.get_key_value("counts").await?).await?;

    // Messages go from PoP to PoP.
    let there = pops.connect("iad", Role::Provider).await?;
    let mut orders = there.subscribe("orders.>").await?;
    there.flush().await?;
    heard_by(&client, "orders.new", &mut orders).await
}
