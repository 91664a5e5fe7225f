//! What all tests need: clients, and things to push.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use time::OffsetDateTime;
use trellis_lattice::claims::{
    AccountKey, ComponentDetails, ComponentKey, Validity, sign_component,
};
use trellis_registry::{
    Artefact, Client, Login, Progress, Reference, RegistryError, Retry, Settings,
};
use trellis_tests::registry::{PASSWORD, USER};

/// A client's settings that allow plain HTTP with these registries, and wait for nothing long.
pub fn settings(insecure: &[&str]) -> Settings {
    Settings {
        insecure: insecure.iter().map(|&host| host.to_owned()).collect(),
        retry: Retry {
            times: 3,
            first_wait: std::time::Duration::from_millis(10),
            longest_wait: std::time::Duration::from_millis(100),
        },
        ..Settings::default()
    }
}

pub fn client(insecure: &[&str]) -> Client {
    Client::new(settings(insecure)).unwrap()
}

/// The user that registries with a login let in.
pub fn login(registry: &str) -> Login {
    Login {
        registry: registry.to_owned(),
        user: USER.into(),
        password: PASSWORD.into(),
    }
}

/// A signed component of so many bytes, and a little.
pub fn component(bytes: usize) -> Artefact {
    // Different all over, so that what comes twice or in another order is noticed.
    let filler: String = (0_u32..)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .map(|byte| char::from(b'a' + byte % 26))
        .take(bytes)
        .collect();
    let text = format!("(component (core module (memory 1) (data \"{filler}\")))");
    let plain = wat::parse_str(text).unwrap();
    let issuer = AccountKey::generate();
    let details = ComponentDetails {
        name: Some("cart".into()),
        version: Some("1.0".into()),
        ..ComponentDetails::default()
    };
    let now = OffsetDateTime::now_utc();
    let signed = sign_component(
        &plain,
        &issuer,
        &ComponentKey::generate().public(),
        &details,
        &Validity::unlimited(now),
    );
    Artefact::of(Bytes::from(signed.unwrap()), now).unwrap()
}

pub fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// Notes what it is told.
#[derive(Debug, Default)]
pub struct Noted {
    pub tries: AtomicUsize,
    pub positions: Mutex<Vec<u64>>,
}

impl Noted {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
}

impl Progress for Noted {
    fn begins(&self, _: u64) {}

    fn is_at(&self, bytes: u64) {
        self.positions.lock().unwrap().push(bytes);
    }

    fn again(&self, _: &RegistryError) {
        self.tries.fetch_add(1, Ordering::SeqCst);
    }
}
