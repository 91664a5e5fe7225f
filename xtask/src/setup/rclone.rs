//! The S3 server that the tests and the measurements run against: rclone, which serves a folder.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::python;
use crate::layout::Layout;
use crate::process::{clean, probe};
use crate::progress::say;

/// One that is installed counts only if it is as new as the one from PyPI: S3 in older ones lacks what the tests need.
const AT_LEAST: (u32, u32) = (1, 75);

pub fn ensure(layout: &Layout) -> Result<PathBuf> {
    let own = layout.venv().join("bin/rclone");
    let installed = which::which("rclone").ok();
    for program in installed.iter().chain([&own]) {
        match version(program) {
            Some(version) if is_new(&version) => return Ok(found(program, &version)),
            Some(version) => say(format_args!(
                "checking rclone: {} is {version}, too old, going on without it",
                program.display()
            )),
            None => {}
        }
    }
    say("checking rclone: missing, the tests of S3 need it");
    let program = python::ensure(layout, "rclone", "rclone")?;
    match version(&program) {
        Some(version) => Ok(found(&program, &version)),
        None => bail!("{} does not run", program.display()),
    }
}

fn found(program: &Path, version: &str) -> PathBuf {
    say(format_args!(
        "checking rclone: found {} ({version})",
        program.display()
    ));
    program.to_owned()
}

/// `rclone v1.75.2` and more lines as `v1.75.2`; `None` if it does not run or is something else.
fn version(program: &Path) -> Option<String> {
    let told = probe(clean(program).arg("version"))?;
    let version = told.lines().next()?.strip_prefix("rclone ")?;
    Some(version.trim().to_owned())
}

fn is_new(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut number = || numbers.next()?.parse::<u32>().ok();
    matches!((number(), number()), (Some(major), Some(minor)) if (major, minor) >= AT_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_one_does_not_count() {
        assert!(is_new("v1.75.2") && is_new("v1.76.0-DEV") && is_new("v2.0.0"));
        assert!(!is_new("v1.60.1-DEV") && !is_new("something"));
    }
}
