//! From a provider's reference to a program that can be started: what is signed is verified, archives are unpacked.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use time::OffsetDateTime;
use trellis_lattice::claims::{
    ClaimsError, IssuerPolicy, ProviderToken, VerifiedProvider, archive::MAX_ARCHIVE_BYTES,
    this_target, verify_archive,
};
use trellis_registry::{Image, Images, Kind};

use super::process::Program;
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
    /// What it was unpacked from, where that was pulled: kept for the next start.
    pub(crate) image: Option<Image>,
}

/// Makes a provider's reference a program. Reads and verifies off the reactor.
pub(crate) async fn prepare(
    config: &Arc<HostConfig>,
    policy: &Arc<IssuerPolicy>,
    images: &Images,
    reference: &str,
) -> Result<Prepared, ProgramError> {
    match ImageRef::parse(reference)? {
        ImageRef::Builtin(name) => builtin(config, name),
        ImageRef::File(path) => {
            let (config, policy) = (config.clone(), policy.clone());
            tokio::task::spawn_blocking(move || file(&config.data_dir, &policy, &path))
                .await
                .map_err(|_| ProgramError::Stopping)?
        }
        ImageRef::Registry(reference) => {
            let image = images
                .get(&reference, Kind::Provider, MAX_ARCHIVE_BYTES)
                .await
                .map_err(ImageError::from)?;
            let (config, policy, pulled) = (config.clone(), policy.clone(), image.clone());
            tokio::task::spawn_blocking(move || {
                let mut prepared = archive(&config.data_dir, &policy, &reference, pulled.path())?;
                prepared.image = Some(pulled);
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
        image: None,
    })
}

fn file(data_dir: &Path, policy: &IssuerPolicy, path: &Path) -> Result<Prepared, ProgramError> {
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
            image: None,
        });
    }
    let archive = io::Cursor::new(begin).chain(io::BufReader::new(file));
    let verified = verify_archive(archive, &this_target(), policy, OffsetDateTime::now_utc())
        .map_err(claims)?;
    unpacked(data_dir, verified)
}

/// An archive of a registry. It is told by its reference: its file's name says nothing.
fn archive(
    data_dir: &Path,
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
    unpacked(data_dir, verified)
}

fn unpacked(data_dir: &Path, verified: VerifiedProvider) -> Result<Prepared, ProgramError> {
    let path = unpack(data_dir, &verified)?;
    let name = verified
        .claims
        .as_ref()
        .and_then(|token| token.claims.wascap.name.clone());
    let program = Program {
        path,
        arguments: Vec::new(),
    };
    Ok(Prepared {
        program,
        claims: verified.claims,
        name,
        image: None,
    })
}

/// Writes the binary where only this user can read or run it. It is written each time, under its hash, and moved
/// into place whole: what lies there from before could have been changed since it was verified.
fn unpack(data_dir: &Path, provider: &VerifiedProvider) -> Result<PathBuf, ProgramError> {
    let folder = data_dir.join("providers");
    let unpack = |source| ProgramError::Unpack {
        path: folder.clone(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(unpack)?;
    // Absolute: the provider may be started from elsewhere.
    let folder_path = folder.canonicalize().map_err(unpack)?;
    let target = folder_path.join(&provider.sha256);
    let partial = folder_path.join(format!(
        "{}.{}",
        provider.sha256,
        uuid::Uuid::new_v4().simple()
    ));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(&partial)
        .and_then(|mut file| file.write_all(&provider.executable))
        .and_then(|()| fs::rename(&partial, &target));
    if let Err(source) = written {
        // What is left of it is of no use; that it can't be removed changes nothing.
        let _ = fs::remove_file(&partial);
        return Err(unpack(source));
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path) -> Arc<HostConfig> {
        Arc::new(HostConfig {
            data_dir: folder.join("data"),
            ..HostConfig::default()
        })
    }

    fn images(folder: &Path) -> Images {
        let cache = trellis_registry::Cache::open(folder, 1000).unwrap();
        Images::new(trellis_registry::Settings::default(), false, cache)
    }

    async fn error(reference: &str, policy: IssuerPolicy) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (config, images) = (config(folder.path()), images(folder.path()));
        prepare(&config, &Arc::new(policy), &images, reference)
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
        let (config, images) = (config(folder.path()), images(folder.path()));
        let prepared = prepare(&config, &Arc::new(policy), &images, &reference)
            .await
            .unwrap();
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
