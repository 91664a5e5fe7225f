//! What ought to be in the lattice, worked out from the manifests. Pure.

mod residency;

use std::collections::{BTreeMap, BTreeSet};

use trellis_lattice::{
    ComponentId, Link, LinkKey, LinkName,
    config::Config,
    control::Labels,
    secret::{self, SecretReference},
};

use crate::{
    manifest::{
        AutoscaleProperties, Component, ConfigProperty, LinkProperties, Manifest,
        PlacementProperties, RolloutProperties, SecretProperty, Spread, SpreadProperties, Trait,
        TraitProperties,
    },
    names,
};

/// 1.x's weight of a spread that names none.
const DEFAULT_WEIGHT: u32 = 100;
/// What is part of a component's identity when its instances answer more than one call.
const REUSE: &str = "reuse";

/// An application as it ought to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct App {
    /// The deployed version.
    pub version: String,
    /// What it is made of, in the manifest's order.
    pub parts: Vec<Part>,
    /// The configurations that its parts use, by their names in the lattice; those without values are somebody else's.
    /// References of secrets are among them.
    pub configs: BTreeMap<String, Option<Config>>,
}

/// A part of an application: what has a status of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its stable id.
    pub id: String,
    /// 1.x's word for what cares for it.
    pub kind: PartKind,
    /// What it is about, for people.
    pub name: String,
    /// What ought to be, or why that can't be said.
    pub want: Result<Want, String>,
}

/// 1.x's words for what cares for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// Instances over hosts.
    Spread,
    /// Instances on every host.
    Daemon,
    /// A link.
    Link,
}

impl PartKind {
    /// As it stands in a status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spread => "SpreadScaler",
            Self::Daemon => "DaemonScaler",
            Self::Link => "LinkScaler",
        }
    }
}

/// What ought to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// A component or provider runs.
    Workload(Workload),
    /// A link is there.
    Link(Link),
}

/// A component or provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its id in the lattice.
    pub id: ComponentId,
    /// Whether it is a provider.
    pub is_provider: bool,
    /// Its image's reference.
    pub image: String,
    /// Its configurations' names in the lattice; later ones win.
    pub configs: Vec<String>,
    /// Whether every host gets that many.
    pub is_daemon: bool,
    /// How many instances.
    pub instances: u32,
    /// Whether it sleeps until it is called.
    pub dormant: bool,
    /// Whether an instance that answered a call may answer another.
    pub reuse: bool,
    /// Where; never empty.
    pub spreads: Vec<Place>,
    /// Rules on where that hold for every spread.
    pub rules: PlacementProperties,
    /// How another image takes its place.
    pub rollout: RolloutProperties,
    /// By what its instances are scaled, where they are not a fixed number.
    pub autoscale: Option<AutoscaleProperties>,
}

/// A part of the instances and where they may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The spread's name.
    pub name: String,
    /// Labels that a host must have.
    pub requirements: Labels,
    /// Its part, against the others' weights.
    pub weight: u32,
}

impl App {
    /// Works out an application. Never fails: what can't be worked out is a part that says why. (What was put here is
    /// checked; what 1.x stored may be anything.)
    ///
    /// `shared` finds the deployed manifest of another application.
    pub fn new<'m>(
        version: &str,
        manifest: &'m Manifest,
        shared: &dyn Fn(&str) -> Option<&'m Manifest>,
    ) -> Self {
        let mut builder = Builder {
            manifest,
            shared,
            app: Self {
                version: version.to_owned(),
                ..Self::default()
            },
        };
        for component in &manifest.spec.components {
            builder.component(component);
        }
        builder.app
    }

    /// The links that ought to be.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.parts.iter().filter_map(|part| match &part.want {
            Ok(Want::Link(link)) => Some(link),
            _ => None,
        })
    }

    /// The components and providers that ought to be.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.parts.iter().filter_map(|part| match &part.want {
            Ok(Want::Workload(workload)) => Some(workload),
            _ => None,
        })
    }

    /// The configurations that are this application's own.
    pub fn own_configs(&self) -> impl Iterator<Item = (&String, &Config)> {
        self.configs
            .iter()
            .filter_map(|(name, config)| Some((name, config.as_ref()?)))
    }
}

/// Why an application can't be deployed beside others: both would want the same thing in the lattice.
pub fn conflict(manifest: &Manifest, others: &[&Manifest]) -> Option<String> {
    let nobody = |_: &str| None;
    let app = App::new("", manifest, &nobody);
    for manifest in others {
        let other = App::new("", manifest, &nobody);
        let name = manifest.name();
        let ids: BTreeSet<_> = other.workloads().map(|workload| &workload.id).collect();
        if let Some(workload) = app.workloads().find(|workload| ids.contains(&workload.id)) {
            return Some(format!(
                "component id {} is in use by application {name}: undeploy that, or give the component another `id`",
                workload.id
            ));
        }
        let configs: BTreeSet<_> = other.own_configs().map(|(name, _)| name).collect();
        if let Some((config, _)) = app.own_configs().find(|(name, _)| configs.contains(name)) {
            return Some(format!(
                "config {config} is in use by application {name}: rename one of them"
            ));
        }
        let links: BTreeSet<LinkKey> = other.links().map(Link::key).collect();
        if let Some(link) = app.links().find(|link| links.contains(&link.key())) {
            return Some(format!(
                "link {} is in use by application {name}: give one of them another `name`",
                link.key()
            ));
        }
    }
    None
}

// === working it out ===

struct Builder<'a, 'm> {
    manifest: &'m Manifest,
    shared: &'a dyn Fn(&str) -> Option<&'m Manifest>,
    app: App,
}

impl Builder<'_, '_> {
    fn component(&mut self, component: &Component) {
        let mut has_scaler = false;
        for trait_ in component.traits() {
            match &trait_.properties {
                TraitProperties::Spread(properties) if !has_scaler => {
                    has_scaler = true;
                    self.workload(component, trait_.ty == Trait::DAEMON, properties);
                }
                TraitProperties::Link(link) => self.link(component, link),
                _ => {}
            }
        }
        if !has_scaler && component.properties().application.is_none() {
            let one = SpreadProperties {
                instances: 1,
                spread: Vec::new(),
            };
            self.workload(component, false, &one);
        }
    }

    fn workload(&mut self, component: &Component, is_daemon: bool, properties: &SpreadProperties) {
        let kind = match is_daemon {
            true => PartKind::Daemon,
            false => PartKind::Spread,
        };
        let mut configs = self.configs(&component.properties().config);
        let secrets = self.secrets(&component.properties().secrets);
        let id = self.own_id(component);
        let id = secrets.and_then(|names| {
            configs.extend(names);
            id
        });
        let name = match &id {
            Ok(id) => id.to_string(),
            Err(_) => component.name.clone(),
        };
        let part = names::part_id(
            [kind.as_str(), self.manifest.name(), &name]
                .into_iter()
                .chain(configs.iter().map(String::as_str))
                // Another part, so that what runs is told of the change.
                .chain(component.properties().reuse.then_some(REUSE)),
        );
        let want = id.and_then(|id| {
            let image = component
                .properties()
                .image
                .clone()
                .ok_or("it has no image")?;
            Ok(Want::Workload(Workload {
                id,
                is_provider: component.is_capability(),
                image,
                configs,
                is_daemon,
                instances: properties.instances,
                dormant: false,
                reuse: component.properties().reuse,
                spreads: places(&properties.spread),
                rules: rules(component),
                rollout: ours(component, |properties| match properties {
                    TraitProperties::Rollout(rollout) => Some(rollout),
                    _ => None,
                })
                .unwrap_or_default(),
                autoscale: ours(component, |properties| match properties {
                    TraitProperties::Autoscale(autoscale) => Some(autoscale),
                    _ => None,
                }),
            }))
        });
        self.app.parts.push(Part {
            id: part,
            kind,
            name,
            want,
        });
    }

    fn link(&mut self, source: &Component, properties: &LinkProperties) {
        let source_config = match &properties.source {
            Some(source) => self.side(&source.config, &source.secrets),
            None => Ok(Vec::new()),
        };
        let target_config = self.side(&properties.target.config, &properties.target.secrets);
        let target = self
            .manifest
            .spec
            .components
            .iter()
            .find(|component| component.name == properties.target.name);
        let source_id = self.id(source);
        let target_id = match target {
            Some(target) => self.id(target),
            None => Err(format!(
                "no component is named {:?}",
                properties.target.name
            )),
        };
        let shown = |id: &Result<ComponentId, String>, name: &str| match id {
            Ok(id) => id.to_string(),
            Err(_) => name.to_owned(),
        };
        let within = match target {
            Some(target) => self.within([source, target]),
            None => Ok(None),
        };
        let name = format!(
            "{} -({}:{})-> {}",
            shown(&source_id, &source.name),
            properties.namespace,
            properties.package,
            shown(&target_id, &properties.target.name)
        );
        let link_name = properties.name.as_deref().unwrap_or("default");
        let part = names::part_id([
            PartKind::Link.as_str(),
            self.manifest.name(),
            &name,
            link_name,
        ]);
        let want = (|| {
            let link = Link {
                source_id: source_id?,
                target: target_id?,
                name: LinkName::new(link_name).map_err(|error| error.to_string())?,
                wit_namespace: properties.namespace.clone(),
                wit_package: properties.package.clone(),
                interfaces: properties.interfaces.clone(),
                source_config: source_config?,
                target_config: target_config?,
                within: within?,
            };
            link.check().map_err(|error| error.to_string())?;
            Ok(Want::Link(link))
        })();
        self.app.parts.push(Part {
            id: part,
            kind: PartKind::Link,
            name,
            want,
        });
    }

    /// Notes configurations and gives their names in the lattice.
    fn configs(&mut self, configs: &[ConfigProperty]) -> Vec<String> {
        configs
            .iter()
            .map(|config| {
                let name = names::config_name(self.manifest.name(), config);
                let known = self.app.configs.entry(name.clone()).or_default();
                if config.properties.is_some() {
                    known.clone_from(&config.properties);
                }
                name
            })
            .collect()
    }

    /// What one side of a link gets, by its names in the lattice: configurations, then secrets.
    fn side(
        &mut self,
        configs: &[ConfigProperty],
        secrets: &[SecretProperty],
    ) -> Result<Vec<String>, String> {
        let mut names = self.configs(configs);
        names.extend(self.secrets(secrets)?);
        Ok(names)
    }

    /// Notes references of secrets and gives their names in the lattice.
    fn secrets(&mut self, secrets: &[SecretProperty]) -> Result<Vec<String>, String> {
        let references = secrets.iter().map(|secret| {
            let reference = reference(self.manifest, secret)?;
            Ok((names::secret_name(self.manifest.name(), secret), reference))
        });
        let references: Vec<_> = references.collect::<Result<_, String>>()?;
        let names = references.iter().map(|(name, _)| name.clone()).collect();
        let configs = references
            .into_iter()
            .map(|(name, reference)| (name, Some(reference.to_config())));
        self.app.configs.extend(configs);
        Ok(names)
    }

    fn own_id(&self, component: &Component) -> Result<ComponentId, String> {
        names::component_id(
            self.manifest.name(),
            &component.name,
            component.properties(),
        )
        .map_err(|error| error.to_string())
    }

    /// The id of a component, or of the other application's one that it stands for.
    fn id(&self, component: &Component) -> Result<ComponentId, String> {
        let Some(shared) = &component.properties().application else {
            return self.own_id(component);
        };
        let app = &shared.name;
        let manifest =
            (self.shared)(app).ok_or_else(|| format!("application {app} is not deployed"))?;
        if !manifest.is_shared() {
            return Err(format!(
                "application {app} is not shared: its annotation {} must be \"true\"",
                crate::manifest::SHARED
            ));
        }
        let other = manifest
            .spec
            .components
            .iter()
            .find(|other| other.name == shared.component)
            .ok_or_else(|| format!("application {app} has no component {:?}", shared.component))?;
        names::component_id(app, &other.name, other.properties()).map_err(|error| error.to_string())
    }
}

/// Where a secret is kept, by the manifest's policies.
fn reference(manifest: &Manifest, wanted: &SecretProperty) -> Result<SecretReference, String> {
    let (name, source) = (&wanted.name, &wanted.properties);
    let policy = manifest
        .spec
        .policies
        .iter()
        .find(|policy| policy.name == source.policy && policy.ty == secret::POLICY_TYPE)
        .ok_or_else(|| {
            format!(
                "secret {name:?}: no policy of secrets is named {:?}",
                source.policy
            )
        })?;
    let mut properties = policy.properties.clone();
    let backend = properties.remove("backend").ok_or_else(|| {
        format!(
            "secret {name:?}: policy {:?} names no backend",
            source.policy
        )
    })?;
    Ok(SecretReference {
        name: name.clone(),
        backend,
        key: source.key.clone(),
        field: source.field.clone(),
        version: source.version.clone(),
        policy: SecretReference::policy(&properties).map_err(|error| error.to_string())?,
    })
}

/// A component's rules on where it may be. Residency is a requirement too.
fn rules(component: &Component) -> PlacementProperties {
    let rules = ours(component, |properties| match properties {
        TraitProperties::Placement(placement) => Some(placement),
        _ => None,
    });
    let mut rules = rules.unwrap_or_default();
    if let Some(residency) = &rules.residency {
        let labels = residency.labels();
        let labels: Labels = labels
            .map(|(label, value)| (label.to_owned(), value.to_owned()))
            .collect();
        rules.require.extend(labels);
    }
    rules
}

/// A trait of ours, where the component has it.
fn ours<T: Clone>(
    component: &Component,
    wanted: impl Fn(&TraitProperties) -> Option<&T>,
) -> Option<T> {
    component
        .traits()
        .iter()
        .find_map(|one| wanted(&one.properties))
        .cloned()
}

fn places(spreads: &[Spread]) -> Vec<Place> {
    if spreads.is_empty() {
        return vec![Place {
            name: names::DEFAULT_SPREAD.to_owned(),
            requirements: Labels::new(),
            weight: DEFAULT_WEIGHT,
        }];
    }
    spreads
        .iter()
        .map(|spread| Place {
            name: spread.name.clone(),
            requirements: spread.requirements.clone(),
            weight: spread.weight.unwrap_or(DEFAULT_WEIGHT),
        })
        .collect()
}
