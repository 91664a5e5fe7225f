//! Who asks a registry: a login that was given, else what Docker's configuration has, else nobody in particular.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    time::Duration,
};

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::secrets::RegistryAuth;

use crate::{Reference, RegistryError, Settings};

/// How long a credential helper may take: it may ask a keychain, which may ask a person.
const HELPER_TIME: Duration = Duration::from_secs(60);
/// Docker's own registry, as its configuration calls it.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Credentials that are there and can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Docker's configuration can't be read.
    #[error("Docker's configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Docker's configuration, or what its helper says, can't be used.
    #[error("Docker's configuration {}: credentials of {registry}: {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The registry.
        registry: String,
        /// What is wrong.
        problem: String,
    },
}

/// The credentials for a reference's registry.
///
/// # Errors
/// There are some that can't be used: to go on without them would end in a riddle.
pub(crate) async fn of(
    settings: &Settings,
    reference: &Reference,
) -> Result<RegistryAuth, RegistryError> {
    let registry = reference.registry();
    if let Some(login) = settings
        .login
        .as_ref()
        .filter(|login| login.registry == registry)
    {
        return Ok(RegistryAuth::Basic(
            login.user.clone(),
            login.password.clone(),
        ));
    }
    let Some(folder) = &settings.docker_config else {
        return Ok(RegistryAuth::Anonymous);
    };
    let (file, name) = (folder.join("config.json"), registry.to_owned());
    let failed = |source| RegistryError::Credentials {
        reference: reference.to_string(),
        source,
    };
    let unusable = |problem: &str| {
        failed(CredentialsError::Unusable {
            path: folder.join("config.json"),
            registry: registry.to_owned(),
            problem: problem.to_owned(),
        })
    };
    // A helper is a program: it runs beside the reactor, and is not waited for without end.
    let found = tokio::task::spawn_blocking(move || of_docker(&file, &name));
    match tokio::time::timeout(HELPER_TIME, found).await {
        Ok(Ok(found)) => found.map_err(failed),
        Ok(Err(_)) => Err(unusable("reading them was broken off")),
        Err(_) => Err(unusable("the credential helper doesn't answer")),
    }
}

fn of_docker(file: &Path, registry: &str) -> Result<RegistryAuth, CredentialsError> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(RegistryAuth::Anonymous);
        }
        Err(source) => {
            return Err(CredentialsError::Unreadable {
                path: file.to_owned(),
                source,
            });
        }
    };
    let server = match registry {
        "docker.io" | "index.docker.io" => DOCKER_HUB,
        other => other,
    };
    let unusable = |problem: String| {
        Err(CredentialsError::Unusable {
            path: file.to_owned(),
            registry: registry.to_owned(),
            problem,
        })
    };
    match get_credential_from_reader(BufReader::new(opened), server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(RegistryAuth::Basic(user, password))
        }
        Ok(DockerCredential::IdentityToken(_)) => unusable(
            "they are an identity token, which can't be used here: set TRELLIS_REGISTRY_USER and TRELLIS_REGISTRY_PASSWORD"
                .into(),
        ),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        // How helpers say that they know of none. What a helper prints may hold a secret, so it is not repeated.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. })
            if stdout.contains("credentials not found") =>
        {
            Ok(RegistryAuth::Anonymous)
        }
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            unusable(format!("the credential helper {helper} failed"))
        }
        Err(error) => unusable(error.to_string()),
    }
}

/// As whom a registry is asked, for people.
pub(crate) fn who(auth: &RegistryAuth) -> String {
    match auth {
        RegistryAuth::Basic(user, _) => format!("the user {user:?}"),
        _ => "an anonymous user".into(),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;
    use crate::Login;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    fn basic(auth: &RegistryAuth) -> Option<(&str, &str)> {
        match auth {
            RegistryAuth::Basic(user, password) => Some((user, password)),
            _ => None,
        }
    }

    #[test]
    fn docker_s_configuration_is_read() {
        let coded = base64::engine::general_purpose::STANDARD.encode("ann:correct horse");
        let (_folder, file) = written(&format!(
            r#"{{"auths": {{"r.test:5000": {{"auth": "{coded}"}}}}}}"#
        ));
        let auth = of_docker(&file, "r.test:5000").unwrap();
        assert_eq!(basic(&auth), Some(("ann", "correct horse")));
        assert!(basic(&of_docker(&file, "other.test").unwrap()).is_none());
        let missing = file.with_file_name("none.json");
        assert!(basic(&of_docker(&missing, "r.test").unwrap()).is_none());
    }

    #[test]
    fn one_that_can_t_be_used_is_told_without_its_secrets() {
        let (_folder, file) = written(r#"{"auths": {"r.test": {"auth": "secret!"}}}"#);
        let error = of_docker(&file, "r.test").unwrap_err().to_string();
        assert!(
            error.contains("config.json: credentials of r.test"),
            "{error}"
        );
        assert!(!error.contains("secret!"), "{error}");
        let (_folder, file) = written("no JSON");
        assert!(of_docker(&file, "r.test").is_err());
    }

    #[tokio::test]
    async fn a_login_counts_first_and_only_for_its_registry() {
        let settings = Settings {
            login: Some(Login {
                registry: "r.test".into(),
                user: "ann".into(),
                password: "p".into(),
            }),
            ..Settings::default()
        };
        let own = of(&settings, &"r.test/a:1".parse().unwrap()).await.unwrap();
        assert_eq!(basic(&own), Some(("ann", "p")));
        let other = of(&settings, &"s.test/a:1".parse().unwrap()).await.unwrap();
        assert!(basic(&other).is_none());
    }

    #[test]
    fn a_helper_that_is_not_there_is_told() {
        let (_folder, file) = written(r#"{"credHelpers": {"r.test": "nobody-has-this"}}"#);
        let error = of_docker(&file, "r.test").unwrap_err().to_string();
        assert!(error.contains("credential helper"), "{error}");
    }
}
