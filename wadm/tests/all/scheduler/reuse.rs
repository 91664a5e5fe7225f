//! Components whose instances answer more than one call.

use trellis_wadm::{command::Command, manifest};

use super::world::{World, app};

fn manifest(properties: &str) -> String {
    format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: shop}}
spec:
  components:
    - {{name: cart, type: component, properties: {{image: 'file:///cart.wasm'{properties}}}, traits: [{{type: spreadscaler, properties: {{instances: 3}}}}]}}
"
    )
}

/// What the components that are scaled are told of it.
fn told(done: &[Command]) -> Vec<bool> {
    let scaled = done.iter().filter_map(|command| match command {
        Command::Scale(scale) => Some(scale),
        _ => None,
    });
    scaled
        .map(|scale| scale.limits.as_ref().is_some_and(|limits| limits.reuse))
        .collect()
}

#[test]
fn hosts_are_told_and_told_again_when_it_changes() {
    let mut world = World::new(&[("a", "x")], app(&manifest(", reuse: true")));
    assert_eq!(told(&world.settle()), [true]);
    assert!(world.settle().is_empty());
    world.desired = app(&manifest(""));
    assert_eq!(told(&world.settle()), [false]);
    world.desired = app(&manifest(", reuse: false"));
    assert!(world.settle().is_empty());
}

#[test]
fn it_is_for_components_and_a_truth_value() {
    let errors = |text: &str| manifest::parse(text).unwrap_err().to_string();
    let wrong = errors(&manifest(", reuse: 3"));
    assert!(wrong.contains("properties.reuse"), "{wrong}");
    let capability = manifest(", reuse: true").replace("type: component", "type: capability");
    let wrong = errors(&capability);
    assert!(
        wrong.contains("properties.reuse") && wrong.contains("capability"),
        "{wrong}"
    );
}
