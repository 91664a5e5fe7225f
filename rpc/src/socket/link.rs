//! A connection from its handshake to its end.

use std::sync::Arc;

use bytes::Bytes;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;
use trellis_lattice::ComponentId;

use super::{
    Admission, Shared,
    connection::Connection,
    frame::{Frame, MAX_HELLO, VERSION, Violation},
    frames::{Frames, ReadError},
    halves::{self, Reads, Writes},
    outbox::Pace,
    reader::{Reader, Then},
    stream::MIN_WINDOW,
};
use crate::error::CallError;

/// Why no connection came about, or why it ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the socket could not be set up: {0}")]
    Split(std::io::Error),
    #[error("it did not say who it is in time")]
    Silent,
    #[error("refused: {0}")]
    Refused(String),
}

impl From<Violation> for LinkError {
    fn from(violation: Violation) -> Self {
        Self::Read(violation.into())
    }
}

/// A socket on its way to be a connection.
struct Fresh {
    frames: Frames<Reads>,
    socket: Writes,
}

impl Fresh {
    fn new(socket: UnixStream) -> Result<Self, LinkError> {
        let (reads, socket) = halves::split(socket).map_err(LinkError::Split)?;
        let frames = Frames::new(reads, MAX_HELLO);
        Ok(Self { frames, socket })
    }

    fn connection(
        self,
        peer: Option<ComponentId>,
        shared: &Shared,
    ) -> (Arc<Connection>, Frames<Reads>) {
        let Self { mut frames, socket } = self;
        frames.trust();
        let connection = Connection::new(socket, peer, shared.options.clone());
        (Arc::new(connection), frames)
    }
}

/// The side that listens: admits the peer, or refuses it, and serves the connection to its end.
pub(super) async fn accept(
    socket: UnixStream,
    shared: &Arc<Shared>,
    admission: &dyn Admission,
) -> Result<(), LinkError> {
    let mut fresh = Fresh::new(socket)?;
    let hello = tokio::time::timeout(shared.options.handshake_timeout, fresh.frames.next());
    let hello = hello.await.map_err(|_| LinkError::Silent)??;
    let refused = match hello {
        (Frame::Hello { version, .. }, _) if version != VERSION => Err(format!(
            "version {VERSION} is spoken here, not version {version}"
        )),
        (Frame::Hello { window, .. }, _) if window < MIN_WINDOW => {
            Err(format!("a window of {window} bytes is too small"))
        }
        (Frame::Hello { window, .. }, token) => {
            let token = std::str::from_utf8(&token).ok();
            match token.and_then(|token| admission.admit(token)) {
                Some(peer) => Ok((peer, window)),
                None => Err("the token is not known here".to_owned()),
            }
        }
        _ => return Err(Violation::of("the first frame is no hello").into()),
    };
    let (peer, window) = match refused {
        Ok(admitted) => admitted,
        Err(why) => {
            let (connection, _) = fresh.connection(None, shared);
            let words = Bytes::from(why.clone());
            connection
                .outbox
                .send(&Frame::Refused, &words, Pace::Together);
            let goodbye = async {
                tokio::select! {
                    () = connection.outbox.flushed() => {}
                    _ = connection.outbox.write(|| false) => {}
                }
            };
            _ = tokio::time::timeout(shared.options.handshake_timeout, goodbye).await;
            return Err(LinkError::Refused(why));
        }
    };
    let (connection, frames) = fresh.connection(Some(peer), shared);
    connection.set_window(window);
    let welcome = Frame::Welcome {
        version: VERSION,
        window: shared.options.window_bytes as u64,
    };
    run(connection, frames, shared, &welcome, &Bytes::new()).await
}

/// The side that connects: says who it is and serves the connection to its end.
pub(super) async fn connect(
    socket: UnixStream,
    shared: &Arc<Shared>,
    token: &str,
) -> Result<(), LinkError> {
    let (connection, mut frames) = Fresh::new(socket)?.connection(None, shared);
    let hello = Frame::Hello {
        version: VERSION,
        window: shared.options.window_bytes as u64,
    };
    let token = Bytes::copy_from_slice(token.as_bytes());
    connection.outbox.send(&hello, &token, Pace::Together);
    let welcomed = async {
        tokio::select! {
            frame = frames.next() => frame.map_err(LinkError::from),
            _ = connection.outbox.write(|| false) => Err(ReadError::Closed.into()),
        }
    };
    let welcomed = tokio::time::timeout(shared.options.handshake_timeout, welcomed).await;
    match welcomed.map_err(|_| LinkError::Silent)?? {
        (Frame::Welcome { version, window }, _) if version == VERSION && window >= MIN_WINDOW => {
            connection.set_window(window);
        }
        (Frame::Refused, why) => {
            return Err(LinkError::Refused(
                String::from_utf8_lossy(&why).into_owned(),
            ));
        }
        _ => return Err(Violation::of("the first answer is no welcome").into()),
    }
    run(connection, frames, shared, &Frame::Ready, &Bytes::new()).await
}

async fn run(
    connection: Arc<Connection>,
    mut frames: Frames<Reads>,
    shared: &Arc<Shared>,
    first: &Frame,
    payload: &Bytes,
) -> Result<(), LinkError> {
    let writing = tokio::spawn({
        let connection = connection.clone();
        async move {
            if let Err(error) = connection.outbox.write(|| connection.is_busy()).await {
                let lost = format!("the connection was lost during the call: {error}");
                connection.close(&CallError::Transport(lost));
            }
        }
    });
    let _writing = AbortOnDropHandle::new(writing);
    // From here on the reader's end is the connection's.
    let mut reader = Reader::new(
        connection.clone(),
        shared.registry.clone(),
        shared.targets.clone(),
    );
    connection.outbox.send(first, payload, Pace::Together);
    shared.registry.join(&connection);
    let mut counted = None;
    let error = loop {
        let (frame, payload) = match frames.next().await {
            Ok(frame) => frame,
            Err(error) => break error,
        };
        match reader.accept(frame, payload) {
            Ok(Then::GoOn) => {}
            Ok(Then::Ready) => counted = Some(shared.count()),
            Err(violation) => break violation.into(),
        }
    };
    drop(counted);
    connection.close(&CallError::Transport(format!(
        "the connection was lost during the call: {error}"
    )));
    Err(error.into())
}
