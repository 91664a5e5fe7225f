//! What the MQTT library connects with.

use std::sync::Arc;

use futures::future::BoxFuture;
use rumqttc::{
    AckMode, Broker, MqttOptions, NetworkOptions, PersistedAckMode, PersistedSession, SessionStore,
    SessionStoreError, SessionStoreKey, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use tokio::net::TcpStream;

use super::{Plan, Session, goodbye::Twin};

/// How many publications are under way at once, and how many wait in line beside them.
pub(super) const OUTGOING: u16 = 128;
/// How many answers a broker sends at once.
const ANSWERS: u16 = 256;
/// How many requests the library does between two looks at what came.
const BATCH: usize = 32;

impl Plan {
    /// How many messages the broker sends that are not acknowledged.
    pub(super) fn max_in_flight(&self) -> u16 {
        match self.session {
            Session::Clean => ANSWERS,
            Session::Kept { max_in_flight, .. } => max_in_flight,
        }
    }
}

/// What the library connects with.
pub(super) fn options(plan: &Plan, tls: Option<Arc<ClientConfig>>, twin: Arc<Twin>) -> MqttOptions {
    let server = &plan.server;
    let broker = Broker::tcp(server.host.clone(), server.port);
    let mut options = MqttOptions::new(plan.client_id.clone(), broker);
    if let Some(tls) = tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
            tls.clone(),
        )));
    }
    let (host, port) = (server.host.clone(), server.port);
    // The library's own does not know an IPv6 address from a name with a port.
    options.set_socket_connector(move |_, _: NetworkOptions| {
        let (host, twin) = (host.clone(), twin.clone());
        async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            twin.of(stream)
        }
    });
    match (&server.user, &server.password) {
        (Some(user), Some(password)) => {
            options.set_credentials(user.clone(), password.clone().into_bytes());
        }
        (Some(user), None) => {
            options.set_username(user.clone());
        }
        (None, Some(password)) => {
            options.set_password(password.clone().into_bytes());
        }
        (None, None) => {}
    }
    options
        .set_keep_alive(server.keep_alive_s)
        .set_connect_timeout(server.connect_timeout)
        .set_max_packet_size(Some(server.max_packet_bytes))
        .set_receive_maximum(Some(plan.max_in_flight()))
        .set_outgoing_inflight_upper_limit(OUTGOING)
        .set_max_request_batch(BATCH);
    match plan.session {
        Session::Clean => {
            options.set_clean_start(true);
        }
        Session::Kept { expiry_s, .. } => {
            options
                .set_clean_start(false)
                .set_session_expiry_interval(Some(expiry_s))
                .set_ack_mode(AckMode::Manual)
                .set_session_store(Fresh { expiry_s });
        }
    }
    options
}

/// Our side of the session, as each connection finds it: nothing of ours is under way, for whoever published what was
/// not acknowledged publishes it again. Without it the library takes a session that the broker kept for an error.
#[derive(Debug)]
struct Fresh {
    expiry_s: u32,
}

type Stored<'a, T> = BoxFuture<'a, Result<T, SessionStoreError>>;

impl SessionStore for Fresh {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Stored<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(self.expiry_s),
            outgoing_inflight_upper_limit: Some(OUTGOING),
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
