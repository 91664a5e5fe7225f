//! PoPs that can't be seen: what counts as running there, for how long, and what stays within its region whatever happens.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trellis_wadm::{
    command::{Command, Subject},
    desired::App,
    plan::{State, place},
    rollout::Moment,
};

use super::world::{World, app};

fn shop(instances: u32, placement: &str) -> BTreeMap<String, App> {
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
        - {{type: spreadscaler, properties: {{instances: {instances}}}}}
        - {{type: placement, properties: {placement}}}
    - name: store
      type: capability
      properties: {{image: 'builtin:keyvalue-redis'}}
      traits:
        - {{type: spreadscaler, properties: {{instances: 1}}}}
        - {{type: placement, properties: {placement}}}
"
    ))
}

/// Two hosts in Frankfurt, one in Ashburn, one in Singapore.
fn world(instances: u32, placement: &str) -> World {
    let mut world = World::new(&[], shop(instances, placement));
    for (host, pop, region) in HOSTS {
        join(&mut world, host, pop, region);
    }
    world.settle();
    world
}

const HOSTS: [(&str, &str, &str); 4] = [
    ("a", "fra", "eu"),
    ("b", "fra", "eu"),
    ("c", "iad", "us"),
    ("d", "sin", "ap"),
];

fn join(world: &mut World, host: &str, pop: &str, region: &str) {
    world.model.join(host, "x");
    let there = world.model.observed.hosts.get_mut(host).unwrap();
    there.labels.insert("pop".into(), pop.into());
    there.labels.insert("region".into(), region.into());
}

/// A PoP can't be seen any more.
fn cut(world: &mut World, pop: &str) {
    let observed = &mut world.model.observed;
    let hosts: Vec<_> = observed
        .hosts
        .iter()
        .filter(|(_, host)| host.pop() == Some(pop))
        .map(|(id, _)| id.clone())
        .collect();
    for host in hosts {
        observed.cut(&host, observed.at);
    }
}

/// All PoPs are seen again.
fn heal(world: &mut World) {
    let observed = &mut world.model.observed;
    for (id, unseen) in std::mem::take(&mut observed.unseen) {
        observed.hosts.insert(id, unseen.host);
    }
}

fn cart(world: &World) -> State {
    world.states()[0].clone()
}

fn told(state: &State) -> String {
    match state {
        State::Deployed => String::new(),
        State::Unhealthy(why) | State::Reconciling(why) | State::Failed(why) => why.clone(),
    }
}

#[test]
fn what_is_kept_counts_as_running_until_it_is_seen() {
    let mut world = world(8, "{onPartition: keep}");
    let before = world.counts();
    assert_eq!(before.values().copied().collect::<Vec<_>>(), [2, 2, 2, 2]);
    world.model.observed.at = Moment(1_700_000_000_000);
    cut(&mut world, "fra");
    world.model.observed.at = Moment(1_800_000_000_000);
    assert_eq!(world.settle(), [], "nothing is done about it");
    let state = cart(&world);
    assert!(matches!(state, State::Unhealthy(_)), "{state:?}");
    assert_eq!(
        told(&state),
        "PoP fra can't be seen since 2023-11-14T22:13:20Z; 4 instance(s) are taken as running there until it is seen again"
    );
    let explained = place::explain::explain(&world.desired, &world.model.observed, "shop");
    assert_eq!((explained[0].wanted, explained[0].placed), (8, 8));
    heal(&mut world);
    assert_eq!(world.settle(), []);
    assert_eq!(world.counts(), before);
    assert_eq!(cart(&world), State::Deployed);
}

#[test]
fn grace_ends_and_the_surplus_goes_when_it_is_seen_again() {
    for placement in [
        "{onPartition: keep, partitionGrace: 2m}",
        "{partitionGrace: 2m}",
    ] {
        let mut world = world(8, placement);
        cut(&mut world, "fra");
        world.model.observed.at = Moment(119_999);
        assert_eq!(world.settle(), []);
        assert!(told(&cart(&world)).ends_with("until 1970-01-01T00:02:00Z"));
        world.model.observed.at = Moment(120_000);
        world.settle();
        let counts: Vec<u32> = world.counts().into_values().collect();
        assert_eq!((counts, cart(&world)), (vec![4, 4], State::Deployed));
        heal(&mut world);
        world.settle();
        let counts: Vec<u32> = world.counts().into_values().collect();
        assert_eq!(counts, [2, 2, 2, 2]);
        assert_eq!(world.model.providers("shop-store").len(), 1);
    }
}

#[test]
fn what_is_not_kept_runs_elsewhere_at_once() {
    let mut world = world(8, "{}");
    cut(&mut world, "fra");
    world.settle();
    let counts: Vec<u32> = world.counts().into_values().collect();
    assert_eq!((counts, cart(&world)), (vec![4, 4], State::Deployed));
}

#[test]
fn who_is_scaled_down_below_what_is_kept_leaves_one_that_can_be_called() {
    let mut world = world(8, "{onPartition: keep}");
    cut(&mut world, "fra");
    for (instances, seen) in [(12, 8), (5, 1), (4, 0), (2, 1), (0, 0)] {
        world.desired = shop(instances, "{onPartition: keep}");
        world.settle();
        let sum: u32 = world.counts().values().sum();
        assert_eq!(sum, seen, "{instances}");
    }
}

#[test]
fn what_is_kept_in_a_region_says_so_when_the_region_is_lost() {
    let mut world = world(4, "{residency: {region: eu}}");
    assert_eq!(world.counts().keys().collect::<Vec<_>>(), ["a", "b"]);
    cut(&mut world, "fra");
    assert_eq!(world.settle(), []);
    let told = told(&cart(&world));
    assert!(
        told.contains("none of the 2 host(s) has them; their residency keeps them within region=eu: they go nowhere else"),
        "{told}"
    );
    let explained = place::explain::explain(&world.desired, &world.model.observed, "shop");
    assert!(explained[0].notes[0].contains("residency keeps it and its calls within region=eu"));
}

#[derive(Clone, Debug)]
enum Happening {
    Cut(&'static str),
    Heal,
    Die(u8),
    Join(u8),
    Scale(u32),
    Later(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        prop::sample::select(vec!["fra", "iad", "sin"]).prop_map(Happening::Cut),
        Just(Happening::Heal),
        (0..4_u8).prop_map(Happening::Die),
        (0..4_u8).prop_map(Happening::Join),
        (0..20_u32).prop_map(Happening::Scale),
        (0..300_u64).prop_map(Happening::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens, a resident is asked of no host outside its region and what is kept is neither touched nor
    /// doubled; and once all is seen it is as declared.
    #[test]
    fn nothing_leaves_its_region_and_nothing_kept_is_doubled(
        happenings in prop::collection::vec(happening(), 1..30),
        resides in any::<bool>(),
        keeps in 0..3_u8,
    ) {
        let residency = if resides { "residency: {region: eu}, " } else { "" };
        let partition = ["onPartition: keep", "onPartition: keep, partitionGrace: 1m", "priority: 1"];
        let placement = format!("{{{residency}{}}}", partition[usize::from(keeps)]);
        let mut instances = 6;
        let mut world = world(instances, &placement);
        for happening in happenings {
            match happening {
                Happening::Cut(pop) => cut(&mut world, pop),
                Happening::Heal => heal(&mut world),
                Happening::Die(host) => {
                    let id = HOSTS[usize::from(host)].0;
                    world.model.leave(id);
                    world.model.observed.unseen.remove(id);
                }
                Happening::Join(host) => {
                    let (id, pop, region) = HOSTS[usize::from(host)];
                    if !world.model.observed.unseen.contains_key(id) {
                        join(&mut world, id, pop, region);
                    }
                }
                Happening::Scale(count) => {
                    instances = count;
                    world.desired = shop(instances, &placement);
                }
                Happening::Later(seconds) => {
                    let at = &mut world.model.observed.at;
                    at.0 += seconds * 1000;
                }
            }
            let counted = |world: &World| -> u32 {
                let app = &world.desired["shop"];
                let workload = app.workloads().next().unwrap();
                let unseen = world.model.observed.counted(workload);
                unseen.map(|(_, unseen)| unseen.instances(workload)).sum()
            };
            let kept = counted(&world);
            for command in world.settle() {
                if let (true, Subject::Component(host, _) | Subject::Provider(host, _)) = (resides, command.subject()) {
                    let starts = !matches!(&command, Command::StopProvider(_));
                    let region = &world.model.observed.hosts[&host].labels["region"];
                    prop_assert!(!starts || region == "eu", "{command} in {region}");
                }
            }
            prop_assert_eq!(counted(&world), kept);
            let seen: u32 = world.counts().values().sum();
            let has_place = world.model.observed.hosts.values().any(|host| !resides || host.labels["region"] == "eu");
            let wanted = instances.checked_sub(kept).unwrap_or(instances.min(1));
            prop_assert_eq!(seen, if has_place { wanted } else { 0 });
        }
        heal(&mut world);
        world.settle();
        let has_place = world.model.observed.hosts.values().any(|host| !resides || host.labels["region"] == "eu");
        let seen: u32 = world.counts().values().sum();
        prop_assert_eq!(seen, if has_place { instances } else { 0 });
    }
}
