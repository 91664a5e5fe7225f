//! Connections, only to where a link allows.
//!
//! A name's addresses are checked where they are connected to, and not in a look-up before: the second answer may be
//! another one than the first.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower_service::Service;
use trellis_provider::{config::SettingsError, tls::Roots};

use crate::{
    addresses::{Prohibited, Reach},
    config::Settings,
};

/// A second way to a host is tried when the first one keeps silent for so long (RFC 8305).
const HAPPY_EYEBALLS: Duration = Duration::from_millis(250);
/// An idle connection says so often that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Connects to where a link allows, with TLS where the scheme says so.
pub type Connector = HttpsConnector<Guarded>;

/// A link's connector.
///
/// # Errors
/// The file of authorities can't be used.
pub fn connector(settings: &Settings) -> Result<Connector, SettingsError> {
    let roots = Roots {
        system: settings.tls_system_roots,
        ca_file: settings.tls_ca_file.clone(),
    };
    let tls = HttpsConnectorBuilder::new()
        .with_tls_config(roots.client_config()?)
        .https_or_http()
        .enable_http1();
    let guarded = Guarded::new(settings);
    Ok(match settings.http2 {
        true => tls.enable_http2().wrap_connector(guarded),
        false => tls.wrap_connector(guarded),
    })
}

/// Connects by TCP to allowed addresses.
#[derive(Clone, Debug)]
pub struct Guarded {
    tcp: HttpConnector<Resolver>,
    reach: Reach,
}

impl Guarded {
    fn new(settings: &Settings) -> Self {
        let reach = settings.reach.clone();
        let mut tcp = HttpConnector::new_with_resolver(Resolver {
            reach: reach.clone(),
        });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_happy_eyeballs_timeout(Some(HAPPY_EYEBALLS));
        // For all of a host's addresses together; a request may give up before.
        tcp.set_connect_timeout(Some(settings.timeouts.connect));
        Self { tcp, reach }
    }
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = AnyError;
    type Future = Connecting<Self::Response, AnyError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        // An address needs no resolver, so none would look at it.
        if let Some(address) = address(&to)
            && let Err(prohibited) = self.reach.check(address)
        {
            return Box::pin(async { Err(prohibited.into()) });
        }
        let (connecting, reach) = (self.tcp.call(to), self.reach.clone());
        Box::pin(async move {
            let stream = connecting.await?;
            // Whatever led here, this is who is at the other end, before a byte is sent.
            reach.check(stream.inner().peer_addr()?.ip())?;
            Ok(stream)
        })
    }
}

/// The address that stands where a host's name could.
fn address(to: &Uri) -> Option<IpAddr> {
    let host = to.host()?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

/// Finds the addresses of a name that a link allows.
#[derive(Clone, Debug)]
pub struct Resolver {
    reach: Reach,
}

/// A name without an address.
#[derive(Debug)]
pub struct Unresolved {
    name: String,
    error: Option<io::Error>,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} has no address", self.name)?;
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Unresolved {}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = AnyError;
    type Future = Connecting<Self::Response, AnyError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.reach.clone();
        Box::pin(async move { Ok(resolve(name.as_str(), &reach).await?.into_iter()) })
    }
}

async fn resolve(name: &str, reach: &Reach) -> Result<Vec<SocketAddr>, AnyError> {
    let unresolved = |error| Unresolved {
        name: name.to_owned(),
        error,
    };
    let found = tokio::net::lookup_host((name, 0)).await;
    let found = found.map_err(|error| unresolved(Some(error)))?;
    let mut prohibited: Option<Prohibited> = None;
    let mut allowed = Vec::new();
    for address in found {
        match reach.check(address.ip()) {
            Ok(()) => allowed.push(address),
            Err(refused) => prohibited = Some(refused),
        }
    }
    match prohibited {
        Some(prohibited) if allowed.is_empty() => Err(prohibited.into()),
        _ if allowed.is_empty() => Err(unresolved(None).into()),
        _ => Ok(allowed),
    }
}
