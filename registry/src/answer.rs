//! What registries' refusals mean.

use oci_client::{
    errors::{OciDistributionError, OciErrorCode},
    secrets::RegistryAuth,
};
use reqwest::StatusCode;

use crate::{Reference, RegistryError, credentials, tls};

/// What a status that is no success means.
pub(crate) fn refused(
    reference: &Reference,
    auth: &RegistryAuth,
    status: StatusCode,
    message: &[u8],
) -> RegistryError {
    let text = message_of(message);
    let (name, registry) = (reference.to_string(), reference.registry().to_owned());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Unauthorised {
            reference: name,
            registry,
            who: credentials::who(auth),
            message: text,
        },
        StatusCode::NOT_FOUND => RegistryError::NotFound { reference: name },
        // What Go's servers, so most registries, say to who speaks HTTP to them instead of TLS.
        StatusCode::BAD_REQUEST if text.contains("to an HTTPS server") => RegistryError::IsTls {
            reference: name,
            registry,
        },
        status => RegistryError::Refused {
            reference: name,
            status: status.as_u16(),
            message: text,
        },
    }
}

/// The message of an error as registries write them, else the beginning of what it is instead.
fn message_of(body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = parsed
        .as_ref()
        .and_then(|value| value["errors"][0]["message"].as_str());
    let text = String::from_utf8_lossy(body);
    message
        .unwrap_or(&text)
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

/// What the other client's errors mean.
pub(crate) fn of_oci(
    reference: &Reference,
    auth: &RegistryAuth,
    error: OciDistributionError,
) -> RegistryError {
    let unauthorised = |message: String| RegistryError::Unauthorised {
        reference: reference.to_string(),
        registry: reference.registry().to_owned(),
        who: credentials::who(auth),
        message,
    };
    let status_of = |code: u16| StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
    match error {
        OciDistributionError::AuthenticationFailure(message) => {
            unauthorised(message_of(message.as_bytes()))
        }
        OciDistributionError::UnauthorizedError { .. } => unauthorised(String::new()),
        OciDistributionError::RequestError(error) => match error.status() {
            Some(status) => refused(reference, auth, status, b""),
            None => tls::failure(reference, &error),
        },
        OciDistributionError::ServerError { code, message, .. } => {
            refused(reference, auth, status_of(code), message.as_bytes())
        }
        OciDistributionError::RegistryError { envelope, .. } => {
            let Some(first) = envelope.errors.into_iter().next() else {
                return RegistryError::answer(reference, "an error without a word");
            };
            match first.code {
                OciErrorCode::Unauthorized | OciErrorCode::Denied => unauthorised(first.message),
                OciErrorCode::ManifestUnknown
                | OciErrorCode::NameUnknown
                | OciErrorCode::NotFound => RegistryError::NotFound {
                    reference: reference.to_string(),
                },
                _ => RegistryError::answer(reference, first.message),
            }
        }
        other => RegistryError::answer(reference, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, message: &str) -> String {
        let reference = "r.test:5000/a/b:1".parse().unwrap();
        let auth = RegistryAuth::Basic("ann".into(), "p".into());
        refused(
            &reference,
            &auth,
            StatusCode::from_u16(status).unwrap(),
            message.as_bytes(),
        )
        .to_string()
    }

    #[test]
    fn a_refusal_names_the_reference_and_the_remedy() {
        let denied = r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#;
        for (status, message, said) in [
            (
                401,
                denied,
                vec![
                    "r.test:5000/a/b:1",
                    "\"ann\"",
                    "(not yours)",
                    "docker login r.test:5000",
                ],
            ),
            (404, "", vec!["r.test:5000/a/b:1", "no such image"]),
            (
                400,
                "Client sent an HTTP request to an HTTPS server.\n",
                vec!["speaks TLS"],
            ),
            (503, "busy", vec!["answered 503 (busy)"]),
        ] {
            let error = refusal(status, message);
            for word in said {
                assert!(error.contains(word), "{word:?}: {error}");
            }
        }
    }
}
