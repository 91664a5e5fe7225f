//! Manifests: what a registry says an image is made of.

use serde::{Deserialize, Serialize};

use crate::{Digest, Kind, Reference, RegistryError};

/// The manifest of one image.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Every kind of manifest that is asked for. Indexes too: what else would be answered is "not found".
pub(crate) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";
/// The largest manifest. Registries take none that are larger.
pub(crate) const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How many media types are shown of an image that is something else.
const SHOWN: usize = 3;

/// An image, as its manifest says: what a reference means now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The manifest's digest, by which exactly this image can be had again.
    pub manifest: Digest,
    /// What is in it.
    pub content: Content,
}

/// A component or an archive in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// What it is.
    pub kind: Kind,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A part of an image.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

impl Descriptor {
    pub(crate) fn of(media_type: &str, content: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(content).to_string(),
            size: content.len() as u64,
        }
    }
}

/// Those fields of a manifest, or of an index, that count here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// Reads a manifest, which must be the one that the reference names by digest, if it names one.
///
/// # Errors
/// It is another, or is no component's or provider archive's.
pub(crate) fn read(reference: &Reference, bytes: &[u8]) -> Result<Resolved, RegistryError> {
    let digest = Digest::of(bytes);
    if let Some(expected) = reference.digest().filter(|expected| *expected != digest) {
        return Err(RegistryError::Mismatch {
            reference: reference.to_string(),
            what: "manifest",
            expected,
            found: digest.to_string(),
        });
    }
    let manifest: Manifest = serde_json::from_slice(bytes)
        .map_err(|error| RegistryError::answer(reference, format!("its manifest: {error}")))?;
    let wrong = |found: String| RegistryError::WrongType {
        reference: reference.to_string(),
        found,
    };
    if !manifest.manifests.is_empty() {
        return Err(wrong("an index of images for several platforms".into()));
    }
    let of_kind = |layer: &Descriptor| Kind::of_media_type(&layer.media_type);
    let [layer] = manifest.layers.as_slice() else {
        return Err(wrong(shown(&manifest.layers)));
    };
    let Some(kind) = of_kind(layer) else {
        return Err(wrong(shown(&manifest.layers)));
    };
    let digest_of_content = layer
        .digest
        .parse::<Digest>()
        .map_err(|error| RegistryError::answer(reference, format!("its manifest: {error}")))?;
    Ok(Resolved {
        manifest: digest,
        content: Content {
            kind,
            digest: digest_of_content,
            size: layer.size,
        },
    })
}

/// What an image is that is something else.
fn shown(layers: &[Descriptor]) -> String {
    let types: Vec<String> = layers
        .iter()
        .take(SHOWN)
        .map(|layer| layer.media_type.chars().take(100).collect())
        .collect();
    match layers.len() {
        0 => "an image without content".into(),
        1 => format!("of the type {}", types.join(", ")),
        count => format!("an image of {count} layers ({})", types.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(reference: &str, text: &str) -> Result<Resolved, RegistryError> {
        read(&reference.parse().unwrap(), text.as_bytes())
    }

    fn layer(media_type: &str) -> String {
        format!(
            r#"{{"mediaType": "{media_type}", "digest": "{}", "size": 5, "annotations": {{"a": "b"}}}}"#,
            Digest::of(b"hello")
        )
    }

    #[test]
    fn the_layouts_of_both_are_read() {
        for (media_type, kind) in [
            ("application/wasm", Kind::Component),
            (
                "application/vnd.module.wasm.content.layer.v1+wasm",
                Kind::Component,
            ),
            (
                "application/vnd.wasmcloud.provider.archive.layer.v1+par",
                Kind::Provider,
            ),
        ] {
            let text = format!(
                r#"{{"schemaVersion": 2, "config": {{}}, "layers": [{}]}}"#,
                layer(media_type)
            );
            let resolved = read_text("r.test/a:1", &text).unwrap();
            assert_eq!(resolved.manifest, Digest::of(text.as_bytes()));
            let content = Content {
                kind,
                digest: Digest::of(b"hello"),
                size: 5,
            };
            assert_eq!(resolved.content, content);
        }
    }

    #[test]
    fn other_images_are_told_as_what_they_are() {
        let tar = layer("application/vnd.oci.image.layer.v1.tar+gzip");
        for (text, said) in [
            (
                format!(r#"{{"layers": [{tar}]}}"#),
                "of the type application/vnd.oci.image.layer",
            ),
            (
                format!(r#"{{"layers": [{tar}, {tar}]}}"#),
                "an image of 2 layers",
            ),
            (r#"{"layers": []}"#.to_owned(), "without content"),
            (format!(r#"{{"manifests": [{tar}]}}"#), "an index"),
            ("<html>".to_owned(), "answer can't be used"),
        ] {
            let error = read_text("r.test/a:1", &text).unwrap_err().to_string();
            assert!(
                error.contains(said) && error.contains("r.test/a:1"),
                "{error}"
            );
        }
    }

    #[test]
    fn another_than_the_digest_s_is_refused() {
        let reference = format!("r.test/a@{}", Digest::of(b"x"));
        let error = read_text(&reference, "{}").unwrap_err();
        assert!(matches!(error, RegistryError::Mismatch { .. }), "{error}");
    }
}
