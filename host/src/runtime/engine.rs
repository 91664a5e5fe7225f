//! The compilation engine: pooled instances, copy-on-write memory images, interruption.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
};

use super::{
    RuntimeConfig,
    error::RuntimeError,
    machine::{Bound, Machine, has_address_space, raise_open_files},
};

/// What a guest may use of its stack; the rest of [`STACK_BYTES`] is for host functions that it calls.
const WASM_STACK_BYTES: usize = 1 << 20;
/// The stack of one running call, of address space; only what is touched takes memory.
const STACK_BYTES: usize = 2 << 20;
/// A component has core instances beside its main one: shims and adapters, three as a rule.
const CORE_INSTANCES_PER_CALL: u32 = 4;
/// Tables of those: the main module's and the shim's.
const TABLES_PER_CALL: u32 = 2;
/// Memories: one, and a second for components made of two.
const MEMORIES_PER_COMPONENT: u32 = 4;
/// Elements of one table. A guest of many megabytes has some ten thousand functions.
const TABLE_ELEMENTS: usize = 100_000;
/// Memory that an instance leaves behind in its slot, to be wiped rather than given back: saves page faults.
const KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// The same of its memory: only pages that it wrote to are wiped, where the kernel can tell which they are.
const KEEP_MEMORY_BYTES: usize = 1 << 20;

/// Address space of one memory slot with its guard (wasmtime's own defaults, which spare bounds checks), and of a stack and
/// tables.
const ADDRESSES_PER_CALL: u64 = (4 << 30) + (64 << 20);
/// A host with fewer open files hardly holds the actors that its memory would.
const FEW_FILES: u64 = 4096;

/// An engine, and how many instances it holds at once.
pub(super) struct Pool {
    pub(super) engine: Engine,
    /// How many calls fit: the configured number, or less where the machine grants less.
    pub(super) calls: u32,
}

/// Makes the engine, with a pool as large as the machine grants. Where no address space for a pool can be had (small boards,
/// `ulimit -v`), does without: slower, but it serves.
///
/// # Errors
/// A setting that cannot be, or a machine without room for any calls; the error says what to raise.
pub(super) fn build(config: &RuntimeConfig) -> Result<Pool, RuntimeError> {
    check(config)?;
    let wished = config.max_calls;
    let granted = Machine::look().calls(wished);
    let (calls, bound) = granted.map_err(|bound| RuntimeError::Pool(bound.to_string()))?;
    if let Some(bound) = bound {
        tracing::warn!(
            wished,
            calls,
            "room for fewer calls at once than wished for: {bound}"
        );
    }
    if let Some(files) = raise_open_files().filter(|files| *files < FEW_FILES) {
        tracing::warn!(
            files,
            "few files may be open at once, and each loaded actor keeps one open: raise the limit (`ulimit -n`, or LimitNOFILE of the service)"
        );
    }
    let calls = match with_address_space(calls) {
        Some(calls) => calls,
        None => return on_demand(calls, "no address space for a pool of instances"),
    };
    match Engine::new(&pooled(config, calls)) {
        Ok(engine) => Ok(Pool { engine, calls }),
        Err(error) => on_demand(calls, &first_line(&error)),
    }
}

/// How many calls' pool the address space holds.
fn with_address_space(calls: u32) -> Option<u32> {
    let mut fits = calls;
    while !has_address_space(u64::from(fits) * ADDRESSES_PER_CALL) {
        fits /= 2;
        if fits == 0 {
            return None;
        }
    }
    if fits < calls {
        let needed = u64::from(calls) * ADDRESSES_PER_CALL;
        let bound = Bound::AddressSpace { needed };
        tracing::warn!(
            wished = calls,
            calls = fits,
            "room for fewer calls at once than wished for: {bound}"
        );
    }
    Some(fits)
}

fn on_demand(calls: u32, why: &str) -> Result<Pool, RuntimeError> {
    tracing::warn!(
        why,
        "no pooled instances: each call makes its own memory, which is slower"
    );
    let engine =
        Engine::new(&common()).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
    Ok(Pool { engine, calls })
}

/// Refuses settings that would fail later and less clearly.
fn check(config: &RuntimeConfig) -> Result<(), RuntimeError> {
    let refuse = |setting, problem: String| Err(RuntimeError::Setting { setting, problem });
    if config.max_calls == 0 {
        return refuse("max_calls", "is 0: no actor could ever run".into());
    }
    if config.max_memory_bytes < 1 << 20 || config.max_memory_bytes > 4 << 30 {
        return refuse(
            "max_memory_bytes",
            format!(
                "is {}, not between 1 MiB and 4 GiB",
                config.max_memory_bytes
            ),
        );
    }
    if config.tick.is_zero() || config.tick > std::time::Duration::from_secs(1) {
        return refuse(
            "tick",
            format!("is {:?}, not between 1 ns and 1 s", config.tick),
        );
    }
    Ok(())
}

/// What holds with and without a pool.
fn common() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(STACK_BYTES)
        // Actors of different owners follow each other on a stack: none sees what another left.
        .async_stack_zeroing(true)
        .cranelift_opt_level(OptLevel::Speed)
        // Backtraces go by frame pointers; the unwinder's tables cost start time and memory for each actor.
        .native_unwind_info(false)
        .memory_init_cow(true);
    config
}

fn pooled(settings: &RuntimeConfig, calls: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(CORE_INSTANCES_PER_CALL))
        .total_memories(calls)
        .total_tables(calls.saturating_mul(TABLES_PER_CALL))
        .total_stacks(calls)
        .max_memory_size(settings.max_memory_bytes)
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_core_instances_per_component(64)
        .max_tables_per_component(64)
        .max_tables_per_module(4)
        .table_elements(TABLE_ELEMENTS)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(KEEP_MEMORY_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(KEEP_RESIDENT_BYTES);
    let mut config = common();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// An error without the chain below it, for logs.
fn first_line(error: &wasmtime::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
