//! References to images, and fetching what they name.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::io::AsyncReadExt as _;
use trellis_registry::{Image, Images, Kind, Reference, RegistryError};

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageRef {
    /// A file of this machine.
    File(PathBuf),
    /// A provider of the host program itself.
    Builtin(String),
    /// An image of a registry.
    Registry(String),
}

/// A component's image that is on this machine.
#[derive(Clone, Debug)]
pub(crate) enum Local {
    /// A file, which may change.
    File(PathBuf),
    /// What a registry's reference meant when it was pulled. It stays in the cache for as long as this is there.
    Pulled(Box<Image>),
}

/// An image that can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("image reference is empty: use file:///absolute/path, or builtin:NAME for a provider")]
    Empty,
    #[error("image {0:?}: a file's path must be absolute, like file:///srv/actors/hello.wasm")]
    RelativePath(String),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(
        "image {0:?}: builtin: is for providers; a component is a file or a registry's image: file:///absolute/path, ghcr.io/acme/cart:1.0"
    )]
    BuiltinComponent(String),
    #[error("image {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("image {} is not a file", .0.display())]
    NotAFile(PathBuf),
    #[error("image {} is larger than the {limit} bytes that this host takes", path.display())]
    TooLarge { path: PathBuf, limit: usize },
}

impl ImageRef {
    /// Reads a reference. A plain absolute path is taken for a file, as 1.x does.
    pub(crate) fn parse(text: &str) -> Result<Self, ImageError> {
        if text.trim().is_empty() {
            return Err(ImageError::Empty);
        }
        if let Some(name) = text.strip_prefix("builtin:") {
            // 1.x writes `wasmcloud+builtin://`; ours has no slashes, but they are easily typed.
            return Ok(Self::Builtin(name.trim_start_matches('/').to_owned()));
        }
        let path = match text.strip_prefix("file://") {
            Some(path) => path,
            None if text.starts_with(['/', '.']) => text,
            None => {
                let reference: Reference = text.parse().map_err(RegistryError::from)?;
                return Ok(Self::Registry(reference.to_string()));
            }
        };
        if Path::new(path).is_absolute() {
            Ok(Self::File(path.into()))
        } else {
            Err(ImageError::RelativePath(text.to_owned()))
        }
    }

    /// Reads a reference that a component can have.
    pub(crate) fn parse_component(text: &str) -> Result<Self, ImageError> {
        match Self::parse(text)? {
            Self::Builtin(_) => Err(ImageError::BuiltinComponent(text.to_owned())),
            other => Ok(other),
        }
    }

    /// Whether this host takes it, as far as the reference tells.
    pub(crate) fn check(&self, images: &Images) -> Result<(), ImageError> {
        if let Self::Registry(reference) = self {
            images.check(reference)?;
        }
        Ok(())
    }
}

impl Local {
    /// Gets a component's image, of at most so many bytes, onto this machine.
    pub(crate) async fn fetch(
        images: &Images,
        reference: &str,
        limit: usize,
    ) -> Result<Self, ImageError> {
        match ImageRef::parse_component(reference)? {
            ImageRef::File(path) => Ok(Self::File(path)),
            ImageRef::Builtin(_) => Err(ImageError::BuiltinComponent(reference.to_owned())),
            ImageRef::Registry(reference) => {
                let image = images.get(&reference, Kind::Component, limit as u64);
                Ok(Self::Pulled(Box::new(image.await?)))
            }
        }
    }

    /// Reads it whole, up to a bound.
    pub(crate) async fn read(&self, images: &Images, limit: usize) -> Result<Vec<u8>, ImageError> {
        let image = match self {
            Self::File(path) => return read_file(path, limit).await,
            Self::Pulled(image) => image,
        };
        match image.read().await {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                // Somebody was at the cache: exactly the same once more, whatever the tag means by now.
                tracing::warn!(%error, "the image is pulled again");
                let exact = image.exact();
                let again = images.get(&exact, Kind::Component, limit as u64);
                Ok(again.await?.read().await?)
            }
        }
    }
}

/// Reads a file whole, up to a bound.
pub(crate) async fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, ImageError> {
    let failed = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    // Looked at before it is opened: opening a pipe waits for whoever writes to it.
    let metadata = tokio::fs::metadata(path).await.map_err(failed)?;
    if !metadata.is_file() {
        return Err(ImageError::NotAFile(path.to_owned()));
    }
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).min(limit));
    // One more than the bound: the file may grow while it is read.
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(failed)?;
    if bytes.len() > limit {
        return Err(ImageError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read() {
        assert_eq!(
            ImageRef::parse("file:///a/b.wasm").unwrap(),
            ImageRef::File("/a/b.wasm".into())
        );
        assert_eq!(
            ImageRef::parse("/a/b.wasm").unwrap(),
            ImageRef::File("/a/b.wasm".into())
        );
        assert_eq!(
            ImageRef::parse("builtin:http-server").unwrap(),
            ImageRef::Builtin("http-server".into())
        );
        for text in ["ghcr.io/a/b:1", "oci://ghcr.io/a/b:1"] {
            assert_eq!(
                ImageRef::parse(text).unwrap(),
                ImageRef::Registry("ghcr.io/a/b:1".into())
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_reference_is_said() {
        for (text, said) in [
            ("", "is empty"),
            ("file://a/b.wasm", "must be absolute"),
            ("./b.wasm", "must be absolute"),
            ("b.wasm", "names no registry"),
            ("ghcr.io/a/B:1", "write REGISTRY/NAME:TAG"),
        ] {
            let error = ImageRef::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        assert!(ImageRef::parse_component("builtin:http-server").is_err());
    }

    #[tokio::test]
    async fn a_file_is_read_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_file(&path, 100).await.unwrap().len(), 100);
        assert!(matches!(
            read_file(&path, 99).await,
            Err(ImageError::TooLarge { .. })
        ));
        assert!(matches!(
            read_file(folder.path(), 99).await,
            Err(ImageError::NotAFile(_))
        ));
        // Nobody writes to it: opening it would never end.
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert!(matches!(
            read_file(&pipe, 99).await,
            Err(ImageError::NotAFile(_))
        ));
        let missing = read_file(&folder.path().join("y"), 99)
            .await
            .unwrap_err()
            .to_string();
        assert!(missing.contains("No such file"), "{missing}");
    }
}
