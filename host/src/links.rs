//! Links as the host holds them: for each source and interface a slot that says where calls go now.
//!
//! An actor's imports are bound to slots when it starts; putting, replacing or deleting a link swaps the
//! slot's content. Calls in flight keep the route they started on.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use trellis_lattice::{ComponentId, Link, LinkName};
use trellis_rpc::{CallError, Route};

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

    /// What the slot is for.
    pub fn key(&self) -> &SlotKey {
        &self.key
    }
}

/// Makes routes to targets; one a target, shared by all its links.
pub trait Routes: Send + Sync + 'static {
    /// The shortest route to that target now.
    fn route(&self, target: &ComponentId) -> Arc<dyn Route>;

    /// The place of that target on this host, whether it runs here or not; `None` where calls never stay.
    fn place(&self, target: &ComponentId) -> Option<Arc<Local>> {
        let _ = target;
        None
    }
}

/// All slots of a host.
pub struct LinkTable {
    /// By their source, as a source's links change together.
    slots: DashMap<ComponentId, HashMap<SlotKey, Arc<Slot>>>,
    routes: Arc<dyn Routes>,
}

impl LinkTable {
    /// An empty table.
    pub fn new(routes: Arc<dyn Routes>) -> Self {
        Self {
            slots: DashMap::new(),
            routes,
        }
    }

    /// The slot for an import; the same one whenever it is asked for, filled or not.
    pub fn slot(&self, key: &SlotKey) -> Arc<Slot> {
        self.slots
            .entry(key.source_id.clone())
            .or_default()
            .entry(key.clone())
            .or_insert_with(|| {
                Arc::new(Slot {
                    key: key.clone(),
                    filled: ArcSwapOption::empty(),
                })
            })
            .clone()
    }

    /// The route of a link that is chosen at run time. Unlike [`LinkTable::slot`], keeps nothing of names that an actor
    /// makes up.
    ///
    /// # Errors
    /// [`CallError::MissingLink`], which names the link that should be put.
    pub fn find(&self, key: &SlotKey) -> Result<Arc<Filled>, CallError> {
        let slots = self.slots.get(&key.source_id);
        match slots.as_ref().and_then(|slots| slots.get(key)) {
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
                wanted.insert(key, link.target.clone());
            }
        }
        if let Some(slots) = self.slots.get(source_id) {
            for (key, slot) in slots.value() {
                if !wanted.contains_key(key) {
                    slot.filled.store(None);
                }
            }
        }
        for (key, target) in wanted {
            let slot = self.slot(&key);
            let unchanged = slot
                .filled
                .load()
                .as_ref()
                .is_some_and(|filled| filled.target == target);
            if !unchanged {
                let filled = Filled {
                    route: self.routes.route(&target),
                    place: self.routes.place(&target),
                    target,
                };
                slot.filled.store(Some(Arc::new(filled)));
            }
        }
    }
}

impl std::fmt::Debug for LinkTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkTable")
            .field("sources", &self.slots.len())
            .finish_non_exhaustive()
    }
}
