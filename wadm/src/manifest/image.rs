//! References of images: what forms there are, and making relative ones absolute.

use std::path::{Component as PathPart, Path, PathBuf};

use super::types::{Kind, Manifest};

/// The scheme of files.
const FILE: &str = "file://";
/// The scheme of providers that the host program itself contains.
const BUILTIN: &str = "builtin:";

/// An image's reference, by its form.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Image<'a> {
    /// A file on the host's machine.
    File(&'a str),
    /// A provider that the host program contains.
    Builtin(&'a str),
    /// A registry's.
    Registry(&'a str),
}

/// A reference that can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Nothing there.
    #[error("is empty: write file://PATH, builtin:NAME or a registry's reference")]
    Empty,
    /// White space or the like.
    #[error("is {0:?}, with white space or control characters")]
    Characters(String),
    /// An unknown scheme.
    #[error("is {0:?}: write file://PATH, builtin:NAME or a registry's reference")]
    Scheme(String),
    /// A path that only means something where the manifest lies.
    #[error(
        "component {component:?}: image {image:?} is a relative path: give an absolute one, or deploy the manifest's file with `trellis app deploy`"
    )]
    Relative {
        /// The component's name.
        component: String,
        /// The reference.
        image: String,
    },
    /// A path that is not text.
    #[error("path {0} is not UTF-8")]
    NotText(PathBuf),
}

/// Tells a reference's form.
pub(super) fn read(reference: &str) -> Result<Image<'_>, ImageError> {
    let shown = || reference.chars().take(120).collect::<String>();
    if reference.is_empty() {
        return Err(ImageError::Empty);
    }
    if reference.chars().any(char::is_control)
        || (reference.contains(char::is_whitespace) && !reference.starts_with(FILE))
    {
        return Err(ImageError::Characters(shown()));
    }
    if let Some(path) = reference.strip_prefix(FILE) {
        return if path.is_empty() {
            Err(ImageError::Empty)
        } else {
            Ok(Image::File(path))
        };
    }
    if let Some(name) = reference.strip_prefix(BUILTIN) {
        return if name.is_empty() {
            Err(ImageError::Empty)
        } else {
            Ok(Image::Builtin(name))
        };
    }
    match reference.split_once("://") {
        None | Some(("oci", _)) => Ok(Image::Registry(reference)),
        Some(_) => Err(ImageError::Scheme(shown())),
    }
}

impl Manifest {
    /// Makes relative `file://` images absolute, seen from a folder (the one the manifest lies in). Hosts know
    /// nothing of that folder, so it is done before the manifest is put.
    ///
    /// # Errors
    /// The folder's path is not UTF-8.
    pub fn resolve_images(&mut self, base: impl AsRef<Path>) -> Result<(), ImageError> {
        let base = base.as_ref();
        for component in &mut self.spec.components {
            let (Kind::Component(properties) | Kind::Capability(properties)) = &mut component.kind;
            let Some(image) = &mut properties.image else {
                continue;
            };
            let Some(path) = image.strip_prefix(FILE) else {
                continue;
            };
            if Path::new(path).is_absolute() {
                continue;
            }
            let absolute = plain(&base.join(path));
            let text = absolute
                .to_str()
                .ok_or_else(|| ImageError::NotText(absolute.clone()))?;
            *image = format!("{FILE}{text}");
        }
        Ok(())
    }

    /// Checks that every image can be found from anywhere.
    ///
    /// # Errors
    /// Names the first relative one.
    pub fn check_images(&self) -> Result<(), ImageError> {
        for component in &self.spec.components {
            if let Some(image) = &component.properties().image
                && let Ok(Image::File(path)) = read(image)
                && !Path::new(path).is_absolute()
            {
                return Err(ImageError::Relative {
                    component: component.name.clone(),
                    image: image.clone(),
                });
            }
        }
        Ok(())
    }
}

/// Takes `.` and `..` out of a path by its text alone; the file need not be there yet.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            PathPart::CurDir => {}
            PathPart::ParentDir
                if matches!(plain.components().next_back(), Some(PathPart::Normal(_))) =>
            {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// Whether two references mean the same image: 1.x's hosts report a file without its scheme.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.strip_prefix(FILE).unwrap_or(a) == b.strip_prefix(FILE).unwrap_or(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_three_forms() {
        assert_eq!(read("file:///a.wasm"), Ok(Image::File("/a.wasm")));
        assert_eq!(
            read("builtin:http-server"),
            Ok(Image::Builtin("http-server"))
        );
        assert_eq!(
            read("ghcr.io/x/y:1.0"),
            Ok(Image::Registry("ghcr.io/x/y:1.0"))
        );
        for reference in ["", "file://", "builtin:", "https://h/a.wasm", "a b", "a\nb"] {
            assert!(read(reference).is_err(), "{reference:?}");
        }
    }

    #[test]
    fn paths_lose_their_detours() {
        assert_eq!(
            plain(Path::new("/p/examples/x/../../target/./a.wasm")),
            Path::new("/p/target/a.wasm")
        );
        assert_eq!(plain(Path::new("../a")), Path::new("../a"));
    }

    #[test]
    fn a_file_is_the_same_with_and_without_its_scheme() {
        assert!(same("file:///a.wasm", "/a.wasm"));
        assert!(!same("file:///a.wasm", "/b.wasm"));
    }
}
