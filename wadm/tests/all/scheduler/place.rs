//! Where things run: labels, weights, hosts that come and go.

use trellis_wadm::{command::Command, plan::State};

use super::world::{ONE_PROVIDER, World, shop, spread};

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

/// A host lists a provider as soon as it begins to start it.
#[test]
fn a_provider_that_is_being_started_is_not_deployed_yet() {
    let mut world = World::new(&[("a", "x")], shop(&spread(1, &[]), ONE_PROVIDER));
    world.settle();
    let host = world.model.observed.hosts.get_mut("a").unwrap();
    let provider = host.providers.get_mut("shop-store").unwrap();
    provider.not_ready = Some("it can't be started: port in use".into());
    let states = world.states();
    assert!(
        states.contains(&State::Reconciling(
            "on host a: it can't be started: port in use".into()
        )),
        "{states:?}"
    );
    assert!(world.plan().steps.is_empty());
}
