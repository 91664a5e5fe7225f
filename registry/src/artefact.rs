//! A component or a provider archive as a registry keeps it.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use trellis_lattice::claims::{ClaimsError, FileKind, Inspection, inspect, world::Item};

use crate::{Digest, manifest::Descriptor};

/// A component's content, as the CNCF's layout for WebAssembly names it.
const WASM: &str = "application/wasm";
/// What the CNCF's layout says of a component beside it.
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// A component's content as 1.x, and its tools of different times, name it.
const WASM_OF_1_X: [&str; 2] = [
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
];
/// A provider archive's content, as 1.x names it.
const PROVIDER: &str = "application/vnd.wasmcloud.provider.archive.layer.v1+par";
/// What 1.x keeps beside a provider archive: nothing, in fact.
const PROVIDER_CONFIG: &str = "application/vnd.wasmcloud.provider.archive.config";

/// What an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A WebAssembly component.
    Component,
    /// A provider archive.
    Provider,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Component => "a component",
            Self::Provider => "a provider archive",
        })
    }
}

impl Kind {
    /// What content of that media type is, if it is one of the two.
    pub(crate) fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            WASM => Some(Self::Component),
            old if WASM_OF_1_X.contains(&old) => Some(Self::Component),
            PROVIDER => Some(Self::Provider),
            _ => None,
        }
    }
}

/// What is pushed: the content, and what is said of it beside it.
#[derive(Clone, Debug)]
pub struct Artefact {
    /// What it is.
    pub kind: Kind,
    /// The component or the archive.
    pub content: Bytes,
    pub(crate) config: Bytes,
    annotations: BTreeMap<&'static str, String>,
}

/// Content that is neither.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// It can't be read.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// Hosts run components.
    #[error("it is a core WebAssembly module, which no host runs: make a component of it")]
    CoreModule,
}

/// What the CNCF's layout says of a component.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WasmConfig {
    created: String,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [Digest; 1],
    component: ComponentConfig,
}

#[derive(Serialize)]
struct ComponentConfig {
    exports: Vec<String>,
    imports: Vec<String>,
}

impl Artefact {
    /// What is pushed of a file's content. The same content makes the same artefact, so the same digest, when it is signed:
    /// it counts as made when it was signed, and `now` where it is not.
    ///
    /// # Errors
    /// It is neither a component nor a provider archive.
    pub fn of(content: Bytes, now: OffsetDateTime) -> Result<Self, ArtefactError> {
        let seen = inspect(&content, now)?;
        let (kind, config) = match seen.kind {
            FileKind::Component => (Kind::Component, wasm_config(&content, &seen, now)),
            FileKind::ProviderArchive => (Kind::Provider, Bytes::from_static(b"{}")),
            FileKind::CoreModule => return Err(ArtefactError::CoreModule),
        };
        Ok(Self {
            kind,
            config,
            annotations: annotations(&seen),
            content,
        })
    }

    /// The manifest that names its parts, byte for byte.
    pub(crate) fn manifest(&self) -> Bytes {
        let (config_type, content_type) = match self.kind {
            Kind::Component => (WASM_CONFIG, WASM),
            Kind::Provider => (PROVIDER_CONFIG, PROVIDER),
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: crate::manifest::OCI_MANIFEST,
            config: Descriptor::of(config_type, &self.config),
            layers: [Descriptor::of(content_type, &self.content)],
            annotations: &self.annotations,
        };
        serde_json::to_vec(&manifest).unwrap_or_default().into()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: [Descriptor; 1],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<&'static str, String>,
}

fn wasm_config(content: &[u8], seen: &Inspection, now: OffsetDateTime) -> Bytes {
    let made = seen.claims.as_ref().and_then(|claims| claims.signed_at);
    let names = |items: Option<&Vec<Item>>| {
        items
            .into_iter()
            .flatten()
            .map(|item| item.name.clone())
            .collect()
    };
    let config = WasmConfig {
        created: made.unwrap_or(now).format(&Rfc3339).unwrap_or_default(),
        architecture: "wasm",
        os: "wasip2",
        layer_digests: [Digest::of(content)],
        component: ComponentConfig {
            exports: names(seen.exports.as_ref()),
            imports: names(seen.imports.as_ref()),
        },
    };
    serde_json::to_vec(&config).unwrap_or_default().into()
}

/// What claims say, where registries' pages look for it.
fn annotations(seen: &Inspection) -> BTreeMap<&'static str, String> {
    let Some(claims) = &seen.claims else {
        return BTreeMap::new();
    };
    [
        ("org.opencontainers.image.title", &claims.name),
        ("org.opencontainers.image.version", &claims.version),
        ("org.opencontainers.image.vendor", &claims.vendor),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.clone().filter(|value| !value.is_empty())?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artefact(text: &str) -> Result<Artefact, ArtefactError> {
        Artefact::of(
            wat::parse_str(text).unwrap().into(),
            OffsetDateTime::UNIX_EPOCH,
        )
    }

    #[test]
    fn a_component_has_the_cncf_s_layout() {
        let artefact = artefact("(component)").unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&artefact.manifest()).unwrap();
        assert_eq!(
            manifest["mediaType"],
            "application/vnd.oci.image.manifest.v1+json"
        );
        assert_eq!(
            manifest["config"]["mediaType"],
            "application/vnd.wasm.config.v0+json"
        );
        assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
        let digest = Digest::of(&artefact.content).to_string();
        assert_eq!(manifest["layers"][0]["digest"], digest);
        assert_eq!(manifest["layers"][0]["size"], artefact.content.len());
        let config: serde_json::Value = serde_json::from_slice(&artefact.config).unwrap();
        assert_eq!(
            config,
            serde_json::json!({
                "created": "1970-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2", "layerDigests": [digest],
                "component": {"exports": [], "imports": []},
            })
        );
    }

    #[test]
    fn what_no_host_runs_is_not_pushed() {
        assert!(matches!(
            artefact("(module)"),
            Err(ArtefactError::CoreModule)
        ));
        let text = Artefact::of(Bytes::from_static(b"hello"), OffsetDateTime::UNIX_EPOCH);
        assert!(matches!(text, Err(ArtefactError::Claims(_))));
    }

    #[test]
    fn the_media_types_of_1_x_are_known() {
        for (media_type, kind) in [
            ("application/wasm", Some(Kind::Component)),
            (
                "application/vnd.module.wasm.content.layer.v1+wasm",
                Some(Kind::Component),
            ),
            (
                "application/vnd.wasmcloud.provider.archive.layer.v1+par",
                Some(Kind::Provider),
            ),
            ("application/vnd.oci.image.layer.v1.tar+gzip", None),
        ] {
            assert_eq!(Kind::of_media_type(media_type), kind, "{media_type}");
        }
    }
}
