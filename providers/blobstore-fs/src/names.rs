//! Where containers and objects are: a container is a folder in the root, an object `a/b` the file `b` in its folder `a`. A
//! name that could mean anything else is refused; that no path leads out of the root, by links neither, is the file
//! system's capability (`cap-std`), not these rules'.

use std::path::{Path, PathBuf};

/// The longest name of a container or of one part of an object's name, as file systems have it.
const MAX_PART_BYTES: usize = 255;
/// The longest name of an object.
const MAX_NAME_BYTES: usize = 1024;
/// How files and folders begin that are no containers and objects: those that are being written.
pub const OWN: &str = ".trellis-";

/// The folder of a container, in the root.
///
/// # Errors
/// Why the name can't be one, in words.
pub fn container(name: &str) -> Result<&Path, String> {
    match problem(name) {
        None if name.contains('/') => Err(format!("container {name:?}: a name has no slash")),
        None => Ok(Path::new(name)),
        Some(problem) => Err(format!("container {name:?}: {problem}")),
    }
}

/// The file of an object, in its container's folder.
///
/// # Errors
/// Why the name can't be one, in words.
pub fn object(name: &str) -> Result<PathBuf, String> {
    if name.len() > MAX_NAME_BYTES {
        let shown: String = name.chars().take(40).collect();
        return Err(format!(
            "object {shown:?}…: a name has at most {MAX_NAME_BYTES} bytes"
        ));
    }
    for part in name.split('/') {
        if let Some(problem) = problem(part) {
            return Err(format!("object {name:?}: {problem}"));
        }
    }
    Ok(PathBuf::from(name))
}

fn problem(part: &str) -> Option<&'static str> {
    match part {
        "" => Some("a name, and what is between two slashes of it, has at least one character"),
        "." | ".." => Some("`.` and `..` are no names"),
        _ if part.contains('\0') => Some("a name has no NUL"),
        _ if part.len() > MAX_PART_BYTES => {
            Some("a name has at most 255 bytes, and so has each part of it between slashes")
        }
        _ if part.starts_with(OWN) => Some("names that begin with `.trellis-` are the provider's"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_paths() {
        assert_eq!(container("photos").unwrap(), Path::new("photos"));
        assert_eq!(
            object("2026/11/a b.jpg").unwrap(),
            Path::new("2026/11/a b.jpg")
        );
        assert_eq!(object("ü.txt").unwrap(), Path::new("ü.txt"));
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for name in ["", ".", "..", "a/b", "/etc", "a\0b", ".trellis-1"] {
            assert!(container(name).is_err(), "{name:?}");
        }
        for name in [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "../x",
            "a/../b",
            "./a",
            "a\0",
            "a/.trellis-x",
        ] {
            assert!(object(name).is_err(), "{name:?}");
        }
        assert!(object(&"a".repeat(256)).is_err());
        assert!(object(&"a/".repeat(600)).is_err());
        assert!(object(&format!("{}/b", "a".repeat(255))).is_ok());
    }
}
