//! The curve keys by which a provider gets the secrets of its links: sealed by its host for itself alone.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use nkeys::XKey;
use serde_json::Value;
use trellis_lattice::{LinkKey, ResolvedLink};

/// The keys of one provider.
pub(super) struct Keys {
    host: XKey,
    provider: XKey,
    /// Whether it listens to links by its public key, too. The built-in ones listen by their id alone, in one order.
    is_listening: bool,
    /// Links as they were sealed: told again they are the same bytes, and nothing new.
    sealed: Mutex<BTreeMap<LinkKey, (ResolvedLink, ResolvedLink)>>,
}

impl Keys {
    /// New ones.
    pub(super) fn generate(is_listening: bool) -> Self {
        Self {
            host: XKey::new(),
            provider: XKey::new(),
            is_listening,
            sealed: Mutex::default(),
        }
    }

    /// For host data.
    pub(super) fn host_public(&self) -> String {
        self.host.public_key()
    }

    /// For host data. A secret.
    pub(super) fn provider_seed(&self) -> String {
        // A key that was generated has its seed.
        self.provider.seed().unwrap_or_default()
    }

    /// Where it listens to links beside its id.
    pub(super) fn provider_public(&self) -> Option<String> {
        self.is_listening.then(|| self.provider.public_key())
    }

    /// The link as it may travel: its secrets are sealed for the provider.
    pub(super) fn seal(&self, link: &ResolvedLink) -> ResolvedLink {
        let mut all = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        if !link.has_secrets() {
            all.remove(&link.key());
            return link.clone();
        }
        if let Some((plain, sealed)) = all.get(&link.key())
            && plain == link
        {
            return sealed.clone();
        }
        let mut sealed = link.clone();
        for secrets in [&mut sealed.source_secrets, &mut sealed.target_secrets] {
            *secrets = secrets.take().map(|plain| self.seal_value(&plain));
        }
        sealed.sealed_for = Some(self.provider.public_key());
        all.insert(link.key(), (link.clone(), sealed.clone()));
        sealed
    }

    fn seal_value(&self, plain: &Value) -> Value {
        let sealed = self.host.seal(plain.to_string().as_bytes(), &self.provider);
        // Sealing for a key that we made fails only without randomness. Then the provider says that it can't be opened.
        sealed.map_or(Value::Array(vec![0.into()]), Value::from)
    }
}

impl fmt::Debug for Keys {
    /// The seeds are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("provider_public", &self.provider.public_key())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_travel_sealed_and_stay_the_same() {
        let keys = Keys::generate(false);
        let mut link: ResolvedLink = serde_json::from_value(serde_json::json!({
            "source_id": "a", "target": "kv", "wit_namespace": "wasi", "wit_package": "keyvalue",
            "interfaces": ["store"],
        }))
        .unwrap();
        assert_eq!(keys.seal(&link), link);
        let secrets = serde_json::json!({"password": {"kind": "String", "value": "hush"}});
        link.target_secrets = Some(secrets.clone());
        let sealed = keys.seal(&link);
        let text = serde_json::to_string(&sealed).unwrap();
        assert!(
            !text.contains("hush") && !text.contains("password"),
            "{text}"
        );
        assert_eq!(keys.seal(&link), sealed);
        let bytes: Vec<u8> = serde_json::from_value(sealed.target_secrets.unwrap()).unwrap();
        let opened = keys.provider.open(&bytes, &keys.host).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&opened).unwrap(), secrets);
    }
}
