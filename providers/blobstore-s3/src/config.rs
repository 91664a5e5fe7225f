//! A link's configuration, over the provider's own as its default. See the README for the table.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use serde::Deserialize;
use trellis_provider::{config::SettingsError, tls::Roots};
use url::Url;

use crate::names::{self, Places};

const DEFAULT_REGION: &str = "us-east-1";
const DEFAULT_PART_BYTES: u64 = 8 << 20;
const DEFAULT_MAX_UPLOADS: u64 = 32;
const DEFAULT_MAX_REQUESTS: u64 = 128;
const DEFAULT_MAX_ATTEMPTS: u64 = 5;
const DEFAULT_CONNECT_TIMEOUT_MS: u64 = 5000;
const DEFAULT_REQUEST_TIMEOUT_MS: u64 = 30_000;

/// What S3 takes as a part that is not the last: at least 5 MiB. The upper bound is for this process's memory.
const PART_BYTES: RangeInclusive<u64> = (5 << 20)..=(256 << 20);
const UPLOADS: RangeInclusive<u64> = 1..=4096;
const REQUESTS: RangeInclusive<u64> = 1..=4096;
const ATTEMPTS: RangeInclusive<u64> = 1..=20;
const TIMEOUT_MS: RangeInclusive<u64> = 1..=600_000;

/// The configuration of a link (`target_config`), and of the provider. A field that there isn't is refused: a misspelt
/// `bucket` would open them all.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// The server's URL.
    endpoint: Option<String>,
    /// The region that requests are signed for; without an endpoint also Amazon's.
    region: Option<String>,
    /// The bucket that all containers are in, as folders. Without it each container is a bucket.
    bucket: Option<String>,
    /// The folder of `bucket` that containers are in.
    prefix: Option<String>,
    /// The containers that there are for this link, each as `name` or `name=bucket`.
    containers: Option<Vec<String>>,
    /// Who asks.
    access_key_id: Option<String>,
    /// With which key. Meant to be given as a secret.
    secret_access_key: Option<String>,
    /// What comes with keys for a time. Meant to be given as a secret.
    session_token: Option<String>,
    /// Whether buckets are in a URL's path, and not in its host.
    path_style: Option<bool>,
    /// Whether nothing may be changed.
    read_only: Option<bool>,
    /// The most bytes that an object may have.
    max_object_bytes: Option<u64>,
    /// How much of an object is sent at once.
    part_bytes: Option<u64>,
    /// How many objects are written at once.
    max_uploads: Option<u64>,
    /// How many requests wait for an answer at once.
    max_requests: Option<u64>,
    /// How often a request is tried.
    max_attempts: Option<u64>,
    /// For a new connection, in milliseconds.
    connect_timeout_ms: Option<u64>,
    /// For a request, and between two pieces of content, in milliseconds.
    request_timeout_ms: Option<u64>,
    /// A PEM file of certificate authorities to trust.
    tls_ca_file: Option<PathBuf>,
    /// Whether the authorities that this machine trusts are trusted.
    tls_system_roots: Option<bool>,
}

/// Who asks, and what it is signed with.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Keys {
    /// The access key.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// The session's token, for keys that are for a time.
    pub token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// What a link asks for, checked, with every default filled in. Links of equal settings share their connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The server's URL.
    pub endpoint: Url,
    /// Whether buckets are in a URL's path, and not in its host.
    pub path_style: bool,
    /// The region that requests are signed for.
    pub region: String,
    /// Who asks; nobody where the server needs no names.
    pub keys: Option<Keys>,
    /// Where containers are.
    pub places: Places,
    /// Whether nothing may be changed.
    pub read_only: bool,
    /// The most bytes that an object may have.
    pub max_object_bytes: u64,
    /// How much of an object is sent at once.
    pub part_bytes: usize,
    /// How many objects are written at once.
    pub max_uploads: usize,
    /// How many requests wait for an answer at once.
    pub max_requests: usize,
    /// How often a request is tried.
    pub max_attempts: u32,
    /// For a new connection.
    pub connect_timeout: Duration,
    /// For a request, and between two pieces of content.
    pub request_timeout: Duration,
    /// Whose certificates are trusted.
    pub roots: Roots,
}

impl S3Config {
    /// The settings of a link with this configuration, where the provider's own fills what it leaves out.
    ///
    /// # Errors
    /// Names the field that is missing or doesn't fit.
    pub fn settings(&self, own: &Self) -> Result<Settings, SettingsError> {
        let text = |of: fn(&Self) -> &Option<String>| {
            let text = of(self).as_ref().or(of(own).as_ref());
            text.filter(|text| !text.is_empty()).cloned()
        };
        let number =
            |field, of: fn(&Self) -> Option<u64>, default, bounds: &RangeInclusive<u64>| {
                within(field, of(self).or(of(own)).unwrap_or(default), bounds)
            };
        let count = |field, of: fn(&Self) -> Option<u64>, default, bounds| {
            let count = number(field, of, default, bounds)?;
            Ok(usize::try_from(count).unwrap_or(usize::MAX))
        };
        let timeout = |field, of: fn(&Self) -> Option<u64>, default| {
            number(field, of, default, &TIMEOUT_MS).map(Duration::from_millis)
        };
        let region = text(|config| &config.region);
        let endpoint = endpoint(text(|config| &config.endpoint), region.as_deref())?;
        let path_style = self.path_style.or(own.path_style);
        let attempts = number(
            "max_attempts",
            |config| config.max_attempts,
            DEFAULT_MAX_ATTEMPTS,
            &ATTEMPTS,
        )?;
        Ok(Settings {
            // Amazon's own servers want the one, and hardly any other server has names for the other.
            path_style: path_style.unwrap_or(!is_amazon(&endpoint)),
            endpoint,
            region: region.unwrap_or_else(|| DEFAULT_REGION.to_owned()),
            keys: keys(
                text(|config| &config.access_key_id),
                text(|config| &config.secret_access_key),
                text(|config| &config.session_token),
            )?,
            places: self.places(own)?,
            read_only: self.read_only.or(own.read_only).unwrap_or_default(),
            max_object_bytes: self
                .max_object_bytes
                .or(own.max_object_bytes)
                .unwrap_or(u64::MAX),
            part_bytes: count(
                "part_bytes",
                |config| config.part_bytes,
                DEFAULT_PART_BYTES,
                &PART_BYTES,
            )?,
            max_uploads: count(
                "max_uploads",
                |config| config.max_uploads,
                DEFAULT_MAX_UPLOADS,
                &UPLOADS,
            )?,
            max_requests: count(
                "max_requests",
                |config| config.max_requests,
                DEFAULT_MAX_REQUESTS,
                &REQUESTS,
            )?,
            max_attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            connect_timeout: timeout(
                "connect_timeout_ms",
                |config| config.connect_timeout_ms,
                DEFAULT_CONNECT_TIMEOUT_MS,
            )?,
            request_timeout: timeout(
                "request_timeout_ms",
                |config| config.request_timeout_ms,
                DEFAULT_REQUEST_TIMEOUT_MS,
            )?,
            roots: Roots {
                system: self
                    .tls_system_roots
                    .or(own.tls_system_roots)
                    .unwrap_or(true),
                ca_file: self.tls_ca_file.clone().or_else(|| own.tls_ca_file.clone()),
            },
        })
    }

    /// Whether this, as the provider's own configuration, can be a default: each link may bring its server and its keys.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    pub fn check_default(&self) -> Result<(), SettingsError> {
        let mut whole = self.clone();
        if whole.endpoint.is_none() && whole.region.is_none() {
            whole.region = Some(DEFAULT_REGION.to_owned());
        }
        if whole.access_key_id.is_none() || whole.secret_access_key.is_none() {
            (whole.access_key_id, whole.secret_access_key) = (None, None);
            whole.session_token = None;
        }
        if whole.bucket.is_none() {
            whole.prefix = None;
        }
        whole.settings(&Self::default()).map(|_| ())
    }

    /// Where containers are. A bucket that the link names brings its own prefix: the provider's is a folder of another one.
    fn places(&self, own: &Self) -> Result<Places, SettingsError> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (bucket, prefix) = match filled(&self.bucket) {
            Some(bucket) => (Some(bucket), filled(&self.prefix)),
            None => (
                filled(&own.bucket),
                filled(&self.prefix).or_else(|| filled(&own.prefix)),
            ),
        };
        let containers = self.containers.as_ref().or(own.containers.as_ref());
        let mut allowed = BTreeMap::new();
        for entry in containers.into_iter().flatten() {
            let wrong = |problem: String| SettingsError {
                field: "containers",
                problem,
            };
            let (name, at) = match entry.split_once('=') {
                Some(_) if bucket.is_some() => {
                    return Err(wrong(format!(
                        "{entry:?}: with `bucket` all containers are in that one: leave out the `=`"
                    )));
                }
                Some((name, at)) => (name.trim(), at.trim()),
                None => (entry.trim(), entry.trim()),
            };
            if bucket.is_none() {
                names::check_bucket(at).map_err(|why| wrong(format!("bucket {at:?}: {why}")))?;
            }
            names::check_container(name)
                .map_err(|why| wrong(format!("container {name:?}: {why}")))?;
            allowed.insert(name.to_owned(), at.to_owned());
        }
        let allowed = containers.map(|_| allowed);
        let Some(bucket) = bucket else {
            if prefix.is_some() {
                return Err(SettingsError {
                    field: "prefix",
                    problem: "is a folder of `bucket`, which is missing".to_owned(),
                });
            }
            return Ok(Places::Buckets { allowed });
        };
        names::check_bucket(&bucket).map_err(|why| SettingsError {
            field: "bucket",
            problem: format!("{bucket:?}: {why}"),
        })?;
        let prefix = names::folder(prefix.as_deref().unwrap_or_default());
        let prefix = prefix.map_err(|problem| SettingsError {
            field: "prefix",
            problem,
        })?;
        Ok(Places::Folders {
            bucket,
            prefix,
            allowed: allowed.map(|allowed| allowed.into_keys().collect()),
        })
    }
}

fn endpoint(url: Option<String>, region: Option<&str>) -> Result<Url, SettingsError> {
    let wrong = |problem: &str| SettingsError {
        field: "endpoint",
        problem: problem.to_owned(),
    };
    let url = match (url, region) {
        (Some(url), _) => url,
        (None, Some(region)) if names::is_label(region) => {
            format!("https://s3.{region}.amazonaws.com")
        }
        (None, Some(_)) => {
            return Err(SettingsError {
                field: "region",
                problem: "not a region of Amazon's: write it like eu-central-1, or give `endpoint`"
                    .to_owned(),
            });
        }
        (None, None) => {
            return Err(wrong(
                "missing: the server's URL, for example https://s3.example.com:9000; or `region`, for Amazon's server there",
            ));
        }
    };
    // The URL itself is not repeated: it may hold a password.
    let not_one =
        || wrong("not a URL: write it like https://s3.example.com or http://127.0.0.1:9000");
    let url: Url = url.parse().map_err(|_| not_one())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(not_one());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "has a user or a password: give `access_key_id` and `secret_access_key` instead",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a `?` or a `#`: leave out what follows it"));
    }
    Ok(url)
}

fn is_amazon(endpoint: &Url) -> bool {
    endpoint
        .host_str()
        .is_some_and(|host| host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

fn keys(
    id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
) -> Result<Option<Keys>, SettingsError> {
    let missing = |field, other: &str| SettingsError {
        field,
        problem: format!("missing, and there is a `{other}`"),
    };
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Some(Keys { id, secret, token })),
        (Some(_), None) => Err(missing("secret_access_key", "access_key_id")),
        (None, Some(_)) => Err(missing("access_key_id", "secret_access_key")),
        (None, None) if token.is_some() => Err(missing("access_key_id", "session_token")),
        (None, None) => Ok(None),
    }
}

fn within(
    field: &'static str,
    value: u64,
    bounds: &RangeInclusive<u64>,
) -> Result<u64, SettingsError> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let problem = format!("{value} is not from {} to {}", bounds.start(), bounds.end());
    Err(SettingsError { field, problem })
}

#[cfg(test)]
mod tests;
