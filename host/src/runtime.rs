//! Runs actors: WebAssembly components, each call in an instance of its own.
//!
//! [`Runtime`] is made once a host; [`Runtime::load`] compiles a component (or finds it compiled) to a [`Module`];
//! [`Actor::start`] gives it an id, limits and links, and the [`Actor`] answers calls as a [`trellis_rpc::Handler`].
//!
//! - `engine`, `ticker`, `cache`: what all actors share.
//! - `module`, `interface`, `dynamic`: a component's imports and exports.
//! - `actor`, `gate`, `scope`, `state`, `failure`: one actor, one call, what it may use, how it fails.
//! - `stats`: how its calls went.
//! - `local`: calls between actors of one host.
//! - `serve`: the calls that actors answer. `offer`: the interfaces that actors are offered. `http`: for both.

mod actor;
mod cache;
mod config;
mod describe;
mod dynamic;
mod engine;
mod error;
mod failure;
mod gate;
mod http;
mod interface;
mod local;
mod module;
mod offer;
mod output;
mod scope;
mod serve;
mod state;
mod stats;
mod ticker;

use std::sync::{Arc, Weak};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::Semaphore;
use wasmtime::{Engine, component::Linker};

pub use actor::{Actor, Counters};
pub(crate) use actor::{Entered, stopping};
pub use config::{ActorOptions, Limits, RuntimeConfig};
pub use describe::{Description, ExportDescription, FunctionDescription};
pub use error::{LoadError, RuntimeError, StartError};
pub use local::LocalActors;
pub use module::Module;
pub(crate) use stats::Present;
pub use stats::Stats;

use cache::{Cache, ContentHash};
use state::CallState;
use ticker::Ticker;

/// How many components are compiled at once; each compilation uses all processors by itself.
const COMPILATIONS: usize = 1;

/// What all actors of a host share.
pub struct Runtime {
    config: RuntimeConfig,
    engine: Engine,
    linker: Linker<CallState>,
    cache: Option<Cache>,
    ticker: Ticker,
    /// A place for each call that fits into the instance pool.
    places: Arc<Semaphore>,
    compiling: Semaphore,
    loaded: DashMap<ContentHash, Weak<Module>>,
}

impl Runtime {
    /// Makes a runtime.
    ///
    /// # Errors
    /// [`RuntimeError`]: a setting that cannot be, a cache folder that others could write to, or no thread to be had.
    pub fn new(config: RuntimeConfig) -> Result<Arc<Self>, RuntimeError> {
        let engine::Pool { engine, calls } = engine::build(&config)?;
        let cache = match &config.cache_dir {
            Some(folder) => Some(Cache::open(folder, config.cache_bytes, &engine)?),
            None => None,
        };
        let linker =
            offer::linker(&engine).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let ticker = Ticker::start(&engine, config.tick)
            .map_err(|error| RuntimeError::Engine(format!("no thread for the ticker: {error}")))?;
        Ok(Arc::new(Self {
            config,
            engine,
            linker,
            cache,
            ticker,
            places: Arc::new(Semaphore::new(calls as usize)),
            compiling: Semaphore::new(COMPILATIONS),
            loaded: DashMap::new(),
        }))
    }

    /// Loads a component: from memory when it is loaded already, from the cache when it was compiled before, else by
    /// compiling it, which takes from tenths of a second to some seconds.
    ///
    /// # Errors
    /// [`LoadError`], which names what is wrong with the component.
    pub async fn load(self: &Arc<Self>, bytes: impl Into<Bytes>) -> Result<Arc<Module>, LoadError> {
        let bytes = bytes.into();
        let _turn = self
            .compiling
            .acquire()
            .await
            .map_err(|_| LoadError::Cancelled)?;
        let runtime = self.clone();
        tokio::task::spawn_blocking(move || module::load(&runtime, &bytes))
            .await
            .map_err(|error| LoadError::Compile(format!("the compiler broke down: {error}")))?
    }

    /// The settings it was made with.
    pub fn config(&self) -> &RuntimeConfig {
        &self.config
    }

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn linker(&self) -> &Linker<CallState> {
        &self.linker
    }

    fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// The module of those bytes, if some actor still has it.
    fn loaded(&self, hash: &ContentHash) -> Option<Arc<Module>> {
        self.loaded.get(hash)?.upgrade()
    }

    /// Remembers a module for as long as some actor has it.
    fn keep_loaded(&self, hash: ContentHash, module: Arc<Module>) -> Arc<Module> {
        self.loaded.retain(|_, module| module.strong_count() > 0);
        self.loaded.insert(hash, Arc::downgrade(&module));
        module
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("config", &self.config)
            .field("loaded", &self.loaded.len())
            .finish_non_exhaustive()
    }
}
