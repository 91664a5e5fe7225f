//! What a store holds for one instance of an actor.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, Store, UpdateDeadline, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::{
    actor::Shared,
    dynamic::handles::Handles,
    output::{Kind, Output},
    scope::Scope,
};

/// How much host memory one crossing of values may take (wasmtime charges each value's size).
const HOSTCALL_FUEL: usize = 256 << 20;
/// How many resources of this runtime (bodies, streams, buckets) one instance may hold.
const MAX_RESOURCES: usize = 10_000;
/// How many random bytes a guest may ask for at once.
const MAX_RANDOM_BYTES: u64 = 1 << 20;
/// Elements that all tables of an instance may grow to, together.
const MAX_TABLE_ELEMENTS: usize = 200_000;

/// The state of one instance.
pub(super) struct CallState {
    pub(super) scope: Scope,
    pub(super) table: ResourceTable,
    pub(super) handles: Handles,
    pub(super) quota: Quota,
    stdout: Output,
    pub(super) stderr: Output,
    /// Ticks of computing that are left, once streaming began.
    ticks_left: Option<u64>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
}

/// A store for one instance, with all of its limits in place.
pub(super) fn new_store(scope: Scope, handles: Handles) -> Store<CallState> {
    let actor = &scope.actor;
    let engine = actor.runtime.engine().clone();
    let quota = Quota {
        bytes_left: actor.limits.memory_bytes,
        limit: actor.limits.memory_bytes,
        elements: 0,
        refused: None,
    };
    let stdout = Output::new(&actor.id, Kind::Stdout);
    let stderr = Output::new(&actor.id, Kind::Stderr);
    let mut wasi = WasiCtxBuilder::new();
    // No environment, arguments, folders or sockets: the builder grants nothing unless told so.
    wasi.stdout(stdout.clone())
        .stderr(stderr.clone())
        .max_random_size(MAX_RANDOM_BYTES);
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_RESOURCES);
    let state = CallState {
        scope,
        table,
        handles,
        quota,
        stdout,
        stderr,
        ticks_left: None,
        wasi: wasi.build(),
        http: WasiHttpCtx::new(),
    };
    let mut store = Store::new(&engine, state);
    store.set_hostcall_fuel(HOSTCALL_FUEL);
    store.limiter(|state| &mut state.quota);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| Ok(store.data_mut().tick()));
    store
}

impl CallState {
    /// Makes it ready for another call: all that was the last one's is forgotten.
    pub(super) fn renew(&mut self, scope: Scope) {
        self.scope = scope;
        self.ticks_left = None;
        self.quota.refused = None;
        self.stdout.renew();
        self.stderr.renew();
    }

    /// Called each tick while the guest computes: ends it when its time is over, else lets others run.
    fn tick(&mut self) -> UpdateDeadline {
        let over = std::time::Instant::now() >= self.scope.deadline();
        if over || (self.scope.is_streaming() && self.count_tick() == 0) {
            return UpdateDeadline::Interrupt;
        }
        let actor = &self.scope.actor;
        self.scope.slice.stop();
        actor
            .share
            .ticked(actor.runtime.ticker.clock_ticks(), actor.counters.calls());
        UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
    }

    /// While streaming, waiting for a slow reader is no fault, but computing has the call's deadline for its bound.
    fn count_tick(&mut self) -> u64 {
        let actor = &self.scope.actor;
        let all =
            actor.limits.call_deadline.as_nanos() / actor.runtime.config().tick.as_nanos().max(1);
        let left = self
            .ticks_left
            .get_or_insert(u64::try_from(all).unwrap_or(u64::MAX));
        *left = left.saturating_sub(1);
        *left
    }

    /// The actor that this is an instance of.
    pub(super) fn actor(&self) -> &Arc<Shared> {
        &self.scope.actor
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.scope,
        }
    }
}

/// What an instance may take of memory, all its memories together.
pub(super) struct Quota {
    bytes_left: usize,
    limit: usize,
    elements: usize,
    /// What it asked for in vain.
    refused: Option<usize>,
}

impl Quota {
    /// How many bytes its memories have.
    pub(super) fn used(&self) -> usize {
        self.limit - self.bytes_left
    }

    /// What to say of a failure when memory was refused before it.
    pub(super) fn explanation(&self) -> Option<String> {
        let asked = self.refused?;
        Some(format!(
            "it asked for {asked} bytes of memory beyond its limit of {} bytes",
            self.limit
        ))
    }
}

impl ResourceLimiter for Quota {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        match self.bytes_left.checked_sub(more) {
            Some(left) => {
                self.bytes_left = left;
                Ok(true)
            }
            None => {
                self.refused = Some(more);
                Ok(false)
            }
        }
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.elements = self
            .elements
            .saturating_add(desired.saturating_sub(current));
        Ok(self.elements <= MAX_TABLE_ELEMENTS)
    }
}
