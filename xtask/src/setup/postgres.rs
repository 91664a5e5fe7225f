//! The PostgreSQL server that the tests run against.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::debian;
use crate::process::{clean, probe};
use crate::progress::say;

/// Where Debian and the systems made from it have each version's programs: not on PATH.
const DEBIAN: &str = "/usr/lib/postgresql";

pub fn ensure() -> Result<PathBuf> {
    if let Some(found) = look() {
        return Ok(found);
    }
    say(
        "checking postgresql: missing, the tests need it. (Debian's package also starts it \
         as a service where there is systemd; the tests start their own and leave that one alone)",
    );
    debian::ensure(&["postgresql", "postgresql-client"])?;
    match look() {
        Some(found) => Ok(found),
        None => bail!("postgresql is installed but does not run, or is not on PATH"),
    }
}

fn look() -> Option<PathBuf> {
    // Without either of them a server can be neither made nor asked.
    let programs = ["postgres", "initdb", "psql"].map(program);
    let [Some(server), Some(_), Some(_)] = programs else {
        return None;
    };
    let version = probe(clean(&server).arg("--version"))?;
    say(format_args!(
        "checking postgresql: found {} ({version})",
        server.display()
    ));
    Some(server)
}

/// Debian's newest version, or what is on PATH.
fn program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin").join(name));
    let newest = programs.filter(|program| program.is_file()).max();
    newest.or_else(|| which::which(name).ok())
}
