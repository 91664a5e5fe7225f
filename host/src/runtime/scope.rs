//! What the calls that an actor makes inherit from the call that it answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use trellis_lattice::{ComponentId, LinkName};
use trellis_rpc::{CallContext, CallError, trace::TraceContext};

use super::{Local, actor::Shared, fair::Slice};
use crate::links::{Filled, Slot, SlotKey};

/// How many interfaces an actor may choose a link for within one call.
const MAX_CHOICES: usize = 64;

/// How deep calls of actors by actors on one host may go. Each holds an instance and its stack until it is answered, so
/// those that go in a circle would take all that the host has.
const MAX_DEPTH: u32 = 32;

/// One call's scope.
pub(super) struct Scope {
    pub(super) actor: Arc<Shared>,
    /// When the call must have been answered.
    deadline: Instant,
    /// Set once a response's head was sent: from then on the body's deadline counts.
    streaming: Option<Arc<AtomicBool>>,
    /// When the body must have been written, once streaming began.
    stream_deadline: Instant,
    /// The caller's trace.
    pub(super) trace: Option<TraceContext>,
    /// How many calls within this process led to this one.
    pub(super) depth: u32,
    /// Its part in the division of processor time.
    pub(super) slice: Arc<Slice>,
    choices: Vec<Choice>,
}

/// An interface for which the actor chose another link than the one named `default`.
struct Choice {
    namespace: String,
    package: String,
    interface: String,
    link_name: LinkName,
}

impl Scope {
    pub(super) fn new(actor: Arc<Shared>, deadline: Instant, trace: Option<TraceContext>) -> Self {
        let stream_deadline = deadline + actor.limits.stream_deadline;
        Self {
            actor,
            deadline,
            streaming: None,
            stream_deadline,
            trace,
            depth: 0,
            slice: Arc::default(),
            choices: Vec::new(),
        }
    }

    /// Lets the call go on streaming beyond its deadline once the answer is set.
    pub(super) fn may_stream(&mut self) -> Arc<AtomicBool> {
        self.streaming.get_or_insert_default().clone()
    }

    /// Whether the call was answered and goes on streaming.
    pub(super) fn is_streaming(&self) -> bool {
        self.streaming
            .as_ref()
            .is_some_and(|streaming| streaming.load(Relaxed))
    }

    /// When the call must have ended.
    pub(super) fn deadline(&self) -> Instant {
        if self.is_streaming() {
            self.stream_deadline
        } else {
            self.deadline
        }
    }

    /// Has later calls of an interface go over the link of that name; with `must_exist`, only if there is such a link.
    ///
    /// # Errors
    /// When there are too many choices, or no such link.
    pub(super) fn choose(
        &mut self,
        namespace: &str,
        package: &str,
        interface: &str,
        link_name: &LinkName,
        must_exist: bool,
    ) -> Result<(), String> {
        if must_exist {
            let key = SlotKey {
                source_id: self.actor.id.clone(),
                link_name: link_name.clone(),
                namespace: namespace.to_owned(),
                package: package.to_owned(),
                interface: interface.to_owned(),
            };
            self.actor
                .links
                .find(&key)
                .map_err(|error| error.to_string())?;
        }
        self.choices
            .retain(|choice| !choice.is_for(namespace, package, interface));
        if *link_name == LinkName::default() {
            return Ok(());
        }
        if self.choices.len() >= MAX_CHOICES {
            return Err(format!(
                "a call may choose links for {MAX_CHOICES} interfaces at most"
            ));
        }
        self.choices.push(Choice {
            namespace: namespace.to_owned(),
            package: package.to_owned(),
            interface: interface.to_owned(),
            link_name: link_name.clone(),
        });
        Ok(())
    }

    /// Where a call of the import in that slot goes now, and what travels with it.
    ///
    /// # Errors
    /// [`CallError::MissingLink`], which names the link that should be put.
    pub(super) fn call_out(&self, slot: usize) -> Result<(Arc<Filled>, CallContext), CallError> {
        let slot = self.slot(slot)?;
        let (filled, link_name) = match self.chosen(slot.key()) {
            None => (slot.get()?, slot.key().link_name.to_shared()),
            Some(chosen) => (
                self.actor.links.find(&chosen)?,
                chosen.link_name.to_shared(),
            ),
        };
        let context = CallContext {
            source_id: Some(self.actor.id.to_shared()),
            target_id: None,
            link_name: Some(link_name),
            deadline: Some(self.deadline()),
            trace: self.trace.as_ref().map(TraceContext::child),
            trail: None,
        };
        Ok((filled, context))
    }

    /// The place on this host that a call of the import in that slot goes to now, if it goes to a component.
    ///
    /// # Errors
    /// [`CallError::MissingLink`], which names the link that should be put.
    pub(super) fn place(&self, slot: usize) -> Result<Option<Arc<Local>>, CallError> {
        let slot = self.slot(slot)?;
        match self.chosen(slot.key()) {
            None => slot.place(),
            Some(chosen) => Ok(self.actor.links.find(&chosen)?.place.clone()),
        }
    }

    /// Counts a call of the import in that slot that stays on this host.
    ///
    /// # Errors
    /// [`CallError::Failed`]: there is no such slot.
    pub(super) fn count_in_process(&self, slot: usize) -> Result<(), CallError> {
        self.slot(slot)?.counts().in_process();
        Ok(())
    }

    /// How deep a call of an actor on this host would be.
    ///
    /// # Errors
    /// [`CallError::Failed`]: deeper than calls may go.
    pub(super) fn deeper(&self, callee: &ComponentId) -> Result<u32, CallError> {
        if self.depth < MAX_DEPTH {
            return Ok(self.depth + 1);
        }
        Err(CallError::Failed(format!(
            "calls of actors by actors go {MAX_DEPTH} deep, and actor {callee:?} would be one more: they may go in a circle"
        )))
    }

    fn slot(&self, slot: usize) -> Result<&Slot, CallError> {
        self.actor
            .slots
            .get(slot)
            .map(|slot| &**slot)
            .ok_or_else(|| {
                CallError::Failed(format!(
                    "import {slot} has no slot: this is a fault of the host"
                ))
            })
    }

    /// The link that the actor chose, if it chose one.
    fn chosen(&self, key: &SlotKey) -> Option<SlotKey> {
        let choice = self
            .choices
            .iter()
            .find(|choice| choice.is_for(&key.namespace, &key.package, &key.interface))?;
        Some(SlotKey {
            link_name: choice.link_name.clone(),
            ..key.clone()
        })
    }
}

impl Choice {
    fn is_for(&self, namespace: &str, package: &str, interface: &str) -> bool {
        self.namespace == namespace && self.package == package && self.interface == interface
    }
}
