//! What a call from an actor to another on the same host takes, the callee's fresh instance included: with its values
//! handed over as they are, in the wire's encoding, and beside the same component instantiated and called by plain
//! wasmtime. The caller measures; no server is needed. For profiling; `cargo xtask bench` measures whole hosts.
//!
//! `cargo run --release -p trellis-host --example in_process -- target/actors [ROUNDS]`
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use futures::{FutureExt as _, future::BoxFuture};
use tokio_util::sync::CancellationToken;
use trellis_host::{
    links::{LinkTable, Routes},
    runtime::{Actor, ActorOptions, Limits, Local, LocalActors, Runtime, RuntimeConfig},
};
use trellis_lattice::{ComponentId, Link};
use trellis_rpc::{
    Call, CallContext, CallError, Channels, Handler as _, Incoming, IncomingCall, Operation, Route,
    RouteKind,
    codec::{from_bytes, to_bytes},
};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{Component, ComponentExportIndex, InstancePre, Linker, ResourceTable, Val},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The interface that the actors call each other by.
const INTERFACE: &str = "trellis:test/relay@0.1.0";
/// Calls of one round; the first are not counted.
const CALLS: u32 = 20_000;
const UNCOUNTED: u32 = 2_000;

/// What an instance of plain wasmtime leaves in its slot to be wiped, rather than have the kernel do it: as ours.
const KEEP_BYTES: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let actors = arguments
        .next()
        .context("which folder are the actors in?")?;
    let rounds: u32 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let wasm = fs::read(Path::new(&actors).join("relay.wasm"))?;
    let values = Pair::start(&wasm, true).await?;
    let wired = Pair::start(&wasm, false).await?;
    let bare = Bare::new(&wasm)?;
    for (what, timed, function, params) in [
        (
            "two numbers",
            "time-adds",
            "add",
            vec![Val::U32(1), Val::U32(1)],
        ),
        ("a record of texts", "time-raises", "raise", vec![note()]),
    ] {
        let export = bare.export(function)?;
        for _ in 0..rounds {
            println!(
                "{what}: {:.2} us, encoded {:.2} us, plain wasmtime {:.2} us",
                median(values.time(timed).await?),
                median(wired.time(timed).await?),
                median(bare.time(&export, &params).await?),
            );
        }
    }
    Ok(())
}

/// The median of those that count, in microseconds.
fn median(mut nanos: Vec<u64>) -> f64 {
    nanos.drain(..nanos.len().min(UNCOUNTED as usize));
    nanos.sort_unstable();
    nanos.get(nanos.len() / 2).copied().unwrap_or_default() as f64 / 1000.0
}

fn note() -> Val {
    let text = |text: &str| Val::String(text.to_owned());
    Val::Record(vec![
        ("title".to_owned(), text("A note of some length")),
        (
            "tags".to_owned(),
            Val::List(["edge", "actor", "lattice"].map(text).to_vec()),
        ),
        ("level".to_owned(), Val::U32(1)),
    ])
}

/// Two actors, the first linked to the second.
struct Pair {
    caller: Arc<Actor>,
    _callee: Arc<Actor>,
}

impl Pair {
    async fn start(wasm: &[u8], as_they_are: bool) -> Result<Self> {
        let runtime = Runtime::new(RuntimeConfig::default())?;
        let module = runtime.load(wasm.to_vec()).await?;
        let locals = Arc::new(LocalActors::default());
        let routes = Here {
            locals: locals.clone(),
            as_they_are,
        };
        let links = Arc::new(LinkTable::new(Arc::new(routes)));
        let start = |name: &str| -> Result<Arc<Actor>> {
            let options = ActorOptions {
                id: ComponentId::new(name)?,
                max_instances: 16,
                limits: Limits::default(),
                config: BTreeMap::new(),
                links: links.clone(),
            };
            let actor = Actor::start(&runtime, &module, options)?;
            locals.add(&actor);
            Ok(actor)
        };
        let (caller, callee) = (start("caller")?, start("callee")?);
        let link = Link {
            source_id: caller.id().clone(),
            target: callee.id().clone(),
            name: "default".parse()?,
            wit_namespace: "trellis".to_owned(),
            wit_package: "test".to_owned(),
            interfaces: vec!["relay".to_owned()],
            source_config: vec![],
            target_config: vec![],
        };
        links.set_links(caller.id(), &[link]);
        Ok(Self {
            caller,
            _callee: callee,
        })
    }

    /// How long each call took, in nanoseconds.
    async fn time(&self, function: &str) -> Result<Vec<u64>> {
        let call = IncomingCall {
            operation: Operation::new(INTERFACE, function),
            context: CallContext::default(),
            params: Incoming {
                root: to_bytes(&CALLS),
                channels: Channels::none(),
            },
            cancelled: CancellationToken::new(),
        };
        let answer = self.caller.clone().handle(call).await?;
        Ok(from_bytes(answer.root)?)
    }
}

/// Everything is on this host.
struct Here {
    locals: Arc<LocalActors>,
    as_they_are: bool,
}

impl Routes for Here {
    fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        self.locals.route(target, Arc::new(Nowhere(target.clone())))
    }

    fn place(&self, target: &ComponentId) -> Option<Arc<Local>> {
        self.as_they_are.then(|| self.locals.place(target))
    }
}

#[derive(Debug)]
struct Nowhere(ComponentId);

impl Route for Nowhere {
    fn call(&self, _: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        let target = self.0.to_string();
        async { Err(CallError::NoResponder { target }) }.boxed()
    }

    fn kind(&self) -> RouteKind {
        RouteKind::Nats
    }
}

/// Plain wasmtime with pooled instances of the same settings and nothing else: no limits, no clock, no deadline.
struct Bare {
    pre: InstancePre<State>,
    component: Component,
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl Bare {
    fn new(wasm: &[u8]) -> Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.pagemap_scan(Enabled::Auto)
            .linear_memory_keep_resident(KEEP_BYTES)
            .table_keep_resident(KEEP_BYTES);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let error = |error: wasmtime::Error| anyhow!("{error:#}");
        let engine = Engine::new(&config).map_err(error)?;
        let component = Component::new(&engine, wasm).map_err(error)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(error)?;
        linker
            .define_unknown_imports_as_traps(&component)
            .map_err(error)?;
        let pre = linker.instantiate_pre(&component).map_err(error)?;
        Ok(Self { pre, component })
    }

    fn export(&self, function: &str) -> Result<ComponentExportIndex> {
        self.component
            .get_export_index(None, INTERFACE)
            .and_then(|interface| self.component.get_export_index(Some(&interface), function))
            .with_context(|| format!("no {function} in {INTERFACE}"))
    }

    /// How long each call took, in nanoseconds.
    async fn time(&self, export: &ComponentExportIndex, params: &[Val]) -> Result<Vec<u64>> {
        let mut nanos = Vec::new();
        for _ in 0..CALLS {
            let began = Instant::now();
            let answer = self.call(export, params).await;
            nanos.push(u64::try_from(began.elapsed().as_nanos())?);
            ensure!(answer.map_err(|error| anyhow!("{error:#}"))? != Val::Bool(false));
        }
        Ok(nanos)
    }

    async fn call(&self, export: &ComponentExportIndex, params: &[Val]) -> wasmtime::Result<Val> {
        let state = State {
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(self.pre.engine(), state);
        let instance = self.pre.instantiate_async(&mut store).await?;
        let func = instance
            .get_func(&mut store, export)
            .context("the export is not in the instance")
            .map_err(|error| wasmtime::format_err!("{error}"))?;
        let mut results = [Val::Bool(false)];
        func.call_async(&mut store, params, &mut results).await?;
        let [result] = results;
        Ok(result)
    }
}
