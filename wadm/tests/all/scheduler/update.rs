//! What changes in place: images, links, configs, a provider's state.

use std::collections::BTreeMap;

use trellis_lattice::event::{Event, HealthCheck, ProviderStartFailed};
use trellis_wadm::{command::Command, plan::State};

use super::world::{ONE_PROVIDER, World, app, shop, spread};

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
