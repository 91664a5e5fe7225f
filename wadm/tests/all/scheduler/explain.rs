//! Why things are where they are, and why others are missing.

use std::time::{Duration, Instant};

use trellis_lattice::app::{Explanation, StatusInfo};
use trellis_wadm::{
    attempts::{Attempts, Timing},
    explain::{View, explain},
    plan::place,
};

use super::world::{ONE_PROVIDER, World, app, shop, spread};

fn explained(world: &World, attempts: &Attempts, now: Instant) -> Explanation {
    let plan = world.plan();
    let placements = place::explain::explain(&world.desired, &world.model.observed, "shop");
    explain(View {
        name: "shop",
        app: world.desired.get("shop"),
        state: &plan.apps["shop"],
        status: StatusInfo::default(),
        placements: &placements,
        observed: &world.model.observed,
        attempts,
        lost: Vec::new(),
        now,
    })
}

fn explain_now(world: &World) -> Explanation {
    explained(world, &Attempts::default(), Instant::now())
}

#[test]
fn each_instance_has_its_reason_and_each_other_host_too() {
    let scaler = spread(5, &[("east", "east", 80), ("west", "west", 20)]);
    let hosts = [("a", "east"), ("b", "east"), ("c", "west"), ("d", "south")];
    let mut world = World::new(&hosts, shop(&scaler, ONE_PROVIDER));
    let cart = &explain_now(&world).components[0];
    assert_eq!((cart.desired, cart.running), (5, 0));
    assert_eq!(
        cart.hosts[0].why,
        "2 for spread east: spread evenly over the 2 host(s) that fit"
    );
    let west: Vec<_> = cart
        .others
        .iter()
        .filter(|others| others.spread == "west")
        .collect();
    assert_eq!(west.len(), 1);
    assert_eq!(west[0].names, ["a", "b", "d"]);
    assert_eq!(
        (west[0].rule.as_str(), west[0].why.as_str()),
        ("labels", "it has no label zone=west")
    );
    world.settle();
    let told = explain_now(&world);
    let cart = &told.components[0];
    assert_eq!((cart.desired, cart.running), (5, 5));
    assert!(cart.hosts[0].why.ends_with("it runs there already"));
    let provider = &told.components[1];
    assert_eq!((provider.desired, provider.running), (1, 1));
    assert_eq!(provider.others[0].why, "there are enough elsewhere");
    assert_eq!((provider.others[0].count, told.hosts), (3, 4));
    assert!(told.links[0].there);
    assert!(told.configs[0].there && told.configs[0].is_own);
}

#[test]
fn what_is_missing_names_the_rule() {
    let scaler = spread(4, &[("east", "east", 50), ("west", "west", 50)]);
    let mut world = World::new(&[("a", "east")], shop(&scaler, ONE_PROVIDER));
    world.settle();
    let cart = &explain_now(&world).components[0];
    assert_eq!((cart.desired, cart.running), (4, 2));
    let missing = &cart.missing[0];
    assert_eq!((missing.instances, missing.spread.as_str()), (2, "west"));
    assert!(missing.why.contains("zone=west"), "{}", missing.why);
}

const RULES: &str = "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {name: shop}
spec:
  components:
    - name: cart
      type: component
      properties: {image: 'file:///cart.wasm', config: [{name: theirs}]}
      traits:
        - {type: spreadscaler, properties: {instances: 1}}
        - type: placement
          properties:
            require: {region: eu}
            avoid: {disk: slow}
            topologySpread: [{label: pop}]
";

#[test]
fn each_rule_that_keeps_it_from_a_host_is_named() {
    let names = ["r", "s", "t", "u", "v", "w"].map(|name| (name, "z"));
    let mut world = World::new(&names, app(RULES));
    let sets: [(&str, &[(&str, &str)]); 6] = [
        ("r", &[("region", "us")]),
        ("s", &[("region", "eu"), ("disk", "slow")]),
        ("t", &[("region", "eu"), ("trellis.dev/taint.gpu", "only")]),
        ("u", &[("region", "eu")]),
        ("v", &[("region", "eu"), ("pop", "fra")]),
        (
            "w",
            &[
                ("region", "eu"),
                ("pop", "fra"),
                ("trellis.dev/capacity", "0"),
            ],
        ),
    ];
    for (name, labels) in sets {
        let host = world.model.observed.hosts.get_mut(name).unwrap();
        for (key, value) in labels {
            host.labels.insert((*key).to_owned(), (*value).to_owned());
        }
    }
    world.model.observed.configs.insert("theirs".into(), None);
    let told = explain_now(&world);
    let cart = &told.components[0];
    assert_eq!(cart.hosts.len(), 1);
    assert_eq!(cart.hosts[0].name, "v");
    let why = |name: &str| {
        let others = cart
            .others
            .iter()
            .find(|others| others.names.iter().any(|one| one == name));
        others.map(|others| others.why.as_str()).unwrap_or_default()
    };
    assert_eq!(why("r"), "it has no label region=eu");
    assert_eq!(why("s"), "it has the avoided label disk=slow");
    assert_eq!(why("t"), "its taint gpu=only isn't tolerated");
    assert_eq!(why("u"), "it has no label pop to be spread over");
    assert!(why("w").starts_with("it is full"), "{}", why("w"));
    // Why nothing runs: the configuration is somebody else's, and is not there.
    let config = &told.configs[0];
    assert!(!config.there && !config.is_own);
    assert!(config.why.contains("config put"), "{}", config.why);
    assert!(cart.status.message.contains("theirs"), "{:?}", cart.status);
}

#[test]
fn what_was_tried_is_told_with_when_it_is_tried_again() {
    let hosts = [("a", "x"), ("b", "x")];
    let mut world = World::new(&hosts, shop(&spread(2, &[]), ONE_PROVIDER));
    // The config first: the provider and the link wait for it.
    world.owned = world.plan().owned;
    let (mut attempts, now) = (Attempts::new(Timing::default()), Instant::now());
    let plan = world.plan();
    let failing: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| step.command.host().is_some_and(|host| host.as_str() == "a"))
        .collect();
    for step in attempts.due(&plan.steps, now) {
        if failing.contains(&step) {
            continue;
        }
        world.model.carry_out(&step.command);
    }
    for step in &failing {
        attempts.refused(&step.command, "no such image".into(), now);
    }
    let told = explained(&world, &attempts, now + Duration::from_millis(400));
    let on_a = &told.components[0].hosts[0];
    assert_eq!(
        (on_a.name.as_str(), on_a.desired, on_a.running),
        ("a", 1, 0)
    );
    let attempt = on_a.attempt.as_ref().unwrap();
    assert_eq!(attempt.error.as_deref(), Some("no such image"));
    assert_eq!((attempt.failures, attempt.retry_in_ms), (1, Some(600)));
    assert_eq!(attempt.command, "scale component shop-cart to 1 on a");
}

#[test]
fn another_image_and_somebody_else_s_are_told() {
    let mut world = World::new(&[("a", "x")], shop(&spread(1, &[]), ONE_PROVIDER));
    world.model.run_foreign("a", "shop-cart");
    let on_a = &explain_now(&world).components[0].hosts[0];
    assert!(on_a.why.ends_with("not started for this"), "{}", on_a.why);
    assert_eq!(
        on_a.problem.as_deref(),
        Some("runs another image: file:///x.wasm")
    );
}

#[test]
fn what_is_undeployed_but_not_gone_is_told() {
    let mut world = World::new(&[("a", "x")], shop(&spread(1, &[]), ONE_PROVIDER));
    world.settle();
    world.desired.clear();
    let told = explain_now(&world);
    assert_eq!((told.version, told.components.len()), (None, 0));
    assert!(!told.leftovers.is_empty());
}
