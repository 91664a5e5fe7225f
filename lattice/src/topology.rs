//! The NATS servers of a lattice in many points of presence: a hub, which keeps the lattice's state in its JetStream, and
//! in each PoP a leaf of it, which whoever is there connects to. The configurations made here are what an operator
//! deploys, what `trellis up --pops` runs, and what the tests run.
//!
//! - [`Hub`], [`Pop`]: a server; shown, it is its configuration.
//! - [`Role`], [`Permissions`]: who may do what there.
//! - [`Data`]: what providers may use beside the lattice's calls.
//!
//! Every user is known by its public key, and no seed stands in a configuration.

mod data;
mod jetstream;
mod permissions;
mod role;
mod text;

use std::{collections::BTreeMap, fmt};

use crate::{
    claims::UserId,
    id::{LatticeName, PopName, RegionName},
    subject::Subjects,
};
pub use data::{Buckets, Data};
pub use permissions::{Permissions, Rules, Scope};
pub use role::Role;
use text::{list, quoted};

/// The hub's name, which is also that of its JetStream domain.
pub const HUB: &str = "hub";
/// The account that everything of the lattice is in.
pub const ACCOUNT: &str = "TRELLIS";
/// The file beside a PoP's configuration with its leaf's seed in it: `nkey: SU…`. nats-server takes a leaf's seed only in its
/// configuration, which is to hold none, so the configuration includes this.
pub const LEAF_FILE: &str = "leaf.conf";

/// What the hub's and a PoP's server have alike.
#[derive(Clone, Debug)]
pub struct Server {
    /// The lattice.
    pub lattice: LatticeName,
    /// Where clients connect, as `address:port`.
    pub listen: String,
    /// Where it tells of itself over HTTP, if anywhere, as `address:port`.
    pub monitor: Option<String>,
    /// The folder of its JetStream.
    pub store: String,
    /// With what it shows who it is, to clients and, at the hub, to leaf nodes. None: without TLS.
    pub tls: Option<Tls>,
    /// Who may connect, and as what.
    pub users: BTreeMap<Role, UserId>,
    /// What providers may use beside the lattice's calls. The same at the hub and in the PoPs.
    pub data: Data,
}

/// A server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The file of the certificate, and those that vouch for it (PEM).
    pub cert: String,
    /// The file of its key.
    pub key: String,
}

/// The hub's server.
#[derive(Clone, Debug)]
pub struct Hub {
    /// What all servers have.
    pub server: Server,
    /// Where the PoPs' servers connect, as `address:port`.
    pub leaf_listen: String,
    /// Those PoPs, and who they are there.
    pub leaves: BTreeMap<PopName, UserId>,
}

/// A PoP's server.
#[derive(Clone, Debug)]
pub struct Pop {
    /// What all servers have.
    pub server: Server,
    /// The PoP: the server's name, and that of its JetStream domain.
    pub pop: PopName,
    /// Its region, where that is known.
    pub region: Option<RegionName>,
    /// Where the hub is, as `nats-leaf://address:port`, or `tls://` with TLS; several where it has several servers.
    pub hub_urls: Vec<String>,
    /// The file of the authority that vouches for the hub's certificate, where the system doesn't know it.
    pub hub_ca: Option<String>,
}

/// A server that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// The hub's name for a PoP.
    #[error(
        "a PoP can't be named {HUB:?}: that is the hub's name, and names are JetStream domains too"
    )]
    NamedLikeHub,
    /// A bucket's name that is none, or the lattice's own.
    #[error("bucket {name:?} {problem}")]
    Bucket {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A subject that providers can't be given.
    #[error("provider subject {subject:?} {problem}")]
    Subject {
        /// The subject.
        subject: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Checks that a PoP may have that name.
///
/// # Errors
/// It is the hub's.
pub fn check_pop(pop: &PopName) -> Result<(), TopologyError> {
    if pop.as_str() == HUB {
        return Err(TopologyError::NamedLikeHub);
    }
    Ok(())
}

impl fmt::Display for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = &self.server;
        writeln!(
            f,
            "# NATS, the hub of lattice {}: made by `trellis lattice config --hub`.\n",
            server.lattice
        )?;
        server.head(f, HUB, &[HUB.to_owned()])?;
        let leaves = self.leaves.iter().map(|(pop, user)| {
            let what = format!("the leaf node of PoP {pop}");
            (what, Role::Leaf, user)
        });
        server.accounts(f, HUB, leaves)?;
        // Leaves connect to where they were told to, and not past it: there may be something in between.
        writeln!(
            f,
            "leafnodes {{\n  listen: {}\n  no_advertise: true\n{}}}",
            quoted(&self.leaf_listen),
            server.tls("  ")
        )
    }
}

impl fmt::Display for Pop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = &self.server;
        writeln!(
            f,
            "# NATS, PoP {} of lattice {}: a leaf of the hub, made by `trellis lattice config --pop {}`.\n",
            self.pop, server.lattice, self.pop
        )?;
        let mut tags = vec![format!("pop:{}", self.pop)];
        tags.extend(self.region.iter().map(|region| format!("region:{region}")));
        server.head(f, self.pop.as_str(), &tags)?;
        server.accounts(f, self.pop.as_str(), std::iter::empty())?;
        writeln!(
            f,
            "leafnodes {{\n  \
               reconnect: \"1s\"\n  \
               remotes: [\n    \
                 {{\n      \
                   urls: {}\n      \
                   account: {ACCOUNT}\n      \
                   # This server's own seed, which nobody else needs to read.\n      \
                   include {}\n\
                   {}    \
                 }}\n  \
               ]\n\
             }}",
            list(&self.hub_urls, 6),
            quoted(LEAF_FILE),
            self.hub_ca.as_ref().map_or_else(String::new, |ca| {
                format!("      tls {{ ca_file: {} }}\n", quoted(ca))
            }),
        )
    }
}

impl Server {
    fn head(&self, f: &mut fmt::Formatter<'_>, domain: &str, tags: &[String]) -> fmt::Result {
        writeln!(f, "server_name: {}", quoted(domain))?;
        writeln!(f, "server_tags: {}", list(tags, 0))?;
        writeln!(f, "listen: {}", quoted(&self.listen))?;
        f.write_str(&self.tls(""))?;
        if let Some(monitor) = &self.monitor {
            writeln!(f, "http: {}", quoted(monitor))?;
        }
        writeln!(
            f,
            "# Of itself it notices only after minutes that a link is dead.\n\
             ping_interval: \"5s\"\n\
             ping_max: 2\n\
             # A host tells in one message all that it runs: 5,000 components are a megabyte, the server's own limit.\n\
             max_payload: 8MB\n\n\
             jetstream {{\n  \
               domain: {}\n  \
               store_dir: {}\n  \
               # What is acknowledged is on the disk: of itself, within two minutes.\n  \
               sync_interval: always\n  \
               # Each host that follows a bucket is a consumer of it: of itself, a thousand at most.\n  \
               limits {{ default_max_consumers: -1 }}\n\
             }}\n",
            quoted(domain),
            quoted(&self.store)
        )
    }

    /// The block that says with what it shows who it is, or nothing.
    fn tls(&self, indent: &str) -> String {
        self.tls
            .as_ref()
            .map_or_else(String::new, |Tls { cert, key }| {
                format!(
                    "{indent}tls {{\n{indent}  cert_file: {}\n{indent}  key_file: {}\n{indent}}}\n",
                    quoted(cert),
                    quoted(key)
                )
            })
    }

    fn accounts<'a>(
        &'a self,
        f: &mut fmt::Formatter<'_>,
        domain: &str,
        leaves: impl Iterator<Item = (String, Role, &'a UserId)>,
    ) -> fmt::Result {
        let subjects = Subjects::new(self.lattice.clone());
        writeln!(
            f,
            "accounts {{\n  {ACCOUNT} {{\n    jetstream: enabled\n    users: ["
        )?;
        let clients = self
            .users
            .iter()
            .map(|(role, user)| (role.what().to_owned(), *role, user));
        for (what, role, user) in clients.chain(leaves) {
            let scope = Scope {
                subjects: &subjects,
                domain,
                data: &self.data,
                user,
            };
            let Permissions { publish, subscribe } = Permissions::of(role, &scope);
            writeln!(
                f,
                "      # {what}\n      \
                   {{\n        \
                     nkey: {user}\n        \
                     allowed_connection_types: [{:?}]\n        \
                     permissions {{\n          \
                       publish {{{}          }}\n          \
                       subscribe {{{}          }}\n        \
                     }}\n      \
                   }}",
                role.connects_as(),
                text::rules(&publish),
                text::rules(&subscribe),
            )?;
        }
        writeln!(f, "    ]\n  }}\n  SYS {{}}\n}}\nsystem_account: SYS\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::UserKey;

    fn server(tls: Option<Tls>) -> Server {
        Server {
            lattice: LatticeName::default(),
            listen: "0.0.0.0:4222".into(),
            monitor: Some("127.0.0.1:8222".into()),
            store: "/var/lib/nats".into(),
            tls,
            users: Role::CLIENTS
                .into_iter()
                .map(|role| (role, UserKey::generate().public()))
                .collect(),
            data: Data::default(),
        }
    }

    #[test]
    fn a_configuration_has_every_user_and_no_seed() {
        let hub = Hub {
            server: server(None),
            leaf_listen: "0.0.0.0:7422".into(),
            leaves: [(PopName::new("fra").unwrap(), UserKey::generate().public())].into(),
        };
        let text = hub.to_string();
        for user in hub.server.users.values().chain(hub.leaves.values()) {
            assert_eq!(text.matches(&format!("nkey: {user}")).count(), 1, "{text}");
        }
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let is_seed = |word: &str| word.starts_with("SU") && word.len() > 50;
        assert!(!words.any(is_seed), "{text}");
        assert!(!text.contains("tls"), "{text}");
        assert_eq!(text, hub.to_string(), "the same each time");
        for line in [
            "no_advertise: true",
            "domain: \"hub\"",
            "http: \"127.0.0.1:8222\"",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn certificates_are_where_they_are_needed() {
        let tls = Tls {
            cert: "/etc/nats/cert.pem".into(),
            key: "/etc/nats/key.pem".into(),
        };
        let hub = Hub {
            server: server(Some(tls.clone())),
            leaf_listen: "0.0.0.0:7422".into(),
            leaves: BTreeMap::new(),
        };
        let text = hub.to_string();
        assert_eq!(
            text.matches("cert_file: \"/etc/nats/cert.pem\"").count(),
            2,
            "{text}"
        );
        let pop = Pop {
            server: server(Some(tls)),
            pop: PopName::new("fra").unwrap(),
            region: Some(RegionName::new("eu").unwrap()),
            hub_urls: vec!["tls://hub:7422".into()],
            hub_ca: Some("/etc/nats/ca.pem".into()),
        };
        let text = pop.to_string();
        assert_eq!(text.matches("cert_file").count(), 1, "{text}");
        assert!(
            text.contains("tls { ca_file: \"/etc/nats/ca.pem\" }"),
            "{text}"
        );
        assert!(
            text.contains("server_tags: [\"pop:fra\", \"region:eu\"]"),
            "{text}"
        );
        assert!(check_pop(&PopName::new(HUB).unwrap()).is_err());
    }
}
