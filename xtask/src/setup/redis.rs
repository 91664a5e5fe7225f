//! The Redis server that the tests and the measurements run against.

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
        "checking redis-server: missing, the tests need it. (Debian's package also starts it \
         as a service where there is systemd; the tests start their own and leave that one alone)",
    );
    debian::ensure(&["redis-server"])?;
    match look() {
        Some(found) => Ok(found),
        None => bail!("redis-server is installed but does not run, or is not on PATH"),
    }
}

fn look() -> Option<PathBuf> {
    let program = which::which("redis-server").ok()?;
    let version = probe(clean(&program).arg("--version"))?;
    let version = version
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="))
        .unwrap_or("unknown version");
    say(format_args!(
        "checking redis-server: found {} ({version})",
        program.display()
    ));
    Some(program)
}
