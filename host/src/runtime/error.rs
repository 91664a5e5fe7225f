//! Why a runtime, a component or an actor cannot be had.

use std::path::PathBuf;

/// The runtime cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A setting that cannot be.
    #[error("runtime setting `{setting}` {problem}")]
    Setting {
        /// The field of [`RuntimeConfig`](super::RuntimeConfig).
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The compilation engine refused the machine or the settings.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// The machine has no room for running actors; says what bounds it and what to raise.
    #[error("no room for a pool of instances: {0}")]
    Pool(String),
    /// The folder for compiled actors cannot be used.
    #[error("cache folder {}: {problem}", path.display())]
    Cache {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// A component cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Not WebAssembly at all.
    #[error("not WebAssembly: the file begins with {found}, a component with 00 61 73 6d")]
    NotWasm {
        /// The first bytes, in hexadecimal.
        found: String,
    },
    /// WebAssembly, but a core module.
    #[error(
        "a core WebAssembly module, not a component: build for the target wasm32-wasip2 (or wrap it with `wasm-tools component new`)"
    )]
    CoreModule,
    /// Larger than [`RuntimeConfig::max_component_bytes`](super::RuntimeConfig::max_component_bytes).
    #[error("the component has {bytes} bytes, more than the {limit} that this host takes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The binary is broken, or uses a WebAssembly feature that is not supported.
    #[error("invalid component: {0}")]
    Invalid(String),
    /// An import that no link could ever serve.
    #[error("import {import}: {why}")]
    Import {
        /// The import's name.
        import: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// An export that nobody could ever call.
    #[error("export {export}: {why}")]
    Export {
        /// The export's name.
        export: String,
        /// What is wrong with it.
        why: String,
    },
    /// The machine has no room for the component's code.
    #[error("no room for another component's code: {0}")]
    NoRoom(String),
    /// The compiler gave up.
    #[error("compilation failed: {0}")]
    Compile(String),
    /// The work was cut off because the host ends.
    #[error("cancelled: the host is stopping")]
    Cancelled,
}

/// An actor cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// [`ActorOptions::max_instances`](super::ActorOptions::max_instances) is 0.
    #[error("{id:?}: max_instances is 0: give it at least 1, or stop the actor instead")]
    NoInstances {
        /// The actor.
        id: String,
    },
    /// A limit that this runtime cannot grant.
    #[error("{id:?}: limit `{limit}` is {asked}, outside of what this host grants ({granted})")]
    Limit {
        /// The actor.
        id: String,
        /// The field of [`Limits`](super::Limits).
        limit: &'static str,
        /// What was asked for.
        asked: String,
        /// What can be had.
        granted: String,
    },
}
