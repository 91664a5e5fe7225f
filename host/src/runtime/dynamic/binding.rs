//! How the functions that an actor imports reach those of an actor on the same host: found out once for each pair of
//! components, so that a call compares no types and looks up no names.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use trellis_lattice::ComponentId;
use trellis_rpc::{CallError, Operation};

use super::{
    differ::difference,
    reflect::{DynamicInterface, Function},
};
use crate::runtime::module::{Export, Module};

/// With how many components one import is bound at once: links of other names, and images that follow each other.
const MAX_BOUND: usize = 8;

/// The bindings of one actor's imports.
pub(in crate::runtime) struct Bindings {
    /// By the imports' order.
    imports: Vec<ArcSwap<Vec<Arc<Bound>>>>,
}

/// One import, bound to one component.
pub(in crate::runtime) struct Bound {
    /// Weak: who is called no more is not kept. Its address stays its own for as long.
    callee: Weak<Module>,
    /// By the functions' order.
    ways: Vec<Way>,
}

/// How one function is reached.
pub(in crate::runtime) enum Way {
    /// By its values as they are.
    Values(Arc<Export>),
    /// As over any route: resources, whose handles are opaque; or there is no such function, and the callee says so.
    Wire,
    /// Not at all: its types differ.
    Differs(Differs),
}

/// Why a function is not called.
pub(in crate::runtime) struct Differs {
    operation: Operation,
    difference: String,
}

impl Differs {
    /// What its caller is told.
    pub(in crate::runtime) fn error(&self, target: &ComponentId) -> CallError {
        CallError::TypesDiffer {
            target: target.to_string(),
            operation: self.operation.to_string(),
            difference: self.difference.clone(),
        }
    }
}

impl Bindings {
    /// None yet, for that many imports.
    pub(in crate::runtime) fn new(imports: usize) -> Self {
        Self {
            imports: (0..imports).map(|_| ArcSwap::default()).collect(),
        }
    }

    /// How the functions of the import with that number reach a component's.
    pub(in crate::runtime) fn get(
        &self,
        caller: &Module,
        import: usize,
        callee: &Arc<Module>,
    ) -> Option<Arc<Bound>> {
        let known = self.imports.get(import)?;
        let is_of = |bound: &&Arc<Bound>| bound.callee.as_ptr() == Arc::as_ptr(callee);
        if let Some(bound) = known.load().iter().find(is_of) {
            return Some(bound.clone());
        }
        let bound = Arc::new(Bound::new(caller.dynamic.get(import)?, callee));
        known.rcu(|known| {
            let alive = |bound: &&Arc<Bound>| bound.callee.strong_count() > 0;
            let others = known.iter().filter(alive).filter(|bound| !is_of(bound));
            // The newest first; past the bound, the oldest is found out anew when it is called again.
            std::iter::once(&bound)
                .chain(others)
                .take(MAX_BOUND)
                .cloned()
                .collect::<Vec<_>>()
        });
        Some(bound)
    }
}

impl Bound {
    fn new(import: &DynamicInterface, callee: &Arc<Module>) -> Self {
        let name = &import.interface.name;
        let way = |function: &Arc<Function>| {
            let Some(export) = callee.export(name, &function.wire_name) else {
                return Way::Wire;
            };
            if let Some(difference) = difference(&function.ty, &export.function.ty) {
                return Way::Differs(Differs {
                    operation: Operation::new(name.clone(), function.wire_name.clone()),
                    difference,
                });
            }
            if function.carries_resources {
                Way::Wire
            } else {
                Way::Values(export.clone())
            }
        };
        Self {
            callee: Arc::downgrade(callee),
            ways: import.functions.iter().map(way).collect(),
        }
    }

    /// How the function with that number is reached.
    pub(in crate::runtime) fn way(&self, function: usize) -> Option<&Way> {
        self.ways.get(function)
    }
}
