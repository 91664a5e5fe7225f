//! Connecting, reading, and connecting again.

use std::{sync::Arc, time::Duration};

use rumqttc::{
    AsyncClient, ConnAck, ConnectReturnCode, ConnectionError, DisconnectReasonCode, Event,
    EventLoop, Packet, QoS, StateError,
};
use rustls::ClientConfig;
use tokio::{
    sync::{OnceCell, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Plan, Session, State,
    goodbye::Twin,
    options::{OUTGOING, options},
};
use crate::{
    acknowledgement::Acknowledgements,
    live::{Arrived, Live},
};

/// Between two attempts to connect, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(10);
/// A connection that lasted so long was a good one: the next attempts begin with the first wait again.
const GOOD: Duration = Duration::from_secs(5);
/// How long a session is left to whom it was taken over by: two that take it from each other all the time get nothing done.
const TAKEN_OVER_WAIT: Duration = Duration::from_secs(30);

/// A connection's task.
pub(super) struct Running {
    plan: Plan,
    tls: Option<Arc<ClientConfig>>,
    incoming: mpsc::Sender<Arrived>,
    state: watch::Sender<State>,
    closing: CancellationToken,
    /// How many connections in a row the broker closed without a word as soon as they were there.
    cut_short: u32,
    twin: Arc<Twin>,
}

/// How a connection ended.
enum Ended {
    Closed,
    Lost(ConnectionError),
}

impl Running {
    pub(super) fn new(
        plan: Plan,
        tls: Option<Arc<ClientConfig>>,
        incoming: mpsc::Sender<Arrived>,
        state: watch::Sender<State>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            plan,
            tls,
            incoming,
            state,
            closing,
            cut_short: 0,
            twin: Arc::default(),
        }
    }

    /// Connects, again and again, until it is closed.
    pub(super) async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let begun = Instant::now();
            let ended = self.connected().await;
            let twin = self.twin.take();
            let error = match ended {
                Ended::Lost(error) => {
                    drop(twin);
                    error
                }
                Ended::Closed => {
                    if let Some(twin) = twin {
                        twin.linger().await;
                    }
                    break;
                }
            };
            if self.closing.is_cancelled() {
                break;
            }
            let good = begun.elapsed() > GOOD;
            if good {
                wait = FIRST_WAIT;
            }
            self.cut_short = match good || !closed_without_a_word(&error) {
                true => 0,
                false => self.cut_short.saturating_add(1),
            };
            let pause = match taken_over(&error) {
                true => TAKEN_OVER_WAIT,
                // Not all of them at once when a broker comes back.
                false => wait.mul_f64(0.75 + 0.5 * rand::random::<f64>()),
            };
            wait = (wait * 2).min(LAST_WAIT);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.closing.cancelled() => break,
            }
        }
        self.state.send_replace(State::Closed);
    }

    /// One connection from its beginning to its end.
    async fn connected(&self) -> Ended {
        let room = usize::from(OUTGOING) + usize::from(self.plan.max_in_flight());
        let built = AsyncClient::builder(options(&self.plan, self.tls.clone(), self.twin.clone()))
            .capacity(room)
            .try_build();
        let (client, mut events) = match built {
            Ok(built) => built,
            Err(error) => return self.lost(ConnectionError::Io(std::io::Error::other(error))),
        };
        let greeted = tokio::select! {
            greeted = greeting(&mut events) => greeted,
            () = self.closing.cancelled() => return Ended::Closed,
        };
        let greeting = match greeted {
            Ok(greeting) => greeting,
            Err(error) => return self.lost(error),
        };
        // It has served its purpose (see `Fresh`), and would be asked to save at every publication.
        events.options.clear_session_store();
        let max_packet_bytes = greeting
            .properties
            .and_then(|properties| properties.max_packet_size);
        let live = Arc::new(Live {
            client,
            ended: CancellationToken::new(),
            max_packet_bytes: max_packet_bytes.unwrap_or(u32::MAX),
            acknowledgements: Acknowledgements::default(),
            answers: OnceCell::new(),
        });
        tracing::info!(
            mqtt = self.plan.server.shown(),
            client_id = self.plan.client_id,
            session_present = greeting.session_present,
            "connected"
        );
        self.state.send_replace(State::Up(live.clone()));
        let ended = self.read(&mut events, &live).await;
        let ended = match ended {
            Ended::Lost(error) if !self.closing.is_cancelled() => self.lost(error),
            ended => {
                self.state.send_replace(State::Closing);
                ended
            }
        };
        // After the state: who sees the end does not find the same connection again.
        live.ended.cancel();
        ended
    }

    fn lost(&self, error: ConnectionError) -> Ended {
        let reason = self.told(&error);
        let news = !matches!(&*self.state.borrow(), State::Down(before) if **before == *reason);
        if news {
            tracing::warn!(
                mqtt = self.plan.server.shown(),
                client_id = self.plan.client_id,
                reason,
                "not connected"
            );
        }
        self.state.send_replace(State::Down(reason.into()));
        Ended::Lost(error)
    }

    async fn read(&self, events: &mut EventLoop, live: &Arc<Live>) -> Ended {
        let acknowledged = matches!(self.plan.session, Session::Kept { .. });
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let ticket = (acknowledged && publish.qos == QoS::AtLeastOnce)
                        .then(|| live.acknowledgements.arrived(publish.pkid));
                    let arrived = Arrived {
                        live: live.clone(),
                        ticket,
                        publish,
                    };
                    // Nobody takes it any more: the link is about to end.
                    if self.incoming.send(arrived).await.is_err() {
                        tracing::debug!("a message that nobody waits for");
                    }
                }
                Ok(_) => {}
                Err(ConnectionError::RequestsDone) => return Ended::Closed,
                Err(error) => return Ended::Lost(error),
            }
        }
    }

    fn one_id_each(&self) -> String {
        format!(
            "if another client has the id {:?}, give each its own `client_id`, for example with {{host}} in it",
            self.plan.client_id
        )
    }

    /// Why there is no connection, for people.
    fn told(&self, error: &ConnectionError) -> String {
        match error {
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
            ) => "it does not let us in: `user` or `password` is wrong, or may not connect"
                .to_owned(),
            ConnectionError::ConnectionRefused(reason) => {
                format!("it refuses the connection: {reason:?}")
            }
            ConnectionError::Timeout(_) => {
                let limit = self.plan.server.connect_timeout.as_millis();
                format!("no answer within {limit} ms")
            }
            ConnectionError::MqttState(StateError::AwaitPingResp) => {
                "it does not answer any more".to_owned()
            }
            error if taken_over(error) => format!(
                "another client took the session over: {}",
                self.one_id_each()
            ),
            error if closed_without_a_word(error) && self.cut_short >= 2 => {
                format!(
                    "it closes the connection again and again: {}",
                    self.one_id_each()
                )
            }
            error if closed_without_a_word(error) => "it closed the connection".to_owned(),
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
                format!("it closed the connection: {reason_code:?}")
            }
            error => error.to_string(),
        }
    }
}

/// So does Mosquitto 2.0 with a client whose session another takes over.
fn closed_without_a_word(error: &ConnectionError) -> bool {
    matches!(
        error,
        ConnectionError::MqttState(StateError::ConnectionAborted)
    )
}

fn taken_over(error: &ConnectionError) -> bool {
    matches!(
        error,
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code: DisconnectReasonCode::SessionTakenOver,
            ..
        })
    )
}

/// Connects, up to the broker's greeting.
async fn greeting(events: &mut EventLoop) -> Result<ConnAck, ConnectionError> {
    loop {
        if let Event::Incoming(Packet::ConnAck(greeting)) = events.poll().await? {
            return Ok(greeting);
        }
    }
}
