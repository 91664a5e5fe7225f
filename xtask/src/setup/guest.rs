//! The toolchain that compiles the actors to wasm32-wasip2. In this order: the
//! target installed in rustup, Debian's packages, and rustup's download.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian::{self, Apt};
use crate::layout::Layout;
use crate::process::{cargo, clean, path_first, probe, run};
use crate::progress::say;

/// What the actors are compiled for.
pub const TARGET: &str = "wasm32-wasip2";

/// Debian's Rust for WebAssembly: a compiler, the standard library's sources to
/// build for the target, the linkers (`wasm-component-ld` comes with rust-web-llvm,
/// and calls `wasm-ld`), and the C library.
const PACKAGES: [&str; 6] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-llvm",
    "lld-19",
    "wasi-libc",
];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld-19";
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";

/// Which of the ways was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// The host's own toolchain, which has the target.
    Rustup,
    /// Debian's packages, with the standard library built beside the actors.
    Debian,
}

pub fn ensure(layout: &Layout) -> Result<Toolchain> {
    if let Some(folder) = rustup_target(layout) {
        say(format_args!(
            "checking the {TARGET} toolchain: found the target in {}",
            folder.display()
        ));
        return Ok(Toolchain::Rustup);
    }
    if debian::missing(&PACKAGES).is_empty() {
        say(format_args!(
            "checking the {TARGET} toolchain: found Debian's packages {}",
            PACKAGES.join(" ")
        ));
        return Ok(Toolchain::Debian);
    }
    say(format_args!(
        "checking the {TARGET} toolchain: missing, the actors cannot be compiled without it"
    ));
    let mut tried = Vec::new();
    match debian_packages() {
        Ok(()) => return Ok(Toolchain::Debian),
        Err(error) => tried.push(format!("Debian's packages: {error:#}")),
    }
    say(format_args!("{}; asking rustup for the target", tried[0]));
    match rustup_download(layout) {
        Ok(()) => return Ok(Toolchain::Rustup),
        Err(error) => tried.push(format!("rustup: {error:#}")),
    }
    bail!(
        "no toolchain for {TARGET} ({}): run `rustup target add {TARGET}` with a network, \
         or install {} by hand",
        tried.join("; "),
        PACKAGES.join(", ")
    )
}

impl Toolchain {
    /// `cargo build --release` for the actors, to be given its further arguments.
    pub fn build(self, layout: &Layout) -> Result<Command> {
        let mut command = match self {
            Self::Rustup => cargo(layout),
            Self::Debian => debian_cargo(layout)?,
        };
        command.args(["build", "--release", "--locked", "--target", TARGET]);
        if self == Self::Debian {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        Ok(command)
    }
}

fn debian_cargo(layout: &Layout) -> Result<Command> {
    let mut command = clean(DEBIAN_CARGO);
    command
        .current_dir(layout.root())
        .env("RUSTC", DEBIAN_RUSTC)
        // -Zbuild-std is for nightly compilers; Debian's is a stable one.
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "RUSTFLAGS",
            format!("-L native={DEBIAN_LIBC} -C link-self-contained=no"),
        )
        // The host toolchain's settings do not fit this compiler.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTDOC");
    path_first(&mut command, &linker_folder(layout)?)?;
    Ok(command)
}

/// A folder that holds the linker under the name that rustc looks for.
fn linker_folder(layout: &Layout) -> Result<PathBuf> {
    let folder = layout.guests().join("wasm-ld");
    let link = folder.join("wasm-ld");
    if fs::read_link(&link).is_ok_and(|to| to == Path::new(DEBIAN_LINKER)) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(DEBIAN_LINKER, &link).with_context(|| format!("cannot make {}", link.display()))?;
    Ok(folder)
}

/// The folder of the target's standard library in the host's toolchain, if it is there.
fn rustup_target(layout: &Layout) -> Option<PathBuf> {
    let mut rustc = clean("rustc");
    rustc
        .current_dir(layout.root())
        .args(["--print", "target-libdir", "--target", TARGET]);
    let folder = PathBuf::from(probe(&mut rustc)?);
    // rustc names the folder whether or not it exists.
    let mut entries = fs::read_dir(&folder).ok()?.flatten();
    entries
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
        .then_some(folder)
}

fn debian_packages() -> Result<()> {
    let apt = Apt::find().context("no apt-get here, or neither root nor sudo")?;
    apt.install(&debian::missing(&PACKAGES))?;
    for file in [DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_LINKER, DEBIAN_LIBC] {
        if !Path::new(file).exists() {
            bail!("{file} is missing though the packages are installed");
        }
    }
    Ok(())
}

fn rustup_download(layout: &Layout) -> Result<()> {
    let mut rustup = clean("rustup");
    rustup.current_dir(layout.root());
    run(rustup.args(["target", "add", TARGET]))?;
    match rustup_target(layout) {
        Some(_) => Ok(()),
        None => bail!("`rustup target add {TARGET}` left no standard library"),
    }
}
