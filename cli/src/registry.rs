//! What commands and hosts are told of registries alike.

mod bar;

use std::{env, path::PathBuf};

use clap::Args;
use trellis_registry::{Login, Settings};

use crate::exit::Usage;

pub use bar::Bar;

/// How registries are reached. Credentials come from the environment or from Docker's configuration, never from arguments:
/// those are seen by everybody on the machine.
#[derive(Args, Clone, Debug, Default)]
pub struct RegistryAccess {
    /// Ask this registry (HOST:PORT) over plain HTTP; repeatable [default: WASMCLOUD_OCI_ALLOWED_INSECURE].
    #[arg(
        long = "insecure-registry",
        visible_alias = "allowed-insecure",
        env = "TRELLIS_INSECURE_REGISTRIES",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    insecure: Vec<String>,
    /// Trust the authorities in this file (PEM) for registries' TLS, beside the system's; repeatable.
    #[arg(
        long = "registry-ca",
        env = "TRELLIS_REGISTRY_CA",
        value_delimiter = ',',
        value_name = "FILE"
    )]
    authorities: Vec<PathBuf>,
}

/// The variables of credentials, each with the names that 1.x has for it.
const REGISTRY: [&str; 3] = ["TRELLIS_REGISTRY", "WASMCLOUD_OCI_REGISTRY", "OCI_REGISTRY"];
const USER: [&str; 3] = [
    "TRELLIS_REGISTRY_USER",
    "WASMCLOUD_OCI_REGISTRY_USER",
    "OCI_REGISTRY_USER",
];
const PASSWORD: [&str; 3] = [
    "TRELLIS_REGISTRY_PASSWORD",
    "WASMCLOUD_OCI_REGISTRY_PASSWORD",
    "OCI_REGISTRY_PASSWORD",
];

/// For `--help` of what uses registries.
pub const CREDENTIALS: &str = "\
Credentials: the variables TRELLIS_REGISTRY_USER and TRELLIS_REGISTRY_PASSWORD (for TRELLIS_REGISTRY alone, where that is
set), else Docker's configuration, which `docker login` writes.";

impl RegistryAccess {
    /// A client's settings. `registry` is the one that credentials of the environment are for when it names none.
    ///
    /// # Errors
    /// The environment has half of a login, or one that is of no certain registry.
    pub fn settings(&self, registry: Option<&str>) -> Result<Settings, Usage> {
        let mut insecure = self.insecure.clone();
        if insecure.is_empty()
            && let Some(named) = variable(&["WASMCLOUD_OCI_ALLOWED_INSECURE"])
        {
            insecure = named
                .split(',')
                .map(|host| host.trim().to_owned())
                .collect();
        }
        Ok(Settings {
            insecure,
            ca_files: self.authorities.clone(),
            login: login(registry)?,
            docker_config: docker_config(),
            ..Settings::default()
        })
    }

    /// These as arguments of a `trellis host`.
    pub fn arguments(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let insecure = self.insecure.iter().cloned();
        let authorities = self.authorities.iter();
        insecure
            .map(|host| ("insecure-registry", host))
            .chain(authorities.map(|file| ("registry-ca", file.display().to_string())))
    }
}

fn login(registry: Option<&str>) -> Result<Option<Login>, Usage> {
    let (user, password) = match (variable(&USER), variable(&PASSWORD)) {
        (None, None) => return Ok(None),
        (Some(user), Some(password)) => (user, password),
        _ => {
            return Err(Usage(
                "TRELLIS_REGISTRY_USER and TRELLIS_REGISTRY_PASSWORD go together: set both or none"
                    .into(),
            ));
        }
    };
    let Some(registry) = variable(&REGISTRY).or_else(|| registry.map(str::to_owned)) else {
        return Err(Usage(
            "TRELLIS_REGISTRY_USER is set, but not of which registry: set TRELLIS_REGISTRY to its host, so that no other \
             is told the password"
                .into(),
        ));
    };
    Ok(Some(Login {
        registry,
        user,
        password,
    }))
}

/// The first of the variables that is set to something.
fn variable(names: &[&str]) -> Option<String> {
    let values = names.iter().filter_map(|name| env::var(name).ok());
    values.into_iter().find(|value| !value.is_empty())
}

/// Whether a variable of 1.x says yes.
pub fn is_set(name: &str) -> bool {
    variable(&[name]).is_some_and(|value| matches!(value.as_str(), "true" | "1"))
}

/// Where Docker's configuration is, by its own rules.
fn docker_config() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".docker"));
    env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(home)
}
