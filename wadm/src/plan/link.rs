//! Links: there as declared, once their configurations are.

use trellis_lattice::Link;

use super::{Planner, State};
use crate::{
    command::Command,
    desired::{App, Part},
};

impl Planner<'_> {
    pub(super) fn link(&mut self, name: &str, app: &App, part: &Part, link: &Link) -> State {
        let observed = self.input.observed;
        if observed.hosts.is_empty() {
            return State::Failed("there is no host in the lattice".into());
        }
        let configs = link.source_config.iter().chain(&link.target_config);
        if let Err(state) = self.configs_ready(app, configs) {
            return state;
        }
        let Some(links) = &observed.links else {
            return State::Reconciling("waiting for a host to list the links".into());
        };
        let replace = match links.get(&link.key()) {
            Some(there) if same(there, link) => return State::Deployed,
            there => there.is_some(),
        };
        let command = Command::PutLink {
            link: link.clone(),
            replace,
        };
        self.step(name, Some(&part.id), command);
        // 1.x's words.
        State::Reconciling(format!(
            "Putting link definition between {} and {}",
            link.source_id, link.target
        ))
    }
}

/// The order of interfaces means nothing; that of configurations does, as later ones win.
fn same(a: &Link, b: &Link) -> bool {
    let sorted = |link: &Link| {
        let mut interfaces = link.interfaces.clone();
        interfaces.sort();
        interfaces.dedup();
        interfaces
    };
    a.target == b.target
        && a.within == b.within
        && a.source_config == b.source_config
        && a.target_config == b.target_config
        && sorted(a) == sorted(b)
}
