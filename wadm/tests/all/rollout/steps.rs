//! What a rollout does, step by step.

use trellis_wadm::rollout::{Phase, Wish};

use super::world::{World, image};

const GATED: &str = "{health: {errorRate: 0.1, minCalls: 20}}";

#[test]
fn hosts_are_updated_one_after_the_other() {
    let mut world = World::new(3, 3, "{}");
    world.deployed = "v2".into();
    let mut seen = vec![0];
    for _ in 0..100 {
        world.tick();
        let updated = world.hosts_with(2).len();
        if seen.last() != Some(&updated) {
            seen.push(updated);
        }
    }
    assert_eq!(seen, [0, 1, 2, 3]);
    assert_eq!(world.phase(), &Phase::Done);
    assert!(world.runs_everywhere(2));
    assert_eq!(world.most_in_update, 1);
    assert_eq!(world.happened.first(), Some(&"rollout_started"));
    assert_eq!(world.happened.last(), Some(&"rollout_done"));
    // The old version's configuration went only now.
    assert_eq!(world.model.observed.configs.get("shop-c1"), Some(&None));
}

#[test]
fn a_bad_image_goes_back_and_reaches_one_host_only() {
    let mut world = World::new(3, 6, "{maxSurge: 2}");
    world.bad.insert(image(2));
    world.deployed = "v2".into();
    let phase = world.end();
    assert!(
        matches!(&phase, Phase::RolledBack { why } if why.contains("no such image")),
        "{phase:?}"
    );
    assert_eq!(world.deployed, "v1");
    assert!(world.runs_everywhere(1));
    assert_eq!(world.told[&image(2)].len(), 1);
    // And it stays so.
    world.told.clear();
    world.run(600);
    assert!(world.told.is_empty());
    // Nothing of the failed version is left.
    assert_eq!(world.model.observed.configs.get("shop-c2"), Some(&None));
    // Wanted once more it is tried once more.
    world.bad.clear();
    world.deployed = "v2".into();
    assert_eq!(world.end(), Phase::Done);
    assert!(world.runs_everywhere(2));
}

#[test]
fn where_the_version_before_was_deleted_it_stays_half_way_and_says_so() {
    let mut world = World::new(3, 3, "{}");
    world.bad.insert(image(2));
    world.vanishes = true;
    world.deployed = "v2".into();
    let phase = world.end();
    assert!(
        matches!(&phase, Phase::Failed { why }
            if why.contains("no such image") && why.contains("version v1, to go back to, was deleted")),
        "{phase:?}"
    );
    world.run(600);
    assert!(world.tries <= 2, "tried {} times", world.tries);
    // Another one can be deployed.
    world.deployed = "v3".into();
    assert_eq!(world.end(), Phase::Done);
    assert!(world.runs_everywhere(3));
}

#[test]
fn a_bad_provider_goes_back_too() {
    let mut world = World::new(3, 3, "{}");
    world.bad.insert("file:///store-2".into());
    world.deployed = "v2".into();
    assert!(matches!(world.end(), Phase::RolledBack { .. }));
    // The component, which came first and was well, went back with it.
    assert!(world.runs_everywhere(1));
}

#[test]
fn calls_that_fail_turn_it_round() {
    let mut world = World::new(3, 3, GATED);
    world.calls = 5;
    world.erring.insert(image(2), 4);
    world.deployed = "v2".into();
    let phase = world.end();
    assert!(
        matches!(&phase, Phase::RolledBack { why } if why.contains("calls failed")),
        "{phase:?}"
    );
    assert_eq!(world.told[&image(2)].len(), 1);
    assert!(world.runs_everywhere(1));
}

#[test]
fn calls_that_fail_now_and_then_are_borne() {
    let mut world = World::new(3, 3, GATED);
    world.calls = 5;
    world.erring.insert(image(2), 20);
    world.deployed = "v2".into();
    assert_eq!(world.end(), Phase::Done);
    assert!(world.runs_everywhere(2));
}

#[test]
fn without_calls_a_gate_waits_a_while_and_goes_on() {
    let mut world = World::new(2, 2, GATED);
    world.deployed = "v2".into();
    world.run(50);
    assert!(
        matches!(world.phase(), Phase::Watching { .. }),
        "{:?}",
        world.phase()
    );
    assert_eq!(world.hosts_with(2).len(), 1);
    assert_eq!(world.end(), Phase::Done);
}

#[test]
fn a_canary_is_held() {
    let mut world = World::new(
        10,
        10,
        "{strategy: canary, steps: [{weight: 10, pause: 30s}, {weight: 50, pause: 30s}]}",
    );
    world.deployed = "v2".into();
    world.run(100);
    assert!(matches!(world.phase(), Phase::Holding { .. }));
    assert_eq!(world.hosts_with(2).len(), 1);
    world.run(280);
    assert!(matches!(world.phase(), Phase::Holding { .. }));
    assert_eq!(world.hosts_with(2).len(), 5);
    assert_eq!(world.end(), Phase::Done);
    assert!(world.runs_everywhere(2));
}

#[test]
fn a_canary_that_fails_while_held_goes_back() {
    let mut world = World::new(
        4,
        4,
        "{strategy: canary, steps: [{weight: 25, pause: 60s}], health: {errorRate: 0.1, minCalls: 20}}",
    );
    world.calls = 5;
    world.deployed = "v2".into();
    world.run(100);
    assert!(matches!(world.phase(), Phase::Holding { .. }));
    world.erring.insert(image(2), 2);
    assert!(matches!(world.end(), Phase::RolledBack { .. }));
    assert_eq!(world.told[&image(2)].len(), 1);
}

#[test]
fn a_pause_holds_and_a_resume_goes_on() {
    let mut world = World::new(3, 3, "{deadline: 10s}");
    world.deployed = "v2".into();
    while world.hosts_with(2).is_empty() {
        world.tick();
    }
    world.wish.paused = true;
    world.run(5);
    let held = world.hosts_with(2).len();
    world.run(600);
    assert_eq!(world.hosts_with(2).len(), held);
    assert!(held < 3);
    assert!(world.notes["shop"].paused.is_some());
    world.wish.paused = false;
    assert_eq!(world.end(), Phase::Done);
    assert!(world.happened.contains(&"rollout_paused"));
    assert!(world.happened.contains(&"rollout_resumed"));
}

#[test]
fn the_version_before_deployed_half_way_undoes_it() {
    let mut world = World::new(4, 4, "{strategy: canary, steps: [{weight: 50, pause: 1h}]}");
    world.deployed = "v2".into();
    world.run(100);
    assert_eq!(world.hosts_with(2).len(), 2);
    world.deployed = "v1".into();
    assert!(matches!(world.end(), Phase::RolledBack { .. }));
    assert!(world.runs_everywhere(1));
    assert_eq!(world.most_in_update, 1);
}

#[test]
fn a_third_version_half_way_takes_over_and_falls_back_to_the_first() {
    let mut world = World::new(4, 4, "{strategy: canary, steps: [{weight: 50, pause: 1h}]}");
    world.deployed = "v2".into();
    world.run(100);
    world.bad.insert(image(3));
    world.deployed = "v3".into();
    assert!(matches!(world.end(), Phase::RolledBack { .. }));
    assert_eq!(world.deployed, "v1");
    assert!(world.runs_everywhere(1));
}

#[test]
fn without_automatic_rollback_it_stays_half_way_until_told() {
    let mut world = World::new(3, 3, "{autoRollback: false}");
    world.bad.insert(image(2));
    world.deployed = "v2".into();
    assert!(matches!(world.end(), Phase::Failed { .. }));
    assert_eq!(world.hosts_with(1).len(), 3);
    world.bad.clear();
    world.wish = Wish {
        retries: 1,
        ..Wish::default()
    };
    world.run(2);
    assert_eq!(world.end(), Phase::Done);
}

#[test]
fn what_never_comes_up_fails_at_its_deadline() {
    let mut world = World::new(3, 3, "{deadline: 20s}");
    world.delay = 1_000_000;
    world.deployed = "v2".into();
    world.run(150);
    assert!(matches!(world.phase(), Phase::Progressing { .. }));
    world.run(100);
    let phase = world.phase();
    assert!(
        matches!(phase, Phase::RolledBack { why } if why.contains("20s")),
        "{phase:?}"
    );
    assert!(world.runs_everywhere(1));
}

#[test]
fn while_nothing_can_be_noted_nothing_is_done() {
    let mut world = World::new(3, 3, "{}");
    world.store_is_away = true;
    world.deployed = "v2".into();
    world.run(100);
    assert_eq!(world.hosts_with(1).len(), 3);
    world.store_is_away = false;
    assert_eq!(world.end(), Phase::Done);
}

#[test]
fn hosts_that_are_all_away_for_a_while_change_nothing() {
    let mut world = World::new(
        4,
        4,
        "{strategy: canary, steps: [{weight: 25, pause: 20s}, {weight: 75, pause: 20s}], health: {errorRate: 0.1}}",
    );
    world.deployed = "v2".into();
    world.run(150);
    assert!(matches!(world.phase(), Phase::Holding { .. }));
    let away: Vec<_> = ["h0", "h1", "h2", "h3"]
        .into_iter()
        .map(|name| (name, world.model.leave(name).unwrap()))
        .collect();
    world.run(600);
    let part = &world.notes["shop"].parts[0];
    assert!(part.step <= 1, "{part:?}");
    for (name, host) in away {
        world.model.back(name, host);
    }
    assert_eq!(world.end(), Phase::Done);
    assert!(world.runs_everywhere(2));
}
