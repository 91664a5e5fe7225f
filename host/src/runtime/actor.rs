//! A running actor: a module with an id, limits, configuration and links. It answers calls.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trellis_lattice::{ComponentId, LinkName};
use trellis_rpc::{
    CallError, Handler, IncomingCall, Outgoing,
    stats::{self, Stats},
};

use super::{
    ActorOptions, Description, Limits, Module, Runtime, StartError,
    dynamic::{binding::Bindings, handles::Released},
    entered::Entered,
    failure::millis,
    fair::{self, Share, Slice},
    gate::{Gate, Place},
    instances::Kept,
    interface::Typed,
    module::Answers,
    scope::Scope,
    serve::{self, Answered},
    ticker::Running,
};
use crate::links::{LinkTable, Slot, SlotKey};

/// How long a call may wait for a place among all the host's calls, once it has one among its actor's.
const POOL_WAIT: Duration = Duration::from_secs(5);

/// A running actor.
pub struct Actor {
    pub(super) shared: Arc<Shared>,
    gate: Arc<Gate>,
    pub(super) kept: Arc<Kept>,
    pub(super) owners: serve::owners::Owners,
    /// Calls, and what goes on after they were answered: bodies being streamed, owners being told of dropped resources.
    tasks: TaskTracker,
    stopped: CancellationToken,
}

/// What every call of an actor needs.
pub(super) struct Shared {
    pub(super) id: ComponentId,
    pub(super) runtime: Arc<Runtime>,
    pub(super) module: Arc<Module>,
    pub(super) limits: Limits,
    pub(super) config: ArcSwap<BTreeMap<String, String>>,
    pub(super) links: Arc<LinkTable>,
    /// Where imports lead: first the typed ones ([`Typed`]), then the module's dynamic ones in their order.
    pub(super) slots: Vec<Arc<Slot>>,
    /// How dynamic imports reach actors of this host.
    pub(super) bindings: Bindings,
    pub(super) share: Arc<Share>,
    pub(super) counters: Counts,
    pub(super) stats: Arc<Stats>,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) calls: AtomicU64,
    pub(super) failed: AtomicU64,
    traps: AtomicU64,
    in_flight: AtomicUsize,
}

/// What an actor has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that were begun, those that found no place among them.
    pub calls: u64,
    /// Calls that ended with an error.
    pub failed: u64,
    /// Instances that trapped or were ended at their deadline.
    pub traps: u64,
    /// Calls that run now.
    pub in_flight: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
    /// Instances that hold resources for callers.
    pub resource_instances: usize,
    /// Instances that wait for their next call ([`Limits::reuse`]).
    pub kept_instances: usize,
}

/// A call among those that wait for a place among the host's.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Counts {
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    pub(super) fn trapped(&self) {
        self.traps.fetch_add(1, Relaxed);
    }
}

/// A call's right to run, for as long as its instance is at it: a place among its actor's calls, and the clock that ends it.
pub(super) struct Turn {
    shared: Arc<Shared>,
    _place: Place,
    _clock: Running,
    _counted: stats::Running,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.counters.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Actor {
    /// Starts an actor. Nothing runs until the first call; its links may come and go meanwhile.
    ///
    /// # Errors
    /// [`StartError`]: options that cannot be.
    pub fn start(
        runtime: &Arc<Runtime>,
        module: &Arc<Module>,
        options: ActorOptions,
    ) -> Result<Arc<Self>, StartError> {
        Self::resume(runtime, module, options, Arc::default())
    }

    /// Starts an actor as [`Self::start`] does, which goes on counting where another of the same image ended.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn resume(
        runtime: &Arc<Runtime>,
        module: &Arc<Module>,
        options: ActorOptions,
        stats: Arc<Stats>,
    ) -> Result<Arc<Self>, StartError> {
        check(runtime, &options)?;
        let ActorOptions {
            id,
            max_instances,
            limits,
            config,
            links,
        } = options;
        let at_once = (max_instances as usize).min(runtime.calls_of_one());
        let gate = Gate::new(at_once, limits.queue, limits.queue_wait);
        let kept = Arc::default();
        if limits.reuse {
            runtime.add_keeper(&kept);
        }
        let owners = serve::owners::Owners::new(limits.resource_owners, limits.resource_idle);
        let slots = slots(&id, module, &links);
        let shared = Arc::new(Shared {
            id,
            runtime: runtime.clone(),
            module: module.clone(),
            limits,
            config: ArcSwap::from_pointee(config),
            links,
            slots,
            bindings: Bindings::new(module.dynamic.len()),
            share: Arc::default(),
            counters: Counts::default(),
            stats,
        });
        Ok(Arc::new(Self {
            shared,
            gate,
            kept,
            owners,
            tasks: TaskTracker::new(),
            stopped: CancellationToken::new(),
        }))
    }

    /// Its id.
    pub fn id(&self) -> &ComponentId {
        &self.shared.id
    }

    /// The module that it runs.
    pub fn module(&self) -> &Arc<Module> {
        &self.shared.module
    }

    /// What it exports and imports.
    pub fn describe(&self) -> Description {
        self.shared.module.describe()
    }

    /// Changes how many calls may run at once. Those that run go on; 0 lets no new one in.
    pub fn set_max_instances(&self, max_instances: u32) {
        let most = self.shared.runtime.calls_of_one();
        self.gate.resize((max_instances as usize).min(most));
    }

    /// How many calls may run at once.
    pub fn max_instances(&self) -> usize {
        self.gate.limit()
    }

    /// Changes what it reads by `wasi:config`, from the next read on.
    pub fn set_config(&self, config: BTreeMap<String, String>) {
        self.shared.config.store(Arc::new(config));
        self.kept.clear();
    }

    /// Whether it would run a call at once.
    pub fn has_room(&self) -> bool {
        !self.tasks.is_closed() && self.gate.has_room()
    }

    /// How many calls run now.
    pub fn in_flight(&self) -> usize {
        self.shared.counters.in_flight.load(Relaxed)
    }

    /// How its calls went.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.shared.stats
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        let counts = &self.shared.counters;
        Counters {
            calls: counts.calls.load(Relaxed),
            failed: counts.failed.load(Relaxed),
            traps: counts.traps.load(Relaxed),
            in_flight: self.in_flight(),
            waiting: self.gate.waiting(),
            resource_instances: self.owners.len(),
            kept_instances: self.kept.len(),
        }
    }

    /// Ends it: calls that run may finish until `grace` is over, then they are cut off. Dropping it cuts them off at once.
    pub async fn stop(&self, grace: Duration) {
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait())
            .await
            .is_err()
        {
            let in_flight = self.in_flight();
            tracing::warn!(actor = %self.shared.id, in_flight, "cutting off calls that did not end in time");
        }
        self.stopped.cancel();
        self.owners.clear();
        self.kept.clear();
        self.tasks.wait().await;
    }

    /// Waits for the right to run.
    pub(super) async fn turn(&self) -> Result<Turn, CallError> {
        let shared = &self.shared;
        let present = shared.stats.enter();
        let place = self.gate.enter().await.map_err(|full| {
            CallError::Overloaded(format!(
                "actor {:?} runs {} calls, and {} wait for about {} ms: raise its max instances, or its queue",
                shared.id,
                self.gate.limit(),
                full.waiting,
                millis(full.wait)
            ))
        })?;
        shared.counters.in_flight.fetch_add(1, Relaxed);
        Ok(Turn {
            shared: shared.clone(),
            _place: place,
            _clock: shared.runtime.ticker.running(),
            _counted: present.run(),
        })
    }

    /// Waits for a place among the host's instances.
    pub(super) async fn pooled(&self) -> Result<OwnedSemaphorePermit, CallError> {
        let runtime = &self.shared.runtime;
        let places = &runtime.places;
        loop {
            if let Ok(pooled) = places.clone().try_acquire_owned() {
                return Ok(pooled);
            }
            if !runtime.give_up_one() {
                break;
            }
        }
        let waiting = runtime.waiting.fetch_add(1, Relaxed);
        let _waiting = Waiting(&runtime.waiting);
        if waiting >= runtime.config().queue {
            return Err(CallError::Overloaded(format!(
                "this host runs {} calls, and {waiting} wait: raise its max_calls (`trellis host --max-calls`)",
                runtime.calls()
            )));
        }
        // Bounded, as actors that call each other could otherwise wait for places that they hold themselves.
        match tokio::time::timeout(POOL_WAIT, places.clone().acquire_owned()).await {
            Ok(Ok(pooled)) => Ok(pooled),
            _ => Err(CallError::Overloaded(format!(
                "this host runs {} calls already: raise its max_calls (`trellis host --max-calls`)",
                runtime.calls()
            ))),
        }
    }

    /// Has a call compute in turn with those of other actors. For what comes once it has its [`Turn`].
    pub(super) fn in_turn<F: Future>(&self, slice: Arc<Slice>, call: F) -> fair::Shared<F> {
        self.shared
            .runtime
            .fair
            .share(&self.shared.share, slice, call)
    }

    /// Goes on with work after its call was answered, until it is done or the actor is stopped.
    pub(super) fn go_on(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stopped.cancelled() => {}
            }
        });
    }

    /// Tells the owners of remote resources that those are no longer used here.
    pub(super) fn release(&self, released: Vec<Released>) {
        if !released.is_empty() {
            self.go_on(serve::owners::tell(self.shared.clone(), released));
        }
    }

    /// Takes a call, unless the actor is being stopped: whoever stops it waits for those that it took.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Entered> {
        self.clone().take_in()
    }

    /// The same, of one who holds the actor already.
    pub(super) fn take_in(self: Arc<Self>) -> Option<Entered> {
        let running = self.tasks.token();
        // Looked at after the token was taken: if it isn't closed yet, who closes it sees the token.
        (!self.tasks.is_closed()).then(|| Entered::new(self, running))
    }

    /// Runs a call's work until the call must have been answered, or the actor is stopped.
    pub(super) async fn bounded<T>(
        &self,
        deadline: Instant,
        started: Instant,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        tokio::select! {
            biased;
            result = tokio::time::timeout_at(deadline.into(), work) => result.unwrap_or_else(|_| {
                Err(CallError::DeadlineExceeded { after_ms: millis(started.elapsed()) })
            }),
            () = self.stopped.cancelled() => Err(stopping()),
        }
    }

    /// When a call that came then must have been answered.
    pub(super) fn deadline(&self, started: Instant, asked: Option<Instant>) -> Instant {
        let longest = started + self.shared.limits.call_deadline;
        asked.map_or(longest, |deadline| deadline.min(longest))
    }

    /// Answers a call that so many calls of actors on this host led to.
    pub(super) async fn answer(
        self: Arc<Self>,
        call: IncomingCall,
        started: Instant,
        depth: u32,
    ) -> Result<Answered, CallError> {
        let deadline = self.deadline(started, call.context.deadline);
        let cancelled = call.cancelled.clone();
        if self.stopped.is_cancelled() {
            return Err(stopping());
        }
        let mut scope = Scope::new(self.shared.clone(), deadline, call.context.trace);
        scope.depth = depth;
        let work = self.clone().run(call, scope, started);
        tokio::select! {
            biased;
            result = self.bounded(deadline, started, work) => result,
            () = cancelled.cancelled() => Err(CallError::Cancelled),
        }
    }

    async fn run(
        self: Arc<Self>,
        call: IncomingCall,
        scope: Scope,
        started: Instant,
    ) -> Result<Answered, CallError> {
        let Some(answers) = self.shared.module.find(&call.operation) else {
            return Err(CallError::UnknownFunction {
                target: self.shared.id.to_string(),
                operation: call.operation.to_string(),
            });
        };
        let answered = match answers {
            Answers::Http(handler) => {
                return serve::http::handle(self, handler, scope, call, started).await;
            }
            Answers::Messaging(index) => {
                serve::messaging::handle(&self, index, scope, call, started).await
            }
            Answers::OnSet(index) => {
                serve::watcher::on_set(&self, index, scope, call, started).await
            }
            Answers::OnDelete(index) => {
                serve::watcher::on_delete(&self, index, scope, call, started).await
            }
            Answers::Dynamic(export) if export.function.carries_exported => {
                serve::owners::handle(&self, &export, scope, call, started).await
            }
            Answers::Dynamic(export) => {
                serve::dynamic::handle(&self, &export, scope, call, started).await
            }
            Answers::Drop => serve::owners::drop_resource(&self, scope, call).await,
        };
        answered.map(Answered::from)
    }
}

impl Handler for Actor {
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        let started = Instant::now();
        let entered = self.enter();
        Box::pin(async move { entered.ok_or_else(stopping)?.handle(call, started).await })
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actor")
            .field("id", &self.shared.id)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

pub(crate) fn stopping() -> CallError {
    CallError::Overloaded("the actor is being stopped".into())
}

fn check(runtime: &Runtime, options: &ActorOptions) -> Result<(), StartError> {
    let id = options.id.to_string();
    if options.max_instances == 0 {
        return Err(StartError::NoInstances { id });
    }
    let (asked, most) = (
        options.limits.memory_bytes,
        runtime.config().max_memory_bytes,
    );
    if asked == 0 || asked > most {
        let limit = "memory_bytes";
        return Err(StartError::Limit {
            id,
            limit,
            asked: asked.to_string(),
            granted: format!("1 to {most}"),
        });
    }
    if options.limits.call_deadline.is_zero() {
        let limit = "call_deadline";
        return Err(StartError::Limit {
            id,
            limit,
            asked: "0".into(),
            granted: "more than nothing".into(),
        });
    }
    Ok(())
}

/// A slot for every import that goes over a link, in their order. The typed ones come first whether the module has them
/// or not, so that each has its place.
fn slots(id: &ComponentId, module: &Module, links: &LinkTable) -> Vec<Arc<Slot>> {
    let key = |(namespace, package, interface): (&str, &str, &str)| SlotKey {
        source_id: id.clone(),
        link_name: LinkName::default(),
        namespace: namespace.to_owned(),
        package: package.to_owned(),
        interface: interface.to_owned(),
    };
    let typed = Typed::ALL.iter().map(|typed| key(typed.link_parts()));
    let dynamic = module.dynamic.iter().map(|import| {
        let interface = &import.interface;
        key((
            &interface.namespace,
            &interface.package,
            &interface.interface,
        ))
    });
    typed.chain(dynamic).map(|key| links.slot(&key)).collect()
}
