//! wasmtime with its own WASI and nothing of ours: what an instance costs at least.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{
        Component, ComponentExportIndex, InstancePre, Linker, ResourceTable, ResourceType,
        types::ComponentItem,
    },
};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p2::DynInputStream};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// What its figures stand under.
pub const NAME: &str = "wasmtime with WASI alone";

/// A component, ready to be instantiated.
pub struct Plain {
    engine: Engine,
    pre: InstancePre<State>,
    /// The function of the relay actor, where it is that.
    add: Option<ComponentExportIndex>,
}

struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    no_way_out: NoWayOut,
}

impl Plain {
    /// Compiles a component; what it imports beside WASI traps.
    ///
    /// # Errors
    /// It is none, or there is no address space for pooled instances.
    pub fn load(component: &[u8]) -> Result<Self> {
        Self::compile(component).map_err(told)
    }

    /// Makes an instance; how long it took.
    ///
    /// # Errors
    /// The pool is full.
    pub async fn instantiate(&self) -> Result<Duration> {
        let begun = Instant::now();
        let mut store = self.store();
        let instance = self.pre.instantiate_async(&mut store).await;
        instance.map_err(told)?;
        Ok(begun.elapsed())
    }

    /// Calls `add` of an instance of its own, as calls of an actor are answered; how long it took.
    ///
    /// # Errors
    /// It has no such function.
    pub async fn add(&self) -> Result<Duration> {
        let begun = Instant::now();
        let mut store = self.store();
        let instance = self.pre.instantiate_async(&mut store).await.map_err(told)?;
        let add = self.add.as_ref().context("it has no `add`")?;
        let add = instance
            .get_typed_func::<(u32, u32), (u32,)>(&mut store, add)
            .map_err(told)?;
        add.call_async(&mut store, (1, 2)).await.map_err(told)?;
        drop(store);
        Ok(begun.elapsed())
    }

    fn compile(component: &[u8]) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(
                PoolingAllocationConfig::new(),
            ));
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        let component = Component::new(&engine, component)?;
        let interface = component.get_export_index(None, "trellis:test/relay@0.1.0");
        let add = interface.and_then(|of| component.get_export_index(Some(&of), "add"));
        others_trap(&engine, &component, &mut linker)?;
        let pre = linker.instantiate_pre(&component)?;
        Ok(Self { engine, pre, add })
    }

    fn store(&self) -> Store<State> {
        let state = State {
            table: ResourceTable::new(),
            wasi: WasiCtxBuilder::new().build(),
            http: WasiHttpCtx::new(),
            no_way_out: NoWayOut,
        };
        let mut store = Store::new(&self.engine, state);
        store.set_epoch_deadline(u64::MAX / 2);
        store
    }
}

/// Has every function that is not WASI's trap. (`define_unknown_imports_as_traps` takes versions of WASI for unknown that the
/// linker would have answered with a later one.)
fn others_trap(
    engine: &Engine,
    component: &Component,
    linker: &mut Linker<State>,
) -> wasmtime::Result<()> {
    let ty = component.component_type();
    for (name, item) in ty.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        if name.starts_with("wasi:") {
            continue;
        }
        let mut traps = linker.instance(name)?;
        for (function, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let missing = format!("{name}: {function}");
                    traps.func_new(function, move |_, _, _, _| {
                        Err(wasmtime::Error::msg(format!("nothing answers {missing}")))
                    })?;
                }
                ComponentItem::Resource(_) => {
                    // One that it takes over from WASI is WASI's.
                    let resource = match function {
                        "input-stream" => ResourceType::host::<DynInputStream>(),
                        _ => ResourceType::host::<()>(),
                    };
                    traps.resource(function, resource, |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.no_way_out,
        }
    }
}

/// Sends no request.
struct NoWayOut;

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for NoWayOut {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

fn told(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}
