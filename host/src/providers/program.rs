//! From a provider's reference to a program that can be started: what is signed is verified, archives are unpacked.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use time::OffsetDateTime;
use trellis_lattice::claims::{
    ClaimsError, IssuerPolicy, ProviderToken, VerifiedProvider, archive::MAX_ARCHIVE_BYTES,
    this_target, verify_archive,
};
use trellis_registry::{Image, Images, Kind};

use super::{
    process::Program,
    unpacked::{Unpacked, Unpacking},
};
use crate::{
    HostConfig,
    image::{ImageError, ImageRef},
};

/// How a plain executable begins: an ELF binary or a script.
const EXECUTABLES: [&[u8]; 2] = [b"\x7fELF", b"#!"];

/// A provider that can't be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("there is no built-in provider {name:?}; there are: {}", known.join(", "))]
    UnknownBuiltin { name: String, known: Vec<String> },
    #[error("provider {}: {source}", path.display())]
    Claims { path: PathBuf, source: ClaimsError },
    #[error("provider {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("unpacking the provider to {}: {source}", path.display())]
    Unpack { path: PathBuf, source: io::Error },
    #[error("the host is stopping")]
    Stopping,
}

/// A program and who signed it.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) program: Program,
    pub(crate) claims: Option<ProviderToken>,
    /// The name it is known by where it is not signed.
    pub(crate) name: Option<String>,
    /// What has to stay for the program to be started again.
    pub(crate) kept: Kept,
}

/// What a program comes from, for as long as it may be started.
#[expect(dead_code, reason = "held for what happens when it is dropped")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// The file, where it was in an archive.
    unpacked: Option<Arc<Unpacked>>,
    /// The archive, where that was pulled: in the cache for the next start.
    image: Option<Image>,
}

/// Makes a provider's reference a program. Reads and verifies off the reactor.
pub(crate) async fn prepare(
    config: &Arc<HostConfig>,
    policy: &Arc<IssuerPolicy>,
    images: &Images,
    unpacking: &Arc<Unpacking>,
    reference: &str,
) -> Result<Prepared, ProgramError> {
    match ImageRef::parse(reference)? {
        ImageRef::Builtin(name) => builtin(config, name),
        ImageRef::File(path) => {
            let (policy, unpacking) = (policy.clone(), unpacking.clone());
            tokio::task::spawn_blocking(move || file(&unpacking, &policy, &path))
                .await
                .map_err(|_| ProgramError::Stopping)?
        }
        ImageRef::Registry(reference) => {
            let image = images
                .get(&reference, Kind::Provider, MAX_ARCHIVE_BYTES)
                .await
                .map_err(ImageError::from)?;
            let (policy, unpacking) = (policy.clone(), unpacking.clone());
            tokio::task::spawn_blocking(move || {
                let mut prepared = archive(&unpacking, &policy, &reference, image.path())?;
                prepared.kept.image = Some(image);
                Ok(prepared)
            })
            .await
            .map_err(|_| ProgramError::Stopping)?
        }
    }
}

fn builtin(config: &HostConfig, name: String) -> Result<Prepared, ProgramError> {
    if !config.builtin_providers.contains(&name) {
        return Err(ProgramError::UnknownBuiltin {
            name,
            known: config.builtin_providers.clone(),
        });
    }
    let program = Program {
        path: config.builtin_executable.clone(),
        arguments: vec!["provider".into(), name.clone().into()],
    };
    Ok(Prepared {
        program,
        claims: None,
        name: Some(name),
        kept: Kept::default(),
    })
}

fn file(
    unpacking: &Arc<Unpacking>,
    policy: &IssuerPolicy,
    path: &Path,
) -> Result<Prepared, ProgramError> {
    let read = |source| ProgramError::Read {
        path: path.to_owned(),
        source,
    };
    let claims = |source| ProgramError::Claims {
        path: path.to_owned(),
        source,
    };
    // Looked at before it is opened: opening a pipe waits for whoever writes to it.
    if !fs::metadata(path).map_err(read)?.is_file() {
        return Err(ImageError::NotAFile(path.to_owned()).into());
    }
    let mut file = fs::File::open(path).map_err(read)?;
    let mut begin = Vec::new();
    io::Read::by_ref(&mut file)
        .take(4)
        .read_to_end(&mut begin)
        .map_err(read)?;
    if EXECUTABLES.iter().any(|magic| begin.starts_with(magic)) {
        // It has no place for claims, so it counts as unsigned.
        if !policy.allow_unsigned {
            return Err(claims(ClaimsError::Unsigned {
                what: "the executable",
            }));
        }
        let program = Program {
            path: path.to_owned(),
            arguments: Vec::new(),
        };
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        return Ok(Prepared {
            program,
            claims: None,
            name,
            kept: Kept::default(),
        });
    }
    let archive = io::Cursor::new(begin).chain(io::BufReader::new(file));
    let verified = verify_archive(archive, &this_target(), policy, OffsetDateTime::now_utc())
        .map_err(claims)?;
    unpacked(unpacking, verified)
}

/// An archive of a registry. It is told by its reference: its file's name says nothing.
fn archive(
    unpacking: &Arc<Unpacking>,
    policy: &IssuerPolicy,
    reference: &str,
    path: &Path,
) -> Result<Prepared, ProgramError> {
    let file = fs::File::open(path).map_err(|source| ProgramError::Read {
        path: path.to_owned(),
        source,
    })?;
    let archive = io::BufReader::new(file);
    let verified = verify_archive(archive, &this_target(), policy, OffsetDateTime::now_utc());
    let verified = verified.map_err(|source| ProgramError::Claims {
        path: reference.into(),
        source,
    })?;
    unpacked(unpacking, verified)
}

fn unpacked(
    unpacking: &Arc<Unpacking>,
    verified: VerifiedProvider,
) -> Result<Prepared, ProgramError> {
    let unpacked = unpacking.write(&verified.executable);
    let unpacked = unpacked.map_err(|source| ProgramError::Unpack {
        path: unpacking.path().to_owned(),
        source,
    })?;
    let name = verified
        .claims
        .as_ref()
        .and_then(|token| token.claims.wascap.name.clone());
    let program = Program {
        path: unpacked.path().to_owned(),
        arguments: Vec::new(),
    };
    Ok(Prepared {
        program,
        claims: verified.claims,
        name,
        kept: Kept {
            unpacked: Some(unpacked),
            image: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(folder: &Path) -> Images {
        let cache = trellis_registry::Cache::open(folder, 1000).unwrap();
        Images::new(trellis_registry::Settings::default(), false, cache)
    }

    async fn prepared(
        folder: &Path,
        reference: &str,
        policy: IssuerPolicy,
    ) -> Result<Prepared, ProgramError> {
        let (config, images) = (Arc::new(HostConfig::default()), images(folder));
        let unpacking = Unpacking::within(&folder.join("data")).unwrap();
        prepare(&config, &Arc::new(policy), &images, &unpacking, reference).await
    }

    async fn error(reference: &str, policy: IssuerPolicy) -> String {
        let folder = tempfile::tempdir().unwrap();
        prepared(folder.path(), reference, policy)
            .await
            .unwrap_err()
            .to_string()
    }

    #[tokio::test]
    async fn an_unknown_builtin_names_the_known_ones() {
        let error = error("builtin:htpp-server", IssuerPolicy::default()).await;
        assert!(
            error.contains("\"htpp-server\"") && error.contains("http-server, keyvalue-nats"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_plain_executable_needs_leave() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let reference = format!("file://{}", path.display());
        assert!(
            error(&reference, IssuerPolicy::default())
                .await
                .contains("not signed")
        );
        let policy = IssuerPolicy {
            allow_unsigned: true,
            ..IssuerPolicy::default()
        };
        let prepared = prepared(folder.path(), &reference, policy).await.unwrap();
        assert_eq!(prepared.program.path, path);
    }

    #[tokio::test]
    async fn what_is_no_provider_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.par.gz");
        fs::write(&path, "hello").unwrap();
        let reference = format!("file://{}", path.display());
        assert!(
            error(&reference, IssuerPolicy::default())
                .await
                .contains("not a provider archive")
        );
        let missing = error("file:///no/such/provider", IssuerPolicy::default()).await;
        assert!(
            missing.contains("/no/such/provider: No such file"),
            "{missing}"
        );
    }
}
