//! What a manifest's types alone don't say: names that are unique, references that lead somewhere, values that can be.

mod ours;
mod residency;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};

use trellis_lattice::{ComponentId, Link, LinkName, config};

use super::{
    API_VERSION, KIND, LATEST, VERSION,
    image::{self, Image},
    problem::{Findings, Path},
    suggest::hint,
    types::{
        Component, ConfigProperty, LinkProperties, Manifest, Properties, SpreadProperties, Trait,
        TraitProperties,
    },
};
use crate::names;

/// The longest name of an application: with a component's it makes an id.
const MAX_APP_NAME: usize = 100;

/// The most components. Each is a part of one status message.
const MAX_COMPONENTS: usize = 500;

/// Checks the whole.
pub(super) fn manifest(manifest: &Manifest, findings: &mut Findings) {
    let root = Path::default();
    expect(
        &root.field("apiVersion"),
        &manifest.api_version,
        API_VERSION,
        findings,
    );
    expect(&root.field("kind"), &manifest.kind, KIND, findings);
    metadata(manifest, &root.field("metadata"), findings);
    let spec = root.field("spec");
    secrets::policies(&manifest.spec.policies, &spec.field("policies"), findings);
    let path = spec.field("components");
    let components = &manifest.spec.components;
    if components.is_empty() {
        findings.error(&path, "is empty: an application has at least one component");
    }
    if components.len() > MAX_COMPONENTS {
        findings.error(
            &path,
            format!(
                "has {} components, more than the {MAX_COMPONENTS} allowed",
                components.len()
            ),
        );
        return;
    }
    let mut check = Check {
        app: manifest.name(),
        components,
        ids: BTreeMap::new(),
        configs: BTreeMap::new(),
        secrets: secrets::Check::new(manifest.name(), &manifest.spec.policies),
    };
    let mut seen = BTreeSet::new();
    for (index, component) in components.iter().enumerate() {
        let path = path.item(index);
        if component.name.trim().is_empty() {
            findings.error(&path.field("name"), "is empty");
        } else if has_control(&component.name) {
            control(&path.field("name"), &component.name, findings);
        } else if !seen.insert(&component.name) {
            let text = format!("another component is named {:?} already", component.name);
            findings.error(&path.field("name"), text);
        }
        check.component(component, &path, findings);
    }
    residency::links(components, &path, findings);
}

fn expect(path: &Path, found: &str, wanted: &str, findings: &mut Findings) {
    if found != wanted {
        findings.error(path, format!("is {found:?}, but must be {wanted:?}"));
    }
}

/// Whether an application can be named so: its name stands in subjects, keys and ids.
pub fn is_app_name(name: &str) -> bool {
    (1..=MAX_APP_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Names go into logs and terminals as they are.
fn has_control(name: &str) -> bool {
    name.chars().any(char::is_control)
}

fn control(path: &Path, name: &str, findings: &mut Findings) {
    let name: String = name.chars().take(80).collect();
    let text = format!("is {name:?}: a name has no control characters");
    findings.error(path, text);
}

fn metadata(manifest: &Manifest, path: &Path, findings: &mut Findings) {
    let name = manifest.name();
    if !is_app_name(name) {
        let name: String = name.chars().take(80).collect();
        findings.error(
            &path.field("name"),
            format!(
                "is {name:?}: use letters, digits, '-' and '_', at least one and at most {MAX_APP_NAME}"
            ),
        );
    }
    let Some(version) = manifest.version() else {
        return;
    };
    let path = path.field("annotations").field(VERSION);
    if version == LATEST {
        findings.error(
            &path,
            "is \"latest\", which always stands for the newest version: name it otherwise",
        );
    } else if version.len() > 128 || version.chars().any(|c| c.is_whitespace() || c.is_control()) {
        findings.error(&path, "must be at most 128 characters, without white space");
    }
}

/// What has been seen of the manifest so far.
struct Check<'a> {
    app: &'a str,
    components: &'a [Component],
    /// Which component has an id.
    ids: BTreeMap<ComponentId, &'a str>,
    /// The application's own configurations, by their names in the lattice.
    configs: BTreeMap<String, &'a ConfigProperty>,
    secrets: secrets::Check<'a>,
}

impl<'a> Check<'a> {
    fn component(&mut self, component: &'a Component, path: &Path, findings: &mut Findings) {
        let properties = component.properties();
        let below = path.field("properties");
        self.source(component, &below, findings);
        self.id(component, &below, findings);
        self.config(&properties.config, &below.field("config"), findings);
        self.secrets
            .list(&properties.secrets, &below.field("secrets"), findings);
        if !component.is_capability() && !properties.secrets.is_empty() {
            findings.error(
                &below.field("secrets"),
                "components can't read secrets yet: give them to the provider that needs them, or to a link",
            );
        }
        let traits = path.field("traits");
        let mut scaler = None;
        let mut links = BTreeSet::new();
        let mut rules = BTreeSet::new();
        for (index, trait_) in component.traits().iter().enumerate() {
            let path = traits.item(index);
            let below = path.field("properties");
            match &trait_.properties {
                TraitProperties::Spread(properties) => {
                    if let Some(other) = scaler.replace(&trait_.ty) {
                        let text =
                            format!("there is a {other} already; a component has at most one");
                        findings.error(&path.field("type"), text);
                    }
                    scale(component, trait_, properties, &below, findings);
                }
                TraitProperties::Link(link) => {
                    let name = link.name.as_deref().unwrap_or("default");
                    if !links.insert((name, &link.namespace, &link.package)) {
                        let text = format!(
                            "another link of {:?} for {}:{} is named {name:?} already: give one of them another `name`",
                            component.name, link.namespace, link.package
                        );
                        findings.error(&below, text);
                    }
                    self.link(component, link, &below, findings);
                }
                TraitProperties::Placement(_)
                | TraitProperties::Rollout(_)
                | TraitProperties::Autoscale(_) => {
                    if !rules.insert(trait_.ty.as_str()) {
                        let text = format!("there is a {} already", trait_.ty);
                        findings.error(&path.field("type"), text);
                    }
                    ours::trait_(component, trait_, &below, findings);
                }
                TraitProperties::Other(_) => {}
            }
        }
    }

    /// Its image, or the shared application it comes from.
    fn source(&self, component: &Component, path: &Path, findings: &mut Findings) {
        let Properties {
            image,
            application,
            reuse,
            ..
        } = component.properties();
        if *reuse && (component.is_capability() || application.is_some()) {
            findings.error(
                &path.field("reuse"),
                "is for components that run here: a capability has no instances, and what belongs to another application is set there",
            );
        }
        match (image, application) {
            (Some(_), Some(_)) => findings.error(
                &path.field("application"),
                "and `image` exclude each other: keep one of them",
            ),
            (None, None) => findings.error(
                &path.field("image"),
                "is missing: give an image's reference, or the shared `application` it belongs to",
            ),
            (None, Some(shared)) if shared.name == self.app => findings.error(
                &path.field("application").field("name"),
                "is this application itself",
            ),
            (None, Some(_)) => {
                // What it has here would change what it has there.
                let properties = component.properties();
                for (field, is_empty) in [
                    ("config", properties.config.is_empty()),
                    ("secrets", properties.secrets.is_empty()),
                ] {
                    if !is_empty {
                        findings.error(
                            &path.field(field),
                            "belongs to another application, which configures it: remove it here",
                        );
                    }
                }
                if component
                    .traits()
                    .iter()
                    .any(|trait_| matches!(trait_.properties, TraitProperties::Spread(_)))
                {
                    findings.error(
                        path,
                        "belongs to another application, which scales it: remove the scaler",
                    );
                }
            }
            (Some(reference), None) => match image::read(reference) {
                Err(error) => findings.error(&path.field("image"), error.to_string()),
                Ok(Image::Builtin(_)) if !component.is_capability() => findings.error(
                    &path.field("image"),
                    format!("is {reference:?}, which names a provider: use `type: capability`"),
                ),
                Ok(_) => {}
            },
        }
    }

    fn id(&mut self, component: &'a Component, path: &Path, findings: &mut Findings) {
        let properties = component.properties();
        let (path, id) = match &properties.id {
            Some(_) => (
                path.field("id"),
                names::component_id(self.app, &component.name, properties),
            ),
            // Nothing of its own is started.
            None if properties.application.is_some() => return,
            None => (
                path.clone(),
                names::component_id(self.app, &component.name, properties),
            ),
        };
        match id {
            Err(error) => findings.error(&path, error.to_string()),
            Ok(id) => {
                if let Some(other) = self.ids.insert(id.clone(), &component.name)
                    && other != component.name
                {
                    let text = format!(
                        "component {other:?} has the same id in the lattice, {id}: rename one, or give it an `id`"
                    );
                    findings.error(&path, text);
                }
            }
        }
    }

    fn config(&mut self, configs: &'a [ConfigProperty], path: &Path, findings: &mut Findings) {
        for (index, config) in configs.iter().enumerate() {
            let path = path.item(index);
            let name = names::config_name(self.app, config);
            if config.name.is_empty() {
                findings.error(&path.field("name"), "is empty");
            } else if has_control(&config.name) {
                control(&path.field("name"), &config.name, findings);
            } else if let Err(error) = config::check_name(&name) {
                findings.error(&path.field("name"), error.to_string());
            }
            let Some(properties) = &config.properties else {
                continue;
            };
            if let Err(error) = config::check_size(&name, properties) {
                findings.error(&path.field("properties"), error.to_string());
            }
            match self.configs.get(&name) {
                Some(other) if other.properties != config.properties => findings.error(
                    &path,
                    format!(
                        "config {:?} is given twice with different properties",
                        config.name
                    ),
                ),
                _ => {
                    self.configs.insert(name, config);
                }
            }
        }
    }

    fn link(
        &mut self,
        source: &Component,
        link: &'a LinkProperties,
        path: &Path,
        findings: &mut Findings,
    ) {
        let target = path.field("target");
        let names = || self.components.iter().map(|other| other.name.as_str());
        if !names().any(|name| name == link.target.name) {
            // Every name is compared with every other: only where somebody reads it.
            let hint = match findings.errors.is_full() {
                true => String::new(),
                false => hint(&link.target.name, names()),
            };
            let text = format!("no component is named {:?}{hint}", link.target.name);
            findings.error(&target.field("name"), text);
        } else if link.target.name == source.name {
            findings.error(&target.field("name"), "is the component itself");
        }
        if let Some(name) = &link.name
            && let Err(error) = LinkName::new(name)
        {
            findings.error(&path.field("name"), error.to_string());
        }
        self.config(&link.target.config, &target.field("config"), findings);
        self.secrets
            .list(&link.target.secrets, &target.field("secrets"), findings);
        if let Some(definition) = &link.source {
            let path = path.field("source");
            self.config(&definition.config, &path.field("config"), findings);
            self.secrets
                .list(&definition.secrets, &path.field("secrets"), findings);
        }
        wit_names(link, path, findings);
    }
}

/// Whether a host would take the link's names.
fn wit_names(link: &LinkProperties, path: &Path, findings: &mut Findings) {
    let Ok(id) = ComponentId::new("id") else {
        return;
    };
    let link = Link {
        source_id: id.clone(),
        target: id,
        name: LinkName::default(),
        wit_namespace: link.namespace.clone(),
        wit_package: link.package.clone(),
        interfaces: link.interfaces.clone(),
        source_config: Vec::new(),
        target_config: Vec::new(),
        within: None,
    };
    if let Err(error) = link.check() {
        let field = match error.field.as_str() {
            "wit_namespace" => "namespace",
            "wit_package" => "package",
            _ => "interfaces",
        };
        findings.error(&path.field(field), error.problem);
    }
}

fn scale(
    component: &Component,
    trait_: &Trait,
    properties: &SpreadProperties,
    path: &Path,
    findings: &mut Findings,
) {
    if trait_.ty == Trait::DAEMON && component.is_capability() && properties.instances > 1 {
        findings.warn(
            &path.field("instances"),
            "a host runs a provider once: 1 is meant",
        );
    }
    let path = path.field("spread");
    let mut seen = BTreeSet::new();
    for (index, spread) in properties.spread.iter().enumerate() {
        let path = path.item(index).field("name");
        if spread.name.is_empty() || spread.name.contains([',', '=']) {
            findings.error(&path, "must be a name without ',' and '='");
        } else if has_control(&spread.name) {
            control(&path, &spread.name, findings);
        } else if !seen.insert(&spread.name) {
            let text = format!("another spread is named {:?} already", spread.name);
            findings.error(&path, text);
        }
    }
    if !properties.spread.is_empty()
        && properties
            .spread
            .iter()
            .all(|spread| spread.weight == Some(0))
    {
        findings.error(&path, "all weights are 0: no instance could be placed");
    }
}
