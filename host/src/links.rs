//! Links as the host holds them: for each source and interface a slot that says where calls go now.
//!
//! An actor's imports are bound to slots when it starts; putting, replacing or deleting a link swaps the
//! slot's content. Calls in flight keep the route they started on.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use futures::future::BoxFuture;
use trellis_lattice::{ComponentId, Link, LinkName, Within, control::host::CallsMade};
use trellis_rpc::{Call, CallCounts, CallError, Incoming, Route, RouteKind};

use crate::runtime::Local;

/// What an import asks for: an interface without its version, under a link's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotKey {
    /// Who calls.
    pub source_id: ComponentId,
    /// The link's name.
    pub link_name: LinkName,
    /// WIT namespace, for example `wasi`.
    pub namespace: String,
    /// WIT package, for example `keyvalue`.
    pub package: String,
    /// The interface, for example `store`.
    pub interface: String,
}

impl SlotKey {
    /// The error that names the link that is not there.
    fn missing(&self) -> CallError {
        CallError::MissingLink {
            source_id: self.source_id.to_string(),
            link_name: self.link_name.to_string(),
            interface: format!("{}:{}/{}", self.namespace, self.package, self.interface),
        }
    }
}

/// Where calls of one import go now.
#[derive(Debug)]
pub struct Slot {
    key: SlotKey,
    filled: ArcSwapOption<Filled>,
    /// Of all calls of its source.
    counts: Arc<CallCounts>,
}

/// A slot's content while there is a link.
#[derive(Clone, Debug)]
pub struct Filled {
    /// Who is called.
    pub target: ComponentId,
    /// The way there.
    pub route: Arc<dyn Route>,
    /// Where it runs on this host, if it does: calls by types go straight to it.
    pub place: Option<Arc<Local>>,
    /// The residency bound that its calls never leave.
    pub within: Option<Within>,
}

impl Slot {
    /// The route to call now.
    ///
    /// # Errors
    /// [`CallError::MissingLink`], which names the link that should be put.
    pub fn get(&self) -> Result<Arc<Filled>, CallError> {
        self.filled.load_full().ok_or_else(|| self.key.missing())
    }

    /// The place on this host that calls go to, if any.
    ///
    /// # Errors
    /// [`CallError::MissingLink`], which names the link that should be put.
    pub fn place(&self) -> Result<Option<Arc<Local>>, CallError> {
        match &*self.filled.load() {
            Some(filled) => Ok(filled.place.clone()),
            None => Err(self.key.missing()),
        }
    }

    /// Where its source's calls are counted.
    pub fn counts(&self) -> &CallCounts {
        &self.counts
    }

    /// What the slot is for.
    pub fn key(&self) -> &SlotKey {
        &self.key
    }
}

/// Makes routes to targets.
pub trait Routes: Send + Sync + 'static {
    /// The shortest route to that target now.
    fn route(&self, target: &ComponentId) -> Arc<dyn Route>;

    /// The shortest route for a link's calls, which stays within the link's residency bound; calls are counted.
    ///
    /// # Errors
    /// [`CallError::OutOfBounds`], which names the link: this host is outside the bound.
    fn route_of(&self, link: &Link, counts: &Arc<CallCounts>) -> Result<Arc<dyn Route>, CallError> {
        let _ = counts;
        Ok(self.route(&link.target))
    }

    /// The place of that target on this host, whether it runs here or not; `None` where calls never stay.
    fn place(&self, target: &ComponentId) -> Option<Arc<Local>> {
        let _ = target;
        None
    }
}

/// A source's slots, and how its calls went.
#[derive(Debug, Default)]
struct Source {
    slots: HashMap<SlotKey, Arc<Slot>>,
    counts: Arc<CallCounts>,
}

/// A link that this host may not follow: every call says why.
#[derive(Debug)]
struct Refused {
    why: CallError,
}

impl Route for Refused {
    fn call(&self, _: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        Box::pin(std::future::ready(Err(self.why.clone())))
    }

    fn kind(&self) -> RouteKind {
        RouteKind::Nats
    }
}

/// All slots of a host.
pub struct LinkTable {
    /// By their source, as a source's links change together.
    sources: DashMap<ComponentId, Source>,
    routes: Arc<dyn Routes>,
}

impl LinkTable {
    /// An empty table.
    pub fn new(routes: Arc<dyn Routes>) -> Self {
        Self {
            sources: DashMap::new(),
            routes,
        }
    }

    /// The slot for an import; the same one whenever it is asked for, filled or not.
    pub fn slot(&self, key: &SlotKey) -> Arc<Slot> {
        let mut source = self.sources.entry(key.source_id.clone()).or_default();
        let Source { slots, counts } = &mut *source;
        let slot = slots.entry(key.clone()).or_insert_with(|| {
            Arc::new(Slot {
                key: key.clone(),
                filled: ArcSwapOption::empty(),
                counts: counts.clone(),
            })
        });
        slot.clone()
    }

    /// How a source's calls went, by the way they took.
    pub fn made(&self, source_id: &ComponentId) -> CallsMade {
        let source = self.sources.get(source_id);
        source
            .map(|source| source.counts.tell())
            .unwrap_or_default()
    }

    /// The route of a link that is chosen at run time. Unlike [`LinkTable::slot`], keeps nothing of names that an actor
    /// makes up.
    ///
    /// # Errors
    /// [`CallError::MissingLink`], which names the link that should be put.
    pub fn find(&self, key: &SlotKey) -> Result<Arc<Filled>, CallError> {
        let source = self.sources.get(&key.source_id);
        match source.as_ref().and_then(|source| source.slots.get(key)) {
            Some(slot) => slot.get(),
            None => Err(key.missing()),
        }
    }

    /// Makes a source's slots follow its links: fills, replaces and empties as needed, others untouched.
    pub fn set_links(&self, source_id: &ComponentId, links: &[Link]) {
        let mut wanted = HashMap::new();
        for link in links {
            for interface in &link.interfaces {
                let key = SlotKey {
                    source_id: source_id.clone(),
                    link_name: link.name.clone(),
                    namespace: link.wit_namespace.clone(),
                    package: link.wit_package.clone(),
                    interface: interface.clone(),
                };
                wanted.insert(key, link);
            }
        }
        if let Some(source) = self.sources.get(source_id) {
            for (key, slot) in &source.slots {
                if !wanted.contains_key(key) {
                    slot.filled.store(None);
                }
            }
        }
        for (key, link) in wanted {
            let slot = self.slot(&key);
            let unchanged =
                slot.filled.load().as_ref().is_some_and(|filled| {
                    filled.target == link.target && filled.within == link.within
                });
            if !unchanged {
                slot.filled.store(Some(Arc::new(self.fill(&slot, link))));
            }
        }
    }

    fn fill(&self, slot: &Slot, link: &Link) -> Filled {
        let (route, place) = match self.routes.route_of(link, &slot.counts) {
            Ok(route) => (route, self.routes.place(&link.target)),
            Err(why) => {
                tracing::warn!(link = %link.key(), target_id = %link.target, %why, "a link that this host does not follow");
                (Arc::new(Refused { why }) as Arc<dyn Route>, None)
            }
        };
        Filled {
            target: link.target.clone(),
            route,
            place,
            within: link.within.clone(),
        }
    }
}

impl std::fmt::Debug for LinkTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkTable")
            .field("sources", &self.sources.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use trellis_rpc::{CallContext, Operation, Outgoing};

    use super::*;

    /// Leads nowhere, and not at all out of bounds.
    struct Bounded;

    impl Routes for Bounded {
        fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
            let target = target.to_string();
            Arc::new(Refused {
                why: CallError::NoResponder { target },
            })
        }

        fn route_of(&self, link: &Link, _: &Arc<CallCounts>) -> Result<Arc<dyn Route>, CallError> {
            match &link.within {
                Some(within) => {
                    let outside =
                        within.check(None, format_args!("link {}", link.key()), "this host");
                    Err(CallError::OutOfBounds(outside.unwrap_err().to_string()))
                }
                None => Ok(self.route(&link.target)),
            }
        }
    }

    fn link(within: Option<&str>) -> Link {
        serde_json::from_value(serde_json::json!({
            "source_id": "a", "target": "kv", "wit_namespace": "wasi", "wit_package": "keyvalue",
            "interfaces": ["store"], "within": within.map(|region| serde_json::json!({"region": region})),
        }))
        .unwrap()
    }

    async fn called(slot: &Slot) -> String {
        let call = Call {
            operation: Operation::new("wasi:keyvalue/store", "get"),
            context: CallContext::default(),
            params: Outgoing::unary("x"),
        };
        let filled = slot.get().unwrap();
        filled.route.call(call).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_link_out_of_bounds_says_so_until_its_bound_is_another() {
        let table = LinkTable::new(Arc::new(Bounded));
        let source = ComponentId::new("a").unwrap();
        let slot = table.slot(&SlotKey {
            source_id: source.clone(),
            link_name: LinkName::default(),
            namespace: "wasi".into(),
            package: "keyvalue".into(),
            interface: "store".into(),
        });
        table.set_links(&source, &[link(Some("eu"))]);
        assert_eq!(
            called(&slot).await,
            "link a -(wasi:keyvalue)-> is kept within region=eu; this host is in no PoP: it has no label `pop`"
        );
        assert!(slot.place().unwrap().is_none());
        table.set_links(&source, &[link(None)]);
        assert!(called(&slot).await.contains("nobody in the lattice serves"));
        slot.counts().in_process();
        assert_eq!(table.made(&source).in_process, 1);
    }
}
