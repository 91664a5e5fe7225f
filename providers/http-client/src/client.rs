//! The HTTP client behind one or several links: read [`Client::send`] down.

use std::{fmt, sync::Arc, time::Duration};

use hyper_util::{
    client::legacy::{
        self,
        connect::{CaptureConnection, capture_connection},
    },
    rt::TokioTimer,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trellis_provider::{
    config::SettingsError,
    rpc::interface::http::{
        ErrorCode, Request as WireRequest, RequestOptions, Response as WireResponse,
    },
};

use crate::{
    config::{Settings, Timeouts},
    connector::{Connector, connector},
    failure,
    request::{self, Progress, RequestBody},
    response,
    tasks::Tasks,
};

/// How many headers a response may have.
const MAX_HEADERS: usize = 256;
/// An HTTP/2 connection on which nothing comes is asked so often whether it is still there, and given up when it doesn't
/// say so in time.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A client with the connections of its own.
pub struct Client {
    settings: Settings,
    http: legacy::Client<Connector, RequestBody>,
    /// One for each request that runs.
    places: Arc<Semaphore>,
    tasks: Arc<Tasks>,
}

/// What a response that is still being read keeps up.
struct Held {
    _place: OwnedSemaphorePermit,
    _connections: Arc<Tasks>,
}

impl Client {
    /// A client with those settings. It connects when it is asked for something.
    ///
    /// # Errors
    /// Names the field that can't be used.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let tasks = Arc::new(Tasks::default());
        let header_bytes = settings.max_response_header_bytes;
        let http = legacy::Client::builder(tasks.starter())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_timeout)
            .pool_max_idle_per_host(settings.max_idle_connections)
            .http1_max_headers(MAX_HEADERS)
            .http1_max_buf_size(header_bytes)
            .http2_max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(connector(&settings)?);
        Ok(Self {
            places: Arc::new(Semaphore::new(settings.max_requests)),
            http,
            settings,
            tasks,
        })
    }

    /// Sends a request and gives its response, whose body may still be coming.
    ///
    /// Dropping the future, or the response's body, ends the request: its connection is closed, or, where others share
    /// it, its stream is reset.
    ///
    /// # Errors
    /// What the component is told.
    pub async fn send(
        &self,
        mut wire: WireRequest,
        options: Option<&RequestOptions>,
    ) -> Result<WireResponse, ErrorCode> {
        let (head, destination) = request::head(&mut wire)?;
        if !self.settings.allowed_hosts.allows(&destination) {
            tracing::warn!(%destination, "not among the link's `allowed_hosts`");
            return Err(ErrorCode::HttpRequestDenied);
        }
        let place = self.places.clone().try_acquire_owned();
        let held = Held {
            _place: place.map_err(|_| ErrorCode::ConnectionLimitReached)?,
            _connections: self.tasks.clone(),
        };
        let timeouts = self.settings.timeouts.with(options);
        let progress = Arc::new(Progress::default());
        let (mut parts, ()) = head.into_parts();
        let (method, headers) = (&parts.method, &mut parts.headers);
        let body = request::body(method, headers, wire.body, progress.clone()).await?;
        let mut request = http::Request::from_parts(parts, body);
        let connection = capture_connection(&mut request);
        let response = tokio::select! {
            response = self.http.request(request) => response,
            code = too_late(connection, &progress, timeouts) => return Err(code),
        };
        let response = response.map_err(|error| {
            let code = failure::code(&error);
            tracing::debug!(%destination, error = failure::words(&error), ?code, "no response");
            code
        })?;
        let header_bytes = self.settings.max_response_header_bytes;
        response::wire(response, header_bytes, timeouts.between_bytes, held).await
    }
}

/// Waits until a request that has no response has none for too long.
async fn too_late(
    mut connection: CaptureConnection,
    progress: &Progress,
    timeouts: Timeouts,
) -> ErrorCode {
    let connected = connection.wait_for_connection_metadata();
    if tokio::time::timeout(timeouts.connect, connected)
        .await
        .is_err()
    {
        return ErrorCode::ConnectionTimeout;
    }
    progress.stood_still(timeouts.first_byte).await;
    ErrorCode::ConnectionReadTimeout
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
