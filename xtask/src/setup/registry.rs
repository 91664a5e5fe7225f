//! The OCI registry that the tests push to and pull from.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::debian;
use crate::process::{clean, probe};
use crate::progress::say;

pub fn ensure() -> Result<PathBuf> {
    if let Some(found) = look() {
        return Ok(found);
    }
    say(
        "checking docker-registry: missing, the tests need it. (Debian's package also starts it \
         as a service where there is systemd; the tests start their own and leave that one alone)",
    );
    debian::ensure(&["docker-registry"])?;
    match look() {
        Some(found) => Ok(found),
        None => bail!("docker-registry is installed but does not run, or is not on PATH"),
    }
}

fn look() -> Option<PathBuf> {
    let program = which::which("docker-registry").ok()?;
    let version = probe(clean(&program).arg("--version"))?;
    let version = version
        .split_whitespace()
        .last()
        .unwrap_or("unknown version");
    say(format_args!(
        "checking docker-registry: found {} ({version})",
        program.display()
    ));
    Some(program)
}
