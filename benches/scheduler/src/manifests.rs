//! The applications: components with links and configurations, as users write them.

use std::fmt::Write as _;

/// An application's manifest. A third of the components is spread over PoPs or stays in a region; some come first.
pub fn manifest(application: usize, components: usize) -> String {
    let mut text = format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: app-{application}}}\nspec:\n  components:\n"
    );
    for component in 0..components {
        let number = application * components + component;
        component_text(&mut text, component, components, number);
    }
    text
}

fn component_text(text: &mut String, component: usize, components: usize, number: usize) {
    let instances = 1 + number % 5;
    let placement = match number % 9 {
        0 => "topologySpread: [{label: pop}]".to_owned(),
        3 => format!("require: {{region: region-{}}}", number % 5),
        6 => format!(
            "require: {{region: region-{}}}, topologySpread: [{{label: pop, maxSkew: 2}}], priority: {}",
            number % 5,
            number % 4
        ),
        _ => String::new(),
    };
    let next = (component + 1) % components;
    // Infallible: a text takes anything.
    let _ = write!(
        text,
        "    - name: actor-{component}
      type: component
      properties:
        image: registry.example.com/actors/actor-{number}:1.0.0
        config: [{{name: settings-{component}, properties: {{number: \"{number}\"}}}}]
      traits:
        - {{type: spreadscaler, properties: {{instances: {instances}}}}}
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target: {{name: actor-{next}}}
"
    );
    if !placement.is_empty() {
        let _ = writeln!(
            text,
            "        - {{type: placement, properties: {{{placement}}}}}"
        );
    }
}
