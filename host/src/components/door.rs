//! Where a component's calls come in: at its actor while it is loaded; while it is dormant, the first call wakes it and
//! those that come meanwhile wait.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use futures::future::BoxFuture;
use tokio::sync::watch;
use trellis_lattice::ComponentId;
use trellis_rpc::{
    CallError, Handler, IncomingCall, Outgoing,
    stats::{Present, Stats},
};

use crate::{
    host::Host,
    runtime::{Actor, Entered, Limits, stopping},
};

/// The door of one component with one image.
pub(crate) struct Door {
    id: ComponentId,
    /// The actor, unless the component is dormant.
    actor: ArcSwapOption<Actor>,
    pub(super) stats: Arc<Stats>,
    /// Who loads it again. Weak, as the host holds the door.
    host: Weak<Host>,
    /// How many calls may wait for it to wake.
    queue: usize,
    /// The longest that a call waits for that.
    patience: Duration,
    waiting: AtomicUsize,
    /// Somebody is waking it.
    waking: AtomicBool,
    news: watch::Sender<News>,
}

/// What those who wait wait for.
#[derive(Clone, Default)]
enum News {
    #[default]
    None,
    /// There is an actor, or was a moment ago.
    Awake,
    /// It could not be loaded.
    Failed(Arc<str>),
    /// Another has taken its place.
    Replaced(Arc<Door>),
    /// It is being stopped.
    Closed,
}

impl Door {
    /// The door of an actor.
    pub(super) fn new(host: &Arc<Host>, limits: &Limits, actor: Arc<Actor>) -> Arc<Self> {
        Arc::new(Self {
            id: actor.id().clone(),
            stats: actor.stats().clone(),
            actor: ArcSwapOption::from(Some(actor)),
            host: Arc::downgrade(host),
            queue: limits.queue,
            patience: limits.call_deadline,
            waiting: AtomicUsize::new(0),
            waking: AtomicBool::new(false),
            news: watch::Sender::new(News::None),
        })
    }

    /// The actor, unless the component is dormant.
    pub(super) fn actor(&self) -> Option<Arc<Actor>> {
        self.actor.load_full()
    }

    /// Lets calls wait from now on; gives the actor that they went to.
    pub(super) fn shut(&self) -> Option<Arc<Actor>> {
        self.actor.swap(None)
    }

    /// Lets those that wait, and all later calls, to an actor.
    pub(super) fn open(&self, actor: Arc<Actor>) {
        self.actor.store(Some(actor));
        self.opened();
    }

    /// Tells those that wait that there is an actor.
    pub(super) fn opened(&self) {
        self.tell(News::Awake);
    }

    /// Answers those that wait that there is no actor for them, and why.
    pub(crate) fn fail(&self, why: &dyn fmt::Display) {
        self.tell(News::Failed(why.to_string().into()));
    }

    /// Sends those that wait, and whoever still comes this way, to the next door if there is one, and away if not.
    pub(super) fn close(&self, next: Option<Arc<Self>>) {
        self.tell(next.map_or(News::Closed, News::Replaced));
    }

    fn tell(&self, news: News) {
        // First, so that who misses these news wakes it anew.
        self.waking.store(false, SeqCst);
        self.news.send_replace(news);
    }

    /// How many calls wait for it to wake.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    fn enter(&self) -> Option<Entered> {
        self.actor.load().as_ref()?.enter()
    }

    /// Waits for an actor to take the call.
    async fn wait(self: Arc<Self>, call: IncomingCall) -> Result<Outgoing, CallError> {
        let started = Instant::now();
        let longest = started + self.patience;
        let deadline = call
            .context
            .deadline
            .map_or(longest, |deadline| deadline.min(longest));
        let cancelled = call.cancelled.clone();
        let stats = self.stats.clone();
        let entered = tokio::select! {
            biased;
            entered = tokio::time::timeout_at(deadline.into(), self.awake()) => entered.unwrap_or_else(|_| {
                let after_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                Err(CallError::DeadlineExceeded { after_ms })
            }),
            () = cancelled.cancelled() => Err(CallError::Cancelled),
        };
        match entered {
            Ok(entered) => entered.handle(call, started).await,
            Err(error) => {
                stats.ended(started.elapsed(), !matches!(error, CallError::Cancelled));
                Err(error)
            }
        }
    }

    /// Waits until there is an actor, waking it if nobody does yet.
    async fn awake(self: Arc<Self>) -> Result<Entered, CallError> {
        let mut door = self;
        loop {
            let next = {
                let _waiting = Waiting::join(&door)?;
                let mut news = door.news.subscribe();
                loop {
                    if let Some(entered) = door.enter() {
                        return Ok(entered);
                    }
                    let told = news.borrow_and_update().clone();
                    match told {
                        News::Closed => return Err(stopping()),
                        News::Replaced(next) => break next,
                        News::None | News::Awake | News::Failed(_) => {}
                    }
                    door.clone().wake()?;
                    if news.changed().await.is_err() {
                        return Err(stopping());
                    }
                    if let News::Failed(why) = &*news.borrow() {
                        let id = &door.id;
                        return Err(CallError::Failed(format!(
                            "component {id:?} was dormant and can't be loaded again: {why}"
                        )));
                    }
                }
            };
            door = next;
        }
    }

    /// Has the host load it, unless somebody asked already.
    fn wake(self: Arc<Self>) -> Result<(), CallError> {
        if self.waking.swap(true, SeqCst) {
            return Ok(());
        }
        let host = self.host.upgrade().ok_or_else(stopping)?;
        let worker = host.clone();
        host.spawn(async move { crate::control::wake(&worker, &self).await });
        Ok(())
    }

    /// The component's id.
    pub(crate) fn id(&self) -> &ComponentId {
        &self.id
    }
}

impl Handler for Door {
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        match self.enter() {
            Some(entered) => Box::pin(entered.handle(call, Instant::now())),
            None => Box::pin(self.wait(call)),
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("id", &self.id)
            .field("dormant", &self.actor.load().is_none())
            .finish_non_exhaustive()
    }
}

/// A call's place among those that wait.
struct Waiting {
    door: Arc<Door>,
    _present: Present,
}

impl Waiting {
    fn join(door: &Arc<Door>) -> Result<Self, CallError> {
        let waiting = door.waiting.fetch_add(1, SeqCst);
        let joined = Self {
            door: door.clone(),
            _present: door.stats.enter(),
        };
        if waiting < door.queue {
            return Ok(joined);
        }
        let id = &door.id;
        Err(CallError::Overloaded(format!(
            "component {id:?} is dormant, and {waiting} calls wait already for it to be loaded"
        )))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.door.waiting.fetch_sub(1, SeqCst);
    }
}
