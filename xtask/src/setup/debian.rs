//! Packages of Debian and the systems made from it.

use std::process::Command;
use std::sync::Once;

use anyhow::{Context, Result, bail};

use crate::process::{clean, probe, run};
use crate::progress::say;

/// The package list is refreshed once a run.
static REFRESHED: Once = Once::new();

/// apt-get, with what it takes to be allowed to install.
pub struct Apt {
    sudo: bool,
}

impl Apt {
    /// `None` where there is no apt-get, or neither root nor sudo.
    pub fn find() -> Option<Self> {
        which::which("apt-get").ok()?;
        if probe(clean("id").arg("-u")).as_deref() == Some("0") {
            return Some(Self { sudo: false });
        }
        which::which("sudo").ok().map(|_| Self { sudo: true })
    }

    /// Installs `packages`.
    pub fn install(&self, packages: &[&str]) -> Result<()> {
        let by = if self.sudo { " with sudo" } else { "" };
        say(format_args!(
            "installing from Debian{by}: {}",
            packages.join(" ")
        ));
        REFRESHED.call_once(|| self.refresh());
        run(self
            .command()
            .args(["install", "-q", "-y", "--no-install-recommends"])
            .args(packages))
    }

    /// An old list names versions that the servers no longer have. A failure (one
    /// unreachable source among several) may still leave a good list, so it is only told.
    fn refresh(&self) {
        if let Err(error) = run(self.command().args(["update", "-q"])) {
            say(format_args!(
                "{error:#}; going on with the package list that is here"
            ));
        }
    }

    fn command(&self) -> Command {
        // sudo drops the environment, so `env` sets it on the other side.
        let mut command = if self.sudo {
            let mut sudo = clean("sudo");
            sudo.arg("env");
            sudo
        } else {
            clean("env")
        };
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    }
}

/// The packages of `wanted` that are not installed; all of them where there is no dpkg.
pub fn missing<'a>(wanted: &[&'a str]) -> Vec<&'a str> {
    let missing = |package: &&&str| {
        let mut query = clean("dpkg-query");
        query.args(["--show", "--showformat", "${db:Status-Status}", **package]);
        probe(&mut query).as_deref() != Some("installed")
    };
    wanted.iter().filter(missing).copied().collect()
}

/// Installs what is missing of `packages`, or says what to do by hand.
pub fn ensure(packages: &[&str]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    let Some(apt) = Apt::find() else {
        bail!(
            "{} cannot be installed here (no apt-get, or neither root nor sudo): \
             install it by hand and run this again",
            missing.join(", ")
        );
    };
    apt.install(&missing)
        .with_context(|| format!("Debian's packages {} did not install", missing.join(" ")))
}
