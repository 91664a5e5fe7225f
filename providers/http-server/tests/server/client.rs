//! A client of one connection, of either version of HTTP, over whatever the connection is.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

use crate::kit::{ClientBody, full};

/// An open connection.
pub struct Connection {
    sender: Sender,
    /// Drives it, and ends with it.
    pub driver: JoinSet<hyper::Result<()>>,
}

enum Sender {
    One(http1::SendRequest<ClientBody>),
    Two(http2::SendRequest<ClientBody>),
}

impl Connection {
    /// Opens a connection without TLS.
    pub async fn open(address: SocketAddr, http2: bool) -> Result<Self> {
        Self::over(TcpStream::connect(address).await?, http2).await
    }

    /// Begins to speak HTTP on a connection.
    pub async fn over<S>(stream: S, http2: bool) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stream, mut driver) = (TokioIo::new(stream), JoinSet::new());
        let sender = if http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            driver.spawn(connection);
            Sender::Two(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            driver.spawn(connection);
            Sender::One(sender)
        };
        Ok(Self { sender, driver })
    }

    /// Sends a request, whose URI names the host, and gives the response when its head is there.
    pub async fn begin(&mut self, request: Request<ClientBody>) -> Result<Response<Incoming>> {
        let response = match &mut self.sender {
            Sender::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::One(sender) => {
                sender.ready().await?;
                sender.send_request(as_version_1(request)?).await
            }
        };
        response.context("no response")
    }

    /// Sends a request and reads the answer whole.
    pub async fn send(&mut self, request: Request<ClientBody>) -> Result<Response<Bytes>> {
        let (parts, body) = self.begin(request).await?.into_parts();
        let body = body.collect().await.context("the response broke off")?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    /// Asks for a URI with these headers.
    pub async fn get(&mut self, uri: &str, headers: &[(&str, &str)]) -> Result<Response<Bytes>> {
        self.send(get(uri, headers)?).await
    }
}

/// A request for a URI with these headers.
pub fn get(uri: &str, headers: &[(&str, &str)]) -> Result<Request<ClientBody>> {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.body(full(""))?)
}

/// The status, and the body as text.
pub fn told(response: &Response<Bytes>) -> (u16, String) {
    let body = String::from_utf8_lossy(response.body());
    (response.status().as_u16(), body.into_owned())
}

/// A header's value, as text.
pub fn header_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The host goes into a header of its own.
fn as_version_1(mut request: Request<ClientBody>) -> Result<Request<ClientBody>> {
    let host = request.uri().authority().context("a URI without a host")?;
    let host = host.as_str().parse()?;
    request.headers_mut().insert(header::HOST, host);
    let path = request.uri().path_and_query().context("no path")?;
    *request.uri_mut() = path.as_str().parse()?;
    Ok(request)
}
