//! Taking leave of a broker so that it hears all that was said.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

/// How long the broker has to close a connection that we take leave of.
const LINGER_LIMIT: Duration = Duration::from_secs(1);

/// The connection's socket, held a second time: the library closes its own as soon as it has said goodbye.
#[derive(Debug, Default)]
pub(super) struct Twin(Mutex<Option<std::net::TcpStream>>);

impl Twin {
    /// Holds a socket, in place of an earlier one.
    pub(super) fn of(&self, stream: TcpStream) -> io::Result<TcpStream> {
        let stream = stream.into_std()?;
        let twin = stream.try_clone()?;
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(twin);
        TcpStream::from_std(stream)
    }

    /// The socket, held no more.
    pub(super) fn take(&self) -> Option<Held> {
        let twin = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        twin.map(Held)
    }
}

/// A socket whose other holder is gone.
#[derive(Debug)]
pub(super) struct Held(std::net::TcpStream);

impl Held {
    /// Lets the broker close the connection, for a moment. A socket that is closed with unread messages in it is reset, and
    /// the broker loses what it has not read yet: our goodbye, and acknowledgements before it.
    pub(super) async fn linger(self) {
        let read_all = async {
            let mut stream = TcpStream::from_std(self.0)?;
            stream.shutdown().await?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
        };
        match tokio::time::timeout(LINGER_LIMIT, read_all).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the broker did not close the connection"),
            Err(_) => tracing::debug!("the broker did not close the connection in time"),
        }
    }
}
