//! Building the actors and laying them where the manifests expect them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::layout::Layout;
use crate::progress::say;
use crate::setup::GuestToolchain;

/// What every WebAssembly component begins with; a core module has another version.
const COMPONENT: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];

/// One actor, built.
pub struct Actor {
    /// In snake case, as its file is named.
    pub name: String,
    /// Cargo's output, never signed.
    pub built: PathBuf,
}

/// Builds all actors and lays those that changed in `target/actors`, unsigned.
/// What is there of the others stays, with its signature.
pub fn build(layout: &Layout, toolchain: &GuestToolchain) -> Result<Vec<Actor>> {
    let actors = compile(layout, *toolchain)?;
    let mut changed = Vec::new();
    for actor in &actors {
        if lay(layout, actor)? {
            changed.push(actor.name.as_str());
        }
    }
    let folder = layout.actors();
    match changed.as_slice() {
        [] => say(format_args!(
            "{} actors in {}, none changed",
            actors.len(),
            folder.display()
        )),
        names => say(format_args!(
            "{} actors in {}, new or changed: {}",
            actors.len(),
            folder.display(),
            names.join(" ")
        )),
    }
    Ok(actors)
}

fn compile(layout: &Layout, toolchain: GuestToolchain) -> Result<Vec<Actor>> {
    let how = match toolchain {
        GuestToolchain::Rustup => "with this toolchain's wasm32-wasip2 target",
        GuestToolchain::Debian => {
            "with Debian's compiler; the first time its standard library is built too"
        }
    };
    say(format_args!("building the actors {how}"));
    let mut command = toolchain.build(layout)?;
    command
        .arg("--manifest-path")
        .arg(layout.actors_workspace())
        .arg("--target-dir")
        .arg(layout.guests())
        // Standard output lists what was built, exactly; errors stay readable.
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start cargo")?;
    let mut actors = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            actors.extend(artifacts(&line.context("cannot read cargo's output")?));
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("building the actors ended with {status}");
    }
    actors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(actors)
}

/// The actors that one line of cargo's output names.
fn artifacts(line: &str) -> Vec<Actor> {
    let Ok(message) = serde_json::from_str::<Value>(line) else {
        return Vec::new();
    };
    if message["reason"] != "compiler-artifact" {
        return Vec::new();
    }
    let files = message["filenames"].as_array().into_iter().flatten();
    files
        .filter_map(|file| {
            let built = PathBuf::from(file.as_str()?);
            let name = built.file_stem()?.to_str()?.to_owned();
            (built.extension()? == "wasm").then_some(Actor { name, built })
        })
        .collect()
}

/// Lays one actor in `target/actors` if it differs from what was laid there last.
fn lay(layout: &Layout, actor: &Actor) -> Result<bool> {
    let bytes =
        fs::read(&actor.built).with_context(|| format!("cannot read {}", actor.built.display()))?;
    if !bytes.starts_with(&COMPONENT) {
        bail!(
            "{} is not a component: was it built for another target?",
            actor.built.display()
        );
    }
    let laid = layout.laid(&actor.name);
    let place = layout.actor(&actor.name);
    if place.exists() && fs::read(&laid).is_ok_and(|before| before == bytes) {
        return Ok(false);
    }
    replace(&place, &bytes)?;
    // Last, so that a run cut off in between starts again.
    replace(&laid, &bytes)?;
    Ok(true)
}

/// Writes a whole file at once: a host that reads it sees the old or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(&beside, bytes).with_context(|| format!("cannot write {}", beside.display()))?;
    fs::rename(&beside, path).with_context(|| format!("cannot replace {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wasm_artifacts_are_actors() {
        let names = |line: &str| -> Vec<String> {
            artifacts(line)
                .into_iter()
                .map(|actor| actor.name)
                .collect()
        };
        let artifact = r#"{"reason":"compiler-artifact","fresh":true,
            "filenames":["/t/wasm32-wasip2/release/http_hello.wasm"]}"#
            .replace('\n', "");
        assert_eq!(names(&artifact), ["http_hello"]);
        let library = r#"{"reason":"compiler-artifact","filenames":["/t/libweb.rlib"]}"#;
        assert!(names(library).is_empty());
        assert!(names(r#"{"reason":"build-finished","success":true}"#).is_empty());
        assert!(names("no JSON").is_empty());
    }

    #[test]
    fn an_unchanged_actor_keeps_what_was_done_to_it() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::at(root.path());
        let built = root.path().join("a.wasm");
        let actor = Actor {
            name: "a".into(),
            built: built.clone(),
        };
        fs::write(&built, COMPONENT).unwrap();
        assert!(lay(&layout, &actor).unwrap());
        fs::write(layout.actor("a"), b"signed").unwrap();
        assert!(!lay(&layout, &actor).unwrap());
        assert_eq!(fs::read(layout.actor("a")).unwrap(), b"signed");

        let changed = [COMPONENT.as_slice(), b"more"].concat();
        fs::write(&built, &changed).unwrap();
        assert!(lay(&layout, &actor).unwrap());
        assert_eq!(fs::read(layout.actor("a")).unwrap(), changed);

        fs::remove_file(layout.actor("a")).unwrap();
        assert!(lay(&layout, &actor).unwrap());
    }

    #[test]
    fn a_core_module_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::at(root.path());
        let built = root.path().join("core.wasm");
        fs::write(&built, [0, b'a', b's', b'm', 1, 0, 0, 0]).unwrap();
        let actor = Actor {
            name: "core".into(),
            built,
        };
        let error = lay(&layout, &actor).unwrap_err();
        assert!(error.to_string().contains("is not a component"), "{error}");
        assert!(!layout.actor("core").exists());
    }
}
