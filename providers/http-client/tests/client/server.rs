//! Servers: HTTP as it should be, with or without TLS, and bytes that are anything but.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A body as a server sends it.
pub type ServerBody = UnsyncBoxBody<Bytes, io::Error>;

/// A server that ends with this value.
pub struct Server {
    /// Where it is.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl Server {
    /// A server that answers HTTP/1.1 and HTTP/2.
    pub async fn start<F, Fut>(answer: F) -> Result<Self>
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<ServerBody>> + Send + 'static,
    {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), answer).await
    }

    /// The same at an address.
    pub async fn at<F, Fut>(address: SocketAddr, answer: F) -> Result<Self>
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<ServerBody>> + Send + 'static,
    {
        Self::listening(address, move |stream| serve(stream, answer.clone())).await
    }

    /// The same behind TLS. It offers HTTP/2.
    pub async fn with_tls<F, Fut>(authority: &Authority, answer: F) -> Result<Self>
    where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<ServerBody>> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(authority.server.clone());
        Self::on(move |stream| {
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            async move {
                // A client that doesn't trust us goes away.
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, answer).await;
                }
            }
        })
        .await
    }

    /// A server that reads a request's head, says some bytes, and does `then`.
    pub async fn saying(bytes: &'static [u8], then: Then) -> Result<Self> {
        Self::on(move |mut stream| async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let said = stream.write_all(bytes).await;
            if said.is_ok() && then == Then::Wait {
                // Until the client goes away.
                let _ = stream.read(&mut [0; 1]).await;
            }
        })
        .await
    }

    /// A server that takes connections and keeps silent.
    pub async fn silent() -> Result<Self> {
        Self::on(|mut stream| async move {
            let mut taken = [0; 1024];
            while stream.read(&mut taken).await.is_ok_and(|count| count > 0) {}
        })
        .await
    }

    async fn on<F, Fut>(connected: F) -> Result<Self>
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::listening(SocketAddr::from(([127, 0, 0, 1], 0)), connected).await
    }

    async fn listening<F, Fut>(address: SocketAddr, connected: F) -> Result<Self>
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, SeqCst);
                while serving.try_join_next().is_some() {}
                serving.spawn(connected(stream));
            }
        });
        Ok(Self {
            address,
            connections,
            _accepting: accepting,
        })
    }

    /// A URL on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A URL on it by the name `localhost`, with TLS.
    pub fn https(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// How many connections it has had.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

/// What a server does after what it says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It hangs up.
    Close,
    /// It keeps silent.
    Wait,
}

async fn serve<S, F, Fut>(stream: S, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<ServerBody>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // A client that hangs up is what some tests are about.
    let _ = Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// A certificate authority, and a server that it vouches for.
pub struct Authority {
    /// Its certificate, for who trusts it.
    pub file: NamedTempFile,
    server: Arc<ServerConfig>,
}

impl Authority {
    /// An authority that vouches for a server of those names.
    pub fn vouching_for(names: &[&str]) -> Result<Self> {
        let mut own = CertificateParams::new(Vec::new())?;
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(own, KeyPair::generate()?)?;
        let file = NamedTempFile::new()?;
        std::fs::write(&file, authority.pem())?;

        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            file,
            server: Arc::new(server),
        })
    }

    /// The path of its certificate.
    pub fn path(&self) -> String {
        self.file.path().display().to_string()
    }
}

/// A response with a body of known length.
pub fn text(status: u16, body: impl Into<Bytes>) -> Response<ServerBody> {
    let mut response = Response::new(
        Full::new(body.into())
            .map_err(|never| match never {})
            .boxed_unsync(),
    );
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// What came, as text: request line, headers by their names, and the body's length.
pub async fn told(request: Request<Incoming>) -> Response<ServerBody> {
    let (parts, body) = request.into_parts();
    let mut lines = vec![format!(
        "{} {} {:?}",
        parts.method, parts.uri, parts.version
    )];
    let mut headers: Vec<String> = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
        .collect();
    headers.sort();
    lines.append(&mut headers);
    lines.push(match body.collect().await {
        Ok(body) => format!("body of {} bytes", body.to_bytes().len()),
        Err(error) => format!("no body: {error}"),
    });
    text(200, lines.join("\n"))
}
