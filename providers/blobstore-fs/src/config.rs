//! A link's configuration, over the provider's own as its default. See the README for the table.

use std::path::PathBuf;

use serde::Deserialize;
use trellis_provider::config::SettingsError;

/// The configuration of a link (`target_config`), and of the provider.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct FolderConfig {
    /// The folder that containers are in, an absolute path.
    #[serde(alias = "ROOT")]
    root: Option<String>,
    /// Whether nothing may be changed.
    read_only: Option<bool>,
    /// The most bytes that an object may have.
    max_object_bytes: Option<u64>,
}

/// Where a link's containers are, and what may be done with them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The folder.
    pub root: PathBuf,
    /// Whether nothing may be changed.
    pub read_only: bool,
    /// The most bytes that an object may have.
    pub max_object_bytes: u64,
}

impl FolderConfig {
    /// The settings of a link with this configuration, where the provider's own fills what it leaves out.
    ///
    /// # Errors
    /// Names the field that is missing or doesn't fit.
    pub fn settings(&self, own: &Self) -> Result<Settings, SettingsError> {
        let wrong = |problem: &str| SettingsError {
            field: "root",
            problem: problem.to_owned(),
        };
        let root = self.root.as_ref().or(own.root.as_ref());
        let root = root.ok_or_else(|| {
            wrong("missing: the folder that containers are in, for example /var/lib/trellis/blobs")
        })?;
        let root = PathBuf::from(root);
        if !root.is_absolute() {
            return Err(wrong("not an absolute path: it has to begin with /"));
        }
        Ok(Settings {
            root,
            read_only: self.read_only.or(own.read_only).unwrap_or_default(),
            max_object_bytes: self
                .max_object_bytes
                .or(own.max_object_bytes)
                .unwrap_or(u64::MAX),
        })
    }

    /// Whether this, as the provider's own configuration, can be a default: a root may come with each link.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    pub fn check_default(&self) -> Result<(), SettingsError> {
        match self.root {
            Some(_) => self.settings(&Self::default()).map(|_| ()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooted(root: Option<&str>) -> FolderConfig {
        FolderConfig {
            root: root.map(Into::into),
            ..FolderConfig::default()
        }
    }

    #[test]
    fn a_root_is_needed_and_absolute() {
        let none = rooted(None);
        assert!(
            none.settings(&none)
                .unwrap_err()
                .to_string()
                .contains("missing")
        );
        let relative = rooted(Some("blobs")).settings(&none).unwrap_err();
        assert_eq!(relative.field, "root");
        assert!(relative.problem.contains("absolute"), "{relative}");
        none.check_default().unwrap();
        rooted(Some("blobs")).check_default().unwrap_err();
    }

    #[test]
    fn a_link_goes_before_the_provider() {
        let own = FolderConfig {
            read_only: Some(true),
            ..rooted(Some("/own"))
        };
        let settings = rooted(Some("/link")).settings(&own).unwrap();
        assert_eq!(settings.root, PathBuf::from("/link"));
        assert!(settings.read_only);
        assert_eq!(
            rooted(None).settings(&own).unwrap().root,
            PathBuf::from("/own")
        );
    }
}
