//! Building the workspace's binaries, always with the features of the whole
//! workspace: a narrower selection would compile wasmtime a second time.

use anyhow::Result;

use crate::layout::Layout;
use crate::process::{cargo, run};

/// The `trellis` binary.
pub fn trellis(layout: &Layout) -> Result<()> {
    binary(layout, "trellis")
}

/// The `trellis` binary and every test's. One after the other, each would end with a crate that only one processor works at.
pub fn with_tests(layout: &Layout) -> Result<()> {
    run(cargo(layout).args([
        "build",
        "--release",
        "--workspace",
        "--bin",
        "trellis",
        "--tests",
    ]))
}

/// One binary of the workspace.
pub fn binary(layout: &Layout, name: &str) -> Result<()> {
    run(cargo(layout).args(["build", "--release", "--workspace", "--bin", name]))
}
