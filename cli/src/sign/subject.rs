//! Whom claims are about: a public key that stays the same from build to build.

use std::path::Path;

use trellis_lattice::claims::{
    ComponentToken, KeyError, ProviderToken, PublicKey, SigningKey,
    binary::Binary,
    keys::{Component, Provider, Role},
};

use crate::exit::Usage;

/// What is known of a provider before it is signed.
pub struct KnownProvider {
    /// Whom its claims are about.
    pub subject: PublicKey<Provider>,
    /// Who makes it; empty when nobody said so.
    pub vendor: String,
}

/// A component's: as asked, else that of its claims, else of a key kept under its name.
///
/// # Errors
/// The key asked for is none, or the kept one can't be read or made.
pub fn of_component(
    bytes: &[u8],
    asked: Option<&str>,
    keys: &Path,
    name: &str,
) -> anyhow::Result<PublicKey<Component>> {
    if let Some(asked) = asked {
        return Ok(PublicKey::new(asked).map_err(|error| Usage(format!("--subject: {error}")))?);
    }
    let binary = Binary::read(bytes)?;
    if let Ok(Some(token)) = binary.token()
        && let Ok(token) = ComponentToken::verify(token)
    {
        return Ok(token.claims.sub);
    }
    kept(keys, name, "component")
}

/// A provider's, in the same way.
///
/// # Errors
/// As a component's.
pub fn of_archive(
    token: Option<&str>,
    asked: Option<&str>,
    keys: &Path,
    name: &str,
) -> anyhow::Result<KnownProvider> {
    let known = token
        .and_then(|token| ProviderToken::verify(token).ok())
        .map(|token| token.claims);
    let vendor = known
        .as_ref()
        .map(|claims| claims.wascap.vendor.clone())
        .unwrap_or_default();
    let subject = match (asked, known) {
        (Some(asked), _) => {
            PublicKey::new(asked).map_err(|error| Usage(format!("--subject: {error}")))?
        }
        (None, Some(claims)) => claims.sub,
        (None, None) => kept(keys, name, "provider")?,
    };
    Ok(KnownProvider { subject, vendor })
}

fn kept<R: Role>(keys: &Path, name: &str, kind: &str) -> anyhow::Result<PublicKey<R>> {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '-'
        }
    };
    let file = keys.join(format!(
        "{}.{kind}.nk",
        name.chars().map(plain).collect::<String>()
    ));
    if file.exists() {
        return Ok(SigningKey::<R>::read_file(&file)?.public());
    }
    std::fs::create_dir_all(keys)?;
    let key = SigningKey::<R>::generate();
    match key.write_file(&file) {
        Ok(()) => Ok(key.public()),
        // Another process was faster.
        Err(KeyError::FileExists { .. }) => Ok(SigningKey::<R>::read_file(&file)?.public()),
        Err(error) => Err(error.into()),
    }
}
