//! Signing the finished actors with the development key, each once.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::guests::Actor;
use crate::layout::Layout;
use crate::process::{clean, run};
use crate::progress::say;

/// Signs the actors that are not signed yet, or were signed before the
/// development key was made.
pub fn all(layout: &Layout, actors: &[Actor]) -> Result<()> {
    let wanting: Vec<&Actor> = actors
        .iter()
        .filter(|actor| !signed(&layout.signed(&actor.name), layout))
        .collect();
    if wanting.is_empty() {
        say("all actors are signed with the development key");
        return Ok(());
    }
    say(format_args!(
        "signing {} actors with the development key: a host runs none without a signature",
        wanting.len()
    ));
    for actor in wanting {
        one(layout, actor)?;
    }
    Ok(())
}

fn one(layout: &Layout, actor: &Actor) -> Result<()> {
    let place = layout.actor(&actor.name);
    // Beside its place and then moved there: a host that reads the file while
    // it is being signed sees a whole one.
    let beside = place.with_extension("signing.wasm");
    fs::copy(layout.laid(&actor.name), &beside)
        .with_context(|| format!("cannot write {}", beside.display()))?;
    let mut sign = clean(layout.binary("trellis"));
    sign.current_dir(layout.root())
        .args(["sign", "--in-place", "--name"])
        .arg(actor.name.replace('_', "-"))
        .arg(&beside);
    run(&mut sign).with_context(|| format!("cannot sign {}", place.display()))?;
    fs::rename(&beside, &place).with_context(|| format!("cannot replace {}", place.display()))?;
    let mark = layout.signed(&actor.name);
    fs::create_dir_all(layout.guests().join("signed"))?;
    fs::write(&mark, "").with_context(|| format!("cannot write {}", mark.display()))
}

/// Whether the mark of a signature is there and as new as the key.
fn signed(mark: &Path, layout: &Layout) -> bool {
    let changed = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    match (changed(mark), changed(&layout.development_key())) {
        (Some(mark), Some(key)) => mark >= key,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_wants_new_signatures() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::at(root.path());
        let mark = layout.signed("a");
        let key = layout.development_key();
        for path in [&mark, &key] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        assert!(!signed(&mark, &layout), "neither key nor mark");
        fs::write(&mark, "").unwrap();
        assert!(!signed(&mark, &layout), "the key is gone");
        let age = |path: &Path, seconds| {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        };
        fs::write(&key, "").unwrap();
        age(&key, 1_000);
        age(&mark, 2_000);
        assert!(signed(&mark, &layout));
        age(&key, 3_000);
        assert!(!signed(&mark, &layout), "another key since");
    }
}
