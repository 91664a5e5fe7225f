//! Manifests: a file, checked and made ready for the lattice; and one that the lattice has.

use std::{
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use trellis_wadm::manifest::{self, Manifest, Problem};

/// The largest manifest that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// Something about a manifest's file, and where in it.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The column in characters, counted from 1.
    pub column: Option<usize>,
    /// The field, like `spec.components[0].name`; none: the whole.
    pub field: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

impl Finding {
    fn new(problem: &Problem) -> Self {
        let is_whole = problem.path.steps().is_empty();
        Self {
            line: problem.at.map(|at| at.line),
            column: problem.at.map(|at| at.column),
            field: (!is_whole).then(|| problem.path.to_string()),
            message: problem.text.clone(),
        }
    }

    /// `app.yaml:3:5: spec.components[0].name: what is wrong`, with places as editors know them.
    pub fn line_of(&self, file: &Path) -> String {
        let mut line = file.display().to_string();
        for number in [self.line, self.column].into_iter().flatten() {
            line.push_str(&format!(":{number}"));
        }
        for text in self.field.iter().chain([&self.message]) {
            line.push_str(": ");
            line.push_str(text);
        }
        line
    }
}

/// A manifest's mistakes.
#[derive(Debug, thiserror::Error)]
#[error("the manifest has mistakes:\n{}", self.lines())]
pub struct Mistakes {
    /// The file; `-` is standard input.
    pub file: PathBuf,
    /// All of them, in the order of the text.
    pub findings: Vec<Finding>,
}

impl Mistakes {
    /// One a line.
    pub fn lines(&self) -> String {
        let lines = self.findings.iter().map(|one| one.line_of(&self.file));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A manifest from a file, checked, its references made absolute.
pub struct Local {
    /// Where it is from; `-` is standard input.
    pub file: PathBuf,
    /// What it says.
    pub manifest: Manifest,
    /// As it is put.
    pub json: Value,
    /// What is legal but hardly meant.
    pub warnings: Vec<Finding>,
}

impl Local {
    /// Reads and checks a file; `-` is standard input.
    ///
    /// # Errors
    /// It can't be read, or is no manifest: [`Mistakes`], every one with its line and column.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let named = || format!("manifest {}", file.display());
        let text = text(file).with_context(named)?;
        let (mut manifest, warnings) = manifest::parse(&text).map_err(|errors| Mistakes {
            file: file.to_owned(),
            findings: errors.0.iter().map(Finding::new).collect(),
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
        Ok(Self {
            json: serde_json::to_value(&manifest).with_context(named)?,
            warnings: warnings.iter().map(Finding::new).collect(),
            file: file.to_owned(),
            manifest,
        })
    }

    /// Tells the warnings on standard error.
    pub fn warn(&self) {
        for warning in &self.warnings {
            eprintln!("warning: {}", warning.line_of(&self.file));
        }
    }

    /// The application's name.
    pub fn name(&self) -> &str {
        self.manifest.name()
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
