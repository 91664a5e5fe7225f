//! What the calls that an actor makes inherit from the call that it answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use trellis_lattice::LinkName;
use trellis_rpc::{CallContext, CallError, trace::TraceContext};

use super::{actor::Shared, fair::Slice};
use crate::links::{Filled, SlotKey};

/// How many interfaces an actor may choose a link for within one call.
const MAX_CHOICES: usize = 64;

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
        let slot = self.actor.slots.get(slot).ok_or_else(|| {
            CallError::Failed(format!(
                "import {slot} has no slot: this is a fault of the host"
            ))
        })?;
        let key = slot.key();
        let choice = self
            .choices
            .iter()
            .find(|choice| choice.is_for(&key.namespace, &key.package, &key.interface));
        let (filled, link_name) = match choice {
            None => (slot.get()?, key.link_name.to_shared()),
            Some(Choice { link_name, .. }) => {
                let chosen = SlotKey {
                    link_name: link_name.clone(),
                    ..key.clone()
                };
                (self.actor.links.find(&chosen)?, link_name.to_shared())
            }
        };
        let context = CallContext {
            source_id: Some(self.actor.id.to_shared()),
            target_id: None,
            link_name: Some(link_name),
            deadline: Some(self.deadline()),
            trace: self.trace.as_ref().map(TraceContext::child),
        };
        Ok((filled, context))
    }
}

impl Choice {
    fn is_for(&self, namespace: &str, package: &str, interface: &str) -> bool {
        self.namespace == namespace && self.package == package && self.interface == interface
    }
}
