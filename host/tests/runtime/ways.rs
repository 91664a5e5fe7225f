//! What two actors see of each other is the same on every way between them: one list of cases, run in process, over a
//! socket and over NATS. (`rpc/conformance` is the same for the two that cross processes, with handlers in place of
//! actors.)

#[path = "ways/cases.rs"]
mod cases;
#[path = "ways/parcels.rs"]
mod parcels;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use futures::{FutureExt as _, future::BoxFuture};
use tempfile::TempDir;
use trellis_host::runtime::{Actor, ActorOptions, RuntimeConfig};
use trellis_lattice::{ComponentId, LatticeName};
use trellis_rpc::{
    Call, CallError, Handler, Incoming, Route, RouteKind, ServeOptions, nats,
    nats::NatsRpc,
    socket,
    socket::{Admission, SocketOptions, SocketRpc},
};
use trellis_tests::nats::NatsServer;

use crate::kit::{Kit, Way, id, until};

/// The most calls at once; more than any case makes.
const MAX_CALLS: u32 = 200;

/// Two relays, each linked to the other, and the way between them.
pub struct Pair {
    pub kit: Kit,
    pub a: Arc<Actor>,
    pub b: Arc<Actor>,
    pub kind: RouteKind,
}

impl Pair {
    async fn in_process() -> Self {
        Self::of(Kit::with(config()), RouteKind::InProcess).await
    }

    async fn by_socket() -> Self {
        let way = Arc::new(BySocket::start().await);
        Self::of(Kit::over(config(), way), RouteKind::UnixSocket).await
    }

    async fn by_nats() -> Self {
        let way = Arc::new(ByNats::start().await);
        Self::of(Kit::over(config(), way), RouteKind::Nats).await
    }

    async fn of(kit: Kit, kind: RouteKind) -> Self {
        let (a, b) = (
            relay(&kit, "a", |_| {}).await,
            relay(&kit, "b", |_| {}).await,
        );
        kit.link("a", "default", cases::RELAYS, "b");
        kit.link("b", "default", cases::RELAYS, "a");
        kit.link("a", "default", parcels::PARCELS, "b");
        Self { kit, a, b, kind }
    }

    /// A relay that the first one calls from now on.
    async fn callee(&self, name: &str, change: impl FnOnce(&mut ActorOptions)) -> Arc<Actor> {
        let callee = relay(&self.kit, name, change).await;
        self.kit.link("a", "default", cases::RELAYS, name);
        callee
    }
}

fn config() -> RuntimeConfig {
    RuntimeConfig {
        max_calls: MAX_CALLS,
        ..RuntimeConfig::default()
    }
}

async fn relay(kit: &Kit, name: &str, change: impl FnOnce(&mut ActorOptions)) -> Arc<Actor> {
    kit.start_with("relay", |options| {
        options.id = id(name);
        options.max_instances = 64;
        change(options);
    })
    .await
}

/// Callers and callees with a connection each.
struct ByNats {
    caller: NatsRpc,
    callee: NatsRpc,
    serving: Mutex<Vec<nats::Serving>>,
    _server: NatsServer,
}

impl ByNats {
    async fn start() -> Self {
        let server = NatsServer::start().await.unwrap();
        let lattice = LatticeName::default();
        let (caller, callee) = (
            server.connect().await.unwrap(),
            server.connect().await.unwrap(),
        );
        Self {
            caller: NatsRpc::new(caller, lattice.clone()),
            callee: NatsRpc::new(callee, lattice),
            serving: Mutex::default(),
            _server: server,
        }
    }
}

impl Way for ByNats {
    fn serve(&self, target: ComponentId, handler: Arc<dyn Handler>) -> BoxFuture<'_, ()> {
        async move {
            let serving = self
                .callee
                .serve(&target, handler, ServeOptions::default())
                .await;
            self.serving.lock().unwrap().push(serving.unwrap());
        }
        .boxed()
    }

    fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        self.caller.route(target)
    }
}

/// Callers listen, and each callee connects, as a provider does that serves itself.
struct BySocket {
    caller: SocketRpc,
    path: PathBuf,
    serving: Mutex<Vec<(SocketRpc, socket::Serving)>>,
    _folder: TempDir,
}

/// Everybody is who it says it is.
struct Anybody;

impl Admission for Anybody {
    fn admit(&self, token: &str) -> Option<ComponentId> {
        Some(id(token))
    }
}

impl BySocket {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("calls.sock");
        let options = SocketOptions::default();
        Self {
            caller: SocketRpc::listen(&path, Arc::new(Anybody), options).unwrap(),
            path,
            serving: Mutex::default(),
            _folder: folder,
        }
    }
}

impl Way for BySocket {
    fn serve(&self, target: ComponentId, handler: Arc<dyn Handler>) -> BoxFuture<'_, ()> {
        async move {
            let (path, token) = (self.path.clone(), target.to_string());
            let callee = SocketRpc::connect(path, token, SocketOptions::default());
            let serving = callee.serve(&target, handler, ServeOptions::default());
            self.serving.lock().unwrap().push((callee, serving));
            let route = self.route(&target);
            until("the callee is there", || {
                route.kind() == RouteKind::UnixSocket
            })
            .await;
        }
        .boxed()
    }

    fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        let target = target.clone();
        self.caller
            .route(&target.clone(), Arc::new(Nowhere { target }))
    }
}

/// Where no socket leads.
struct Nowhere {
    target: ComponentId,
}

impl fmt::Debug for Nowhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nowhere")
    }
}

impl Route for Nowhere {
    fn call(&self, _: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        let target = self.target.to_string();
        async { Err(CallError::NoResponder { target }) }.boxed()
    }

    fn kind(&self) -> RouteKind {
        RouteKind::Nats
    }
}

/// Makes a test of every case on every way.
macro_rules! on_every_way {
    ($($room:ident { $($case:ident,)* })*) => {
        on_every_way! { @way in_process; $($($room $case,)*)* }
        on_every_way! { @way by_socket; $($($room $case,)*)* }
        on_every_way! { @way by_nats; $($($room $case,)*)* }
    };
    (@way $way:ident; $($room:ident $case:ident,)*) => {
        mod $way {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$room::$case(super::Pair::$way().await).await;
                }
            )*
        }
    };
}

on_every_way! {
    cases {
        calls_take_this_way,
        records_go_and_come_back,
        who_gives_up_ends_the_callee_s_work,
        the_deadline_holds_for_the_callee_too,
        the_callee_s_own_deadline_may_be_shorter,
        a_callee_s_trap_is_its_own,
        each_has_its_own_limits,
        the_trace_and_the_deadline_go_all_the_way,
        a_circle_without_room_ends_at_the_deadline,
        what_the_callee_does_not_export_is_named,
        nobody_there_is_named,
        a_callee_without_room_refuses,
        a_link_that_changes_is_followed,
        a_thousand_callers_are_all_answered,
        bodies_stream_both_ways_at_once,
        a_large_body_arrives_whole,
        who_reads_no_further_ends_the_callee_s_work,
        a_body_that_breaks_off_is_known_to_be_cut,
    }
    parcels {
        a_stream_of_bytes_reaches_the_callee,
        a_stream_of_bytes_comes_back,
        a_stream_goes_on_while_it_is_written,
        what_is_there_with_the_values_is_a_stream_too,
        a_stream_that_breaks_off_is_known_to_be_cut,
        who_reads_part_of_a_stream_leaves_the_rest,
        a_refused_parcel_is_not_read,
        a_stream_without_a_channel_is_refused,
    }
}
