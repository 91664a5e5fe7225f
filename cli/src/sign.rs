//! `trellis sign`: claims put into components and provider archives.

mod content;
pub mod issuer;
mod output;
pub mod subject;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use trellis_lattice::claims::{
    AccountKey, ComponentDetails, Grants, ProviderArchive, ProviderDetails, Validity, sign_archive,
    sign_component,
};

use crate::{
    exit::Usage,
    output::{Listing, Row},
    session::Options,
};
use content::Content;

pub use content::read;

/// What to sign, and what to say of it.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("destination").args(["in_place", "out"])))]
pub struct Sign {
    /// Components and provider archives.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Replace the files. One that carries the same claims already stays as it is.
    #[arg(long)]
    in_place: bool,
    /// Write to this file [default: NAME.signed.EXTENSION beside the file].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The issuer's seed file [default: keys/account.nk in the state's folder, made if it isn't there].
    #[arg(long, env = "TRELLIS_ISSUER_KEY", value_name = "FILE")]
    issuer_key: Option<PathBuf>,
    /// The name in the claims [default: the file's name].
    #[arg(long)]
    name: Option<String>,
    /// The version in the claims.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// The revision in the claims, a number that grows with each release.
    #[arg(long, value_name = "NUMBER")]
    revision: Option<i32>,
    /// A provider's maker, in its claims [default: that of the claims it has].
    #[arg(long)]
    vendor: Option<String>,
    /// A tag in a component's claims; repeatable.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The claims expire after this time [default: never].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,
    /// The claims hold from then on: an RFC 3339 moment, or a time from now.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    not_before: Option<OffsetDateTime>,
    /// An interface that the component may import; repeatable, * for all of a package, as in wasi:keyvalue/*
    /// [default: exactly what it imports].
    #[arg(long = "grant", value_name = "NAMESPACE:PACKAGE/INTERFACE")]
    grants: Vec<String>,
    /// The public key the claims are about (M… or V…) [default: that of the claims it has, else of a key kept
    /// beside the issuer's].
    #[arg(long, value_name = "KEY")]
    subject: Option<String>,
}

/// A signed file, as a line.
#[derive(Serialize)]
struct Signed {
    file: PathBuf,
    name: String,
    subject: String,
    issuer: String,
    /// Whether anything was written: a file that carries the same claims already is not.
    changed: bool,
}

impl Row for Signed {
    const COLUMNS: &'static [&'static str] = &["SIGNED", "NAME", "SUBJECT", "ISSUER", "CHANGED"];
    const NONE: &'static str = "nothing to sign";

    fn cells(&self) -> Vec<String> {
        let changed = if self.changed {
            "yes"
        } else {
            "no, the same claims"
        };
        vec![
            self.file.display().to_string(),
            self.name.clone(),
            self.subject.clone(),
            self.issuer.clone(),
            changed.into(),
        ]
    }
}

impl Sign {
    /// Signs the files; all are signed before any is written.
    ///
    /// # Errors
    /// A file is neither a component nor an archive, or can't be read or written; a key can't be used; the
    /// claims would never hold.
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        if self.files.len() > 1
            && (self.out.is_some() || self.name.is_some() || self.subject.is_some())
        {
            return Err(Usage("--out, --name and --subject are for one file".into()).into());
        }
        let grants = (!self.grants.is_empty())
            .then(|| Grants::parse(&self.grants))
            .transpose();
        let grants = grants.map_err(|error| Usage(error.to_string()))?;
        // What can't be signed leaves no new keys behind.
        let contents = self
            .files
            .iter()
            .map(|file| self.content(file))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let issuer = issuer::find(self.issuer_key.as_deref(), &options.state())?;
        let now = OffsetDateTime::now_utc();
        let mut validity = match self.expires_in {
            Some(duration) => Validity::lasting(self.not_before.unwrap_or(now), duration),
            None => Validity::unlimited(now),
        };
        validity.signed_at = now;
        validity.not_before = self.not_before;
        let mut signed = Vec::new();
        for (file, content) in self.files.iter().zip(contents) {
            let one = self
                .one(file, content, &issuer, grants.as_ref(), &validity)
                .with_context(|| format!("file {}", file.display()))?;
            signed.push(one);
        }
        let mut lines = Vec::new();
        for (file, (new, mut line)) in self.files.iter().zip(signed) {
            let destination = output::destination(file, self.in_place, self.out.as_deref());
            line.changed = output::write(file, &destination, &new)?;
            line.file = destination;
            lines.push(line);
        }
        Ok(options.output.print(&Listing::new(lines))?)
    }

    /// Reads a file, for which all that was asked must make sense.
    fn content(&self, file: &Path) -> anyhow::Result<Content> {
        let content = Content::of(file)?;
        let misplaced = match &content {
            Content::Component(_) if self.vendor.is_some() => {
                "--vendor is for provider archives: a component's claims name no vendor"
            }
            Content::Archive { .. } if !self.grants.is_empty() => {
                "--grant is for components: a provider imports nothing"
            }
            Content::Archive { .. } if !self.tags.is_empty() => {
                "--tag is for components: a provider's claims have no tags"
            }
            _ => return Ok(content),
        };
        Err(Usage(format!("file {}: {misplaced}", file.display())).into())
    }

    fn one(
        &self,
        file: &Path,
        content: Content,
        issuer: &issuer::Issuing,
        grants: Option<&Grants>,
        validity: &Validity,
    ) -> anyhow::Result<(Vec<u8>, Signed)> {
        let name = self.name.clone().unwrap_or_else(|| output::base_name(file));
        let (new, subject) = match content {
            Content::Component(bytes) => self.component(&bytes, &name, issuer, grants, validity)?,
            Content::Archive { archive, gzip } => {
                self.archive(archive, gzip, &name, issuer, validity)?
            }
        };
        let issuer = issuer.key.public().to_string();
        Ok((
            new,
            Signed {
                file: file.into(),
                name,
                subject,
                issuer,
                changed: true,
            },
        ))
    }

    fn component(
        &self,
        bytes: &[u8],
        name: &str,
        issuer: &issuer::Issuing,
        grants: Option<&Grants>,
        validity: &Validity,
    ) -> anyhow::Result<(Vec<u8>, String)> {
        let subject = subject::of_component(bytes, self.subject.as_deref(), &issuer.keys, name)?;
        let details = ComponentDetails {
            name: Some(name.to_owned()),
            version: self.version.clone(),
            revision: self.revision,
            tags: self.tags.clone(),
            call_alias: None,
            grants: grants.cloned(),
        };
        let key: &AccountKey = &issuer.key;
        Ok((
            sign_component(bytes, key, &subject, &details, validity)?,
            subject.to_string(),
        ))
    }

    fn archive(
        &self,
        archive: ProviderArchive,
        gzip: bool,
        name: &str,
        issuer: &issuer::Issuing,
        validity: &Validity,
    ) -> anyhow::Result<(Vec<u8>, String)> {
        let known = subject::of_archive(
            archive.token.as_deref(),
            self.subject.as_deref(),
            &issuer.keys,
            name,
        )?;
        let details = ProviderDetails {
            name: Some(name.to_owned()),
            vendor: self.vendor.clone().unwrap_or(known.vendor),
            version: self.version.clone(),
            revision: self.revision,
        };
        let binaries: BTreeMap<String, Vec<u8>> = archive
            .binaries
            .into_iter()
            .filter_map(|(target, binary)| Some((target, binary.content?)))
            .collect();
        let signed = sign_archive(
            &binaries,
            &issuer.key,
            &known.subject,
            &details,
            validity,
            gzip,
        )?;
        Ok((signed, known.subject.to_string()))
    }
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(moment);
    }
    let from_now = humantime::parse_duration(text)
        .ok()
        .and_then(|time| time::Duration::try_from(time).ok());
    from_now
        .and_then(|time| OffsetDateTime::now_utc().checked_add(time))
        .ok_or_else(|| {
            "write a moment such as 2030-01-31T12:00:00Z, or a time from now such as 2h".into()
        })
}
