//! Connections: the lattice's, or one to another NATS, shared by links of equal settings.

use std::{fmt, path::PathBuf, sync::Arc};

use trellis_provider::{
    Lattice, Shared,
    contract::connect::{ConnectError, NatsSettings},
};

use crate::subjects::{Reserved, SubjectError, check_subject};

/// A NATS that isn't the lattice's.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// One or several URLs.
    pub url: String,
    /// A user JWT.
    pub jwt: Option<String>,
    /// The user's seed.
    pub seed: Option<String>,
    /// A certificate authority.
    pub tls_ca: Option<PathBuf>,
}

impl Server {
    fn nats_settings(&self) -> NatsSettings {
        NatsSettings {
            jwt: self.jwt.clone(),
            seed: self.seed.clone(),
            tls_ca: self.tls_ca.clone(),
            ..NatsSettings::new(&*self.url)
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.nats_settings(), f)
    }
}

/// A connection, and what may be done on it.
#[derive(Debug)]
pub struct Connection {
    /// The client. It reconnects by itself.
    pub client: async_nats::Client,
    /// What is closed to components; nothing on a NATS that isn't the lattice's.
    reserved: Option<Reserved>,
}

impl Connection {
    /// Checks a subject to publish to.
    ///
    /// # Errors
    /// NATS would not take it, or it is the lattice's own.
    pub fn check_publish(&self, subject: &str) -> Result<(), SubjectError> {
        check_subject(subject)?;
        self.reserved
            .as_ref()
            .map_or(Ok(()), |reserved| reserved.check_publish(subject))
    }

    /// Checks a subject to ask at.
    ///
    /// # Errors
    /// NATS would not take it, or it is the lattice's own.
    pub fn check_request(&self, subject: &str) -> Result<(), SubjectError> {
        check_subject(subject)?;
        self.check_subscribe(subject)
    }

    /// Checks a subject to subscribe to that NATS would take.
    ///
    /// # Errors
    /// It is the lattice's own.
    pub fn check_subscribe(&self, subject: &str) -> Result<(), SubjectError> {
        self.reserved
            .as_ref()
            .map_or(Ok(()), |reserved| reserved.check_subscribe(subject))
    }
}

/// All connections in use.
#[derive(Debug)]
pub struct Connections {
    lattice: Arc<Connection>,
    others: Shared<Server, Connection>,
}

impl Connections {
    /// The lattice's connection, and none other yet.
    pub fn new(lattice: &Lattice) -> Self {
        let connection = Connection {
            client: lattice.nats().clone(),
            reserved: Some(Reserved::of(lattice.name())),
        };
        Self {
            lattice: Arc::new(connection),
            others: Shared::default(),
        }
    }

    /// The connection to a server; `None` is the lattice's.
    ///
    /// # Errors
    /// The server doesn't answer, or doesn't let us in.
    pub async fn get(&self, server: Option<&Server>) -> Result<Arc<Connection>, ConnectError> {
        let Some(server) = server else {
            return Ok(self.lattice.clone());
        };
        if let Some(connection) = self.others.get(server) {
            return Ok(connection);
        }
        // Links come one after the other, so nobody else connects to it meanwhile.
        let client = server.nats_settings().connect(crate::NAME).await?;
        let connection = Connection {
            client,
            reserved: None,
        };
        Ok(self.others.put(server.clone(), connection))
    }
}
