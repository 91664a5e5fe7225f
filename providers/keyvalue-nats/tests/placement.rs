//! Buckets in a lattice of several PoPs: at the hub, in the PoP, or in both; while the hub is there and while it is away.
//! Over real servers, by the configurations that are deployed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream;
use futures::future::{join_all, try_join_all};
use trellis_keyvalue_nats::KeyvalueNats;
use trellis_provider::{
    HostData,
    contract::{
        Place,
        mirror::Mirror,
        topology::{HUB, Role},
    },
    rpc::interface::keyvalue::{DeleteMany, KeysParams},
};
use trellis_provider_testkit::{
    Host, NatsServer, Running, Side,
    keyvalue::{Bucket, batches_work, numbers_are_counted, values_are_kept},
    wait::{until, until_within},
    watch::Watcher,
};
use trellis_tests::pops::Pops;

/// How soon after the hub is back all that was missed must be read.
const CONVERGED: Duration = Duration::from_secs(5);

/// A host in each PoP: what calls its providers.
struct Lattice {
    pops: Pops,
    fra: Host,
    iad: Host,
}

impl Lattice {
    async fn start() -> Result<Self> {
        let pops = Pops::start(&[("fra", Some("eu")), ("iad", Some("us"))]).await?;
        Ok(Self {
            fra: Host::connected(&pops.settings("fra", Role::Host)?).await?,
            iad: Host::connected(&pops.settings("iad", Role::Host)?).await?,
            pops,
        })
    }

    fn host(&self, pop: &str) -> &Host {
        match pop {
            "fra" => &self.fra,
            _ => &self.iad,
        }
    }

    /// What a provider in a PoP is started with.
    fn data(&self, pop: &str, id: &str, links: &[Side<'_>]) -> Result<HostData> {
        let links = links.iter().map(|side| {
            Side {
                target: id,
                ..side.clone()
            }
            .link()
        });
        let mut data = self.host(pop).data(id, &[], links.collect())?;
        data.lattice_rpc_user_seed =
            std::fs::read_to_string(self.pops.seed_file(pop, Role::Provider))?
                .trim()
                .to_owned();
        let region = self.pops.leaf(pop)?.region.as_deref();
        data.trellis_place = Some(Place::new(
            pop.parse()?,
            region.map(str::parse).transpose()?,
        ));
        data.trellis_js_domain = Some(HUB.to_owned());
        Ok(data)
    }

    async fn provider(&self, pop: &str, id: &str, links: &[Side<'_>]) -> Result<Running> {
        Running::start::<KeyvalueNats>(self.host(pop), self.data(pop, id, links)?).await
    }

    fn bucket<'a>(&'a self, pop: &str, provider: &'a str, source: &'a str) -> Bucket<'a> {
        Bucket {
            host: self.host(pop),
            source,
            provider,
            name: "default",
        }
    }

    /// Cuts a PoP off, in silence or audibly, and waits until its replicated buckets are read here.
    fn cut(&self, pop: &str, silently: bool) -> Result<()> {
        let wire = &self.pops.leaf(pop)?.wire;
        match silently {
            true => wire.hold(),
            false => wire.close(),
        }
        Ok(())
    }

    async fn heal(&self, pop: &str) -> Result<Instant> {
        self.pops.leaf(pop)?.wire.heal();
        self.pops.linked(pop).await?;
        Ok(Instant::now())
    }
}

fn side<'a>(source: &'a str, config: &'a [(&'a str, &'a str)]) -> Side<'a> {
    Side {
        source,
        target: "kv",
        interface: "wasi:keyvalue/store",
        config,
    }
}

const GLOBAL: [(&str, &str); 1] = [("bucket", "shared")];
const LOCAL: [(&str, &str); 2] = [("bucket", "own"), ("placement", "local")];
const REPLICATED: [(&str, &str); 2] = [("bucket", "copied"), ("placement", "replicated")];

fn all() -> [Side<'static>; 3] {
    [
        side("global", &GLOBAL),
        side("local", &LOCAL),
        side("replicated", &REPLICATED),
    ]
}

#[tokio::test]
async fn a_bucket_is_where_it_is_placed() -> Result<()> {
    let lattice = Lattice::start().await?;
    let _fra = lattice.provider("fra", "kv-fra", &all()).await?;
    let _iad = lattice.provider("iad", "kv-iad", &all()).await?;
    for source in ["global", "local", "replicated"] {
        let bucket = lattice.bucket("fra", "kv-fra", source);
        values_are_kept(bucket).await.context(source)?;
        batches_work(bucket).await.context(source)?;
        numbers_are_counted(bucket).await.context(source)?;
        bucket.set("where", "fra").await?;
        let there = lattice.bucket("iad", "kv-iad", source);
        if source == "local" {
            ensure!(there.get("where").await?.is_none(), "it left its PoP");
            there.set("where", "iad").await?;
            ensure!(bucket.get("where").await?.as_deref() == Some("fra"));
        } else {
            until("the other PoP reads it", || async {
                ensure!(there.get("where").await?.as_deref() == Some("fra"));
                Ok(())
            })
            .await?;
            ensure!(there.list().await? == ["where"]);
        }
    }
    // In whose JetStream they are.
    let at = async |pop: &str, domain: &str, bucket: &str| -> Result<bool> {
        let client = lattice.pops.connect(pop, Role::Provider).await?;
        let context = jetstream::with_domain(client, domain);
        Ok(context.get_stream(format!("KV_{bucket}")).await.is_ok())
    };
    for (bucket, places) in [
        ("shared", [true, false, false]),
        ("own", [false, true, true]),
        ("copied", [true, true, true]),
    ] {
        let found = [
            at("fra", HUB, bucket).await?,
            at("fra", "fra", bucket).await?,
            at("iad", "iad", bucket).await?,
        ];
        ensure!(
            found == places,
            "{bucket}: at the hub, in fra, in iad: {found:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_was_written_is_read_by_everybody_in_the_pop() -> Result<()> {
    let lattice = Lattice::start().await?;
    let links = [side("replicated", &REPLICATED)];
    let _a = lattice.provider("fra", "kv-a", &links).await?;
    let _b = lattice.provider("fra", "kv-b", &links).await?;
    let _c = lattice.provider("iad", "kv-c", &links).await?;
    let (a, b) = (
        lattice.bucket("fra", "kv-a", "replicated"),
        lattice.bucket("fra", "kv-b", "replicated"),
    );
    let c = lattice.bucket("iad", "kv-c", "replicated");
    for number in 0..300 {
        let (writer, reader) = if number % 2 == 0 { (a, b) } else { (b, a) };
        let (key, value) = (format!("key-{}", number % 7), number.to_string());
        writer.set(&key, &value).await?;
        let read = reader.get(&key).await?;
        ensure!(
            read.as_deref() == Some(value.as_str()),
            "{key}: {read:?}, not {value}"
        );
        if number % 10 == 0 {
            let keys = KeysParams {
                bucket: "default".into(),
                keys: vec![key.clone()],
            };
            writer.call::<DeleteMany>(&keys).await??;
            ensure!(
                reader.get(&key).await?.is_none(),
                "{key} is there after it was deleted"
            );
        }
    }
    // Each sum is given once, wherever it is counted: whoever adds, adds to what the hub has.
    let all = [a, b, c];
    let added = (0..60).map(|number| all[number % 3].increment("n", 1));
    let mut sums = try_join_all(added).await?;
    sums.sort_unstable();
    ensure!(sums == (1..=60).collect::<Vec<u64>>(), "{sums:?}");
    Ok(())
}

#[tokio::test]
async fn cut_off_it_reads_its_copy_and_refuses_writes_and_then_goes_on() -> Result<()> {
    let lattice = Lattice::start().await?;
    let _fra = lattice.provider("fra", "kv-fra", &all()).await?;
    let _iad = lattice.provider("iad", "kv-iad", &all()).await?;
    let fra = |source| lattice.bucket("fra", "kv-fra", source);
    let iad = |source| lattice.bucket("iad", "kv-iad", source);
    for source in ["global", "local", "replicated"] {
        fra(source).set("kept", "before").await?;
    }
    for (round, silently) in [false, true].into_iter().enumerate() {
        let context = format!("round {round}");
        lattice.cut("fra", silently)?;
        until("the copy is read", || async {
            ensure!(fra("replicated").get("kept").await?.as_deref() == Some("before"));
            Ok(())
        })
        .await?;
        fra("local").set("kept", &context).await?;
        ensure!(fra("local").get("kept").await?.as_deref() == Some(&*context));
        let began = Instant::now();
        let written = [fra("replicated"), fra("global")];
        // To a key of its own: what nobody answers may still arrive when the link is back.
        let refused = join_all(written.iter().map(|bucket| bucket.set("refused", "x")));
        for outcome in refused.await {
            let error = format!(
                "{:#}",
                outcome.err().context("written at a hub that is away")?
            );
            ensure!(
                error.contains("JetStream domain \"hub\" is away"),
                "{context}: {error}"
            );
        }
        let error = format!(
            "{:#}",
            fra("global").get("kept").await.err().context("read")?
        );
        ensure!(error.contains("is away"), "{context}: {error}");
        println!("{context}: refused within {:?}", began.elapsed());
        // Elsewhere the world goes on.
        let acknowledged = format!("during-{round}");
        iad("replicated").set("kept", &acknowledged).await?;
        iad("global").set("kept", &acknowledged).await?;

        let healed = lattice.heal("fra").await?;
        for source in ["replicated", "global"] {
            until_within("what was written meanwhile is read", CONVERGED, || async {
                let read = fra(source).get("kept").await?;
                ensure!(
                    read.as_deref() == Some(&*acknowledged),
                    "{source}: {read:?}"
                );
                Ok(())
            })
            .await?;
            println!(
                "{context}: {source} read anew {:?} after the heal",
                healed.elapsed()
            );
        }
        // What is written is read at once, also while the copy is not what it was.
        for number in 0..20 {
            let value = format!("{round}-{number}");
            fra("replicated").set("new", &value).await?;
            let read = fra("replicated").get("new").await?;
            ensure!(
                read.as_deref() == Some(&*value),
                "{context}: {read:?}, not {value}"
            );
        }
        fra("replicated").set("kept", "before").await?;
        let mut listed = fra("replicated").list().await?;
        listed.retain(|key| key != "refused");
        ensure!(listed == ["kept", "new"], "{context}: {listed:?}");
        let client = lattice.pops.connect("fra", Role::Provider).await?;
        let mirror = Mirror::beside(&client, HUB, "copied", Duration::from_secs(5));
        let mirror = mirror.context("no domain")?;
        until("the copy follows again", || async {
            let copy = mirror.look().await?.context("no copy")?;
            let hub = jetstream::with_domain(client.clone(), HUB);
            let bucket = hub.get_stream("KV_copied").await?;
            let last = bucket.cached_info().state.last_sequence;
            ensure!(copy.is_live() && copy.last_sequence == last, "{copy:?}");
            Ok(())
        })
        .await?;
        println!(
            "{context}: the copy follows again {:?} after the heal",
            healed.elapsed()
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_bucket_that_is_kept_in_a_region_is_not_reached_from_outside() -> Result<()> {
    let lattice = Lattice::start().await?;
    let kept = [("bucket", "kept"), ("residency", "region=eu")];
    let _fra = lattice
        .provider("fra", "kv-fra", &[side("eu", &kept)])
        .await?;
    lattice
        .bucket("fra", "kv-fra", "eu")
        .set("name", "x")
        .await?;

    // A provider elsewhere takes no such link, and has no way to the bucket by its name.
    let around = [("bucket", "kept"), ("js_domain", "fra")];
    let links = [side("eu", &kept), side("around", &around)];
    let _iad = lattice.provider("iad", "kv-iad", &links).await?;
    let message = lattice.iad.until_healthy("kv-iad", false).await?;
    ensure!(
        message.contains("is kept within region=eu; this provider is in us (PoP iad)"),
        "{message}"
    );
    let around = lattice.bucket("iad", "kv-iad", "around");
    ensure!(around.get("name").await.is_err() && around.set("name", "y").await.is_err());
    ensure!(
        lattice
            .bucket("fra", "kv-fra", "eu")
            .get("name")
            .await?
            .as_deref()
            == Some("x")
    );

    // Nor does it get one, or is it copied, while its region is cut off.
    lattice.cut("fra", false)?;
    lattice
        .bucket("fra", "kv-fra", "eu")
        .set("name", "z")
        .await?;
    let client = lattice.pops.connect("iad", Role::Provider).await?;
    for domain in [HUB, "iad"] {
        let context = jetstream::with_domain(client.clone(), domain);
        ensure!(
            context.get_stream("KV_kept").await.is_err(),
            "a bucket in {domain}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_bucket_that_is_kept_in_a_region_says_so_to_whoever_opens_it() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let kept = [("bucket", "kept"), ("residency", "region=eu")];
    let found = [("bucket", "kept")];
    let mut running = Vec::new();
    for (id, place, config) in [
        ("kv-eu", ("fra", "eu"), &kept[..]),
        ("kv-us", ("iad", "us"), &found[..]),
    ] {
        let link = Side {
            target: id,
            ..side("shop", config)
        };
        let mut data = host.data(id, &[], vec![link.link()])?;
        data.trellis_place = Some(Place::new(place.0.parse()?, Some(place.1.parse()?)));
        running.push(Running::start::<KeyvalueNats>(&host, data).await?);
        if id == "kv-eu" {
            let bucket = Bucket {
                host: &host,
                source: "shop",
                provider: id,
                name: "default",
            };
            bucket.set("name", "x").await?;
        }
    }
    let outside = Bucket {
        host: &host,
        source: "shop",
        provider: "kv-us",
        name: "default",
    };
    for error in [
        outside.get("name").await.err(),
        outside.set("name", "y").await.err(),
        outside.list().await.err(),
        outside.increment("n", 1).await.err(),
    ] {
        let error = format!("{:#}", error.context("it was reached")?);
        ensure!(
            error.contains("is kept within region=eu; this provider is in us (PoP iad)"),
            "{error}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_component_is_told_of_what_changes_in_other_pops() -> Result<()> {
    let lattice = Lattice::start().await?;
    let mut watchers = Vec::new();
    let mut links = Vec::new();
    let configs = [&GLOBAL[..], &REPLICATED[..]].map(|config| [config, &[("watch", "*")]].concat());
    for (target, config) in ["global", "replicated"].into_iter().zip(&configs) {
        watchers.push((target, Watcher::start(&lattice.fra, target).await?));
        let side = Side {
            source: "kv-fra",
            target,
            interface: "wasi:keyvalue/watcher",
            config,
        };
        links.push(side.named(target.parse()?));
    }
    let mut data = lattice.data("fra", "kv-fra", &[])?;
    data.link_definitions = links;
    let _fra = Running::start::<KeyvalueNats>(&lattice.fra, data).await?;
    let _iad = lattice.provider("iad", "kv-iad", &all()).await?;
    for silently in [false, true] {
        for (source, watcher) in &mut watchers {
            let there = lattice.bucket("iad", "kv-iad", source);
            there.set("key", "before").await?;
            watcher.hears("default", "key", Some("before")).await?;
        }
        lattice.cut("fra", silently)?;
        lattice.fra.until_healthy("kv-fra", false).await?;
        for (source, _) in &watchers {
            let there = lattice.bucket("iad", "kv-iad", source);
            there.set("key", "between").await?;
            there.set("key", "last").await?;
        }
        lattice.heal("fra").await?;
        for (source, watcher) in &mut watchers {
            // The value between may be told, too: NATS may have had it on its way.
            let mut told = watcher.next("default").await?.1;
            if told.as_deref() == Some("between") {
                println!("{source}, silently: {silently}: the value between was told");
                told = watcher.next("default").await?.1;
            }
            ensure!(told.as_deref() == Some("last"), "{source}: {told:?}");
            let there = lattice.bucket("iad", "kv-iad", source);
            there.delete("key").await?;
            watcher.hears("default", "key", None).await?;
        }
        lattice.fra.until_healthy("kv-fra", true).await?;
    }
    Ok(())
}

#[tokio::test]
async fn on_a_single_server_every_placement_is_there() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let links = all().map(|side| side.link());
    let running =
        Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links.into())?).await?;
    for source in ["global", "local", "replicated"] {
        let bucket = Bucket {
            host: &host,
            source,
            provider: "kv",
            name: "default",
        };
        values_are_kept(bucket).await?;
        numbers_are_counted(bucket).await?;
    }
    running.stop().await?;
    Ok(())
}
