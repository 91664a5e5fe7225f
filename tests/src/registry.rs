//! An OCI registry of its own for each test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{port, process::Process, wait::until};

/// The user of a registry that lets nobody else in.
pub const USER: &str = "ann";
/// Her password.
pub const PASSWORD: &str = "correct horse";
/// The same, as htpasswd's files have it (bcrypt).
const HTPASSWD: &str = "ann:$2b$04$93FxgZb8yOfm8vXLM5i5x.YbZBh/F6oGzSakESnTytVIbKVLPk7pu\n";

/// A docker-registry on the loopback.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    directory: TempDir,
    process: Option<Process>,
}

impl Registry {
    /// Starts one that speaks plain HTTP and lets everybody in, and waits until it answers.
    ///
    /// # Errors
    /// There is no `docker-registry` (`cargo xtask test` gets one), or it does not answer.
    pub async fn start() -> Result<Self> {
        Self::start_with(false, false).await
    }

    /// Starts one that lets in only [`USER`].
    ///
    /// # Errors
    /// As [`Registry::start`].
    pub async fn with_login() -> Result<Self> {
        Self::start_with(true, false).await
    }

    /// Starts one that speaks TLS, with a certificate of an authority of its own ([`Registry::authority`]), and lets in only
    /// [`USER`].
    ///
    /// # Errors
    /// As [`Registry::start`].
    pub async fn with_tls() -> Result<Self> {
        Self::start_with(true, true).await
    }

    async fn start_with(login: bool, tls: bool) -> Result<Self> {
        let mut registry = Self {
            port: port::free()?,
            directory: TempDir::new()?,
            process: None,
        };
        registry.configure(login, tls)?;
        registry.resume().await?;
        Ok(registry)
    }

    fn configure(&self, login: bool, tls: bool) -> Result<()> {
        let folder = self.directory.path();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{}\n  secret: test\n",
            folder.join("data").display(),
            self.port
        );
        if tls {
            make_certificates(folder)?;
            config += &format!(
                "  tls:\n    certificate: {0}/server.pem\n    key: {0}/server.key\n",
                folder.display()
            );
        }
        if login {
            let file = folder.join("htpasswd");
            fs::write(&file, HTPASSWD)?;
            config += &format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                file.display()
            );
        }
        Ok(fs::write(folder.join("config.yml"), config)?)
    }

    /// Starts it again on the same port, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn resume(&mut self) -> Result<()> {
        let mut command = Command::new("docker-registry");
        command
            .arg("serve")
            .arg(self.directory.path().join("config.yml"));
        let process = Process::start("docker-registry", self.directory.path(), command)?;
        self.process = Some(process);
        // Over TLS, too, it answers to this: that it wants TLS.
        let answer = until("docker-registry answers", || async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream
                .write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
                .await?;
            let mut begin = [0; 5];
            stream.read_exact(&mut begin).await?;
            anyhow::ensure!(&begin == b"HTTP/", "{begin:?}");
            Ok(())
        });
        answer.await.with_context(|| self.output())
    }

    /// Ends it; what is in it stays.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        self.process
            .as_ref()
            .map(Process::output)
            .unwrap_or_default()
    }

    /// Its name in references.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it listens.
    pub fn at(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The file of the authority that its certificate is from.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Changes content in its store, as somebody might who has got at the registry's disk.
    ///
    /// # Errors
    /// It has no such content.
    pub fn tamper(&self, digest: &str) -> Result<()> {
        let file = self.content_file(digest)?;
        let mut bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        let middle = bytes.len() / 2;
        *bytes.get_mut(middle).context("it is empty")? ^= 1;
        Ok(fs::write(file, bytes)?)
    }

    /// Where its store has content.
    ///
    /// # Errors
    /// It is no digest.
    pub fn content_file(&self, digest: &str) -> Result<PathBuf> {
        let hex = digest.strip_prefix("sha256:").context("no digest")?;
        let begin = hex.get(..2).context("no digest")?;
        let store = "data/docker/registry/v2/blobs/sha256";
        Ok(self
            .directory
            .path()
            .join(store)
            .join(begin)
            .join(hex)
            .join("data"))
    }
}

/// An authority, and a certificate of it for the loopback.
fn make_certificates(folder: &Path) -> Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    fs::write(folder.join("ca.pem"), authority.pem())?;
    fs::write(folder.join("server.pem"), server.pem())?;
    Ok(fs::write(folder.join("server.key"), key.serialize_pem())?)
}
