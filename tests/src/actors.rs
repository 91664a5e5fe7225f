//! The actors that `cargo xtask guests` builds, signed by a test's own account.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use time::OffsetDateTime;
use trellis_lattice::claims::{
    AccountKey, ComponentDetails, ComponentKey, Validity, sign_component,
};

/// The project's folder.
pub fn project() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// The bytes of a built actor without claims, by its file's name without `.wasm`, for example `http_hello`.
///
/// # Errors
/// It is not built.
pub fn built(name: &str) -> Result<Vec<u8>> {
    let path = project().join(format!("target/actors/{name}.wasm"));
    let bytes = fs::read(&path).with_context(|| {
        format!(
            "{} is not there: run `cargo xtask guests` first",
            path.display()
        )
    })?;
    without_claims(&bytes).with_context(|| path.display().to_string())
}

/// The `trellis` program: `TRELLIS_BIN`, else that of the same build, else, for who tests a provider outside this project,
/// the one on PATH.
///
/// # Errors
/// There is none.
pub fn trellis() -> Result<PathBuf> {
    if let Some(told) = std::env::var_os("TRELLIS_BIN").map(PathBuf::from) {
        anyhow::ensure!(
            told.is_file(),
            "TRELLIS_BIN says {}, where nothing is",
            told.display()
        );
        return Ok(told);
    }
    let built = project().join("target/release/trellis");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("trellis"));
    let mut places = std::iter::once(built.clone()).chain(on_path);
    places.find(|place| place.is_file()).with_context(|| {
        format!(
            "neither {} is there nor a `trellis` on PATH: run `cargo build --release --bin trellis` first, or `cargo xtask \
             test`, or say with TRELLIS_BIN where it is",
            built.display()
        )
    })
}

/// A built actor, signed by `issuer` with grants for what it imports, written to `directory`; its reference.
///
/// # Errors
/// It is not built, or can't be written.
pub fn signed(name: &str, issuer: &AccountKey, directory: &Path) -> Result<String> {
    let path = directory.join(format!("{name}.wasm"));
    if !path.exists() {
        write_signed(&path, name, &built(name)?, issuer)?;
    }
    Ok(reference(&path))
}

/// Anybody's component, signed as [`signed`] does and written to `directory` under a name of its own; its reference.
///
/// # Errors
/// There is no such file, it is no component, or it can't be written.
pub fn signed_file(
    file: &Path,
    name: &str,
    issuer: &AccountKey,
    directory: &Path,
) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("component {}", file.display()))?;
    let bytes = without_claims(&bytes).with_context(|| file.display().to_string())?;
    let path = directory.join(format!("{name}.wasm"));
    write_signed(&path, name, &bytes, issuer)?;
    Ok(reference(&path))
}

/// Another version of a built actor: one that says `says` where it said `said`, under a file name of its own.
///
/// # Errors
/// It is not built, doesn't say `said`, or `says` has another length: texts lie one after the other in a component.
pub fn signed_saying(
    name: &str,
    file: &str,
    (said, says): (&str, &str),
    issuer: &AccountKey,
    directory: &Path,
) -> Result<String> {
    anyhow::ensure!(said.len() == says.len(), "{said:?} and {says:?}");
    let mut bytes = built(name)?;
    let at = bytes
        .windows(said.len())
        .position(|window| window == said.as_bytes())
        .with_context(|| format!("{name} says no {said:?}"))?;
    bytes[at..at + says.len()].copy_from_slice(says.as_bytes());
    let path = directory.join(format!("{file}.wasm"));
    write_signed(&path, name, &bytes, issuer)?;
    Ok(reference(&path))
}

fn write_signed(path: &Path, name: &str, bytes: &[u8], issuer: &AccountKey) -> Result<()> {
    let details = ComponentDetails {
        name: Some(name.to_owned()),
        ..ComponentDetails::default()
    };
    let key = ComponentKey::generate().public();
    let validity = Validity::unlimited(OffsetDateTime::now_utc());
    let signed = sign_component(bytes, issuer, &key, &details, &validity)?;
    Ok(fs::write(path, signed)?)
}

fn reference(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// A component without the custom section that `trellis sign` writes: as `cargo xtask up` may have left it, it is
/// signed by somebody's development key.
fn without_claims(signed: &[u8]) -> Result<Vec<u8>> {
    let (header, mut rest) = signed.split_at_checked(8).context("no header")?;
    let mut bytes = header.to_vec();
    while let Some((&id, after_id)) = rest.split_first() {
        let digits = after_id
            .iter()
            .position(|byte| byte & 0x80 == 0)
            .context("no length")?
            + 1;
        let length = after_id[..digits]
            .iter()
            .rev()
            .fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
        let (section, next) = rest
            .split_at_checked(1 + digits + length)
            .context("cut off")?;
        let content = &section[1 + digits..];
        if id != 0 || !content.starts_with(b"\x0dwasmcloud_jwt") {
            bytes.extend_from_slice(section);
        }
        rest = next;
    }
    anyhow::ensure!(
        bytes.len() < signed.len() || !signed.windows(13).any(|w| w == b"wasmcloud_jwt")
    );
    Ok(bytes)
}
