//! What each role may publish and subscribe to.
//!
//! What isn't allowed is refused; a subscription wider than what is allowed is, too. Everybody may publish to inboxes,
//! since a call is answered in several messages, and may read its own alone, which is why inboxes begin with the user's
//! key ([`crate::connect`]).

use super::{
    Buckets, Data, HUB, Role,
    data::own_buckets,
    jetstream::{self, OWN, of_domain},
};
use crate::{bucket, claims::UserId, connect::inbox_prefix, secret, subject::Subjects};

/// What a user may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// What it may publish.
    pub publish: Rules,
    /// What it may subscribe to.
    pub subscribe: Rules,
}

/// Subjects, with wildcards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// These.
    pub allow: Vec<String>,
    /// But for these.
    pub deny: Vec<String>,
}

/// Who a user is, and where.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The lattice's subjects.
    pub subjects: &'a Subjects,
    /// The JetStream domain of the server that it connects to.
    pub domain: &'a str,
    /// What providers may use.
    pub data: &'a Data,
    /// The user.
    pub user: &'a UserId,
}

impl Permissions {
    /// What a role may do.
    pub fn of(role: Role, scope: &Scope<'_>) -> Self {
        match role {
            Role::Host => scope.host(),
            Role::Provider => scope.provider(),
            Role::Wadm => scope.wadm(),
            Role::Operator => scope.operator(),
            Role::Leaf => scope.leaf(),
        }
    }
}

impl From<Vec<String>> for Rules {
    fn from(allow: Vec<String>) -> Self {
        Self {
            allow,
            deny: Vec::new(),
        }
    }
}

/// Every inbox.
const INBOXES: &str = "_INBOX.>";

impl Scope<'_> {
    fn host(&self) -> Permissions {
        let subjects = self.subjects;
        let mut publish = vec![
            subjects.events(),
            subjects.every_provider(),
            subjects.every_call(),
            INBOXES.to_owned(),
            // Whether a host of the same key is there, and an application manager.
            subjects.control_any("host.ping"),
            subjects.control_any("host.get.*"),
            subjects.app("list"),
            // Secrets are asked for by the host, under whatever the backends are called.
            format!("{}.>", secret::TOPIC),
        ];
        publish.extend(subjects.every_own());
        let lattice = subjects.lattice();
        for api in self.domains() {
            publish.push(jetstream::account(&api));
            for bucket in [bucket::lattice_data(lattice), bucket::config_data(lattice)] {
                publish.extend(jetstream::use_bucket(&api, &bucket));
                publish.extend(jetstream::make_bucket(&api, &bucket));
            }
        }
        publish.push(jetstream::FLOW.to_owned());
        let mut subscribe = vec![self.inbox(), subjects.control_all(), subjects.every_call()];
        subscribe.extend(subjects.every_own());
        self.permissions(publish, subscribe)
    }

    fn provider(&self) -> Permissions {
        let subjects = self.subjects;
        let mut publish = vec![subjects.every_call(), subjects.pops(), INBOXES.to_owned()];
        publish.extend(self.data.subjects.iter().cloned());
        let mut deny = Vec::new();
        let own = of_domain(self.domain);
        for api in self.domains().into_iter().chain([own]) {
            publish.push(jetstream::account(&api));
            match &self.data.buckets {
                Buckets::Any => {
                    publish.extend(jetstream::every_bucket(&api));
                    for bucket in own_buckets(subjects.lattice()) {
                        deny.extend(jetstream::no_bucket(&api, &bucket));
                    }
                }
                Buckets::Named(names) => {
                    for name in names {
                        publish.extend(jetstream::use_bucket(&api, name));
                    }
                }
            }
        }
        if self.data.buckets == Buckets::Any {
            publish.push(jetstream::ACKS.to_owned());
            deny.extend(self.no_acks());
        }
        publish.push(jetstream::FLOW.to_owned());
        let mut subscribe = vec![
            self.inbox(),
            subjects.every_provider(),
            subjects.every_call(),
            subjects.pops(),
        ];
        subscribe.extend(self.data.subjects.iter().cloned());
        let mut permissions = self.permissions(publish, subscribe);
        permissions.publish.deny = sorted(deny);
        permissions
    }

    fn wadm(&self) -> Permissions {
        let subjects = self.subjects;
        let mut publish = vec![
            subjects.control_all(),
            subjects.apps(),
            subjects.app_event(">"),
            subjects.app_status(">"),
            INBOXES.to_owned(),
            jetstream::FLOW.to_owned(),
        ];
        for api in self.domains() {
            publish.push(jetstream::account(&api));
            let notes = bucket::manager_data(subjects.lattice());
            for bucket in [bucket::MANIFESTS.to_owned(), notes] {
                publish.extend(jetstream::use_bucket(&api, &bucket));
                publish.extend(jetstream::make_bucket(&api, &bucket));
            }
        }
        let mut subscribe = vec![self.inbox(), subjects.apps(), subjects.events()];
        subscribe.extend(subjects.every_own());
        self.permissions(publish, subscribe)
    }

    fn operator(&self) -> Permissions {
        let subjects = self.subjects;
        let mut publish = vec![
            subjects.control_all(),
            subjects.apps(),
            subjects.every_call(),
            subjects.pops(),
            INBOXES.to_owned(),
            jetstream::FLOW.to_owned(),
        ];
        let configs = bucket::config_data(subjects.lattice());
        for api in self.domains() {
            publish.push(jetstream::account(&api));
            publish.extend(jetstream::read_bucket(&api, &configs));
        }
        let mut subscribe = vec![
            self.inbox(),
            subjects.events(),
            subjects.app_event(">"),
            subjects.app_status(">"),
        ];
        subscribe.extend(subjects.every_own());
        self.permissions(publish, subscribe)
    }

    /// A PoP's server passes on what those in it may do, and what they are to hear. That is told in the words of the hub:
    /// what it publishes there, and what it subscribes to.
    fn leaf(&self) -> Permissions {
        let subjects = self.subjects;
        let mut both = vec![
            subjects.control_all(),
            subjects.events(),
            subjects.every_provider(),
            subjects.every_call(),
            subjects.apps(),
            subjects.app_event(">"),
            subjects.app_status(">"),
            INBOXES.to_owned(),
            format!("{}.>", secret::TOPIC),
            jetstream::FLOW.to_owned(),
        ];
        both.extend(subjects.every_own());
        both.extend(self.data.subjects.iter().cloned());
        let mut publish = both.clone();
        let mut deny = Vec::new();
        let hub = of_domain(HUB);
        match &self.data.buckets {
            Buckets::Any => {
                publish.extend([format!("{hub}.>"), jetstream::ACKS.to_owned()]);
                deny.extend(self.no_acks());
            }
            Buckets::Named(names) => {
                publish.push(jetstream::account(&hub));
                for bucket in own_buckets(subjects.lattice()) {
                    publish.extend(jetstream::use_bucket(&hub, &bucket));
                    publish.extend(jetstream::make_bucket(&hub, &bucket));
                }
                for name in names {
                    publish.extend(jetstream::use_bucket(&hub, name));
                }
            }
        }
        let mut subscribe = both;
        subscribe.extend(jetstream::COPIES.map(str::to_owned));
        let mut permissions = self.permissions(publish, subscribe);
        permissions.publish.deny = sorted(deny);
        permissions
    }

    /// Nobody acknowledges what is in the lattice's own buckets: those who follow them are sent it without.
    fn no_acks(&self) -> impl Iterator<Item = String> {
        let own = own_buckets(self.subjects.lattice());
        own.into_iter()
            .flat_map(|bucket| jetstream::no_acks(&bucket))
    }

    /// The domains that hold the lattice's state, or a copy of it: the server's own, and the hub's by its name.
    fn domains(&self) -> [String; 2] {
        [OWN.to_owned(), of_domain(HUB)]
    }

    fn inbox(&self) -> String {
        format!("{}.>", inbox_prefix(self.user))
    }

    fn permissions(&self, publish: Vec<String>, subscribe: Vec<String>) -> Permissions {
        Permissions {
            publish: sorted(publish).into(),
            subscribe: sorted(subscribe).into(),
        }
    }
}

/// In order, each once: two configurations can be compared line by line.
fn sorted(mut subjects: Vec<String>) -> Vec<String> {
    subjects.sort();
    subjects.dedup();
    subjects
}
