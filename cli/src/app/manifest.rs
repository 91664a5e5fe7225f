//! Manifests: a file, checked and made ready for the lattice; and one that the lattice has.

use std::{fmt, io::Read as _, path::Path};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use trellis_wadm::manifest::{self, Manifest, Problem};

/// The largest manifest that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// A manifest from a file, checked, its references made absolute.
pub struct Local {
    /// What it says.
    pub manifest: Manifest,
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
        let named = || format!("manifest {}", file.display());
        let text = text(file).with_context(named)?;
        let (mut manifest, warnings) = manifest::parse(&text).map_err(|errors| {
            // One a line, each with its place as editors know places.
            let lines = errors.0.iter().map(|problem| place(file, problem));
            let lines = lines.collect::<Vec<_>>().join("\n");
            anyhow::anyhow!("the manifest has mistakes:\n{lines}")
        })?;
        // Where standard input comes from nobody knows: its paths are seen from here.
        let folder = if file.as_os_str() == "-" {
            None
        } else {
            file.parent()
        };
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        let base = std::path::absolute(folder.unwrap_or(Path::new("."))).with_context(named)?;
        manifest.resolve_images(base).with_context(named)?;
        let warnings = warnings
            .iter()
            .map(|warning| place(file, warning))
            .collect();
        let json = serde_json::to_value(&manifest).with_context(named)?;
        Ok(Self {
            json,
            manifest,
            warnings,
        })
    }

    /// Tells the warnings on standard error.
    pub fn warn(&self) {
        for warning in &self.warnings {
            eprintln!("warning: {warning}");
        }
    }

    /// The application's name.
    pub fn name(&self) -> &str {
        self.manifest.name()
    }
}

/// `app.yaml:3:5: spec.components[0].name: what is wrong`.
fn place(file: &Path, problem: &Problem) -> String {
    let file = file.display();
    let place = match problem.at {
        Some(at) => format!("{file}:{}:{}", at.line, at.column),
        None => file.to_string(),
    };
    match problem.path.steps() {
        [] => format!("{place}: {}", problem.text),
        _ => format!("{place}: {}: {}", problem.path, problem.text),
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
