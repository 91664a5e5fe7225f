//! `trellis app validate`: manifests' files, checked without a lattice.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::manifest::{Finding, Local, Mistakes};
use crate::{exit, output::Format, session::Options};

/// What to check.
#[derive(Args, Debug)]
pub struct Validate {
    /// The files; - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What came of it.
#[derive(Serialize)]
struct Checked {
    /// Whether all are good.
    valid: bool,
    files: Vec<CheckedFile>,
}

#[derive(Serialize)]
struct CheckedFile {
    file: String,
    valid: bool,
    /// The application's name.
    name: Option<String>,
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Validate {
    /// Checks them all.
    ///
    /// # Errors
    /// One can't be read, or has mistakes.
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        let files: Vec<CheckedFile> = self.files.iter().map(|file| check(file)).collect();
        let wrong = files.iter().filter(|file| !file.valid).count();
        let all = files.len();
        let checked = Checked {
            valid: wrong == 0,
            files,
        };
        if options.output == Format::Text {
            checked.tell_warnings();
        }
        options.output.print(&checked)?;
        match wrong {
            0 => Ok(()),
            // To programs the mistakes are the result; they are told once.
            _ if options.output == Format::Json => {
                bail!("{wrong} of {all} manifest(s) have mistakes")
            }
            _ => bail!(
                "mistakes in {wrong} of {all} manifest(s):\n{}",
                checked.mistakes()
            ),
        }
    }
}

fn check(file: &Path) -> CheckedFile {
    let checked = CheckedFile {
        file: file.display().to_string(),
        valid: false,
        name: None,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    match Local::read(file) {
        Ok(local) => CheckedFile {
            valid: true,
            name: Some(local.name().to_owned()),
            warnings: local.warnings,
            ..checked
        },
        Err(error) => {
            let errors = match error.downcast::<Mistakes>() {
                Ok(mistakes) => mistakes.findings,
                Err(error) => vec![Finding {
                    line: None,
                    column: None,
                    field: None,
                    message: exit::message(&error),
                }],
            };
            CheckedFile { errors, ..checked }
        }
    }
}

impl Checked {
    fn tell_warnings(&self) {
        for file in &self.files {
            for warning in &file.warnings {
                eprintln!("warning: {}", warning.line_of(Path::new(&file.file)));
            }
        }
    }

    fn mistakes(&self) -> String {
        let lines = self.files.iter().flat_map(|file| {
            let errors = file.errors.iter();
            errors.map(|error| error.line_of(Path::new(&file.file)))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Checked {
    /// The good ones; what is wrong with the others is an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            if let Some(name) = &file.name {
                writeln!(f, "{}: application {name} is valid", file.file)?;
            }
        }
        Ok(())
    }
}
