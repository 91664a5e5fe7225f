//! What connections are encrypted with: a certificate and its key from files, read again when they change.

use std::{
    fmt,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    },
};
use tokio_util::task::AbortOnDropHandle;

/// How often the files are looked at. They are small, and their content is compared: a time of change can be missed, and
/// a link in the file system can point elsewhere.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// What is offered to clients, the better one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// The certificate with those between it and the authority, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Files that can't be used. Never says anything of a key's content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("field `{field}`: {}: {source}", path.display())]
    Unreadable {
        /// The field that names it.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("field `{field}`: {}: {problem}", path.display())]
    Content {
        /// The field that names it.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// They don't go together, or aren't of a kind that is known.
    #[error("field `tls_key`: {} is not usable with the certificate {}: {problem}", key.display(), cert.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        problem: Box<rustls::Error>,
    },
}

/// A certificate with its key, as the files have it or had it when they were last usable.
pub struct Tls {
    current: Arc<Current>,
    _watch: AbortOnDropHandle<()>,
}

struct Current {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    /// What is wrong with the files of now.
    problem: ArcSwapOption<String>,
}

/// What the files held.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files, and goes on looking at them.
    ///
    /// # Errors
    /// [`TlsError`] names the field, the file and what is wrong with it.
    pub async fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let contents = read(files).await?;
        let current = Arc::new(Current {
            config: ArcSwap::from_pointee(server_config(files, &contents)?),
            files: files.clone(),
            problem: ArcSwapOption::empty(),
        });
        let watch = tokio::spawn(watch(current.clone(), contents));
        Ok(Self {
            current,
            _watch: AbortOnDropHandle::new(watch),
        })
    }

    /// What encrypts the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.config.load_full().into()
    }

    /// Why the files of now are not used.
    pub fn problem(&self) -> Option<Arc<String>> {
        self.current.problem.load_full()
    }
}

/// Looks at the files until it is dropped. What is usable is used for the connections that come; what is not is told, and
/// the one before stays.
async fn watch(current: Arc<Current>, mut seen: Contents) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let files = &current.files;
        let outcome = match read(files).await {
            Ok(contents) if contents == seen => {
                // A file that was away for a moment is what it was.
                let whole = server_config(files, &seen);
                if current.problem.load().is_none() || whole.is_err() {
                    continue;
                }
                whole
            }
            Ok(contents) => {
                seen = contents;
                server_config(files, &seen)
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(config) => {
                current.config.store(Arc::new(config));
                current.problem.store(None);
                tracing::info!(cert = %files.cert.display(), "a new certificate is used from now on");
            }
            Err(error) => current.tell(&error),
        }
    }
}

impl Current {
    /// Says once what is wrong.
    fn tell(&self, error: &TlsError) {
        let problem = format!("{error}; the certificate that was read before goes on being used");
        let known = self.problem.load();
        if known.as_deref() != Some(&problem) {
            tracing::warn!("{problem}");
            self.problem.store(Some(Arc::new(problem)));
        }
    }
}

async fn read(files: &TlsFiles) -> Result<Contents, TlsError> {
    let (cert, key) = (files.cert.clone(), files.key.clone());
    let read = tokio::task::spawn_blocking(move || -> Result<Contents, TlsError> {
        Ok(Contents {
            cert: read_file("tls_cert", &cert)?,
            key: read_file("tls_key", &key)?,
        })
    });
    read.await.unwrap_or_else(|error| {
        Err(TlsError::Unreadable {
            field: "tls_cert",
            path: files.cert.clone(),
            source: io::Error::other(error),
        })
    })
}

fn read_file(field: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut content = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| {
        let mut file = file.take(MAX_FILE_BYTES + 1);
        file.read_to_end(&mut content)
    });
    read.map_err(|source| TlsError::Unreadable {
        field,
        path: path.to_owned(),
        source,
    })?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(TlsError::Content {
            field,
            path: path.to_owned(),
            problem: format!("it is larger than {MAX_FILE_BYTES} bytes"),
        });
    }
    Ok(content)
}

fn server_config(files: &TlsFiles, contents: &Contents) -> Result<ServerConfig, TlsError> {
    let chain: Result<Vec<_>, pem::Error> =
        CertificateDer::pem_slice_iter(&contents.cert).collect();
    let wrong_cert = |problem: &str| TlsError::Content {
        field: "tls_cert",
        path: files.cert.clone(),
        problem: problem.to_owned(),
    };
    // The parsers' own errors could repeat a part of the file.
    let chain = chain.map_err(|_| wrong_cert("it is not PEM"))?;
    if chain.is_empty() {
        return Err(wrong_cert("there is no CERTIFICATE in it (PEM is needed)"));
    }
    let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|_| TlsError::Content {
        field: "tls_key",
        path: files.key.clone(),
        problem: "there is no PRIVATE KEY in it that can be read (PEM, not encrypted)".to_owned(),
    })?;
    let unusable = |problem: rustls::Error| TlsError::Unusable {
        cert: files.cert.clone(),
        key: files.key.clone(),
        problem: problem.into(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

impl fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.current.files)
            .finish_non_exhaustive()
    }
}
