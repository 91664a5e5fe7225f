//! Signing the finished actors with the development key.

use std::process::Stdio;

use anyhow::{Context, Result};

use crate::guests::Actor;
use crate::layout::Layout;
use crate::process::{clean, run};
use crate::progress::say;

/// Signs the actors in their places. Those that carry the same claims already
/// stay as they are, byte for byte, so a host finds them compiled in its cache.
pub fn all(layout: &Layout, actors: &[Actor]) -> Result<()> {
    say(format_args!(
        "signing {} actors with the development key (of itself a host refuses unsigned ones; up runs them with a warning)",
        actors.len()
    ));
    let mut sign = clean(layout.binary("trellis"));
    sign.current_dir(layout.root())
        .args(["sign", "--in-place"])
        .args(actors.iter().map(|actor| layout.actor(&actor.name)))
        // One line a file, of interest only to who signs by hand.
        .stdout(Stdio::null());
    run(&mut sign).context("cannot sign the actors")
}
