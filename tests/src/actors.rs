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

/// The bytes of a built actor, by its file's name without `.wasm`, for example `http_hello`.
///
/// # Errors
/// It is not built.
pub fn built(name: &str) -> Result<Vec<u8>> {
    let path = project().join(format!("target/actors/{name}.wasm"));
    fs::read(&path).with_context(|| {
        format!(
            "{} is not there: run `cargo xtask guests` first",
            path.display()
        )
    })
}

/// The `trellis` program of the same build.
///
/// # Errors
/// It is not built.
pub fn trellis() -> Result<PathBuf> {
    let path = match std::env::var_os("TRELLIS_BIN") {
        Some(path) => path.into(),
        None => project().join("target/release/trellis"),
    };
    anyhow::ensure!(
        path.is_file(),
        "{} is not there: run `cargo build --release --bin trellis` first, or `cargo xtask test`",
        path.display()
    );
    Ok(path)
}

/// A built actor, signed by `issuer` with grants for what it imports, written to `directory`; its reference.
///
/// # Errors
/// It is not built, or can't be written.
pub fn signed(name: &str, issuer: &AccountKey, directory: &Path) -> Result<String> {
    let path = directory.join(format!("{name}.wasm"));
    if !path.exists() {
        let details = ComponentDetails {
            name: Some(name.to_owned()),
            ..ComponentDetails::default()
        };
        let key = ComponentKey::generate().public();
        let bytes = sign_component(
            &built(name)?,
            issuer,
            &key,
            &details,
            &Validity::unlimited(OffsetDateTime::now_utc()),
        )?;
        fs::write(&path, bytes)?;
    }
    Ok(format!("file://{}", path.display()))
}
