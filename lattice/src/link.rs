//! Links: which target serves an interface for a source, and with what configuration.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    id::{ComponentId, LinkName},
    place::Within,
};

/// A link as it is put, stored and listed (`wasmcloud-v1.md`, Control interface).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// Who calls: a component, or a provider such as an HTTP server.
    pub source_id: ComponentId,
    /// Who is called.
    pub target: ComponentId,
    /// Its name; `default` when not given.
    #[serde(default)]
    pub name: LinkName,
    /// The interfaces' WIT namespace, for example `wasi`.
    pub wit_namespace: String,
    /// The interfaces' WIT package, for example `keyvalue`.
    pub wit_package: String,
    /// The interfaces' names, for example `store`.
    pub interfaces: Vec<String>,
    /// Names of configurations for the source.
    #[serde(default)]
    pub source_config: Vec<String>,
    /// Names of configurations for the target.
    #[serde(default)]
    pub target_config: Vec<String>,
    /// Ours: a bound that its calls never leave, also when nobody answers within. A 1.x host neither keeps to it nor
    /// keeps it when it writes its source's entry anew, so it is for lattices of our hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

/// What makes a link one and the same link: a source has at most one target for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkKey {
    /// Who calls.
    pub source_id: ComponentId,
    /// Its name; `default` when not given.
    #[serde(default)]
    pub name: LinkName,
    /// WIT namespace.
    pub wit_namespace: String,
    /// WIT package.
    pub wit_package: String,
}

impl Link {
    /// What identifies this link.
    pub fn key(&self) -> LinkKey {
        LinkKey {
            source_id: self.source_id.clone(),
            name: self.name.clone(),
            wit_namespace: self.wit_namespace.clone(),
            wit_package: self.wit_package.clone(),
        }
    }

    /// Whether either side has secrets.
    pub fn has_secrets(&self) -> bool {
        let mut names = self.source_config.iter().chain(&self.target_config);
        names.any(|name| crate::secret::is_reference(name))
    }

    /// Checks what the types alone don't: parts that can stand in an interface's name, and not too many.
    ///
    /// # Errors
    /// Names the field and what is wrong with it.
    pub fn check(&self) -> Result<(), LinkError> {
        check_wit_name("wit_namespace", &self.wit_namespace)?;
        check_wit_name("wit_package", &self.wit_package)?;
        if self.interfaces.is_empty() {
            return Err(LinkError {
                field: "interfaces".into(),
                problem: "is empty: name at least one interface".into(),
            });
        }
        if self.interfaces.len() > MAX_INTERFACES {
            return Err(LinkError {
                field: "interfaces".into(),
                problem: format!(
                    "has {} entries, more than {MAX_INTERFACES}",
                    self.interfaces.len()
                ),
            });
        }
        for (index, interface) in self.interfaces.iter().enumerate() {
            check_wit_name(&format!("interfaces[{index}]"), interface)?;
        }
        if self.within.as_ref().is_some_and(Within::is_empty) {
            return Err(LinkError {
                field: "within".into(),
                problem: "is empty: name a region or a pop, or leave it out".into(),
            });
        }
        Ok(())
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} -({}:{}",
            self.source_id, self.wit_namespace, self.wit_package
        )?;
        if self.name != LinkName::default() {
            write!(f, ", {}", self.name)?;
        }
        f.write_str(")->")
    }
}

/// The most interfaces one link may name.
const MAX_INTERFACES: usize = 64;

/// A link with a field that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("link field `{field}` {problem}")]
pub struct LinkError {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// WIT names are kebab-case (component model, WIT.md); anything else could never match an import.
fn check_wit_name(field: &str, name: &str) -> Result<(), LinkError> {
    let fits = !name.is_empty()
        && name.len() <= crate::id::MAX_NAME_BYTES
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && name.as_bytes()[0].is_ascii_alphabetic();
    if fits {
        return Ok(());
    }
    Err(LinkError {
        field: field.to_owned(),
        problem: format!(
            "is {name:?}: a WIT name has letters, digits and '-' and starts with a letter"
        ),
    })
}

/// A link as providers get it: configuration and secrets are values, not names.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedLink {
    /// Who calls.
    pub source_id: ComponentId,
    /// Who is called.
    pub target: ComponentId,
    /// Its name.
    #[serde(default)]
    pub name: LinkName,
    /// WIT namespace.
    pub wit_namespace: String,
    /// WIT package.
    pub wit_package: String,
    /// The interfaces' names.
    pub interfaces: Vec<String>,
    /// The source's configuration.
    #[serde(default)]
    pub source_config: BTreeMap<String, String>,
    /// The target's configuration.
    #[serde(default)]
    pub target_config: BTreeMap<String, String>,
    /// The source's secrets, if any.
    #[serde(default)]
    pub source_secrets: Option<serde_json::Value>,
    /// The target's secrets, if any.
    #[serde(default)]
    pub target_secrets: Option<serde_json::Value>,
    /// Ours: the public X key of the provider that the secrets are sealed for. Another process of the same id, on
    /// another host, gets its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_for: Option<String>,
    /// Ours: as [`Link::within`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

impl ResolvedLink {
    /// A link with its configuration filled in.
    pub fn new(
        link: &Link,
        source_config: BTreeMap<String, String>,
        target_config: BTreeMap<String, String>,
    ) -> Self {
        Self {
            source_id: link.source_id.clone(),
            target: link.target.clone(),
            name: link.name.clone(),
            wit_namespace: link.wit_namespace.clone(),
            wit_package: link.wit_package.clone(),
            interfaces: link.interfaces.clone(),
            source_config,
            target_config,
            source_secrets: None,
            target_secrets: None,
            sealed_for: None,
            within: link.within.clone(),
        }
    }

    /// Whether it has secrets, sealed or not.
    pub fn has_secrets(&self) -> bool {
        self.source_secrets.is_some() || self.target_secrets.is_some()
    }

    /// What identifies this link.
    pub fn key(&self) -> LinkKey {
        LinkKey {
            source_id: self.source_id.clone(),
            name: self.name.clone(),
            wit_namespace: self.wit_namespace.clone(),
            wit_package: self.wit_package.clone(),
        }
    }
}

impl fmt::Debug for ResolvedLink {
    /// Configuration may hold passwords: only its keys are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedLink")
            .field("source_id", &self.source_id)
            .field("target", &self.target)
            .field("name", &self.name)
            .field(
                "interfaces",
                &format_args!(
                    "{}:{}/{:?}",
                    self.wit_namespace, self.wit_package, self.interfaces
                ),
            )
            .field("source_config", &self.source_config.keys())
            .field("target_config", &self.target_config.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        serde_json::from_value(serde_json::json!({
            "source_id": "a", "target": "b", "wit_namespace": "wasi", "wit_package": "keyvalue", "interfaces": ["store"],
        }))
        .unwrap()
    }

    #[test]
    fn a_link_s_name_defaults() {
        assert_eq!(link().name.as_str(), "default");
        assert_eq!(link().check(), Ok(()));
    }

    #[test]
    fn a_bad_interface_is_named() {
        let error = Link {
            interfaces: vec!["store".into(), "a/b".into()],
            ..link()
        }
        .check()
        .unwrap_err();
        assert_eq!(error.field, "interfaces[1]");
    }

    #[test]
    fn a_link_without_a_bound_looks_as_in_1_x() {
        let plain = serde_json::to_string(&link()).unwrap();
        assert_eq!(
            plain,
            r#"{"source_id":"a","target":"b","name":"default","wit_namespace":"wasi","wit_package":"keyvalue","interfaces":["store"],"source_config":[],"target_config":[]}"#
        );
        let resolved = ResolvedLink::new(&link(), BTreeMap::new(), BTreeMap::new());
        assert!(!serde_json::to_string(&resolved).unwrap().contains("within"));
    }

    #[test]
    fn a_bound_goes_where_the_link_goes() {
        let bound = Link {
            within: Some(Within::region("eu".parse().unwrap())),
            ..link()
        };
        let json = serde_json::to_value(&bound).unwrap();
        assert_eq!(json["within"], serde_json::json!({"region": "eu"}));
        assert_eq!(serde_json::from_value::<Link>(json).unwrap(), bound);
        let resolved = ResolvedLink::new(&bound, BTreeMap::new(), BTreeMap::new());
        assert_eq!(resolved.within, bound.within);
        let put = crate::control::link::PutLink {
            link: bound.clone(),
            replace: true,
        };
        let json = serde_json::to_vec(&put).unwrap();
        assert_eq!(
            crate::from_json::<crate::control::link::PutLink>("link.put request", &json).unwrap(),
            put
        );
        let spec = crate::bucket::ComponentSpec {
            url: String::new(),
            links: vec![bound],
        };
        let json = serde_json::to_vec(&spec).unwrap();
        assert_eq!(
            crate::from_json::<crate::bucket::ComponentSpec>("entry", &json).unwrap(),
            spec
        );
    }

    #[test]
    fn a_bound_that_bounds_nothing_is_refused() {
        let error = Link {
            within: Some(Within::default()),
            ..link()
        }
        .check()
        .unwrap_err();
        assert_eq!(error.field, "within");
    }

    #[test]
    fn configuration_is_not_shown_in_logs() {
        let resolved = ResolvedLink::new(
            &link(),
            BTreeMap::new(),
            [("url".into(), "redis://:pass@h".into())].into(),
        );
        assert!(!format!("{resolved:?}").contains("pass@"));
    }
}
