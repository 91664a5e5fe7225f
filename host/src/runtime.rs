//! Runs actors: WebAssembly components, each call in an instance of its own.
//!
//! [`Runtime`] is made once a host; [`Runtime::load`] compiles a component (or finds it compiled) to a [`Module`];
//! [`Actor::start`] gives it an id, limits and links, and the [`Actor`] answers calls as a [`trellis_rpc::Handler`].
//!
//! - `machine`, `engine`, `ticker`, `fair`, `cache`: what all actors share.
//! - `module`, `interface`, `dynamic`: a component's imports and exports.
//! - `actor`, `gate`, `entered`, `instances`, `scope`, `state`, `failure`: one actor, one call, what it may use, how it fails.
//! - `local`: calls between actors of one host.
//! - `serve`: the calls that actors answer. `offer`: the interfaces that actors are offered. `http`: for both.

mod actor;
mod cache;
mod config;
mod describe;
mod dynamic;
mod engine;
mod entered;
mod error;
mod failure;
mod fair;
mod gate;
mod http;
mod instances;
mod interface;
mod local;
mod machine;
mod module;
mod offer;
mod output;
mod scope;
mod serve;
mod state;
mod ticker;

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use dashmap::DashMap;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use wasmtime::{Engine, component::Linker};

pub(crate) use actor::stopping;
pub use actor::{Actor, Counters};
pub use config::{ActorOptions, Limits, RuntimeConfig};
pub use describe::{Description, ExportDescription, FunctionDescription};
pub(crate) use entered::Entered;
pub use error::{LoadError, RuntimeError, StartError};
pub use instances::LiveInstance;
pub use local::{Local, LocalActors};
pub use module::Module;

use cache::{Cache, ContentHash};
use fair::Fair;
use instances::Kept;
use state::CallState;
use ticker::Ticker;

/// How many components are compiled at once; each compilation uses all processors by itself.
const COMPILATIONS: usize = 1;
/// The least number of modules at which those that are gone are looked for.
const TIDY_FROM: usize = 64;

/// What all actors of a host share.
pub struct Runtime {
    config: RuntimeConfig,
    engine: Engine,
    linker: Linker<CallState>,
    cache: Option<Cache>,
    ticker: Ticker,
    fair: Arc<Fair>,
    /// How many calls fit into the instance pool.
    calls: u32,
    /// A place for each of them.
    places: Arc<Semaphore>,
    /// How many calls wait for one.
    waiting: AtomicUsize,
    /// Actors whose instances may wait for calls in places that others need.
    keepers: Mutex<Vec<Weak<Kept>>>,
    compiling: Semaphore,
    loaded: DashMap<ContentHash, Weak<Module>>,
    /// At how many of them those that are gone are forgotten.
    tidy_at: AtomicUsize,
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
            fair: Fair::new(ticker.clock()),
            ticker,
            calls,
            places: Arc::new(Semaphore::new(calls as usize)),
            waiting: AtomicUsize::new(0),
            keepers: Mutex::default(),
            compiling: Semaphore::new(COMPILATIONS),
            loaded: DashMap::new(),
            tidy_at: AtomicUsize::new(TIDY_FROM),
        }))
    }

    /// Loads a component: from memory when it is loaded already, from the cache when it was compiled before, else by
    /// compiling it, which takes from tenths of a second to some seconds.
    ///
    /// # Errors
    /// [`LoadError`], which names what is wrong with the component.
    pub async fn load(self: &Arc<Self>, bytes: impl Into<Bytes>) -> Result<Arc<Module>, LoadError> {
        let bytes = bytes.into();
        let (runtime, binary) = (self.clone(), bytes.clone());
        let find = move || {
            let hash: ContentHash = Sha256::digest(&binary).into();
            Ok((hash, module::find(&runtime, &binary, &hash)?))
        };
        let hash = match blocking(find).await? {
            (_, Some(found)) => return Ok(found),
            (hash, None) => hash,
        };
        let _turn = self
            .compiling
            .acquire()
            .await
            .map_err(|_| LoadError::Cancelled)?;
        let runtime = self.clone();
        blocking(move || module::compile(&runtime, &bytes, &hash)).await
    }

    /// How many calls may run at once, all actors together: [`RuntimeConfig::max_calls`], or fewer where the machine has no
    /// room for so many.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// How many of them one actor may have, so that there is always room for another.
    fn calls_of_one(&self) -> usize {
        (self.calls - self.calls / 8) as usize
    }

    /// The settings it was made with.
    pub fn config(&self) -> &RuntimeConfig {
        &self.config
    }

    /// Takes note of an actor that keeps instances.
    fn add_keeper(&self, kept: &Arc<Kept>) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.retain(|kept| kept.strong_count() > 0);
        keepers.push(Arc::downgrade(kept));
    }

    /// Ends an instance that waits for a call, of whichever actor; says whether there was one.
    fn give_up_one(&self) -> bool {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        // The next time it is another's turn.
        let gave = keepers
            .iter()
            .position(|kept| kept.upgrade().is_some_and(|kept| kept.give_up_one()));
        if let Some(at) = gave {
            keepers.rotate_left(at + 1);
        }
        gave.is_some()
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
        // Those that no actor has any more are forgotten now and then, as looking for them takes longer the more there are.
        if self.loaded.len() >= self.tidy_at.load(Relaxed) {
            self.loaded.retain(|_, module| module.strong_count() > 0);
            self.tidy_at
                .store((self.loaded.len() * 2).max(TIDY_FROM), Relaxed);
        }
        self.loaded.insert(hash, Arc::downgrade(&module));
        module
    }
}

/// Does what blocks where it blocks nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| LoadError::Compile(format!("the compiler broke down: {error}")))?
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("config", &self.config)
            .field("loaded", &self.loaded.len())
            .finish_non_exhaustive()
    }
}
