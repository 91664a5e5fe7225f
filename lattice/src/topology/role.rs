//! What the users of NATS are, each with a key and permissions of its own.

use std::{fmt, str::FromStr};

/// What a user of NATS is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The hosts of a PoP.
    Host,
    /// The providers that they run.
    Provider,
    /// An application manager.
    Wadm,
    /// Who uses the `trellis` command, or 1.x's.
    Operator,
    /// A PoP's NATS server, at the hub.
    Leaf,
}

impl Role {
    /// Those of the programs that connect to the hub or a PoP.
    pub const CLIENTS: [Self; 4] = [Self::Host, Self::Provider, Self::Wadm, Self::Operator];

    /// The role's name, which its seed files have too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Provider => "provider",
            Self::Wadm => "wadm",
            Self::Operator => "operator",
            Self::Leaf => "leaf",
        }
    }

    /// Whom it is for, in words.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Host => "hosts: `trellis host --nats-seed-file host.nk`",
            Self::Provider => "providers: `trellis host --provider-seed-file provider.nk`",
            Self::Wadm => "application managers: `trellis wadm --nats-seed-file wadm.nk`",
            Self::Operator => "people: `trellis get hosts --nats-seed-file operator.nk`",
            Self::Leaf => "a PoP's leaf node",
        }
    }

    /// How its connections are made, in NATS' words. A key that was stolen is of no use for the other way.
    pub(super) fn connects_as(self) -> &'static str {
        match self {
            Self::Leaf => "LEAFNODE",
            _ => "STANDARD",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: use host, provider, wadm, operator or leaf")]
pub struct NoRole(String);

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        [Self::Leaf]
            .into_iter()
            .chain(Self::CLIENTS)
            .find(|role| role.name() == text)
            .ok_or_else(|| NoRole(text.chars().take(80).collect()))
    }
}
