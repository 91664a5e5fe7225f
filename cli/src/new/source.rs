//! Where a new project gets Trellis's crates from: a folder, or a git repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::exit::Usage;

/// The source that this program was built from; it may be gone, or on another machine.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Trellis's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder.
    Folder(PathBuf),
    /// A git repository, and a revision of it.
    Git {
        /// Its URL.
        url: String,
        /// A commit, tag or branch.
        rev: Option<String>,
    },
}

impl Source {
    /// The source that was told, else the one that this program was built from.
    ///
    /// # Errors
    /// There is none, or what is there is not Trellis's source.
    pub fn find(told: Option<&str>) -> Result<Self, Usage> {
        let Some(told) = told else {
            return Self::folder(Path::new(BUILT_FROM)).map_err(|_| {
                Usage(
                    "the source that this trellis was built from is not on this machine: say with --trellis-source where one is, a \
                     folder or the URL of a git repository (URL#TAG for one version)"
                        .to_owned(),
                )
            });
        };
        if told.contains("://") || told.starts_with("git@") {
            let (url, rev) = match told.split_once('#') {
                Some((url, rev)) => (url, Some(rev.to_owned())),
                None => (told, None),
            };
            // They go into a TOML string.
            if told.contains(['"', '\\', '\n']) {
                return Err(Usage(format!("{told:?} is no URL")));
            }
            return Ok(Self::Git {
                url: url.to_owned(),
                rev,
            });
        }
        Self::folder(Path::new(told))
    }

    fn folder(path: &Path) -> Result<Self, Usage> {
        let sdk = path.join("providers/sdk/Cargo.toml");
        match path.canonicalize() {
            Ok(folder) if sdk.is_file() => Ok(Self::Folder(folder)),
            _ => Err(Usage(format!(
                "{} is not Trellis's source: there is no providers/sdk/Cargo.toml in it",
                path.display()
            ))),
        }
    }

    /// A dependency on one of its crates, as TOML has it.
    pub fn dependency(&self, folder: &str) -> String {
        match self {
            Self::Folder(path) => {
                let path = path.join(folder).display().to_string();
                format!("{{ path = {} }}", quoted(&path))
            }
            Self::Git { url, rev: None } => format!("{{ git = {} }}", quoted(url)),
            Self::Git {
                url,
                rev: Some(rev),
            } => format!("{{ git = {}, rev = {} }}", quoted(url), quoted(rev)),
        }
    }

    /// The versions that its crates are tested with, where they can be had at once.
    pub fn lock(&self) -> Option<String> {
        match self {
            Self::Folder(path) => fs::read_to_string(path.join("Cargo.lock")).ok(),
            Self::Git { .. } => None,
        }
    }
}

/// A TOML string; JSON's escapes are among TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_folder_or_a_repository() {
        let git = Source::find(Some("https://example.com/trellis.git#v1.2")).unwrap();
        assert_eq!(
            git.dependency("providers/sdk"),
            r#"{ git = "https://example.com/trellis.git", rev = "v1.2" }"#
        );
        let here = Source::find(Some(BUILT_FROM)).unwrap();
        assert!(
            here.dependency("providers/sdk")
                .ends_with("/providers/sdk\" }")
        );
        assert!(
            here.lock()
                .is_some_and(|lock| lock.contains("trellis-provider"))
        );
        assert_eq!(Source::find(None).unwrap(), here);
        let wrong = Source::find(Some("/nowhere/at/all"))
            .unwrap_err()
            .to_string();
        assert!(
            wrong.contains("/nowhere/at/all is not Trellis's source"),
            "{wrong}"
        );
        assert!(Source::find(Some("https://x\"")).is_err());
    }
}
