//! The client: asks registries, pulls from them.

use std::{path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use oci_client::{
    RegistryOperation,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, CONTENT_RANGE, HeaderMap, RANGE},
};

use crate::{
    Content, Digest, Progress, Reference, RegistryError, Resolved, Settings, Silent,
    answer::{of_oci, refused},
    credentials, manifest,
    partial::Partial,
    retry::Tries,
    tls,
};

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a registry may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// How much of what a registry says of an error is shown.
const MAX_MESSAGE_BYTES: u64 = 64 * 1024;
/// How Trellis calls itself.
const USER_AGENT: &str = concat!("trellis/", env!("CARGO_PKG_VERSION"));

/// A client of registries.
#[derive(Clone)]
pub struct Client {
    /// Logs in, and pushes.
    pub(crate) oci: oci_client::Client,
    /// Pulls: what comes must have a bound, and go on where it broke off.
    http: reqwest::Client,
    pub(crate) settings: Settings,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client with these settings. It reads the machine's certificates and those of the settings, so it blocks for some
    /// milliseconds.
    ///
    /// # Errors
    /// A file of certificates can't be used, or the machine has none at all.
    pub fn new(settings: Settings) -> Result<Self, RegistryError> {
        tls::choose_provider();
        let start = |error: reqwest::Error| RegistryError::Start(tls::innermost(&error));
        // The other client makes one like it on its way, and takes it badly when it can't.
        reqwest::Client::builder().build().map_err(start)?;
        let mut authorities = Vec::new();
        let mut http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE);
        for path in &settings.ca_files {
            let pem = tls::read_certificates(path)?;
            let unusable = |error: reqwest::Error| RegistryError::Certificates {
                path: path.clone(),
                problem: tls::innermost(&error),
            };
            let authority = reqwest::Certificate::from_pem_bundle(&pem).map_err(unusable)?;
            http = http.tls_certs_merge(authority);
            authorities.push(Certificate {
                encoding: CertificateEncoding::Pem,
                data: pem,
            });
        }
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(settings.insecure.clone()),
            // In chunks would be several requests that must all reach the same server of a registry.
            use_monolithic_push: true,
            extra_root_certificates: authorities,
            connect_timeout: Some(CONNECT),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        let oci = oci_client::Client::try_from(config)
            .map_err(|error| RegistryError::Start(error.to_string()))?;
        Ok(Self {
            oci,
            http: http.build().map_err(start)?,
            settings,
        })
    }

    /// What a reference means now. Of one with a digest, that its manifest is there and is that one.
    ///
    /// # Errors
    /// There is none, it is no component or provider archive, or the registry can't be asked.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, RegistryError> {
        let mut tries = self.settings.retry.begin();
        loop {
            match self.manifest(reference).await {
                Ok(bytes) => return manifest::read(reference, &bytes),
                Err(error) => tries.again(error, &Silent).await?,
            }
        }
    }

    async fn manifest(&self, reference: &Reference) -> Result<Bytes, RegistryError> {
        let path = format!(
            "{}/manifests/{}",
            reference.repository(),
            reference.manifest_name()
        );
        let response = self
            .get(reference, &path, Some(manifest::ACCEPTED), 0)
            .await?;
        body(reference, response, "manifest", manifest::MAX_BYTES).await
    }

    /// Pulls an image's content to a file. What the file holds from a pull that broke off is not pulled again; when this
    /// returns, all of it is there and has the content's digest.
    ///
    /// # Errors
    /// The registry can't be asked, or what it gives is not what the digest says; then nothing is left in the file. When
    /// the connection was lost too often, the file holds what came, for the next time.
    pub async fn pull(
        &self,
        reference: &Reference,
        content: &Content,
        to: &Path,
        progress: &dyn Progress,
    ) -> Result<(), RegistryError> {
        if content.size > self.settings.max_bytes {
            return Err(RegistryError::TooLarge {
                reference: reference.to_string(),
                what: "content",
                size: content.size,
                limit: self.settings.max_bytes,
            });
        }
        let failed = |source| RegistryError::File {
            reference: reference.to_string(),
            path: to.to_owned(),
            source,
        };
        progress.begins(content.size);
        let mut partial = Partial::open(to, content.size).await.map_err(failed)?;
        let mut left_over = partial.length() > 0;
        loop {
            self.fill(reference, content, &mut partial, progress)
                .await?;
            let found = partial.finish().await.map_err(failed)?;
            if found == content.digest {
                return Ok(());
            }
            partial.restart().await.map_err(failed)?;
            // What lay there from before may have been the trouble; it is, once.
            if !std::mem::take(&mut left_over) {
                return Err(RegistryError::Mismatch {
                    reference: reference.to_string(),
                    what: "content",
                    expected: content.digest,
                    found: found.to_string(),
                });
            }
        }
    }

    /// Gets what is missing, with as many requests as it takes.
    async fn fill(
        &self,
        reference: &Reference,
        content: &Content,
        partial: &mut Partial,
        progress: &dyn Progress,
    ) -> Result<(), RegistryError> {
        let mut tries = self.settings.retry.begin();
        while partial.length() < content.size {
            progress.is_at(partial.length());
            let some = self.get_rest(reference, content, partial, progress, &mut tries);
            if let Err(error) = some.await {
                // For the next time, whoever tries then.
                partial
                    .flush()
                    .await
                    .map_err(|source| RegistryError::File {
                        reference: reference.to_string(),
                        path: partial.path().to_owned(),
                        source,
                    })?;
                tries.again(error, progress).await?;
            }
        }
        progress.is_at(content.size);
        Ok(())
    }

    /// One request for all that is missing.
    async fn get_rest(
        &self,
        reference: &Reference,
        content: &Content,
        partial: &mut Partial,
        progress: &dyn Progress,
        tries: &mut Tries,
    ) -> Result<(), RegistryError> {
        let path = partial.path().to_owned();
        let failed = |source| RegistryError::File {
            reference: reference.to_string(),
            path: path.clone(),
            source,
        };
        let blob = format!("{}/blobs/{}", reference.repository(), content.digest);
        let mut response = self.get(reference, &blob, None, partial.length()).await?;
        if !goes_on_at(&response, partial.length()) {
            // The registry knows no ranges, or begins elsewhere.
            partial.restart().await.map_err(failed)?;
        }
        loop {
            let piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) if partial.length() < content.size => {
                    return Err(RegistryError::lost(reference, "it ended early"));
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(tls::failure(reference, &error)),
            };
            let length = partial.length() + piece.len() as u64;
            if length > content.size {
                partial.restart().await.map_err(failed)?;
                return Err(RegistryError::Mismatch {
                    reference: reference.to_string(),
                    what: "content",
                    expected: content.digest,
                    found: format!("of more than its {} bytes", content.size),
                });
            }
            partial.add(&piece).await.map_err(failed)?;
            tries.progressed();
            progress.is_at(length);
        }
    }

    /// One request, with what the registry wants for authorization. Its answer is a success.
    pub(crate) async fn get(
        &self,
        reference: &Reference,
        path: &str,
        accept: Option<&str>,
        from: u64,
    ) -> Result<Response, RegistryError> {
        let (auth, token) = self.log_in(reference, RegistryOperation::Pull).await?;
        let scheme = if self.is_insecure(reference) {
            "http"
        } else {
            "https"
        };
        let mut request = self
            .http
            .get(format!("{scheme}://{}/v2/{path}", reference.host()));
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        request = match (token, &auth) {
            (Some(token), _) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            (None, _) => request,
        };
        let response = request
            .send()
            .await
            .map_err(|error| tls::failure(reference, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let message = body(reference, response, "answer", MAX_MESSAGE_BYTES).await;
        let message = message.unwrap_or_default();
        Err(refused(reference, &auth, status, &message))
    }

    fn is_insecure(&self, reference: &Reference) -> bool {
        let insecure = &self.settings.insecure;
        insecure.iter().any(|registry| registry == reference.host())
    }

    /// Gets what the registry wants to see: a token, or nothing beyond the credentials themselves.
    pub(crate) async fn log_in(
        &self,
        reference: &Reference,
        operation: RegistryOperation,
    ) -> Result<(RegistryAuth, Option<String>), RegistryError> {
        let auth = credentials::of(&self.settings, reference).await?;
        let asked = self.oci.auth(reference.as_oci(), &auth, operation);
        let token = match tokio::time::timeout(SILENCE, asked).await {
            Ok(answer) => answer.map_err(|error| of_oci(reference, &auth, error))?,
            Err(_) => return Err(RegistryError::lost(reference, "logging in took too long")),
        };
        Ok((auth, token))
    }
}

/// Whether an answer goes on where it was asked to.
fn goes_on_at(response: &Response, from: u64) -> bool {
    if from == 0 {
        return true;
    }
    response.status() == StatusCode::PARTIAL_CONTENT
        && range_start(response.headers()) == Some(from)
}

/// The 5 of `bytes 5-9/10`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (start, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    start.trim().parse().ok()
}

/// Reads an answer whole, up to a bound.
async fn body(
    reference: &Reference,
    mut response: Response,
    what: &'static str,
    limit: u64,
) -> Result<Bytes, RegistryError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| tls::failure(reference, &error))?
    {
        let size = (whole.len() + piece.len()) as u64;
        if size > limit {
            return Err(RegistryError::TooLarge {
                reference: reference.to_string(),
                what,
                size,
                limit,
            });
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Whether a manifest of that digest is what a reference means now.
pub(crate) fn check_pushed(
    reference: &Reference,
    expected: Digest,
    resolved: &Resolved,
) -> Result<(), RegistryError> {
    if resolved.manifest == expected {
        return Ok(());
    }
    Err(RegistryError::Mismatch {
        reference: reference.to_string(),
        what: "manifest",
        expected,
        found: resolved.manifest.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_s_start_is_read() {
        let start = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            range_start(&headers)
        };
        assert_eq!(start("bytes 5-9/10"), Some(5));
        assert_eq!(start("bytes */10"), None);
        assert_eq!(start("lines 1-2/3"), None);
    }
}
