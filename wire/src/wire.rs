//! The link.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::{
    carry::{Direction, carry},
    weather::{Flow, Weather},
};

/// The most connections at once; who comes then waits.
const MAX_CONNECTIONS: usize = 1024;

/// A link to somewhere. It ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Wire {
    at: SocketAddr,
    weather: watch::Sender<Weather>,
    _connections: JoinSet<()>,
}

impl Wire {
    /// Lays a link to an address: who connects to [`Self::at`] is connected to it. Of itself it delays nothing.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn lay(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let at = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::default());
        let mut connections = JoinSet::new();
        connections.spawn(connect_all(listener, to, seen));
        Ok(Self {
            at,
            weather,
            _connections: connections,
        })
    }

    /// Where to connect to: a free port of the loopback.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// What it is like now.
    pub fn weather(&self) -> Weather {
        *self.weather.borrow()
    }

    /// Makes it like that from now on. What is on its way arrives when it would have.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Changes what it is like.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// Lets everything take half of that time each way.
    pub fn delay(&self, round_trip: Duration) {
        self.change(|weather| {
            weather.there.delay = round_trip / 2;
            weather.back.delay = round_trip / 2;
        });
    }

    /// Lets nothing pass, without telling anybody: as when a cable is cut.
    pub fn hold(&self) {
        self.flow(Flow::Held);
    }

    /// Closes every connection, and new ones at once: as when the other end is switched off.
    pub fn close(&self) {
        self.flow(Flow::Closed);
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.flow(Flow::Open);
    }

    fn flow(&self, flow: Flow) {
        self.change(|weather| {
            weather.there.flow = flow;
            weather.back.flow = flow;
        });
    }
}

/// Connects who comes, for as long as it is not dropped.
async fn connect_all(listener: TcpListener, to: SocketAddr, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connect(stream, to, weather.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection is not accepted");
                    // Out of files, as a rule: not at once again.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(near: TcpStream, to: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let ways = weather.clone();
    let carried = async {
        // The other end doesn't hear of it before something may pass.
        let mut open = ways.clone();
        open.wait_for(|weather| weather.there.flow == Flow::Open)
            .await
            .map_err(io::Error::other)?;
        let far = TcpStream::connect(to).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tokio::try_join!(
            carry(near_read, far_write, Direction::There, ways.clone()),
            carry(far_read, near_write, Direction::Back, ways),
        )
    };
    tokio::select! {
        ended = carried => {
            if let Err(error) = ended {
                tracing::debug!(%error, %to, "a connection has ended");
            }
        }
        _ = weather.wait_for(Weather::is_closed) => {}
    }
}
