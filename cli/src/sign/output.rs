//! Where a signed file goes, and that it is there whole or not at all.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Between the name and the extension of a signed copy.
const MARK: &str = "signed";

/// The extension, which for archives is two words.
fn split(file: &Path) -> (String, String) {
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for extension in [".par.gz", ".tar.gz"] {
        if let Some(stem) = name.strip_suffix(extension) {
            return (stem.to_owned(), extension.to_owned());
        }
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem.to_owned(), format!(".{extension}")),
        _ => (name, String::new()),
    }
}

/// The file's name without folder, extension and mark.
pub fn base_name(file: &Path) -> String {
    let (stem, _) = split(file);
    stem.strip_suffix(&format!(".{MARK}"))
        .map(str::to_owned)
        .unwrap_or(stem)
}

/// Where the signed file goes.
pub fn destination(file: &Path, in_place: bool, out: Option<&Path>) -> PathBuf {
    match out {
        Some(out) => out.to_owned(),
        None if in_place => file.to_owned(),
        None => {
            let (_, extension) = split(file);
            file.with_file_name(format!("{}.{MARK}{extension}", base_name(file)))
        }
    }
}

/// Writes the destination whole, with the permissions of the original. Says whether it changed.
///
/// # Errors
/// It can't be written; what was there stays.
pub fn write(original: &Path, destination: &Path, bytes: &[u8]) -> anyhow::Result<bool> {
    if fs::read(destination).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    replace(original, destination, bytes)
        .with_context(|| format!("writing {}", destination.display()))?;
    Ok(true)
}

fn replace(original: &Path, destination: &Path, bytes: &[u8]) -> io::Result<()> {
    // Through a link, the file it means is replaced and not the link.
    let destination = destination
        .canonicalize()
        .unwrap_or_else(|_| destination.to_owned());
    let folder = destination
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file()
        .set_permissions(fs::metadata(original)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&destination)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_copy_lies_beside_the_file() {
        for (file, name, signed) in [
            ("a/b.wasm", "b", "a/b.signed.wasm"),
            ("b.signed.wasm", "b", "b.signed.wasm"),
            ("p.par.gz", "p", "p.signed.par.gz"),
            ("x", "x", "x.signed"),
        ] {
            let file = Path::new(file);
            assert_eq!(
                (base_name(file).as_str(), destination(file, false, None)),
                (name, PathBuf::from(signed))
            );
            assert_eq!(destination(file, true, None), file);
        }
    }
}
