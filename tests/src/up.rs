//! `trellis up`, as a user runs it.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{actors, nats, port, process::Process};

/// Starts `trellis up` with the application `app.yaml` of that folder, on a free port for NATS.
///
/// # Errors
/// The program is not built or can't be started.
pub fn start(name: &str, directory: &Path) -> Result<Process> {
    let mut command = Command::new(actors::trellis()?);
    command
        .current_dir(directory)
        .args(["up", "--app", "app.yaml"])
        .args(["--nats-port", &port::free()?.to_string()])
        .arg("--nats-server")
        .arg(nats::program());
    Process::start(name, directory, command)
}
