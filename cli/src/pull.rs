//! `trellis pull`: a component or a provider archive from a registry.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;
use trellis_lattice::claims::inspect;
use trellis_registry::{Client, Digest, Kind, Reference, RegistryError};

use crate::{
    registry::{Bar, CREDENTIALS, RegistryAccess},
    session::Options,
    sign::read,
};

/// What to pull, and where to.
#[derive(Args, Debug)]
#[command(after_help = format!(
    "Example:\n  trellis pull ghcr.io/acme/cart:1.0\n  trellis pull ghcr.io/acme/cart:1.0 -o cart.wasm\n\n\
     A pull that was broken off goes on where it was when it is given again.\n{CREDENTIALS}"
))]
pub struct Pull {
    /// From where: REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST.
    reference: String,
    /// The file [default: the name in the reference, with .wasm or .par.gz behind it].
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Take what is not signed, or whose claims don't hold, too.
    #[arg(long)]
    allow_unsigned: bool,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// What was pulled.
#[derive(Serialize)]
struct Report {
    reference: String,
    file: PathBuf,
    digest: Digest,
    content_digest: Digest,
    kind: Kind,
    size_bytes: u64,
    /// Who signed it, where it is signed.
    issuer: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "pulled {}, {} bytes, to {}",
            self.kind,
            self.size_bytes,
            self.file.display()
        )?;
        writeln!(f, "digest {}", self.digest)?;
        match &self.issuer {
            Some(issuer) => writeln!(f, "signed by {issuer}"),
            None => writeln!(f, "not signed, or its claims don't hold"),
        }
    }
}

impl Pull {
    /// Pulls it.
    ///
    /// # Errors
    /// There is no such image, it is neither of the two, or its claims don't hold.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let reference: Reference = self.reference.parse().map_err(RegistryError::from)?;
        let client = Client::new(self.registry.settings(Some(reference.registry()))?)?;
        let resolved = client.resolve(&reference).await?;
        let content = &resolved.content;
        let out = match &self.out {
            Some(out) => out.clone(),
            None => default_file(&reference, content.kind),
        };
        let partial = partial_file(&out, content.digest);
        // What the tag means now: another may be pushed to it meanwhile.
        let exact = reference.with_digest(resolved.manifest);
        let bar = Bar::new("pulling", options.output);
        let pulled = client.pull(&exact, content, &partial, &bar).await;
        bar.end();
        pulled?;
        let issuer = self.issuer(&partial)?;
        fs::rename(&partial, &out).with_context(|| format!("file {}", out.display()))?;
        Ok(options.output.print(&Report {
            reference: reference.to_string(),
            file: out,
            digest: resolved.manifest,
            content_digest: content.digest,
            kind: content.kind,
            size_bytes: content.size,
            issuer,
        })?)
    }

    /// Who signed it. What must not be had is not left behind.
    fn issuer(&self, partial: &Path) -> anyhow::Result<Option<String>> {
        let bytes = read(partial)?;
        match check_claims(&bytes, OffsetDateTime::now_utc()) {
            Ok(issuer) => Ok(Some(issuer)),
            Err(_) if self.allow_unsigned => Ok(None),
            Err(error) => {
                fs::remove_file(partial)?;
                Err(error.context(format!("image {}", self.reference)))
            }
        }
    }
}

/// Checks that content carries claims which hold, whoever signed them; gives who did.
///
/// # Errors
/// What is wrong with them.
pub fn check_claims(bytes: &[u8], now: OffsetDateTime) -> anyhow::Result<String> {
    let seen = inspect(bytes, now)?;
    if !seen.signed {
        anyhow::bail!(
            "it is not signed: sign it with `trellis sign`, or allow it with --allow-unsigned"
        );
    }
    let issuer = seen.claims.and_then(|claims| claims.issuer);
    match issuer {
        Some(issuer) if seen.verified => Ok(issuer),
        _ => {
            let problems = seen.problems.into_iter().map(|problem| problem.message);
            let problems = problems.collect::<Vec<_>>().join("; ");
            anyhow::bail!(
                "its claims don't hold: {problems}; to have it all the same, give --allow-unsigned"
            )
        }
    }
}

/// `cart.wasm` for `ghcr.io/acme/cart:1.0`.
fn default_file(reference: &Reference, kind: Kind) -> PathBuf {
    let repository = reference.repository();
    let name = repository.rsplit('/').next().unwrap_or(repository);
    let extension = match kind {
        Kind::Component => "wasm",
        Kind::Provider => "par.gz",
    };
    format!("{name}.{extension}").into()
}

/// Where it is while it comes: the same the next time, if the content is.
fn partial_file(out: &Path, digest: Digest) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(format!(
        ".{}.partial",
        digest.hex().get(..12).unwrap_or_default()
    ));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_images() {
        let reference: Reference = "ghcr.io/acme/shop/cart:1.0".parse().unwrap();
        assert_eq!(
            default_file(&reference, Kind::Component),
            PathBuf::from("cart.wasm")
        );
        assert_eq!(
            default_file(&reference, Kind::Provider),
            PathBuf::from("cart.par.gz")
        );
        let partial = partial_file(Path::new("a/cart.wasm"), Digest::of(b""));
        assert_eq!(partial, PathBuf::from("a/cart.wasm.e3b0c44298fc.partial"));
    }
}
