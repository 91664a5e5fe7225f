//! Where things lie in the repository and in its build output.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folders that the commands work in.
pub struct Layout {
    root: PathBuf,
    target: PathBuf,
}

impl Layout {
    /// Starts from this package's own folder, so that the commands do the same
    /// from any current directory.
    pub fn find() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .context("CARGO_MANIFEST_DIR is not set: run this as `cargo xtask ...`")?;
        let root = package
            .parent()
            .with_context(|| format!("{} has no parent folder", package.display()))?
            .to_owned();
        // A relative CARGO_TARGET_DIR counts from where cargo was called.
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(target) => env::current_dir()?.join(target),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    #[cfg(test)]
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            target: root.join("target"),
        }
    }

    /// The repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A release binary of the workspace.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// What `cargo xtask bench` measured last.
    pub fn measured(&self) -> PathBuf {
        self.target.join("bench.json")
    }

    /// The actors' workspace.
    pub fn actors_workspace(&self) -> PathBuf {
        self.root.join("actors").join("Cargo.toml")
    }

    /// Cargo's output for the actors: another toolchain, so another folder.
    pub fn guests(&self) -> PathBuf {
        self.target.join("guests")
    }

    /// The finished actors, where the manifests in `examples/` point.
    pub fn actors(&self) -> PathBuf {
        // Not under CARGO_TARGET_DIR: the manifests name it by a relative path.
        self.root.join("target").join("actors")
    }

    /// One finished actor, signed or not.
    pub fn actor(&self, name: &str) -> PathBuf {
        self.actors().join(format!("{name}.wasm"))
    }

    /// The unsigned bytes that the finished actor was made from.
    pub fn laid(&self, name: &str) -> PathBuf {
        self.guests().join("laid").join(format!("{name}.wasm"))
    }

    /// The Python environment for tools that come from PyPI.
    pub fn venv(&self) -> PathBuf {
        self.target.join("venv")
    }

    /// The Docker engine that is started where none answers: its data, its socket and its log.
    pub fn docker(&self) -> PathBuf {
        self.target.join("docker")
    }

    /// Tools that were compiled from crates.io.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}
