//! Where containers and objects are, and where they never are: an actor's names lead nowhere but into its link's buckets and
//! folders. A container is a bucket, or, where the link names a bucket, a folder in it.

use std::collections::{BTreeMap, BTreeSet};

/// The longest name of an object with its folders, in bytes, as S3 has it.
const MAX_KEY_BYTES: usize = 1024;
/// The longest name of a container that is a folder.
const MAX_CONTAINER_BYTES: usize = 255;
/// The object that says that a folder is a container, also when nothing else is in it.
const MARKER: &str = ".trellis-container";

/// Where a link's containers are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Places {
    /// Each is a bucket.
    Buckets {
        /// Which there are, and the bucket of each; all that the keys open, where it doesn't say.
        allowed: Option<BTreeMap<String, String>>,
    },
    /// Each is a folder.
    Folders {
        /// In this bucket.
        bucket: String,
        /// In this folder of it: empty, or with a slash at its end.
        prefix: String,
        /// Which there are; all, where it doesn't say.
        allowed: Option<BTreeSet<String>>,
    },
}

/// A container that the link has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name, as the component has it.
    pub name: String,
    /// The bucket that it is, or is in.
    pub bucket: String,
    /// How the keys of its objects begin: nothing where it is a bucket, else its folder with a slash at its end.
    pub prefix: String,
    /// Whether it is the bucket itself.
    pub is_bucket: bool,
}

impl Places {
    /// A container by its name.
    ///
    /// # Errors
    /// The link has none of that name, and never will, in words.
    pub fn container(&self, name: &str) -> Result<Container, String> {
        check_container(name).map_err(|why| format!("container {name:?}: {why}"))?;
        let not_allowed =
            || format!("container {name:?} is none of those that the link's `containers` names");
        match self {
            Self::Buckets { allowed } => {
                let bucket = match allowed {
                    Some(allowed) => allowed.get(name).ok_or_else(not_allowed)?,
                    None => name,
                };
                check_bucket(bucket).map_err(|why| format!("container {name:?}: {why}"))?;
                Ok(Container {
                    name: name.to_owned(),
                    bucket: bucket.to_owned(),
                    prefix: String::new(),
                    is_bucket: true,
                })
            }
            Self::Folders {
                bucket,
                prefix,
                allowed,
            } => {
                if allowed
                    .as_ref()
                    .is_some_and(|allowed| !allowed.contains(name))
                {
                    return Err(not_allowed());
                }
                Ok(Container {
                    name: name.to_owned(),
                    bucket: bucket.clone(),
                    prefix: format!("{prefix}{name}/"),
                    is_bucket: false,
                })
            }
        }
    }
}

impl Container {
    /// The key of an object.
    ///
    /// # Errors
    /// Why the name can't be one, in words.
    pub fn key(&self, object: &str) -> Result<String, String> {
        let key = format!("{}{object}", self.prefix);
        if key.len() > MAX_KEY_BYTES {
            let shown: String = object.chars().take(40).collect();
            return Err(format!(
                "object {shown:?}…: a name, with the folders it is in, has at most {MAX_KEY_BYTES} bytes"
            ));
        }
        let problem = match object {
            "" => Some("a name has at least one character"),
            _ if !self.is_bucket && object == MARKER => Some("this name is the provider's"),
            _ if object.contains('\0') => Some("a name has no NUL"),
            _ if has_dots(object) => {
                Some("`.` and `..` are no names, and not between two slashes either")
            }
            _ => None,
        };
        match problem {
            Some(problem) => Err(format!("object {object:?}: {problem}")),
            None => Ok(key),
        }
    }

    /// The key of what says that a folder is a container.
    pub fn marker(&self) -> String {
        format!("{}{MARKER}", self.prefix)
    }

    /// The name of the object with that key; none for what says that it is a container, and for keys that are none of its.
    pub fn object(&self, key: &str) -> Option<String> {
        let object = key.strip_prefix(&self.prefix)?;
        let own = object.is_empty() || (!self.is_bucket && object == MARKER);
        (!own).then(|| object.to_owned())
    }
}

/// Parts that a URL would resolve, out of the container and the bucket.
fn has_dots(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "." | ".."))
}

/// Whether it can be a container's name at all.
///
/// # Errors
/// Why not.
pub fn check_container(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("a name has at least one character"),
        "." | ".." => Err("`.` and `..` are no names"),
        _ if name.contains(['/', '\0']) => Err("a name has no slash and no NUL"),
        _ if name.len() > MAX_CONTAINER_BYTES => Err("a name has at most 255 bytes"),
        _ => Ok(()),
    }
}

/// Whether it can be a bucket's name: what S3 takes, and the capitals and underscores that it once took.
///
/// # Errors
/// Why not.
pub fn check_bucket(name: &str) -> Result<(), &'static str> {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    match bytes.len() {
        3..=63
            if ends(bytes.first())
                && ends(bytes.last())
                && bytes.iter().all(fits)
                && !name.contains("..") =>
        {
            Ok(())
        }
        _ => Err(
            "a bucket's name has 3 to 63 letters, digits, hyphens and single dots, and begins and ends with a letter or digit",
        ),
    }
}

/// A folder of a bucket, with a slash at its end unless it is the bucket itself.
///
/// # Errors
/// Why it can't be one, in words.
pub fn folder(path: &str) -> Result<String, String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(String::new());
    }
    if path.split('/').any(str::is_empty) || has_dots(path) || path.contains('\0') {
        return Err(
            "not a folder: write it like backups or teams/blue, without `.`, `..` and empty parts"
                .to_owned(),
        );
    }
    if path.len() > MAX_KEY_BYTES / 2 {
        return Err(format!("has more than {} bytes", MAX_KEY_BYTES / 2));
    }
    Ok(format!("{path}/"))
}

/// Whether it can be a part of a host's name.
pub fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders() -> Places {
        Places::Folders {
            bucket: "acme".into(),
            prefix: "teams/blue/".into(),
            allowed: None,
        }
    }

    #[test]
    fn a_folder_s_objects_are_below_it() {
        let container = folders().container("to").unwrap();
        assert_eq!(container.bucket, "acme");
        assert_eq!(
            container.key("a b/ü+%.txt").unwrap(),
            "teams/blue/to/a b/ü+%.txt"
        );
        assert_eq!(container.object("teams/blue/to/x").as_deref(), Some("x"));
        for not_its in [
            "teams/blue/other/x",
            "teams/blue/to/",
            "x",
            "teams/blue/to/.trellis-container",
        ] {
            assert_eq!(container.object(not_its), None, "{not_its}");
        }
    }

    #[test]
    fn no_name_leads_out() {
        for name in ["", ".", "..", "a/b", "/", "../x", "a\0", &"a".repeat(256)] {
            folders().container(name).unwrap_err();
            Places::Buckets { allowed: None }
                .container(name)
                .unwrap_err();
        }
        let container = folders().container("to").unwrap();
        let bucket = Places::Buckets { allowed: None }
            .container("photos")
            .unwrap();
        for object in [
            "",
            ".",
            "..",
            "../x",
            "a/../../x",
            "a/./b",
            "a/..",
            "\0",
            &"a".repeat(1025),
        ] {
            container.key(object).unwrap_err();
            bucket.key(object).unwrap_err();
        }
        container.key(".trellis-container").unwrap_err();
        bucket.key(".trellis-container").unwrap();
        for harmless in ["..a", "a..", "...", "/a", "a//b", "a/"] {
            container.key(harmless).unwrap();
        }
    }

    #[test]
    fn a_bucket_has_a_bucket_s_name() {
        let all = Places::Buckets { allowed: None };
        all.container("my-photos.2026").unwrap();
        for wrong in ["to", "-photos", "photos-", "a..b", "phötos", "a b c"] {
            let why = all.container(wrong).unwrap_err();
            assert!(why.contains(wrong), "{why}");
        }
    }

    #[test]
    fn what_is_not_named_is_not_there() {
        let some = Places::Buckets {
            allowed: Some([("to".to_owned(), "acme-to".to_owned())].into()),
        };
        assert_eq!(some.container("to").unwrap().bucket, "acme-to");
        let why = some.container("acme-to").unwrap_err();
        assert!(why.contains("containers"), "{why}");
        let folders = Places::Folders {
            bucket: "acme".into(),
            prefix: String::new(),
            allowed: Some(["to".to_owned()].into()),
        };
        folders.container("to").unwrap();
        folders.container("from").unwrap_err();
    }

    #[test]
    fn a_prefix_is_a_folder() {
        assert_eq!(folder("").unwrap(), "");
        assert_eq!(folder("a/b").unwrap(), "a/b/");
        assert_eq!(folder("a/").unwrap(), "a/");
        for wrong in ["/a", "a//b", "..", "a/../b"] {
            folder(wrong).unwrap_err();
        }
    }
}
