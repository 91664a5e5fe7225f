//! Who is reached over which connection.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use trellis_lattice::ComponentId;

use super::{connection::Connection, frame::Head};
use crate::{
    call::{CallContext, Operation},
    error::CallError,
};

/// More heads than a caller uses are made by mistake; they are not remembered here.
const MAX_KNOWN: usize = 256;

/// The targets that routes lead to or that peers serve.
#[derive(Debug, Default)]
pub(super) struct Targets {
    cells: Mutex<HashMap<ComponentId, Weak<Cell>>>,
}

/// One target: where calls to it go now. Routes hold it, so a call looks nothing up.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) target: ComponentId,
    current: ArcSwapOption<Lane>,
    /// All who serve it; the last one is the current.
    lanes: Mutex<Vec<Arc<Lane>>>,
}

/// The way to a target over one connection.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) connection: Arc<Connection>,
    target: ComponentId,
    known: ArcSwap<Vec<(Head, u32)>>,
}

impl Targets {
    /// The cell of a target.
    pub(super) fn cell(&self, target: &ComponentId) -> Arc<Cell> {
        let mut cells = self.lock();
        if cells.len() == cells.capacity() {
            cells.retain(|_, cell| cell.strong_count() > 0);
        }
        let new = || {
            Arc::new(Cell {
                target: target.clone(),
                current: ArcSwapOption::empty(),
                lanes: Mutex::default(),
            })
        };
        match cells.entry(target.clone()) {
            Entry::Occupied(mut known) => known.get().upgrade().unwrap_or_else(|| {
                let cell = new();
                known.insert(Arc::downgrade(&cell));
                cell
            }),
            Entry::Vacant(place) => {
                let cell = new();
                place.insert(Arc::downgrade(&cell));
                cell
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ComponentId, Weak<Cell>>> {
        // Nothing panics while holding it.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cell {
    /// Where calls go now.
    pub(super) fn lane(&self) -> Option<Arc<Lane>> {
        self.current.load_full()
    }

    /// Whether calls go anywhere.
    pub(super) fn is_served(&self) -> bool {
        self.current.load().is_some()
    }

    /// A peer serves the target from now on: the newest is right about it.
    pub(super) fn open(&self, connection: &Arc<Connection>) {
        let lane = Arc::new(Lane {
            connection: connection.clone(),
            target: self.target.clone(),
            known: ArcSwap::default(),
        });
        let mut lanes = self.lock();
        lanes.retain(|one| !Arc::ptr_eq(&one.connection, connection));
        lanes.push(lane.clone());
        self.current.store(Some(lane));
    }

    /// It serves it no more.
    pub(super) fn close(&self, connection: &Arc<Connection>) {
        let mut lanes = self.lock();
        lanes.retain(|one| !Arc::ptr_eq(&one.connection, connection));
        self.current.store(lanes.last().cloned());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Lane>>> {
        // Nothing panics while holding it.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// The number by which the peer knows what the call has in common with others; else what it has to be told.
    pub(super) fn head(
        &self,
        operation: &Operation,
        context: &CallContext,
    ) -> Result<Result<u32, Head>, CallError> {
        let known = self.known.load();
        if let Some((_, number)) = known
            .iter()
            .find(|(head, _)| is_of(head, operation, context))
        {
            return Ok(Ok(*number));
        }
        let head = Head {
            instance: operation.instance.clone(),
            function: operation.function.clone(),
            target: self.target.to_shared(),
            source_id: context.source_id.clone(),
            target_id: context.target_id.clone(),
            link_name: context.link_name.clone(),
        };
        let Some(number) = self.connection.head(&head)? else {
            return Ok(Err(head));
        };
        self.known.rcu(|known| {
            let mut known = Vec::clone(known);
            if known.len() < MAX_KNOWN && known.iter().all(|(_, one)| *one != number) {
                known.push((head.clone(), number));
            }
            known
        });
        Ok(Ok(number))
    }
}

fn is_of(head: &Head, operation: &Operation, context: &CallContext) -> bool {
    same(&head.function, &operation.function)
        && same(&head.instance, &operation.instance)
        && both(&head.source_id, &context.source_id)
        && both(&head.link_name, &context.link_name)
        && both(&head.target_id, &context.target_id)
}

fn both(one: &Option<Arc<str>>, other: &Option<Arc<str>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => same(one, other),
        _ => false,
    }
}

/// Texts are shared by those who call again and again, so their bytes are rarely looked at.
fn same(one: &Arc<str>, other: &Arc<str>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}
