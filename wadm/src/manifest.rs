//! Manifests: what an application is made of, in the format of 1.x (`core.oam.dev/v1beta1`, kind `Application`;
//! `wasmcloud-v1.md`, Application manager).
//!
//! [`parse`] is for what people write: it finds every mistake at once, with line, column and field. Reading through
//! `serde` is for what an application manager stored, ours or 1.x's, and takes what it knows.

mod check;
mod image;
mod ours;
mod problem;
mod read;
mod schema;
mod suggest;
mod tree;
mod types;

pub use check::is_app_name;
pub use image::ImageError;
pub(crate) use image::same as same_image;
pub use ours::{
    AutoscaleProperties, CanaryStep, HealthGate, OnPartition, PlacementProperties, Residency,
    RolloutProperties, Span, Strategy, TopologySpread,
};
pub use problem::{ManifestErrors, Path, Position, Problem, Step, Warning};
pub use schema::schema;
pub use tree::MAX_MANIFEST_BYTES;
pub use types::{
    Component, ConfigDefinition, ConfigProperty, Kind, LinkProperties, Manifest, Metadata, Policy,
    Properties, SecretProperty, SecretSource, SharedComponent, Specification, Spread,
    SpreadProperties, TargetConfig, Trait, TraitProperties,
};

/// The only `apiVersion`.
pub const API_VERSION: &str = "core.oam.dev/v1beta1";
/// The only `kind`.
pub const KIND: &str = "Application";
/// Annotation: what the application is, for people.
pub const DESCRIPTION: &str = "description";
/// Annotation: the version's name; given one when it has none.
pub const VERSION: &str = "version";
/// Annotation: other applications may use this one's components when it is `"true"`.
pub const SHARED: &str = "experimental.wasmcloud.dev/shared";
/// Not a version's name: it stands for the newest.
pub const LATEST: &str = "latest";

/// Reads a manifest that somebody wrote, YAML or JSON.
///
/// Unknown fields are errors where 1.x refuses them too, and wherever they look like a known field mistyped;
/// elsewhere 1.x ignores them and so do we, with a warning.
///
/// # Errors
/// Everything that is wrong with it, in the order of its text; of very many problems only some.
pub fn parse(text: &str) -> Result<(Manifest, Vec<Warning>), ManifestErrors> {
    let tree = tree::read(text)?;
    let mut findings = problem::Findings::default();
    let manifest = read::manifest(&tree, &mut findings);
    if let Some(manifest) = &manifest {
        check::manifest(manifest, &mut findings);
    }
    let problem::Findings { errors, warnings } = findings;
    let errors = errors.sorted(|path| tree.position(path));
    let warnings = warnings.sorted(|path| tree.position(path));
    match manifest {
        Some(manifest) if errors.is_empty() => Ok((manifest, warnings)),
        _ => Err(ManifestErrors(errors)),
    }
}

/// A manifest's text, YAML or JSON, as JSON: all that stands there, also what isn't known.
///
/// # Errors
/// It is neither, or more than a manifest may be.
pub fn to_json(text: &str) -> Result<serde_json::Value, ManifestErrors> {
    Ok(tree::read(text)?.to_json())
}

impl Manifest {
    /// The application's name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// What it is, for people.
    pub fn description(&self) -> Option<&str> {
        self.metadata
            .annotations
            .get(DESCRIPTION)
            .map(String::as_str)
    }

    /// The version's name, where it has one.
    pub fn version(&self) -> Option<&str> {
        self.metadata
            .annotations
            .get(VERSION)
            .map(String::as_str)
            .filter(|version| !version.is_empty())
    }

    /// Whether other applications may use its components.
    pub fn is_shared(&self) -> bool {
        self.metadata
            .annotations
            .get(SHARED)
            .is_some_and(|shared| shared == "true")
    }
}
