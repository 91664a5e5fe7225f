//! One way of one connection.

use std::time::Duration;

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use crate::weather::{Flow, Way, Weather};

/// The most that is read at once, and so lost at once.
const PIECE_BYTES: usize = 16 * 1024;
/// How many pieces are on their way at most; then the sender has to wait. With whole pieces that is 8 MiB.
const MAX_PIECES: usize = 512;

/// Which way of the weather counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    There,
    Back,
}

impl Direction {
    fn of(self, weather: &Weather) -> Way {
        match self {
            Self::There => weather.there,
            Self::Back => weather.back,
        }
    }
}

/// What is on its way, and when it arrives.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

/// Carries what comes from the one to the other, until the one ends; then tells the other so.
///
/// # Errors
/// Either is broken.
pub(crate) async fn carry(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    direction: Direction,
    weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let (sender, pieces) = mpsc::channel(MAX_PIECES);
    let (taken, brought) = tokio::join!(
        take(from, sender, direction, weather.clone()),
        bring(pieces, to, direction, weather)
    );
    taken.and(brought)
}

async fn take(
    mut from: OwnedReadHalf,
    sender: mpsc::Sender<Piece>,
    direction: Direction,
    weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut last = Instant::now();
    loop {
        // One who can't be written to any more is not read from any more, either.
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            () = sender.closed() => return Ok(()),
        };
        if read == 0 {
            return Ok(());
        }
        let takes = direction.of(&weather.borrow()).takes();
        // Nothing overtakes.
        last = last.max(Instant::now() + takes);
        let piece = Piece {
            due: last,
            bytes: buffer.get(..read).unwrap_or_default().to_vec(),
        };
        if sender.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

async fn bring(
    mut pieces: mpsc::Receiver<Piece>,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    while let Some(piece) = pieces.recv().await {
        if piece.due > Instant::now() + Duration::from_micros(100) {
            sleep_until(piece.due).await;
        }
        pass(direction, &mut weather).await?;
        to.write_all(&piece.bytes).await?;
    }
    // That nothing more comes takes its way too.
    pass(direction, &mut weather).await?;
    to.shutdown().await
}

/// Waits until something may pass.
async fn pass(direction: Direction, weather: &mut watch::Receiver<Weather>) -> io::Result<()> {
    let open = weather.wait_for(|weather| direction.of(weather).flow == Flow::Open);
    // Without the wire there is no weather, and nothing to carry.
    open.await
        .map(drop)
        .map_err(|_| io::ErrorKind::BrokenPipe.into())
}
