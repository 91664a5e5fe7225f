//! The scheduler against a model of a lattice that carries out what it is told.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trellis_lattice::event::{Event, HealthCheck, ProviderStartFailed};
use trellis_wadm::{
    command::Command,
    desired::App,
    manifest,
    observed::Observed,
    plan::{Input, Plan, State, plan},
    store::Owned,
};

use crate::model::Model;

/// One application of one component with spreads, one provider and links with configs.
fn app(text: &str) -> BTreeMap<String, App> {
    let (manifest, _) = manifest::parse(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let app = App::new("v1", &manifest, &|_| None);
    BTreeMap::from([(manifest.name().to_owned(), app)])
}

fn shop(scaler: &str, provider_scaler: &str) -> BTreeMap<String, App> {
    app(&format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: shop}}
spec:
  components:
    - name: cart
      type: component
      properties: {{image: 'file:///cart.wasm'}}
      traits:
        - {scaler}
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target: {{name: store, config: [{{name: url, properties: {{url: 'redis://h'}}}}]}}
    - name: store
      type: capability
      properties: {{image: 'builtin:keyvalue-redis'}}
      traits:
        - {provider_scaler}
"
    ))
}

fn spread(instances: u32, spreads: &[(&str, &str, u32)]) -> String {
    let spreads: Vec<String> = spreads
        .iter()
        .map(|(name, zone, weight)| {
            let requirements = match *zone {
                "" => "{}".to_owned(),
                zone => format!("{{zone: {zone}}}"),
            };
            format!("{{name: {name}, requirements: {requirements}, weight: {weight}}}")
        })
        .collect();
    format!(
        "{{type: spreadscaler, properties: {{instances: {instances}, spread: [{}]}}}}",
        spreads.join(", ")
    )
}

/// A lattice, what ought to be there, and what is noted.
struct World {
    model: Model,
    desired: BTreeMap<String, App>,
    owned: BTreeMap<String, Owned>,
}

impl World {
    fn new(hosts: &[(&str, &str)], desired: BTreeMap<String, App>) -> Self {
        let mut model = Model::default();
        for (host, zone) in hosts {
            model.join(host, zone);
        }
        Self {
            model,
            desired,
            owned: BTreeMap::new(),
        }
    }

    fn plan(&self) -> Plan {
        plan(Input {
            desired: &self.desired,
            owned: &self.owned,
            observed: &self.model.observed,
        })
    }

    /// Plans and carries out until there is nothing to do; gives all that was done.
    fn settle(&mut self) -> Vec<Command> {
        let mut done = Vec::new();
        for _ in 0..30 {
            let plan = self.plan();
            self.owned = plan.owned.clone();
            if plan.steps.is_empty() {
                return done;
            }
            for step in plan.steps {
                self.model.carry_out(&step.command);
                done.push(step.command);
            }
        }
        panic!("it never settles: {:?}", self.plan().steps);
    }

    fn counts(&self) -> BTreeMap<String, u32> {
        self.model.counts("shop-cart")
    }

    fn states(&self) -> Vec<State> {
        self.plan().apps["shop"]
            .parts
            .iter()
            .map(|part| part.state.clone())
            .collect()
    }
}

const ONE_PROVIDER: &str = "{type: spreadscaler, properties: {instances: 1}}";

#[test]
fn configs_come_before_the_links_that_need_them() {
    let mut world = World::new(&[("a", "x")], shop(&spread(3, &[]), ONE_PROVIDER));
    let plan = world.plan();
    let commands: Vec<String> = plan
        .steps
        .iter()
        .map(|step| step.command.to_string())
        .collect();
    assert_eq!(
        commands,
        [
            "put config shop-url",
            "scale component shop-cart to 3 on a",
            "start provider shop-store on a",
        ]
    );
    let done: Vec<String> = world.settle().iter().map(ToString::to_string).collect();
    assert_eq!(
        done[3..],
        ["put link shop-cart -(wasi:keyvalue)->shop-store"]
    );
    assert_eq!(world.states(), vec![State::Deployed; 3]);
}

#[test]
fn without_a_host_it_waits_and_says_so() {
    let mut world = World::new(&[], shop(&spread(3, &[]), ONE_PROVIDER));
    assert_eq!(world.settle(), []);
    for state in world.states() {
        assert_eq!(
            state,
            State::Failed("there is no host in the lattice".into())
        );
    }
    world.model.join("a", "x");
    world.settle();
    assert_eq!(world.states(), vec![State::Deployed; 3]);
}

#[test]
fn without_a_fitting_host_it_says_which_labels_it_waits_for() {
    let scaler = spread(4, &[("east", "east", 50), ("west", "west", 50)]);
    let mut world = World::new(&[("a", "east")], shop(&scaler, ONE_PROVIDER));
    world.settle();
    assert_eq!(world.counts(), [("a".into(), 2)].into());
    assert_eq!(
        world.states()[0],
        State::Failed(
            "2 instance(s) wait for a host with labels zone=west: none of the 1 host(s) has them"
                .into()
        )
    );
    world.model.join("b", "west");
    world.settle();
    assert_eq!(world.counts(), [("a".into(), 2), ("b".into(), 2)].into());
}

#[test]
fn instances_are_shared_out_by_weight() {
    let scaler = spread(10, &[("east", "east", 80), ("west", "west", 20)]);
    let hosts = [("a", "east"), ("b", "east"), ("c", "west")];
    let mut world = World::new(&hosts, shop(&scaler, ONE_PROVIDER));
    world.settle();
    assert_eq!(
        world.counts(),
        [("a".into(), 4), ("b".into(), 4), ("c".into(), 2)].into()
    );
}

#[test]
fn a_lost_host_s_work_goes_to_the_others() {
    let hosts = [("a", "x"), ("b", "x"), ("c", "x")];
    let mut world = World::new(&hosts, shop(&spread(9, &[]), ONE_PROVIDER));
    world.settle();
    world.model.leave("b");
    let moved = world.settle();
    let mut counts: Vec<u32> = world.counts().into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [4, 5]);
    assert!(
        moved
            .iter()
            .all(|command| !matches!(command, Command::PutLink { .. } | Command::PutConfig { .. })),
        "{moved:?}"
    );
    assert_eq!(world.model.providers("shop-store").len(), 1);
}

#[test]
fn what_moves_is_started_before_it_is_stopped() {
    let scaler = spread(2, &[("east", "east", 1)]);
    let mut world = World::new(&[("a", "east")], shop(&scaler, ONE_PROVIDER));
    world.settle();
    world.model.label("a", "west");
    world.model.join("b", "east");
    let done: Vec<String> = world
        .settle()
        .iter()
        .filter(|command| matches!(command, Command::Scale(_)))
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        done,
        [
            "scale component shop-cart to 2 on b",
            "scale component shop-cart to 0 on a"
        ]
    );
}

#[test]
fn a_daemon_runs_on_every_fitting_host() {
    let daemon = "{type: daemonscaler, properties: {instances: 2, spread: [{name: east, requirements: {zone: east}}]}}";
    let hosts = [("a", "east"), ("b", "west"), ("c", "east")];
    let mut world = World::new(
        &hosts,
        shop(daemon, "{type: daemonscaler, properties: {instances: 1}}"),
    );
    world.settle();
    assert_eq!(world.counts(), [("a".into(), 2), ("c".into(), 2)].into());
    assert_eq!(world.model.providers("shop-store").len(), 3);
    world.model.join("d", "east");
    world.settle();
    assert_eq!(world.counts().len(), 3);
    assert_eq!(world.model.providers("shop-store").len(), 4);
}

#[test]
fn undeploying_leaves_nothing_and_takes_links_first() {
    let hosts = [("a", "x"), ("b", "x")];
    let mut world = World::new(&hosts, shop(&spread(4, &[]), ONE_PROVIDER));
    world.settle();
    world.desired.clear();
    let done: Vec<String> = world.settle().iter().map(ToString::to_string).collect();
    assert!(done[0].starts_with("delete link"), "{done:?}");
    assert_eq!(done.last().unwrap(), "delete config shop-url");
    assert!(world.model.is_empty(), "{:?}", world.model);
    assert_eq!(world.owned["shop"], Owned::default());
    assert_eq!(world.plan().apps["shop"].leftovers, [] as [String; 0]);
}

#[test]
fn a_host_that_comes_back_with_old_work_loses_it() {
    let hosts = [("a", "x"), ("b", "x")];
    let mut world = World::new(&hosts, shop(&spread(4, &[]), ONE_PROVIDER));
    world.settle();
    let away = world.model.leave("b").unwrap();
    world.desired.clear();
    world.settle();
    world.model.back("b", away);
    assert!(!world.model.is_empty());
    world.settle();
    assert!(world.model.is_empty(), "{:?}", world.model);
}

#[test]
fn what_others_started_is_left_alone() {
    let mut world = World::new(&[("a", "x")], shop(&spread(1, &[]), ONE_PROVIDER));
    world.model.run_foreign("a", "theirs");
    world.settle();
    world.desired.clear();
    world.settle();
    assert_eq!(world.model.counts("theirs"), [("a".into(), 1)].into());
}

#[test]
fn a_new_image_replaces_the_old_one() {
    let mut world = World::new(&[("a", "x")], shop(&spread(3, &[]), ONE_PROVIDER));
    world.settle();
    let text = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {name: shop}
spec:
  components:
    - {name: cart, type: component, properties: {image: 'file:///cart2.wasm'}, traits: [{type: spreadscaler, properties: {instances: 3}}]}
    - {name: store, type: capability, properties: {image: 'builtin:keyvalue-nats'}}
";
    world.desired = app(text);
    let done = world.settle();
    let Command::Scale(scale) = &done[0] else {
        panic!("{done:?}")
    };
    assert!(scale.allow_update);
    assert_eq!(scale.count, 3);
    // A provider is stopped, then started; the link and config of the old version go.
    let done: Vec<String> = done.iter().map(ToString::to_string).collect();
    assert!(
        done.contains(&"stop provider shop-store on a".to_owned()),
        "{done:?}"
    );
    assert!(
        done.contains(&"start provider shop-store on a".to_owned()),
        "{done:?}"
    );
    assert!(
        done.contains(&"delete config shop-url".to_owned()),
        "{done:?}"
    );
    assert_eq!(world.states(), vec![State::Deployed; 2]);
}

#[test]
fn a_config_of_somebody_else_must_be_there() {
    let text = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {name: shop}
spec:
  components:
    - {name: cart, type: component, properties: {image: 'file:///cart.wasm', config: [{name: theirs}]}}
";
    let mut world = World::new(&[("a", "x")], app(text));
    world.model.observed.configs.insert("theirs".into(), None);
    assert_eq!(world.settle(), []);
    let State::Failed(why) = &world.states()[0] else {
        panic!("{:?}", world.states())
    };
    assert!(why.contains("config theirs is not in the lattice"), "{why}");
    world
        .model
        .observed
        .configs
        .insert("theirs".into(), Some(BTreeMap::new()));
    world.settle();
    assert_eq!(world.states(), [State::Deployed]);
    // And it is not ours to delete.
    world.desired.clear();
    world.settle();
    assert_eq!(
        world.model.observed.configs["theirs"],
        Some(BTreeMap::new())
    );
}

#[test]
fn a_link_that_somebody_changed_is_put_right() {
    let mut world = World::new(&[("a", "x")], shop(&spread(1, &[]), ONE_PROVIDER));
    world.settle();
    for link in world.model.observed.links.as_mut().unwrap().values_mut() {
        link.target = "elsewhere".parse().unwrap();
    }
    let done = world.settle();
    assert!(
        matches!(done.as_slice(), [Command::PutLink { replace: true, .. }]),
        "{done:?}"
    );
}

#[test]
fn a_provider_that_its_host_tries_in_vain_is_no_success() {
    let mut world = World::new(&[("a", "x")], shop(&spread(1, &[]), ONE_PROVIDER));
    world.settle();
    let host = "a".parse().unwrap();
    let failed = ProviderStartFailed {
        error: "port 80 is in use".into(),
        provider_id: "shop-store".parse().unwrap(),
        provider_ref: None,
        host_id: None,
    };
    let observed = &mut world.model.observed;
    observed.event(&host, &Event::ProviderStartFailed(failed));
    assert_eq!(
        world.states()[2],
        State::Failed(
            "host a can't start the provider and goes on trying: port 80 is in use".into()
        )
    );
    let passed = HealthCheck {
        host_id: host.clone(),
        provider_id: "shop-store".parse().unwrap(),
        message: None,
    };
    let observed = &mut world.model.observed;
    observed.event(&host, &Event::HealthCheckPassed(passed));
    assert_eq!(world.states()[2], State::Deployed);
}

/// Something that happens to a lattice.
#[derive(Clone, Debug)]
enum Happening {
    Join(u8, bool),
    Leave(u8),
    Label(u8, bool),
    /// Someone scales it by hand.
    Meddle(u8, u32),
}

fn zone(east: bool) -> &'static str {
    if east { "east" } else { "west" }
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..8_u8, any::<bool>()).prop_map(|(host, east)| Happening::Join(host, east)),
        (0..8_u8).prop_map(Happening::Leave),
        (0..8_u8, any::<bool>()).prop_map(|(host, east)| Happening::Label(host, east)),
        (0..8_u8, 0..20_u32).prop_map(|(host, count)| Happening::Meddle(host, count)),
    ]
}

fn scaler() -> impl Strategy<Value = (u32, Vec<(&'static str, &'static str, u32)>)> {
    let spreads =
        prop::sample::subsequence(vec![("east", "east"), ("west", "west"), ("any", "")], 0..=3)
            .prop_flat_map(|spreads| {
                let weights = prop::collection::vec(1..100_u32, spreads.len());
                weights.prop_map(move |weights| {
                    spreads
                        .iter()
                        .zip(weights)
                        .map(|((name, zone), weight)| (*name, *zone, weight))
                        .collect::<Vec<_>>()
                })
            });
    (0..60_u32, spreads)
}

/// What ought to hold once nothing is left to do.
fn check(world: &World, instances: u32, spreads: &[(&str, &str, u32)], providers: u32) {
    let hosts = &world.model.observed.hosts;
    let zone_of = |host: &str| world.model.zone(host);
    let counts = world.counts();
    // Each spread's part runs in full where there is a host for it, and nowhere else.
    let all = [("default", "", 100)];
    let spreads = if spreads.is_empty() { &all } else { spreads };
    let total: u64 = spreads
        .iter()
        .map(|(_, _, weight)| u64::from(*weight))
        .sum();
    let mut least = 0;
    for (_, zone, weight) in spreads {
        let has_host = hosts
            .keys()
            .any(|host| zone.is_empty() || zone_of(host.as_str()) == *zone);
        if has_host {
            least += u64::from(instances) * u64::from(*weight) / total;
        }
    }
    let running: u32 = counts.values().sum();
    let complete = spreads.iter().all(|(_, zone, _)| {
        hosts
            .keys()
            .any(|host| zone.is_empty() || zone_of(host.as_str()) == *zone)
    });
    if complete && !hosts.is_empty() {
        assert_eq!(running, instances);
    } else {
        assert!(
            u64::from(running) >= least && running <= instances,
            "{running} of {instances}"
        );
    }
    if !spreads.iter().any(|(_, zone, _)| zone.is_empty()) {
        for host in counts.keys() {
            let zone = zone_of(host);
            assert!(
                spreads.iter().any(|(_, wanted, _)| *wanted == zone),
                "{host} is in {zone}"
            );
        }
    }
    if spreads.len() == 1 && !counts.is_empty() {
        let eligible = hosts
            .keys()
            .filter(|host| spreads[0].1.is_empty() || zone_of(host.as_str()) == spreads[0].1)
            .count();
        let (most, least) = (
            *counts.values().max().unwrap(),
            *counts.values().min().unwrap(),
        );
        let least = if counts.len() < eligible { 0 } else { least };
        assert!(most - least <= 1, "{counts:?}");
    }
    let wanted = (providers as usize).min(hosts.len());
    assert_eq!(world.model.providers("shop-store").len(), wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens, it settles; then everything is as declared, and nothing moves any more.
    #[test]
    fn it_settles_as_declared(
        (instances, spreads) in scaler(),
        providers in 0..5_u32,
        happenings in prop::collection::vec(happening(), 1..25),
    ) {
        let provider = format!("{{type: spreadscaler, properties: {{instances: {providers}}}}}");
        let mut world = World::new(&[], shop(&spread(instances, &spreads), &provider));
        for happening in happenings {
            match happening {
                Happening::Join(host, east) => world.model.join(&host.to_string(), zone(east)),
                Happening::Leave(host) => { world.model.leave(&host.to_string()); }
                Happening::Label(host, east) => world.model.label(&host.to_string(), zone(east)),
                Happening::Meddle(host, count) => world.model.meddle(&host.to_string(), "shop-cart", count),
            }
            world.settle();
            check(&world, instances, &spreads, providers);
        }
        world.desired.clear();
        world.settle();
        // With no host there is nobody to delete links and configs.
        prop_assert!(world.model.is_empty() || world.model.observed.hosts.is_empty());
    }

    /// A host that joins or leaves moves at most what evenness asks for.
    #[test]
    fn little_moves(instances in 1..200_u32, hosts in 1..12_u8) {
        let names: Vec<String> = (0..hosts).map(|host| host.to_string()).collect();
        let hosts: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
        let mut world = World::new(&hosts, shop(&spread(instances, &[]), ONE_PROVIDER));
        world.settle();
        let before = world.counts();
        world.model.join("new", "x");
        world.settle();
        let after = world.counts();
        let new = after.get("new").copied().unwrap_or(0);
        let gained: u32 = after
            .iter()
            .filter(|(host, _)| *host != "new")
            .map(|(host, count)| count.saturating_sub(before.get(host).copied().unwrap_or(0)))
            .sum();
        prop_assert_eq!(gained, 0, "only the new host gets anything");
        prop_assert_eq!(new, instances / (u32::try_from(hosts.len()).unwrap() + 1));
        world.model.leave("new");
        world.settle();
        let lost: u32 = after
            .iter()
            .map(|(host, count)| count.saturating_sub(world.counts().get(host).copied().unwrap_or(0)))
            .sum();
        prop_assert_eq!(lost, new, "only the lost host loses anything");
    }

    /// The same input gives the same plan.
    #[test]
    fn plans_are_deterministic((instances, spreads) in scaler(), hosts in 0..8_u8) {
        let names: Vec<String> = (0..hosts).map(|host| host.to_string()).collect();
        let hosts: Vec<_> = names.iter().map(|name| (name.as_str(), "east")).collect();
        let world = World::new(&hosts, shop(&spread(instances, &spreads), ONE_PROVIDER));
        prop_assert_eq!(world.plan(), world.plan());
    }
}

#[test]
fn nothing_is_known_of_an_empty_lattice() {
    let nothing = plan(Input {
        desired: &BTreeMap::new(),
        owned: &BTreeMap::new(),
        observed: &Observed::default(),
    });
    assert_eq!(nothing, Plan::default());
}
