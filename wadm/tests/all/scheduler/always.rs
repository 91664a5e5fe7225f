//! What always holds, whatever happens to a lattice.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trellis_wadm::{
    observed::Observed,
    plan::{Input, Plan, plan},
};

use super::world::{ONE_PROVIDER, World, shop, spread};

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
        rolling: Input::NO_ROLLOUT,
    });
    assert_eq!(nothing, Plan::default());
}
