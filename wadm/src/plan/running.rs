//! What runs where, by its id: looked up instead of searched for on every host.

use std::collections::HashMap;

use trellis_lattice::{ComponentId, HostId};

use crate::observed::{Component, Observed, Provider};

/// What runs where; hosts are in the order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Running<'o> {
    components: HashMap<&'o ComponentId, Vec<On<'o, Component>>>,
    providers: HashMap<&'o ComponentId, Vec<On<'o, Provider>>>,
}

/// Something on a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct On<'o, T> {
    /// The host's place among all.
    pub(crate) index: u32,
    pub(crate) id: &'o HostId,
    pub(crate) there: &'o T,
}

impl<'o> Running<'o> {
    pub(crate) fn new(observed: &'o Observed) -> Self {
        let mut running = Self::default();
        for (index, (id, host)) in (0..).zip(&observed.hosts) {
            for (component, there) in &host.components {
                let on = On { index, id, there };
                running.components.entry(component).or_default().push(on);
            }
            for (provider, there) in &host.providers {
                let on = On { index, id, there };
                running.providers.entry(provider).or_default().push(on);
            }
        }
        running
    }

    /// Where a component runs.
    pub(crate) fn component(&self, id: &ComponentId) -> &[On<'o, Component>] {
        self.components.get(id).map_or(&[], Vec::as_slice)
    }

    /// Where a provider runs.
    pub(crate) fn provider(&self, id: &ComponentId) -> &[On<'o, Provider>] {
        self.providers.get(id).map_or(&[], Vec::as_slice)
    }
}
