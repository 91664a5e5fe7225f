//! Taking away what an application had, and nothing else.

use trellis_wadm::store::Owned;

use super::world::{ONE_PROVIDER, World, shop, spread};

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
