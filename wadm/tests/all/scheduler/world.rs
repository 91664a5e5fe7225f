//! A lattice that does as planned, and the application that is planned for.

use std::collections::BTreeMap;

use trellis_wadm::{
    command::Command,
    desired::App,
    manifest,
    plan::{Input, Plan, State, plan},
    store::Owned,
};

use crate::model::Model;

/// One application of one component with spreads, one provider and links with configs.
pub(super) fn app(text: &str) -> BTreeMap<String, App> {
    let (manifest, _) = manifest::parse(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let app = App::new("v1", &manifest, &|_| None);
    BTreeMap::from([(manifest.name().to_owned(), app)])
}

pub(super) fn shop(scaler: &str, provider_scaler: &str) -> BTreeMap<String, App> {
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
        - {scaler}
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target: {{name: store, config: [{{name: url, properties: {{url: 'redis://h'}}}}]}}
    - name: store
      type: capability
      properties: {{image: 'builtin:keyvalue-redis'}}
      traits:
        - {provider_scaler}
"
    ))
}

pub(super) fn spread(instances: u32, spreads: &[(&str, &str, u32)]) -> String {
    let spreads: Vec<String> = spreads
        .iter()
        .map(|(name, zone, weight)| {
            let requirements = match *zone {
                "" => "{}".to_owned(),
                zone => format!("{{zone: {zone}}}"),
            };
            format!("{{name: {name}, requirements: {requirements}, weight: {weight}}}")
        })
        .collect();
    format!(
        "{{type: spreadscaler, properties: {{instances: {instances}, spread: [{}]}}}}",
        spreads.join(", ")
    )
}

/// A lattice, what ought to be there, and what is noted.
pub(super) struct World {
    pub(super) model: Model,
    pub(super) desired: BTreeMap<String, App>,
    pub(super) owned: BTreeMap<String, Owned>,
}

impl World {
    pub(super) fn new(hosts: &[(&str, &str)], desired: BTreeMap<String, App>) -> Self {
        let mut model = Model::default();
        for (host, zone) in hosts {
            model.join(host, zone);
        }
        Self {
            model,
            desired,
            owned: BTreeMap::new(),
        }
    }

    pub(super) fn plan(&self) -> Plan {
        plan(Input {
            desired: &self.desired,
            owned: &self.owned,
            observed: &self.model.observed,
            rolling: Input::NO_ROLLOUT,
        })
    }

    /// Plans and carries out until there is nothing to do; gives all that was done.
    pub(super) fn settle(&mut self) -> Vec<Command> {
        let mut done = Vec::new();
        for _ in 0..30 {
            let plan = self.plan();
            self.owned = plan.owned.clone();
            if plan.steps.is_empty() {
                return done;
            }
            for step in plan.steps {
                self.model.carry_out(&step.command);
                done.push(step.command);
            }
        }
        panic!("it never settles: {:?}", self.plan().steps);
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u32> {
        self.model.counts("shop-cart")
    }

    pub(super) fn states(&self) -> Vec<State> {
        self.plan().apps["shop"]
            .parts
            .iter()
            .map(|part| part.state.clone())
            .collect()
    }
}

pub(super) const ONE_PROVIDER: &str = "{type: spreadscaler, properties: {instances: 1}}";
