//! What is said of why things are where they are.

use std::collections::BTreeMap;

use trellis_lattice::control::host::CAPACITY;
use trellis_wadm::plan::place::explain::{Explanation, Reason, Rule, explain};

use super::world::{ONE_PROVIDER, World, shop, spread};

fn cart(world: &World) -> Explanation {
    let explanations = explain(&world.desired, &world.model.observed, "shop");
    assert_eq!(explanations.len(), 2, "the component and the provider");
    explanations.into_iter().next().unwrap()
}

#[test]
fn each_host_is_chosen_for_a_reason_or_left_for_one() {
    let scaler = spread(3, &[("east", "east", 50), ("west", "west", 50)]);
    let hosts = [("a", "east"), ("b", "east"), ("c", "north")];
    let mut world = World::new(&hosts, shop(&scaler, ONE_PROVIDER));
    let before = cart(&world);
    assert_eq!((before.wanted, before.placed), (3, 2));
    let east = &before.spreads[0];
    assert!(
        east.chosen
            .iter()
            .all(|one| one.reason == Reason::Even && one.running == 0)
    );
    assert_eq!(
        east.chosen[0].why,
        "spread evenly over the 2 host(s) that fit"
    );
    world.settle();
    let after = cart(&world);
    let east = &after.spreads[0];
    assert_eq!(east.chosen.len(), 2);
    assert!(
        east.chosen
            .iter()
            .all(|one| one.reason == Reason::Runs && one.running == 1)
    );
    assert_eq!(east.others[0].rule, Rule::Labels);
    assert_eq!(east.others[0].why, "it has no label zone=east");
    assert_eq!(east.others[0].hosts[0].name, "c");
    let west = after.spreads[1].missing.as_ref().unwrap();
    assert_eq!((west.rule, west.instances), (Rule::Labels, 1));
    assert!(west.why.contains("zone=west"), "{}", west.why);
}

#[test]
fn it_says_that_there_are_enough_or_no_room() {
    let mut world = World::new(
        &[("a", "x"), ("b", "x")],
        shop(&spread(1, &[]), ONE_PROVIDER),
    );
    world.settle();
    let others = cart(&world).spreads[0].others.clone();
    assert_eq!((others[0].rule, others[0].count), (Rule::NotNeeded, 1));
    for host in world.model.observed.hosts.values_mut() {
        host.labels.insert(CAPACITY.into(), "0".into());
    }
    let full = cart(&world);
    assert_eq!(full.placed, 0);
    assert_eq!(full.spreads[0].others[0].rule, Rule::Room);
    assert_eq!(full.spreads[0].missing.as_ref().unwrap().rule, Rule::Room);
    for host in world.model.observed.hosts.values_mut() {
        host.labels.insert(CAPACITY.into(), "many".into());
    }
    let noted = cart(&world);
    assert_eq!(noted.placed, 1);
    assert!(
        noted.notes[0].contains("\"many\", which is no number"),
        "{:?}",
        noted.notes
    );
}

#[test]
fn it_can_be_sent_and_read() {
    let scaler = spread(3, &[("east", "east", 50), ("west", "west", 50)]);
    let world = World::new(
        &[("a", "east"), ("b", "north")],
        shop(&scaler, ONE_PROVIDER),
    );
    let said = cart(&world);
    let text = serde_json::to_string(&said).unwrap();
    assert!(text.contains("\"rule\":\"labels\""), "{text}");
    assert_eq!(serde_json::from_str::<Explanation>(&text).unwrap(), said);
    assert_eq!(
        explain(&world.desired, &world.model.observed, "another"),
        []
    );
    assert_eq!(explain(&BTreeMap::new(), &world.model.observed, "shop"), []);
}
