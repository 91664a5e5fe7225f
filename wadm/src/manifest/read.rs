//! From the tree to the manifest's parts. Goes on after a mistake, so that all are found at once.

mod ours;

use std::collections::BTreeMap;

use super::{
    problem::{Findings, Path, Problem},
    suggest::hint,
    tree::{Entry, Node, Value},
    types::{
        Component, ConfigDefinition, ConfigProperty, Kind, LinkProperties, Manifest, Metadata,
        Policy, Properties, SecretProperty, SecretSource, SharedComponent, Specification, Spread,
        SpreadProperties, TargetConfig, Trait, TraitProperties,
    },
};

/// Reads the whole; `None` when a part that must be there is not, which the findings tell.
pub(super) fn manifest(tree: &Node, findings: &mut Findings) -> Option<Manifest> {
    let root = Path::default();
    let mut fields = Fields::open(
        tree,
        &root,
        &["apiVersion", "kind", "metadata", "spec"],
        Unknown::Refused,
        findings,
    )?;
    let api_version = fields.required("apiVersion", text);
    let kind = fields.required("kind", text);
    let metadata = fields.required("metadata", metadata);
    let spec = fields.required("spec", specification);
    Some(Manifest {
        api_version: api_version?,
        kind: kind?,
        metadata: metadata?,
        spec: spec?,
    })
}

fn metadata(node: &Node, path: &Path, findings: &mut Findings) -> Option<Metadata> {
    let known = &["name", "annotations", "labels"];
    let mut fields = Fields::open(node, path, known, Unknown::Ignored, findings)?;
    // 1.x wants annotations to be there; a manifest without any is no mistake.
    let name = fields.required("name", text);
    let annotations = fields.optional("annotations", texts);
    let labels = fields.optional("labels", texts);
    Some(Metadata {
        name: name?,
        annotations: annotations?.unwrap_or_default(),
        labels: labels?.unwrap_or_default(),
    })
}

fn specification(node: &Node, path: &Path, findings: &mut Findings) -> Option<Specification> {
    let known = &["components", "policies"];
    let mut fields = Fields::open(node, path, known, Unknown::Ignored, findings)?;
    let components = fields.required("components", |node, path, findings| {
        list(node, path, findings, component)
    });
    let policies = fields.optional("policies", |node, path, findings| {
        list(node, path, findings, policy)
    });
    Some(Specification {
        components: components?,
        policies: policies?.unwrap_or_default(),
    })
}

fn policy(node: &Node, path: &Path, findings: &mut Findings) -> Option<Policy> {
    let known = &["name", "type", "properties"];
    let mut fields = Fields::open(node, path, known, Unknown::Ignored, findings)?;
    let name = fields.required("name", text);
    let ty = fields.required("type", text);
    let properties = fields.required("properties", texts);
    Some(Policy {
        name: name?,
        ty: ty?,
        properties: properties?,
    })
}

fn component(node: &Node, path: &Path, findings: &mut Findings) -> Option<Component> {
    let known = &["name", "type", "properties", "traits"];
    let mut fields = Fields::open(node, path, known, Unknown::Ignored, findings)?;
    let name = fields.required("name", text);
    let ty = fields.required("type", |node, path, findings| {
        let ty = text(node, path, findings)?;
        match ty.as_str() {
            "component" => Some(Kind::Component as fn(Properties) -> Kind),
            "capability" => Some(Kind::Capability as fn(Properties) -> Kind),
            other => {
                let hint = hint(other, ["component", "capability"]);
                let text = format!("is {other:?}: use \"component\" or \"capability\"{hint}");
                findings.error(path, text);
                None
            }
        }
    });
    let properties = fields.required("properties", properties);
    let traits = fields.optional("traits", |node, path, findings| {
        list(node, path, findings, trait_)
    });
    Some(Component {
        name: name?,
        kind: ty?(properties?),
        traits: traits?,
    })
}

fn properties(node: &Node, path: &Path, findings: &mut Findings) -> Option<Properties> {
    let known = &["image", "application", "id", "reuse", "config", "secrets"];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let image = fields.optional("image", text);
    let application = fields.optional("application", |node, path, findings| {
        let known = &["name", "component"];
        let mut fields = Fields::open(node, path, known, Unknown::Ignored, findings)?;
        let name = fields.required("name", text);
        let component = fields.required("component", text);
        Some(SharedComponent {
            name: name?,
            component: component?,
        })
    });
    let id = fields.optional("id", text);
    let reuse = fields.optional("reuse", ours::truth);
    let config = fields.optional("config", configs);
    let secrets = fields.optional("secrets", secrets);
    Some(Properties {
        image: image?,
        application: application?,
        id: id?,
        reuse: reuse?.unwrap_or_default(),
        config: config?.unwrap_or_default(),
        secrets: secrets?.unwrap_or_default(),
    })
}

fn configs(node: &Node, path: &Path, findings: &mut Findings) -> Option<Vec<ConfigProperty>> {
    list(node, path, findings, |node, path, findings| {
        let known = &["name", "properties"];
        let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
        let name = fields.required("name", text);
        let properties = fields.optional("properties", texts);
        Some(ConfigProperty {
            name: name?,
            properties: properties?,
        })
    })
}

fn secrets(node: &Node, path: &Path, findings: &mut Findings) -> Option<Vec<SecretProperty>> {
    list(node, path, findings, |node, path, findings| {
        let known = &["name", "properties"];
        let mut fields = Fields::open(node, path, known, Unknown::Ignored, findings)?;
        let name = fields.required("name", text);
        let properties = fields.required("properties", |node, path, findings| {
            let known = &["policy", "key", "field", "version"];
            let mut fields = Fields::open(node, path, known, Unknown::Ignored, findings)?;
            let policy = fields.required("policy", text);
            let key = fields.required("key", text);
            let field = fields.optional("field", text);
            let version = fields.optional("version", text);
            Some(SecretSource {
                policy: policy?,
                key: key?,
                field: field?,
                version: version?,
            })
        });
        Some(SecretProperty {
            name: name?,
            properties: properties?,
        })
    })
}

// === traits ===

fn trait_(node: &Node, path: &Path, findings: &mut Findings) -> Option<Trait> {
    let known = &["type", "properties"];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let ty = fields.required("type", text);
    let properties = fields.required("properties", |node, _, _| Some(node.clone()));
    let (ty, properties) = (ty?, properties?);
    let below = path.field("properties");
    let properties = match ty.as_str() {
        Trait::LINK => TraitProperties::Link(link(&properties, &below, findings)?),
        Trait::SPREAD | Trait::DAEMON => {
            TraitProperties::Spread(spread_properties(&properties, &below, findings)?)
        }
        Trait::PLACEMENT => {
            TraitProperties::Placement(ours::placement(&properties, &below, findings)?)
        }
        Trait::ROLLOUT => TraitProperties::Rollout(ours::rollout(&properties, &below, findings)?),
        Trait::AUTOSCALE => {
            TraitProperties::Autoscale(ours::autoscale(&properties, &below, findings)?)
        }
        other => {
            let path = path.field("type");
            match super::suggest::nearest(other, Trait::KNOWN) {
                Some(meant) => {
                    let text = format!("unknown trait {other:?}; did you mean {meant:?}?");
                    findings.error(&path, text);
                    return None;
                }
                None => findings.warn(
                    &path,
                    format!(
                        "unknown trait {other:?} has no effect; known are {}",
                        Trait::KNOWN.join(", ")
                    ),
                ),
            }
            TraitProperties::Other(properties.to_json())
        }
    };
    Some(Trait { ty, properties })
}

fn link(node: &Node, path: &Path, findings: &mut Findings) -> Option<LinkProperties> {
    let known = &[
        "name",
        "namespace",
        "package",
        "interfaces",
        "source",
        "target",
        "source_config",
        "target_config",
    ];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let name = fields.optional("name", text);
    let namespace = fields.required("namespace", text);
    let package = fields.required("package", text);
    let interfaces = fields.required("interfaces", |node, path, findings| {
        list(node, path, findings, text)
    });
    let source = fields.optional("source", |node, path, findings| {
        let known = &["config", "secrets"];
        let mut fields = Fields::open(node, path, known, Unknown::Ignored, findings)?;
        let config = fields.optional("config", configs);
        let secrets = fields.optional("secrets", secrets);
        Some(ConfigDefinition {
            config: config?.unwrap_or_default(),
            secrets: secrets?.unwrap_or_default(),
        })
    });
    let target = fields.required("target", target);
    // The older place of configuration, which 1.x still takes.
    let source_config = fields.optional("source_config", configs);
    let target_config = fields.optional("target_config", configs);
    for old in ["source_config", "target_config"] {
        if fields.has(old) {
            let new = old.replace('_', ".");
            let text = format!("is deprecated: use `{new}`");
            fields.findings.warn(&path.field(old), text);
        }
    }
    let (mut source, mut target) = (source?, target?);
    if let Some(config) = source_config? {
        source
            .get_or_insert_with(ConfigDefinition::default)
            .config
            .extend(config);
    }
    if let Some(config) = target_config? {
        target.config.extend(config);
    }
    Some(LinkProperties {
        name: name?,
        namespace: namespace?,
        package: package?,
        interfaces: interfaces?,
        source,
        target,
    })
}

fn target(node: &Node, path: &Path, findings: &mut Findings) -> Option<TargetConfig> {
    // The older form was the name alone.
    if let Value::Text(name) = &node.value {
        return Some(TargetConfig {
            name: name.clone(),
            ..TargetConfig::default()
        });
    }
    let known = &["name", "config", "secrets"];
    let mut fields = Fields::open(node, path, known, Unknown::Ignored, findings)?;
    let name = fields.required("name", text);
    let config = fields.optional("config", configs);
    let secrets = fields.optional("secrets", secrets);
    Some(TargetConfig {
        name: name?,
        config: config?.unwrap_or_default(),
        secrets: secrets?.unwrap_or_default(),
    })
}

fn spread_properties(
    node: &Node,
    path: &Path,
    findings: &mut Findings,
) -> Option<SpreadProperties> {
    let known = &["instances", "replicas", "spread"];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let instances = if fields.has("replicas") && !fields.has("instances") {
        fields.required("replicas", count)
    } else {
        fields.required("instances", count)
    };
    let spread = fields.optional("spread", |node, path, findings| {
        list(node, path, findings, spread)
    });
    Some(SpreadProperties {
        instances: instances?,
        spread: spread?.unwrap_or_default(),
    })
}

fn spread(node: &Node, path: &Path, findings: &mut Findings) -> Option<Spread> {
    let known = &["name", "requirements", "weight"];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let name = fields.required("name", text);
    let requirements = fields.optional("requirements", texts);
    let weight = fields.optional("weight", count);
    Some(Spread {
        name: name?,
        requirements: requirements?.unwrap_or_default(),
        weight: weight?,
    })
}

// === values ===

fn text(node: &Node, path: &Path, findings: &mut Findings) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(written) => {
            let text =
                format!("must be text, but {written} is a number: put it in quotes, \"{written}\"");
            findings.error(path, text);
            None
        }
        Value::Bool(bool) => {
            let text =
                format!("must be text, but {bool} is a truth value: put it in quotes, \"{bool}\"");
            findings.error(path, text);
            None
        }
        _ => {
            findings.error(path, format!("must be text, not {}", node.kind()));
            None
        }
    }
}

fn count(node: &Node, path: &Path, findings: &mut Findings) -> Option<u32> {
    if let Value::Number(written) = &node.value
        && let Ok(count) = written.parse::<u32>()
    {
        return Some(count);
    }
    let found = match &node.value {
        Value::Number(written) | Value::Text(written) => format!("{written:?}"),
        _ => node.kind().to_owned(),
    };
    let text = format!("must be a whole number from 0 to {}, not {found}", u32::MAX);
    findings.error(path, text);
    None
}

/// A group of fields of any name whose values are text.
fn texts(node: &Node, path: &Path, findings: &mut Findings) -> Option<BTreeMap<String, String>> {
    let Value::Map(entries) = &node.value else {
        findings.error(
            path,
            format!("must be a group of fields, not {}", node.kind()),
        );
        return None;
    };
    let values: Vec<_> = entries
        .iter()
        .map(|entry| {
            let value = text(&entry.node, &path.field(&entry.key), findings)?;
            Some((entry.key.clone(), value))
        })
        .collect();
    values.into_iter().collect()
}

fn list<T>(
    node: &Node,
    path: &Path,
    findings: &mut Findings,
    mut read: impl FnMut(&Node, &Path, &mut Findings) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::List(items) = &node.value else {
        findings.error(path, format!("must be a list, not {}", node.kind()));
        return None;
    };
    let values: Vec<_> = items
        .iter()
        .enumerate()
        .map(|(index, item)| read(item, &path.item(index), findings))
        .collect();
    values.into_iter().collect()
}

// === groups of fields ===

/// What 1.x does with a field it doesn't know.
#[derive(Clone, Copy, PartialEq)]
enum Unknown {
    Refused,
    Ignored,
}

/// A group of known fields.
struct Fields<'a> {
    path: &'a Path,
    entries: &'a [Entry],
    findings: &'a mut Findings,
}

impl<'a> Fields<'a> {
    fn open(
        node: &'a Node,
        path: &'a Path,
        known: &[&str],
        unknown: Unknown,
        findings: &'a mut Findings,
    ) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let text = format!("must be a group of fields, not {}", node.kind());
            findings.error(path, text);
            return None;
        };
        for entry in entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let hint = hint(&entry.key, known.iter().copied());
            let typo = !hint.is_empty();
            let hint = match typo {
                true => hint,
                false => format!("; known are {}", known.join(", ")),
            };
            let problem = Problem {
                path: path.field(&entry.key),
                at: entry.at,
                text: format!("unknown field{hint}"),
            };
            if typo || unknown == Unknown::Refused {
                findings.errors.push(problem);
            } else {
                findings.warnings.push(problem);
            }
        }
        Some(Self {
            path,
            entries,
            findings,
        })
    }

    fn get(&self, name: &str) -> Option<&'a Node> {
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        match entry.node.value {
            Value::Null => None,
            _ => Some(&entry.node),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// `None`: it is not there or wrong, and the findings tell.
    fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Node, &Path, &mut Findings) -> Option<T>,
    ) -> Option<T> {
        let path = self.path.field(name);
        match self.get(name) {
            Some(node) => read(node, &path, self.findings),
            None => {
                self.findings.error(&path, "is missing");
                None
            }
        }
    }

    /// `None`: it is wrong, and the findings tell. `Some(None)`: it is not there.
    fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Node, &Path, &mut Findings) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.get(name) {
            Some(node) => read(node, &self.path.field(name), self.findings).map(Some),
            None => Some(None),
        }
    }
}
