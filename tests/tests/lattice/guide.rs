//! `docs/providers.md`: whoever follows it gets where it says. All its commands are run, in their order, in one shell.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use trellis_tests::{actors, process::Process, wait::until_within};

/// What stands in ```` ```sh ```` blocks.
fn commands(guide: &str) -> String {
    let mut commands = String::new();
    let mut within = false;
    for line in guide.lines() {
        match line {
            "```sh" => within = true,
            "```" => within = false,
            line if within => {
                commands.push_str(line);
                commands.push('\n');
            }
            _ => {}
        }
    }
    commands
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_to_providers_ends_in_a_green_test() -> Result<()> {
    let project = actors::project();
    let guide = std::fs::read_to_string(project.join("docs/providers.md"))?;
    let commands = commands(&guide);
    ensure!(
        commands.contains("trellis new provider") && commands.contains("cargo test"),
        "{commands}"
    );
    let directory = TempDir::new()?;
    let trellis = actors::trellis()?;
    let folder = trellis.parent().context("a folder")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path)),
    )?;
    let mut shell = Command::new("bash");
    shell
        .args(["-euxc", &commands])
        .current_dir(directory.path())
        .env("PATH", path)
        .env("TRELLIS", &project)
        .env("TRELLIS_BIN", &trellis)
        // Kept from run to run: only what changed is compiled.
        .env("CARGO_TARGET_DIR", project.join("target/guide"))
        // Beside the other tests, which wait for answers.
        .env("CARGO_BUILD_JOBS", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    // What cargo says to the tests that it runs is not for the cargo that they run.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            shell.env_remove(&*name);
        }
    }
    let mut shell = Process::start("guide", directory.path(), shell)?;
    let compiling = std::time::Duration::from_secs(1_800);
    let ended = until_within("the guide's commands end", compiling, || {
        let running = shell.running();
        async move {
            ensure!(!running?, "they still run");
            Ok(())
        }
    });
    ended.await?;
    let status = shell.ended().await?;
    ensure!(status.success(), "{status}\n{}", shell.output());
    Ok(())
}
