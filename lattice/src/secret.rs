//! Secrets: references of them, which are stored and told like any configuration, and the request by which a host has the
//! value from a secrets backend. As in wasmCloud 1.x; values are never in a bucket, an event or an inventory.
//!
//! A reference is a configuration whose name begins with [`PREFIX`]. A backend listens on
//! `{topic}.v1alpha1.{backend}.server_xkey` (its public X key as text) and `….get`: a [`SecretRequest`] that is sealed
//! for that key, the sender's key in the header [`REQUEST_KEY`]; the answer is a [`SecretResponse`] sealed for the sender,
//! the backend's key in the header [`RESPONSE_KEY`]. An answer without that header is not sealed and holds an error.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::config::Config;

/// What the names of references begin with.
pub const PREFIX: &str = "SECRET_";
/// A reference's type.
pub const TYPE: &str = "secret.wasmcloud.dev/v1alpha1";
/// The type of a manifest's policy that names a backend.
pub const POLICY_TYPE: &str = "policy.secret.wasmcloud.dev/v1alpha1";
/// The type of a policy's properties in a reference.
pub const PROPERTIES_TYPE: &str = "properties.secret.wasmcloud.dev/v1alpha1";
/// The protocol's version, in subjects.
pub const API_VERSION: &str = "v1alpha1";
/// Where backends listen when nothing else is said.
pub const TOPIC: &str = "wasmcloud.secrets";
/// Header: the public X key of who asks.
pub const REQUEST_KEY: &str = "WasmCloud-Host-Xkey";
/// Header: the public X key of who answers.
pub const RESPONSE_KEY: &str = "Server-Response-Xkey";

/// Whether a configuration of that name is a secret's reference.
pub fn is_reference(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether a backend can be named so: its name is a token of a subject.
pub fn is_backend_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= crate::id::MAX_NAME_BYTES
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>'))
}

/// Where a backend tells its public key.
pub fn key_subject(topic: &str, backend: &str) -> String {
    format!("{topic}.{API_VERSION}.{backend}.server_xkey")
}

/// Where a backend is asked for a secret.
pub fn get_subject(topic: &str, backend: &str) -> String {
    format!("{topic}.{API_VERSION}.{backend}.get")
}

/// Where a secret is kept, and the name its user knows it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretReference {
    /// The name its user knows it by.
    pub name: String,
    /// The backend that keeps it.
    pub backend: String,
    /// Its key there.
    pub key: String,
    /// A field of it.
    pub field: Option<String>,
    /// A version of it; none: the newest.
    pub version: Option<String>,
    /// What else the backend wants to know: JSON, handed on as it is.
    pub policy: String,
}

/// A configuration under a reference's name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// A field is missing.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// Another type.
    #[error("its `type` is {0:?}, not {TYPE:?}")]
    Type(String),
    /// A backend that can't be asked.
    #[error(
        "its `backend` {0:?} can't be a part of a subject: use no white space, '.', '*' and '>'"
    )]
    Backend(String),
}

#[derive(Serialize)]
struct Policy<'a> {
    #[serde(rename = "type")]
    ty: &'a str,
    properties: &'a BTreeMap<String, String>,
}

impl SecretReference {
    /// The policy's text for a backend's further properties.
    ///
    /// # Errors
    /// None: text always has a JSON form; serde doesn't know that.
    pub fn policy(properties: &BTreeMap<String, String>) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Policy {
            ty: PROPERTIES_TYPE,
            properties,
        })
    }

    /// Reads a configuration that is a reference.
    ///
    /// # Errors
    /// Says which field is missing or not what it should be.
    pub fn read(config: &Config) -> Result<Self, ReferenceError> {
        let field = |name| config.get(name).filter(|value| !value.is_empty()).cloned();
        let needed = |name| field(name).ok_or(ReferenceError::Missing(name));
        let ty = needed("type")?;
        if ty != TYPE {
            return Err(ReferenceError::Type(ty));
        }
        let backend = needed("backend")?;
        if !is_backend_name(&backend) {
            return Err(ReferenceError::Backend(backend));
        }
        Ok(Self {
            name: needed("name")?,
            backend,
            key: needed("key")?,
            field: field("field"),
            version: field("version"),
            policy: config.get("policy").cloned().unwrap_or_default(),
        })
    }

    /// The configuration that it is stored as.
    pub fn to_config(&self) -> Config {
        let mut config = Config::from([
            ("name".to_owned(), self.name.clone()),
            ("type".to_owned(), TYPE.to_owned()),
            ("backend".to_owned(), self.backend.clone()),
            ("key".to_owned(), self.key.clone()),
            ("policy".to_owned(), self.policy.clone()),
        ]);
        if let Some(field) = &self.field {
            config.insert("field".to_owned(), field.clone());
        }
        if let Some(version) = &self.version {
            config.insert("version".to_owned(), version.clone());
        }
        config
    }

    /// The request for it.
    pub fn request(&self, entity_jwt: &str, host_jwt: &str, app: Option<&str>) -> SecretRequest {
        SecretRequest {
            key: self.key.clone(),
            field: self.field.clone(),
            version: self.version.clone(),
            context: Context {
                entity_jwt: entity_jwt.to_owned(),
                host_jwt: host_jwt.to_owned(),
                application: Application {
                    name: app.map(str::to_owned),
                    policy: self.policy.clone(),
                },
            },
        }
    }
}

impl fmt::Display for SecretReference {
    /// Which secret it is, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "secret {:?} (key {:?} of backend {:?})",
            self.name, self.key, self.backend
        )
    }
}

/// Asks a backend for a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct SecretRequest {
    /// Its key.
    pub key: String,
    /// A field of it.
    #[serde(default)]
    pub field: Option<String>,
    /// A version of it; none: the newest.
    #[serde(default)]
    pub version: Option<String>,
    /// For whom.
    pub context: Context,
}

/// For whom a secret is asked: what a backend decides by.
#[derive(Clone, Serialize, Deserialize)]
pub struct Context {
    /// The claims of the component or provider.
    pub entity_jwt: String,
    /// The claims of the host.
    pub host_jwt: String,
    /// The application it belongs to.
    #[serde(default)]
    pub application: Application,
}

/// An application, as a backend knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its name, where there is one.
    #[serde(default)]
    pub name: Option<String>,
    /// The reference's policy.
    #[serde(default)]
    pub policy: String,
}

/// A backend's answer: one of the two.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct SecretResponse {
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
}

/// A secret as a backend gives it: text or bytes.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Secret {
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its text.
    #[serde(default)]
    pub string_secret: Option<String>,
    /// Its bytes.
    #[serde(default)]
    pub binary_secret: Option<Vec<u8>>,
}

impl Secret {
    /// Its value; none where it has none.
    pub fn into_value(self) -> Option<SecretValue> {
        self.string_secret
            .map(SecretValue::String)
            .or(self.binary_secret.map(SecretValue::Bytes))
    }
}

/// Why a backend gives no secret. Kept as 1.x's backends write it, so that one we don't know is told too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Refusal(pub serde_json::Value);

impl Refusal {
    /// Whoever asks may not have it.
    pub const UNAUTHORIZED: &'static str = "Unauthorized";
    /// There is none.
    pub const NOT_FOUND: &'static str = "SecretNotFound";

    /// One that has nothing more to say than its kind.
    pub fn plain(kind: &str) -> Self {
        Self(kind.into())
    }

    /// One with a reason.
    pub fn because(kind: &str, why: &str) -> Self {
        Self(serde_json::json!({ kind: why }))
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        match &self.0 {
            serde_json::Value::String(kind) => kind,
            serde_json::Value::Object(fields) => {
                fields.keys().next().map_or("Other", String::as_str)
            }
            _ => "Other",
        }
    }

    /// Whether the same request may well be granted in a while.
    pub fn is_passing(&self) -> bool {
        matches!(
            self.kind(),
            "UpstreamError" | "EncryptionError" | "DecryptionError" | "InvalidXKey" | "Other"
        )
    }
}

impl fmt::Display for Refusal {
    /// For people. A backend's own words go along, shortened.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        let said = match kind {
            Self::UNAUTHORIZED => "whoever asks may not have it",
            Self::NOT_FOUND => "there is no such secret",
            "InvalidEntityJWT" => "it does not accept the claims of whoever asks",
            "InvalidHostJWT" => "it does not accept the host's claims",
            "UpstreamError" => "it can't reach where it keeps secrets",
            "PolicyError" => "it does not accept the policy's properties",
            "EncryptionError" | "DecryptionError" | "InvalidXKey" => "the encryption failed",
            "InvalidRequest" | "InvalidPayload" | "InvalidHeaders" => {
                "it does not accept the request"
            }
            _ => "it gives it not",
        };
        f.write_str(said)?;
        let more = self.0.get(kind).and_then(serde_json::Value::as_str);
        if let Some(more) = more.filter(|more| !more.is_empty()) {
            let more: String = more.chars().filter(|c| !c.is_control()).take(200).collect();
            write!(f, " ({more})")?;
        }
        Ok(())
    }
}

/// A secret's value, in the form that providers get it in. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
pub enum SecretValue {
    /// A text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Secrets by the names their user knows them by.
pub type Secrets = BTreeMap<String, SecretValue>;

impl SecretValue {
    /// The secret as text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        }
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> SecretReference {
        SecretReference {
            name: "password".into(),
            backend: "nats-kv".into(),
            key: "redis".into(),
            field: None,
            version: Some("3".into()),
            policy: SecretReference::policy(&[("path".to_owned(), "a".to_owned())].into()).unwrap(),
        }
    }

    #[test]
    fn a_reference_is_stored_as_1_x_stores_it() {
        let config = reference().to_config();
        assert_eq!(
            serde_json::to_value(&config).unwrap(),
            serde_json::json!({
                "name": "password", "type": "secret.wasmcloud.dev/v1alpha1", "backend": "nats-kv",
                "key": "redis", "version": "3",
                "policy": r#"{"type":"properties.secret.wasmcloud.dev/v1alpha1","properties":{"path":"a"}}"#,
            })
        );
        assert_eq!(SecretReference::read(&config), Ok(reference()));
    }

    #[test]
    fn what_is_no_reference_is_named() {
        let mut config = reference().to_config();
        config.insert("backend".into(), "a.>".into());
        assert_eq!(
            SecretReference::read(&config),
            Err(ReferenceError::Backend("a.>".into()))
        );
        config.remove("key");
        config.insert("backend".into(), "b".into());
        assert_eq!(
            SecretReference::read(&config),
            Err(ReferenceError::Missing("key"))
        );
        config.insert("type".into(), "x".into());
        assert_eq!(
            SecretReference::read(&config),
            Err(ReferenceError::Type("x".into()))
        );
    }

    #[test]
    fn refusals_are_read_as_1_x_writes_them() {
        let read = |text| serde_json::from_str::<SecretResponse>(text).unwrap().error;
        let refused = read(r#"{"error":"Unauthorized"}"#).unwrap();
        assert_eq!(refused.to_string(), "whoever asks may not have it");
        assert!(!refused.is_passing());
        let refused = read(r#"{"error":{"UpstreamError":"no\nroute"}}"#).unwrap();
        assert_eq!(
            refused.to_string(),
            "it can't reach where it keeps secrets (noroute)"
        );
        assert!(refused.is_passing());
    }

    #[test]
    fn a_value_has_1_x_s_form_and_is_not_shown() {
        let value = SecretValue::String("hush".into());
        assert_eq!(
            serde_json::to_string(&value).unwrap(),
            r#"{"kind":"String","value":"hush"}"#
        );
        assert!(!format!("{value:?}").contains("hush"));
    }
}
