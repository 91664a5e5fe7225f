//! `cargo xtask up`: from a clean clone to an application that answers.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::layout::Layout;
use crate::process::{clean, with_programs};
use crate::progress::say;
use crate::{build, guests, setup, sign};

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask up\n  \
    cargo xtask up --app examples/http-counter/app.yaml\n  \
    cargo xtask up -- --pops fra,iad,sin\n  \
    cargo xtask up -- --help")]
pub struct Up {
    /// The application's manifest [default: examples/http-counter/app.yaml, or examples/pops/app.yaml with `-- --pops`]
    #[arg(long)]
    app: Option<PathBuf>,
    /// Further arguments for `trellis up`
    #[arg(last = true)]
    args: Vec<String>,
}

impl Up {
    /// Returns only if something fails: at the end this process becomes
    /// `trellis up`, so that Ctrl-C reaches it and its exit code is the answer.
    pub fn run(self, layout: &Layout) -> Result<()> {
        let nats_server = setup::nats_server(layout)?;
        let toolchain = setup::guest_toolchain(layout)?;
        let actors = guests::build(layout, &toolchain)?;
        say("building trellis; the first time this takes some minutes");
        build::trellis(layout)?;
        sign::all(layout, &actors)?;

        let app = self.app.unwrap_or_else(|| default_app(&self.args).into());
        let mut up = clean(layout.binary("trellis"));
        up.current_dir(layout.root())
            .arg("up")
            .arg("--app")
            .arg(&app)
            .args(&self.args);
        with_programs(&mut up, layout, &nats_server)?;
        say(format_args!("starting trellis up --app {}", app.display()));
        Err(up.exec())
            .with_context(|| format!("cannot start {}", layout.binary("trellis").display()))
    }
}

/// One application is for one place, the other for many.
fn default_app(args: &[String]) -> &'static str {
    let many = args
        .iter()
        .any(|arg| arg == "--pops" || arg.starts_with("--pops="));
    if many {
        "examples/pops/app.yaml"
    } else {
        "examples/http-counter/app.yaml"
    }
}
