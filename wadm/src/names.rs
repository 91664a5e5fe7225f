//! The names that an application's parts have in the lattice. The same as 1.x gives, so that either application
//! manager finds what the other one started.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use trellis_lattice::{ComponentId, IdError, control::Annotations, secret};

use crate::manifest::{ConfigProperty, Properties, SecretProperty};

/// Annotation: who manages it.
pub const MANAGED_BY: &str = "wasmcloud.dev/managed-by";
/// Annotation: the application it belongs to.
pub const APP: &str = "wasmcloud.dev/appspec";
/// Annotation: the part of the application that wants it; another one means another configuration.
pub const SCALER: &str = "wasmcloud.dev/scaler";
/// Annotation: the spread that placed it there.
pub const SPREAD: &str = "wasmcloud.dev/spread_name";
/// Annotation, ours: how many instances each spread has there, where there are several.
pub const SPREAD_COUNTS: &str = "trellis.dev/spread-counts";
/// Us, in [`MANAGED_BY`].
pub const MANAGER: &str = "wadm";
/// The spread of an application that names none.
pub const DEFAULT_SPREAD: &str = "default";

/// A component's id in the lattice.
///
/// # Errors
/// The manifest's own id can't be one.
pub fn component_id(
    app: &str,
    name: &str,
    properties: &Properties,
) -> Result<ComponentId, IdError> {
    match &properties.id {
        Some(id) => ComponentId::new(id),
        None => ComponentId::new(joined(app, name)),
    }
}

/// A configuration's name in the lattice. One without properties is somebody else's and keeps its name.
pub fn config_name(app: &str, config: &ConfigProperty) -> String {
    match config.properties {
        Some(_) => joined(app, &config.name),
        None => config.name.clone(),
    }
}

/// The name in the lattice of a secret's reference. It is always the application's own.
pub fn secret_name(app: &str, secret: &SecretProperty) -> String {
    format!("{}{}", secret::PREFIX, joined(app, &secret.name))
}

fn joined(app: &str, name: &str) -> String {
    let plain = |text: &str| {
        text.to_lowercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    };
    format!("{}-{}", plain(app), plain(name))
}

/// The stable id of a part of an application, made of what must be started anew when it changes.
pub fn part_id<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps "ab","c" apart from "a","bc".
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The annotations of what an application's part starts.
pub fn annotations(app: &str, part: &str, spreads: &BTreeMap<String, u32>) -> Annotations {
    let mut annotations = Annotations::from([
        (MANAGED_BY.to_owned(), MANAGER.to_owned()),
        (APP.to_owned(), app.to_owned()),
        (SCALER.to_owned(), part.to_owned()),
    ]);
    if let Some(first) = spreads.keys().next() {
        annotations.insert(SPREAD.to_owned(), first.clone());
    }
    if spreads.len() > 1 {
        let counts: Vec<_> = spreads
            .iter()
            .map(|(name, count)| format!("{name}={count}"))
            .collect();
        annotations.insert(SPREAD_COUNTS.to_owned(), counts.join(","));
    }
    annotations
}

/// The application that manages what has these annotations.
pub fn managed_app(annotations: &Annotations) -> Option<&str> {
    if annotations.get(MANAGED_BY).map(String::as_str) != Some(MANAGER) {
        return None;
    }
    annotations.get(APP).map(String::as_str)
}

/// How many of a running component's instances a spread has, by the annotations it was started with.
pub fn spread_count(annotations: &Annotations, spread: &str, instances: u32) -> u32 {
    if let Some(counts) = annotations.get(SPREAD_COUNTS) {
        let count = counts
            .split(',')
            .filter_map(|pair| pair.rsplit_once('='))
            .find(|(name, _)| *name == spread)
            .and_then(|(_, count)| count.parse().ok());
        return count.unwrap_or(0);
    }
    match annotations.get(SPREAD) {
        Some(name) if name != spread => 0,
        _ => instances,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_1_x_s() {
        let config = |name: &str, own: bool| ConfigProperty {
            name: name.into(),
            properties: own.then(BTreeMap::new),
        };
        assert_eq!(
            config_name("kvc", &config("default-http", true)),
            "kvc-default_http"
        );
        assert_eq!(
            config_name("kvc", &config("default-http", false)),
            "default-http"
        );
        let id = component_id("My App", "Http.Server", &Properties::default()).unwrap();
        assert_eq!(id.as_str(), "my_app-http_server");
    }

    #[test]
    fn a_spread_s_part_of_the_instances_is_remembered() {
        let spreads = BTreeMap::from([("east".to_owned(), 3), ("any".to_owned(), 2)]);
        let annotations = annotations("app", "part", &spreads);
        assert_eq!(annotations[SPREAD], "any");
        assert_eq!(spread_count(&annotations, "east", 5), 3);
        assert_eq!(spread_count(&annotations, "any", 5), 2);
        assert_eq!(spread_count(&annotations, "west", 5), 0);
        assert_eq!(spread_count(&Annotations::new(), "east", 5), 5);
    }
}
