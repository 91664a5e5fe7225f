//! `trellis keys`: nkeys and the files of their seeds.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;
use trellis_lattice::claims::{AnyKey, KeyKind, PublicKey, keys::Provider};

use crate::{
    exit::NotFound,
    output::{Listing, Row},
    provider,
    session::Options,
};

/// What to do with keys.
#[derive(Subcommand, Debug)]
pub enum Keys {
    /// Make a key. Without --file its seed is printed: a secret.
    #[command(after_help = "Example:\n  trellis keys gen account --file account.nk")]
    Gen {
        /// account (an issuer), component (or module), provider (or service), host, user (of NATS).
        kind: KeyKind,
        /// Write the seed to this new file, readable by you alone, and don't print it.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Show what stands for a built-in provider in the claims that a secrets backend is shown.
    #[command(after_help = "Example:\n  trellis keys builtin keyvalue-redis")]
    Builtin {
        /// The provider's name, as in builtin:NAME.
        name: String,
    },
    /// List the public keys of the seed files in a folder.
    #[command(after_help = "Example:\n  trellis keys list")]
    List {
        /// The folder [default: keys in the state's folder].
        folder: Option<PathBuf>,
    },
}

/// A new key.
#[derive(Serialize)]
struct NewKey {
    kind: KeyKind,
    public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

impl fmt::Display for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "public key: {}", self.public_key)?;
        if let Some(seed) = &self.seed {
            writeln!(f, "seed:       {seed}")?;
        }
        match &self.file {
            Some(file) => writeln!(f, "seed file:  {}", file.display()),
            None => Ok(()),
        }
    }
}

/// A seed file, as a line.
#[derive(Serialize)]
struct KeyFile {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<KeyKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Row for KeyFile {
    const COLUMNS: &'static [&'static str] = &["FILE", "KIND", "PUBLIC KEY"];
    const NONE: &'static str = "no keys here: `trellis up` and `trellis sign` make those they need in the state's folder, and \
                                `trellis keys list FOLDER` looks into another";

    fn cells(&self) -> Vec<String> {
        let kind = self
            .kind
            .map(|kind| kind.to_string())
            .unwrap_or_else(|| "?".into());
        let key = self
            .public_key
            .clone()
            .or_else(|| self.problem.clone())
            .unwrap_or_default();
        vec![self.file.clone(), kind, key]
    }
}

impl Keys {
    /// Does it.
    ///
    /// # Errors
    /// A file is there already, or can't be read or written.
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        match self {
            Self::Gen { kind, file } => {
                let key = AnyKey::generate(kind);
                if let Some(file) = &file {
                    key.write_file(file)?;
                }
                let seed = file.is_none().then(|| key.seed());
                let new = NewKey {
                    kind,
                    public_key: key.public_text(),
                    seed,
                    file,
                };
                options.output.print(&new)?;
            }
            Self::Builtin { name } => {
                if !provider::names().any(|known| known == name) {
                    let known: Vec<_> = provider::names().collect();
                    let text = format!(
                        "there is no built-in provider {name:?}; there are: {}",
                        known.join(", ")
                    );
                    return Err(NotFound(text).into());
                }
                let key = PublicKey::<Provider>::of_builtin(&name).to_string();
                options.output.print(&NewKey {
                    kind: KeyKind::Provider,
                    public_key: key,
                    seed: None,
                    file: None,
                })?;
            }
            Self::List { folder } => {
                let files = match folder {
                    Some(folder) => list(&folder)?,
                    // The default one is made by what first needs it.
                    None => match list(&options.state().keys()) {
                        Err(error) if is_missing(&error) => Vec::new(),
                        files => files?,
                    },
                };
                options.output.print(&Listing::new(files))?;
            }
        }
        Ok(())
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn list(folder: &Path) -> anyhow::Result<Vec<KeyFile>> {
    let mut files = Vec::new();
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("folder {}", folder.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("folder {}", folder.display()))?
            .path();
        if path.extension().is_none_or(|extension| extension != "nk") {
            continue;
        }
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        files.push(match AnyKey::read_file(&path) {
            Ok(key) => KeyFile {
                file: name,
                kind: Some(key.kind()),
                public_key: Some(key.public_text()),
                problem: None,
            },
            Err(error) => KeyFile {
                file: name,
                kind: None,
                public_key: None,
                problem: Some(error.to_string()),
            },
        });
    }
    files.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(files)
}
