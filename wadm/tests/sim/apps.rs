//! Applications that come, change and go.

use trellis_wadm::manifest;

use crate::world::World;

/// The names of the applications.
pub const NAMES: [&str; 4] = ["one", "two", RESIDENT, KEPT];

/// The one that keeps what runs in PoPs that can't be seen.
pub const KEPT: &str = "kept";

/// The one that must stay in the EU, whatever its version.
pub const RESIDENT: &str = "resident";

impl World {
    /// An application of random parts. Its version is the time, so that each is another.
    pub fn manifest(&mut self, name: &str) -> manifest::Manifest {
        let instances = self.rng.within(1, 12);
        let image = *self.rng.pick(&["a", "b", "bad"]);
        let scaler = match self.rng.within(0, 3) {
            0 => format!("{{type: spreadscaler, properties: {{instances: {instances}}}}}"),
            1 => format!(
                "{{type: spreadscaler, properties: {{instances: {instances}, spread: [{{name: x, requirements: {{zone: a}}, weight: 70}}, \
                 {{name: y, requirements: {{zone: b}}, weight: 30}}]}}}}"
            ),
            _ => "{type: daemonscaler, properties: {instances: 2}}".to_owned(),
        };
        let placement = match (name, self.rng.within(0, 4)) {
            (RESIDENT, 0) => "{type: placement, properties: {require: {region: eu}}}",
            (RESIDENT, 1) => {
                "{type: placement, properties: {residency: {region: eu}, onPartition: keep, partitionGrace: 4s}}"
            }
            (RESIDENT, _) => "{type: placement, properties: {residency: {region: eu}}}",
            (KEPT, _) if self.hosts_die => {
                "{type: placement, properties: {onPartition: keep, partitionGrace: 20s}}"
            }
            (KEPT, _) => "{type: placement, properties: {onPartition: keep}}",
            (_, 0) => "{type: placement, properties: {partitionGrace: 5s}}",
            _ => "{type: placement, properties: {}}",
        };
        // Some are of the same value before and after, some not; one that another application uses too stays named so.
        let value = self.rng.within(0, 3);
        let target = match self.rng.chance(700) {
            true => {
                format!("{{name: store, config: [{{name: url, properties: {{url: 'u{value}'}}}}]}}")
            }
            false => "{name: store}".to_owned(),
        };
        let provider_scaler = match self.rng.chance(300) {
            true => "daemonscaler",
            false => "spreadscaler",
        };
        let provider = *self.rng.pick(&["redis", "nats"]);
        let text = format!(
            "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: {name}}}
spec:
  components:
    - name: cart
      type: component
      properties: {{image: 'file:///{image}.wasm', config: [{{name: own, properties: {{x: '{value}'}}}}]}}
      traits:
        - {scaler}
        - {placement}
        - type: link
          properties: {{namespace: wasi, package: keyvalue, interfaces: [store], target: {target}}}
    - name: store
      type: capability
      properties: {{image: 'builtin:{provider}'}}
      traits:
        - {{type: {provider_scaler}, properties: {{instances: 1}}}}
        - {placement}
"
        );
        let (manifest, _) =
            manifest::parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        manifest
    }

    /// Someone does something with an application.
    pub fn change_app(&mut self) {
        let name = *self.rng.pick(&NAMES);
        match self.rng.within(0, 10) {
            0..=5 => self.deploy(name),
            6 | 7 => {
                if let Some(app) = self.store.apps.get_mut(name) {
                    app.deployed_version = None;
                }
                self.tell(|| format!("{name} is undeployed"));
            }
            _ => {
                self.store.apps.remove(name);
                self.tell(|| format!("{name} is deleted"));
            }
        }
        self.manifests_changed();
    }

    /// Deploys another version of an application.
    pub fn deploy(&mut self, name: &str) {
        let manifest = self.manifest(name);
        let version = format!("v{}", self.now_ms());
        let mut app = self.store.apps.remove(name).unwrap_or_default();
        app.add(version.clone(), manifest);
        app.deployed_version = Some(version);
        self.store.apps.insert(name.to_owned(), app);
        self.tell(|| format!("{name} is deployed"));
    }

    pub fn undeploy_all(&mut self) {
        for name in NAMES {
            if self.rng.chance(500) {
                self.store.apps.remove(name);
            } else if let Some(app) = self.store.apps.get_mut(name) {
                app.deployed_version = None;
            }
        }
        self.tell(|| "everything is undeployed".to_owned());
        self.manifests_changed();
    }
}
