//! TLS: both versions of HTTP, certificates that change, and files that can't be used.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::stream;
use http_body_util::BodyExt as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::ring, pki_types::ServerName,
        version,
    },
};
use trellis_provider::rpc::interface::http::{Body, Response as WireResponse};
use trellis_provider_testkit::wait::until;

use crate::{
    client::{Connection, get, told},
    kit::{Lattice, SERVER, text},
};

/// An authority, and the files that a server's certificates are in.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
            directory: tempfile::tempdir()?,
        })
    }

    /// A new certificate for `a.example`, with its key.
    fn issue(&self) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec!["a.example".to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn cert(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// Writes a new certificate into the files.
    fn renew(&self) -> Result<()> {
        let (cert, key) = self.issue()?;
        std::fs::write(self.cert(), cert)?;
        std::fs::write(self.key(), key)?;
        Ok(())
    }

    async fn connect(
        &self,
        lattice: &Lattice,
        protocol: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        let stream = TcpStream::connect(lattice.address).await?;
        let name = ServerName::try_from("a.example")?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Ok(stream.await?)
    }

    /// The certificate that the server shows now.
    async fn shown(&self, lattice: &Lattice) -> Result<Vec<u8>> {
        let stream = self.connect(lattice, "h2", &[&version::TLS13]).await?;
        let chain = stream.get_ref().1.peer_certificates();
        let certificate = chain.and_then(<[_]>::first).context("no certificate")?;
        Ok(certificate.as_ref().to_vec())
    }
}

fn text_of(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

#[tokio::test]
async fn both_versions_are_spoken_over_tls() -> Result<()> {
    let authority = Authority::new()?;
    authority.renew()?;
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |request| async move {
            let authority = request.authority.unwrap_or_default();
            Ok(text(200, format!("{:?} {authority}", request.scheme)))
        })
        .await?;
    let (cert, key) = (authority.cert(), authority.key());
    let config = [("tls_cert", text_of(&cert)?), ("tls_key", text_of(&key)?)];
    lattice.put(&lattice.link("hello", &config)).await?;
    for tls in [&version::TLS12, &version::TLS13] {
        for (protocol, http2) in [("http/1.1", false), ("h2", true)] {
            let stream = authority.connect(&lattice, protocol, &[tls]).await?;
            let chosen = stream.get_ref().1.alpn_protocol();
            assert_eq!(chosen, Some(protocol.as_bytes()));
            let mut connection = Connection::over(stream, http2).await?;
            let response = connection.get("https://a.example/", &[]).await?;
            assert_eq!(told(&response), (200, "Some(Https) a.example".to_owned()));
        }
    }
    // Without TLS there is no answer, and nobody is harmed.
    let mut plain = TcpStream::connect(lattice.address).await?;
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    // It may also be reset.
    let _ = tokio::time::timeout(Duration::from_secs(20), plain.read_to_end(&mut answer)).await?;
    ensure!(!answer.starts_with(b"HTTP"), "{answer:?}");
    authority.shown(&lattice).await?;
    Ok(())
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_let_go_of() -> Result<()> {
    let authority = Authority::new()?;
    authority.renew()?;
    let lattice = Lattice::start(&[]).await?;
    let (cert, key) = (authority.cert(), authority.key());
    let config = [
        ("tls_cert", text_of(&cert)?),
        ("tls_key", text_of(&key)?),
        ("head_timeout_ms", "300"),
        ("max_connections", "1"),
    ];
    lattice.put(&lattice.link("nobody", &config)).await?;
    let silent = TcpStream::connect(lattice.address).await?;
    // Its turn comes when the silent one is gone.
    let shown = tokio::time::timeout(Duration::from_secs(20), authority.shown(&lattice)).await?;
    shown?;
    // And one that is encrypted and says nothing.
    let mut quiet = authority
        .connect(&lattice, "h2", &[&version::TLS13])
        .await?;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), quiet.read_to_end(&mut answer));
    let _ = ended.await.context("a silent client is waited for")?;
    drop(silent);
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_renewed_without_a_connection_being_cut() -> Result<()> {
    let authority = Authority::new()?;
    authority.renew()?;
    let lattice = Lattice::start(&[]).await?;
    let (next, made) = watch::channel(0);
    let _component = lattice
        .component("parts", move |_| {
            let made = made.clone();
            async move {
                let parts = stream::unfold((0, made), |(part, mut made)| async move {
                    made.wait_for(|made| *made > part).await.ok()?;
                    (part < 2).then_some((Ok(Bytes::from_static(b"part")), (part + 1, made)))
                });
                Ok(WireResponse {
                    body: Body::stream(Box::pin(parts)),
                    ..text(200, "")
                })
            }
        })
        .await?;
    let (cert, key) = (authority.cert(), authority.key());
    let config = [("tls_cert", text_of(&cert)?), ("tls_key", text_of(&key)?)];
    lattice.put(&lattice.link("parts", &config)).await?;
    let first = authority.shown(&lattice).await?;
    // A response that goes on all the time.
    let stream = authority
        .connect(&lattice, "h2", &[&version::TLS13])
        .await?;
    let mut connection = Connection::over(stream, true).await?;
    next.send_replace(1);
    let response = connection.begin(get("https://a.example/", &[])?).await?;
    let mut body = response.into_body();
    body.frame().await.context("no body")??;

    authority.renew()?;
    let second = until("there is a new certificate", || async {
        let shown = authority.shown(&lattice).await?;
        ensure!(shown != first, "it is the old one");
        Ok(shown)
    })
    .await?;
    lattice.host.until_healthy(SERVER, true).await?;

    // What can't be used is told, and changes nothing.
    let good = std::fs::read(&key)?;
    let (_, other_key) = authority.issue()?;
    for (content, problem) in [
        (&b"-----BEGIN"[..], "there is no PRIVATE KEY in it"),
        (other_key.as_bytes(), "is not usable with the certificate"),
    ] {
        std::fs::write(&key, content)?;
        let message = lattice.host.until_healthy(SERVER, false).await?;
        until("it says what is wrong", || async {
            let message = lattice.host.until_healthy(SERVER, false).await?;
            ensure!(message.contains(problem), "{message}");
            Ok(())
        })
        .await?;
        ensure!(message.contains("field `tls_key`: "), "{message}");
        ensure!(message.contains("goes on being used"), "{message}");
        assert_eq!(authority.shown(&lattice).await?, second);
    }
    std::fs::remove_file(&key)?;
    until("the missing file is told", || async {
        let message = lattice.host.until_healthy(SERVER, false).await?;
        ensure!(message.contains("No such file"), "{message}");
        Ok(())
    })
    .await?;
    std::fs::write(&key, good)?;
    lattice.host.until_healthy(SERVER, true).await?;
    assert_eq!(authority.shown(&lattice).await?, second);

    // The first connection has seen nothing of all this.
    next.send_replace(3);
    assert_eq!(&body.collect().await?.to_bytes()[..], b"part");
    Ok(())
}

#[tokio::test]
async fn files_that_can_not_be_used_are_named_and_tried_again() -> Result<()> {
    let authority = Authority::new()?;
    let lattice = Lattice::start(&[]).await?;
    let (cert, key) = (authority.cert(), authority.key());
    let config = [("tls_cert", text_of(&cert)?), ("tls_key", text_of(&key)?)];
    lattice
        .host
        .put(SERVER, &lattice.link("one", &config))
        .await?;
    let message = lattice.host.until_healthy(SERVER, false).await?;
    let said = format!("field `tls_cert`: {}: No such file", cert.display());
    ensure!(message.contains(&said), "{message}");
    // The certificate comes later, as from an agent that has to ask for it first.
    authority.renew()?;
    lattice.host.until_healthy(SERVER, true).await?;
    authority.shown(&lattice).await?;

    let alone = lattice.named(
        "alone",
        "two",
        &[("path", "/a"), ("tls_cert", text_of(&cert)?)],
    )?;
    lattice.host.put(SERVER, &alone).await?;
    let message = lattice.host.until_healthy(SERVER, false).await?;
    ensure!(
        message.contains("field `tls_key`: it is missing, and there is `tls_cert`"),
        "{message}"
    );
    lattice.host.delete(SERVER, &alone).await?;
    lattice.host.until_healthy(SERVER, true).await?;

    // The links of an address have one certificate.
    let other = authority.directory.path().join("other.pem");
    std::fs::copy(&key, &other)?;
    for (config, field) in [
        (vec![("path", "/a")], "tls_cert"),
        (
            vec![
                ("path", "/a"),
                ("tls_cert", text_of(&cert)?),
                ("tls_key", text_of(&other)?),
            ],
            "tls_key",
        ),
    ] {
        let second = lattice.named("second", "two", &config)?;
        lattice.host.put(SERVER, &second).await?;
        let message = lattice.host.until_healthy(SERVER, false).await?;
        let said = format!(
            "field `{field}`: address {} is also link http -(wasi:http)->'s, which has another `{field}`",
            lattice.address
        );
        ensure!(message.contains(&said), "{message}");
        lattice.host.delete(SERVER, &second).await?;
        lattice.host.until_healthy(SERVER, true).await?;
    }
    Ok(())
}
