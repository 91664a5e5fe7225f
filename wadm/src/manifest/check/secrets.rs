//! References of secrets: each leads to a policy that names a backend.

use std::collections::BTreeMap;

use trellis_lattice::{config, secret};

use super::{
    super::{
        problem::{Findings, Path},
        suggest::hint,
        types::{Policy, SecretProperty},
    },
    control, has_control,
};
use crate::names;

/// The property of a policy that names the backend.
const BACKEND: &str = "backend";

/// Checks policies alone.
pub(super) fn policies(policies: &[Policy], path: &Path, findings: &mut Findings) {
    for (index, policy) in policies.iter().enumerate() {
        let path = path.item(index);
        if policy.name.is_empty() {
            findings.error(&path.field("name"), "is empty");
        } else if has_control(&policy.name) {
            control(&path.field("name"), &policy.name, findings);
        } else if policies
            .iter()
            .take(index)
            .any(|other| other.name == policy.name)
        {
            let text = format!("another policy is named {:?} already", policy.name);
            findings.error(&path.field("name"), text);
        }
        if policy.ty != secret::POLICY_TYPE {
            let text = format!(
                "{:?} is no type of policy that has an effect; known is {:?}",
                policy.ty,
                secret::POLICY_TYPE
            );
            findings.warn(&path.field("type"), text);
            continue;
        }
        let path = path.field("properties");
        match policy.properties.get(BACKEND) {
            None => findings.error(
                &path.field(BACKEND),
                "is missing: name the secrets backend, such as nats-kv",
            ),
            Some(backend) if !secret::is_backend_name(backend) => findings.error(
                &path.field(BACKEND),
                format!(
                    "is {backend:?}, but must be a part of a subject: not empty, without white space, '.', '*' and '>'"
                ),
            ),
            Some(_) => {}
        }
    }
}

/// What has been seen of the manifest's secrets so far.
pub(super) struct Check<'a> {
    app: &'a str,
    policies: &'a [Policy],
    /// By their names in the lattice.
    seen: BTreeMap<String, &'a SecretProperty>,
}

impl<'a> Check<'a> {
    pub(super) fn new(app: &'a str, policies: &'a [Policy]) -> Self {
        Self {
            app,
            policies,
            seen: BTreeMap::new(),
        }
    }

    /// Checks the secrets of a component or of a link's side.
    pub(super) fn list(
        &mut self,
        secrets: &'a [SecretProperty],
        path: &Path,
        findings: &mut Findings,
    ) {
        for (index, secret) in secrets.iter().enumerate() {
            let path = path.item(index);
            self.name(secret, &path, findings);
            let below = path.field("properties");
            if secret.properties.key.is_empty() {
                findings.error(
                    &below.field("key"),
                    "is empty: name the secret as its backend knows it",
                );
            }
            self.policy(secret, &below.field("policy"), findings);
            let mut before = secrets.iter().take(index);
            if before.any(|other| other.name == secret.name) {
                let text = format!("another secret is named {:?} already", secret.name);
                findings.error(&path.field("name"), text);
            }
        }
    }

    fn name(&mut self, secret: &'a SecretProperty, path: &Path, findings: &mut Findings) {
        let below = path.field("name");
        if secret.name.is_empty() {
            return findings.error(&below, "is empty");
        }
        if has_control(&secret.name) {
            return control(&below, &secret.name, findings);
        }
        let name = names::secret_name(self.app, secret);
        if let Err(error) = config::check_name(&name) {
            findings.error(&below, error.to_string());
        }
        match self.seen.get(&name) {
            Some(other) if *other != secret => findings.error(
                path,
                format!(
                    "secret {:?} is given twice with different properties: they have one name in the lattice, {name}",
                    secret.name
                ),
            ),
            _ => {
                self.seen.insert(name, secret);
            }
        }
    }

    fn policy(&self, secret: &SecretProperty, path: &Path, findings: &mut Findings) {
        let wanted = &secret.properties.policy;
        match self.policies.iter().find(|policy| policy.name == *wanted) {
            Some(policy) if policy.ty == secret::POLICY_TYPE => {}
            Some(policy) => findings.error(
                path,
                format!(
                    "policy {wanted:?} is of type {:?}, and must be of {:?} to be a secret's",
                    policy.ty,
                    secret::POLICY_TYPE
                ),
            ),
            None => {
                let names = self.policies.iter().map(|policy| policy.name.as_str());
                let hint = hint(wanted, names);
                findings.error(path, format!("no policy is named {wanted:?}{hint}"));
            }
        }
    }
}
