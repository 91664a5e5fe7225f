//! Running other programs.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::layout::Layout;
use crate::progress::say;

/// The toolchain's cargo, in the repository's root.
pub fn cargo(layout: &Layout) -> Command {
    let mut command = clean("cargo");
    command.current_dir(layout.root());
    command
}

/// A command without the variables that `cargo run` added for this program:
/// build scripts that read one would otherwise be built again each time.
pub fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let added = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
            .iter()
            .any(|prefix| text.starts_with(prefix));
        if added || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"].contains(&text) {
            command.env_remove(&name);
        }
    }
    command
}

/// Shows the command and runs it to its end, with the terminal as its output.
pub fn run(command: &mut Command) -> Result<()> {
    say(format_args!("$ {}", shown(command)));
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs quietly and returns standard output, or `None` when the program cannot
/// be started or fails: the question "is this here, and does it work?".
pub fn probe(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Lets the command, and what it starts, find the lattice's programs: the
/// nats-server that was found, also by name, the binary that was built, and the
/// project's own rclone if it has one.
pub fn with_programs(command: &mut Command, layout: &Layout, nats_server: &Path) -> Result<()> {
    command
        .env("TRELLIS_NATS_SERVER", nats_server)
        .env("TRELLIS_BIN", layout.binary("trellis"));
    let rclone = layout.venv().join("bin/rclone");
    if rclone.is_file() {
        command.env("TRELLIS_RCLONE", rclone);
    }
    match nats_server.parent() {
        Some(folder) => path_first(command, folder),
        None => Ok(()),
    }
}

/// Puts `folder` first on the command's PATH.
pub fn path_first(command: &mut Command, folder: &Path) -> Result<()> {
    let mut folders = vec![folder.to_owned()];
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    let joined = std::env::join_paths(folders)
        .with_context(|| format!("{} cannot be put on PATH", folder.display()))?;
    command.env("PATH", joined);
    Ok(())
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(OsStr::to_string_lossy));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_with_its_status() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c exit 3` ended with exit status: 3"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("cannot start no-such-program-here")
        );
    }

    #[test]
    fn probing_what_does_not_work_finds_nothing() {
        assert_eq!(probe(Command::new("sh").args(["-c", "exit 1"])), None);
        assert_eq!(probe(&mut Command::new("no-such-program-here")), None);
        assert_eq!(probe(Command::new("echo").arg("v1")), Some("v1".into()));
    }

    #[test]
    fn the_path_keeps_its_folders_behind_the_new_one() {
        let mut command = Command::new("sh");
        path_first(&mut command, Path::new("/first/here")).unwrap();
        let path = probe(command.args(["-c", "echo $PATH"])).unwrap();
        let before = std::env::var("PATH").unwrap();
        assert_eq!(path, format!("/first/here:{before}"));
    }
}
