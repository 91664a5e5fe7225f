//! `trellis provider pack`: a provider's binaries, one for each kind of machine, in one signed archive of 1.x's format.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;
use trellis_lattice::claims::{
    ProviderArchive, ProviderDetails, Validity,
    archive::{Keep, MAX_PROVIDER_BYTES},
    sign_archive,
};

use crate::{
    exit::Usage,
    session::Options,
    sign::{issuer, subject},
};

/// What to pack, and what to say of it.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  trellis provider pack --name rates --vendor acme --version 1.0.0 \\\n    \
    --binary x86_64-linux=target/release/rates --binary aarch64-linux=cross/rates --out rates.par.gz"
)]
pub struct Pack {
    /// A binary and the kind of machine it is for, such as x86_64-linux=target/release/rates; repeatable.
    #[arg(long = "binary", required = true, value_name = "ARCH-OS=FILE", value_parser = binary)]
    binaries: Vec<(String, PathBuf)>,
    /// The provider's name in the claims.
    #[arg(long)]
    name: String,
    /// Who makes it, in the claims.
    #[arg(long, default_value = "")]
    vendor: String,
    /// The version in the claims.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// The revision in the claims, a number that grows with each release.
    #[arg(long, value_name = "NUMBER")]
    revision: Option<i32>,
    /// The claims expire after this time [default: never].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires_in: Option<std::time::Duration>,
    /// The issuer's seed file [default: keys/account.nk in the state's folder, made if it isn't there].
    #[arg(long, env = "TRELLIS_ISSUER_KEY", value_name = "FILE")]
    issuer_key: Option<PathBuf>,
    /// The public key the claims are about (V…) [default: of a key kept beside the issuer's].
    #[arg(long, value_name = "KEY")]
    subject: Option<String>,
    /// The archive; one that is there is replaced [default: NAME.par.gz].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Don't compress it.
    #[arg(long)]
    plain: bool,
}

/// The archive.
#[derive(Serialize)]
struct Packed {
    file: PathBuf,
    name: String,
    subject: String,
    issuer: String,
    size_bytes: u64,
    /// SHA-256 of each binary, by kind of machine.
    binaries: BTreeMap<String, String>,
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machines = self.binaries.keys().cloned().collect::<Vec<_>>().join(", ");
        writeln!(
            f,
            "packed {} for {machines}: {}, {} bytes",
            self.name,
            self.file.display(),
            self.size_bytes
        )?;
        writeln!(f, "signed by {} as {}", self.issuer, self.subject)
    }
}

impl Pack {
    /// Packs and signs.
    ///
    /// # Errors
    /// A binary can't be read or is none, a key can't be used, or the archive can't be written.
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        let mut binaries = BTreeMap::new();
        for (machine, file) in &self.binaries {
            let content = read_binary(machine, file)?;
            if binaries.insert(machine.clone(), content).is_some() {
                return Err(Usage(format!("--binary: {machine} is given twice")).into());
            }
        }
        let issuer = issuer::find(self.issuer_key.as_deref(), &options.state())?;
        let known = subject::of_archive(None, self.subject.as_deref(), &issuer.keys, &self.name)?;
        let details = ProviderDetails {
            name: Some(self.name.clone()),
            vendor: self.vendor.clone(),
            version: self.version.clone(),
            revision: self.revision,
        };
        let now = OffsetDateTime::now_utc();
        let validity = match self.expires_in {
            Some(duration) => Validity::lasting(now, duration),
            None => Validity::unlimited(now),
        };
        let archive = sign_archive(
            &binaries,
            &issuer.key,
            &known.subject,
            &details,
            &validity,
            !self.plain,
        )?;
        // Read as a host reads it: what is written can be used.
        let read = ProviderArchive::read(archive.as_slice(), Keep::None)?;
        let file = self
            .out
            .unwrap_or_else(|| format!("{}.par.gz", self.name).into());
        write(&file, &archive).with_context(|| format!("writing {}", file.display()))?;
        let hashes = read.binaries.into_iter();
        Ok(options.output.print(&Packed {
            file,
            name: self.name,
            subject: known.subject.to_string(),
            issuer: issuer.key.public().to_string(),
            size_bytes: archive.len() as u64,
            binaries: hashes
                .map(|(machine, binary)| (machine, binary.sha256))
                .collect(),
        })?)
    }
}

/// `x86_64-linux=FILE`.
fn binary(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((machine, file)) if !machine.is_empty() && !file.is_empty() => {
            Ok((machine.to_owned(), file.into()))
        }
        _ => {
            Err("write the kind of machine and the file: x86_64-linux=target/release/rates".into())
        }
    }
}

fn read_binary(machine: &str, file: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || format!("--binary {machine}: file {}", file.display());
    let metadata = fs::metadata(file).with_context(named)?;
    if !metadata.is_file() {
        anyhow::bail!("{}: not a regular file", named());
    }
    if metadata.len() > MAX_PROVIDER_BYTES {
        anyhow::bail!(
            "{}: {} bytes, more than the {MAX_PROVIDER_BYTES} allowed",
            named(),
            metadata.len()
        );
    }
    let content = fs::read(file).with_context(named)?;
    if content.is_empty() {
        anyhow::bail!("{}: it is empty", named());
    }
    Ok(content)
}

/// Writes it whole or not at all.
fn write(file: &Path, archive: &[u8]) -> std::io::Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut partial = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
    partial.write_all(archive)?;
    partial.as_file().sync_all()?;
    // As other files of this user are; a temporary one is for nobody else.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    partial.as_file().set_permissions(permissions)?;
    partial.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_a_kind_of_machine_and_a_file() {
        assert_eq!(
            binary("x86_64-linux=a=b"),
            Ok(("x86_64-linux".to_owned(), PathBuf::from("a=b")))
        );
        for text in ["", "x86_64-linux", "=a", "x86_64-linux="] {
            assert!(binary(text).is_err(), "{text:?}");
        }
    }
}
