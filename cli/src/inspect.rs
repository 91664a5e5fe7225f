//! `trellis inspect`: what a file is, who signed it, what it needs and what it offers.

use std::{fmt, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;
use trellis_lattice::claims::{
    Inspection, inspect,
    inspect::{FileKind, ShownClaims},
    moment,
    world::Item,
};

use crate::{session::Options, sign::read};

/// Which file to look at.
#[derive(Args, Debug)]
pub struct Inspect {
    /// A component, or a provider archive.
    file: PathBuf,
    /// Fail unless the claims hold and a host would have nothing to say against it but for its issuer.
    #[arg(long)]
    check: bool,
}

/// What was seen.
#[derive(Serialize)]
struct Seen {
    file: PathBuf,
    #[serde(flatten)]
    inspection: Inspection,
    /// When it was looked at.
    #[serde(skip)]
    now: OffsetDateTime,
}

impl Inspect {
    /// Looks at it.
    ///
    /// # Errors
    /// It can't be read, or is neither a component nor an archive; with `--check`, it has a problem.
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        let bytes = read(&self.file)?;
        let now = OffsetDateTime::now_utc();
        let inspection =
            inspect(&bytes, now).with_context(|| format!("file {}", self.file.display()))?;
        let problems: Vec<String> = inspection
            .problems
            .iter()
            .map(|problem| problem.message.clone())
            .collect();
        options.output.print(&Seen {
            file: self.file.clone(),
            inspection,
            now,
        })?;
        if self.check && !problems.is_empty() {
            anyhow::bail!("file {}: {}", self.file.display(), problems.join("; "));
        }
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = &self.inspection;
        let kind = match seen.kind {
            FileKind::Component => "component",
            FileKind::CoreModule => "core module (no host runs it)",
            FileKind::ProviderArchive => "provider archive",
        };
        line(f, "file", self.file.display())?;
        line(f, "kind", kind)?;
        line(f, "size", format_args!("{} bytes", seen.size_bytes))?;
        line(f, "sha-256", &seen.sha256)?;
        line(f, "signed", if seen.signed { "yes" } else { "no" })?;
        if seen.signed {
            line(f, "claims hold", if seen.verified { "yes" } else { "no" })?;
        }
        if let Some(claims) = &seen.claims {
            show_claims(f, claims, self.now)?;
        }
        for problem in &seen.problems {
            line(f, "problem", &problem.message)?;
        }
        items(f, "imports", seen.imports.as_deref())?;
        items(f, "exports", seen.exports.as_deref())?;
        for (target, binary) in seen.binaries.iter().flatten() {
            line(
                f,
                "binary",
                format_args!(
                    "{target}, {} bytes, SHA-256 {}",
                    binary.size_bytes, binary.sha256
                ),
            )?;
        }
        Ok(())
    }
}

fn show_claims(
    f: &mut fmt::Formatter<'_>,
    claims: &ShownClaims,
    now: OffsetDateTime,
) -> fmt::Result {
    let texts = [
        ("name", &claims.name),
        ("vendor", &claims.vendor),
        ("version", &claims.version),
        ("issuer", &claims.issuer),
        ("subject", &claims.subject),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            line(f, name, value)?;
        }
    }
    let moments = [
        ("signed at", claims.signed_at),
        ("not before", claims.not_before),
        ("expires", claims.expires),
    ];
    for (name, value) in moments {
        if let Some(value) = value {
            line(f, name, moment::both(value, now))?;
        }
    }
    if let Some(revision) = claims.revision {
        line(f, "revision", revision)?;
    }
    if !claims.tags.is_empty() {
        line(f, "tags", claims.tags.join(", "))?;
    }
    match &claims.grants {
        Some(grants) if grants.is_empty() => {
            line(f, "grants", "none beyond what every component may import")
        }
        Some(grants) => line(f, "grants", grants.join(", ")),
        None => Ok(()),
    }
}

fn items(f: &mut fmt::Formatter<'_>, name: &str, items: Option<&[Item]>) -> fmt::Result {
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let functions = match item.functions.as_slice() {
            [] => String::new(),
            functions => format!(" ({})", functions.join(", ")),
        };
        line(
            f,
            if index == 0 { name } else { "" },
            format_args!("{}{functions}", item.name),
        )?;
    }
    Ok(())
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<12} {value}")
}
