//! `wasmtime serve`, where wasmtime is installed: the same component with a server around it and nothing else.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use trellis_tests::{actors, port, process::Process};

use crate::{load, machine};

/// What its figures stand under.
pub const NAME: &str = "wasmtime serve";
/// Names another program than the one on `PATH`.
const VARIABLE: &str = "TRELLIS_WASMTIME";

/// A running one.
#[derive(Debug)]
pub struct WasmtimeServe {
    /// Where it listens.
    pub at: SocketAddr,
    /// Its process.
    pub process: Process,
}

impl WasmtimeServe {
    /// Serves a built actor and waits until it answers; `None` where there is no wasmtime.
    ///
    /// # Errors
    /// It is there and does not start or answer.
    pub async fn start(directory: &Path, actor: &str, arguments: &[&str]) -> Result<Option<Self>> {
        if version().is_none() {
            return Ok(None);
        }
        let component = directory.join(format!("{actor}.served.wasm"));
        fs::write(&component, actors::built(actor)?)?;
        let at = SocketAddr::from(([127, 0, 0, 1], port::free()?));
        let mut command = Command::new(program());
        // Its defaults: pooled instances, a fresh one for each request. A component for wasm32-wasip2 imports of
        // `wasi:cli` what its standard library does.
        command
            .args(["serve", "-Scli", "--addr", &at.to_string()])
            .args(arguments)
            .arg(&component);
        let process = Process::start(&format!("wasmtime-{}", at.port()), directory, command)?;
        load::first_answer(at, "/")
            .await
            .with_context(|| process.output())?;
        Ok(Some(Self { at, process }))
    }
}

/// Its version, where it is there.
pub fn version() -> Option<String> {
    machine::version(Command::new(program()).arg("--version"))
}

fn program() -> PathBuf {
    env::var_os(VARIABLE).map_or_else(|| "wasmtime".into(), PathBuf::from)
}
