//! The claims that the lattice knows.

use trellis_lattice::control::claims::entry;

use super::{Answer, done_with};
use crate::host::Host;

pub(super) fn get(host: &Host) -> Answer {
    let entries: Vec<_> = host.view.claims().iter().map(entry).collect();
    done_with(&entries)
}
