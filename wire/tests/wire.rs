//! A link does to what passes what its weather says.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use trellis_wire::{Flow, Way, Weather, Wire};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that says back what it hears.
async fn echo() -> std::io::Result<(SocketAddr, JoinSet<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let at = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    Ok((at, tasks))
}

async fn say(stream: &mut TcpStream, text: &str) -> std::io::Result<Duration> {
    let begun = Instant::now();
    stream.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, text.as_bytes());
    Ok(begun.elapsed())
}

#[tokio::test]
async fn everything_takes_its_time_and_stays_in_order() {
    let (at, _echo) = echo().await.unwrap();
    let wire = Wire::lay(at).await.unwrap();
    let mut stream = TcpStream::connect(wire.at()).await.unwrap();
    say(&mut stream, "at once").await.unwrap();
    wire.delay(Duration::from_millis(200));
    let took = say(&mut stream, "later").await.unwrap();
    assert!(took >= Duration::from_millis(190), "{took:?}");

    // Many at once are not one after the other.
    wire.change(|weather| weather.there.jitter = Duration::from_millis(50));
    let (mut read, mut write) = stream.into_split();
    let begun = Instant::now();
    let numbers: Vec<u8> = (0..200_u8).collect();
    for number in &numbers {
        write.write_all(&[*number]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut heard = vec![0; numbers.len()];
    read.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, numbers, "nothing overtakes");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn what_is_held_comes_when_the_link_is_back() {
    let (at, _echo) = echo().await.unwrap();
    let wire = Wire::lay(at).await.unwrap();
    let mut stream = TcpStream::connect(wire.at()).await.unwrap();
    say(&mut stream, "before").await.unwrap();
    wire.hold();
    stream.write_all(b"held").await.unwrap();
    let mut answer = [0; 4];
    let heard = timeout(Duration::from_millis(200), stream.read_exact(&mut answer)).await;
    assert!(heard.is_err(), "nothing passes");
    wire.heal();
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"held");
}

#[tokio::test]
async fn one_way_can_be_cut_alone() {
    let (at, _echo) = echo().await.unwrap();
    let wire = Wire::lay(at).await.unwrap();
    let mut stream = TcpStream::connect(wire.at()).await.unwrap();
    say(&mut stream, "before").await.unwrap();
    wire.change(|weather| weather.back.flow = Flow::Held);
    stream.write_all(b"heard there").await.unwrap();
    let mut answer = [0; 11];
    let heard = timeout(Duration::from_millis(200), stream.read_exact(&mut answer)).await;
    assert!(heard.is_err(), "nothing comes back");
    wire.heal();
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_closed_link_closes_connections_and_takes_new_ones_when_it_is_open() {
    let (at, _echo) = echo().await.unwrap();
    let wire = Wire::lay(at).await.unwrap();
    let mut stream = TcpStream::connect(wire.at()).await.unwrap();
    say(&mut stream, "before").await.unwrap();
    wire.close();
    let ended = timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    let mut refused = TcpStream::connect(wire.at()).await.unwrap();
    let ended = timeout(PATIENCE, refused.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    wire.heal();
    let mut stream = TcpStream::connect(wire.at()).await.unwrap();
    say(&mut stream, "after").await.unwrap();
}

#[tokio::test]
async fn what_is_lost_comes_later_and_nothing_is_missing() {
    let (at, _echo) = echo().await.unwrap();
    let wire = Wire::lay(at).await.unwrap();
    wire.set(Weather::both(Way {
        loss: 1.0,
        ..Way::default()
    }));
    let mut stream = TcpStream::connect(wire.at()).await.unwrap();
    stream.write_all(b"lost").await.unwrap();
    let mut answer = [0; 4];
    let heard = timeout(Duration::from_millis(150), stream.read_exact(&mut answer)).await;
    assert!(heard.is_err());
    wire.set(Weather::default());
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"lost");
}

#[tokio::test]
async fn a_sender_that_nobody_hears_has_to_wait() {
    let (at, _echo) = echo().await.unwrap();
    let wire = Wire::lay(at).await.unwrap();
    let mut stream = TcpStream::connect(wire.at()).await.unwrap();
    say(&mut stream, "before").await.unwrap();
    wire.hold();
    let much = vec![1; 64 * 1024 * 1024];
    let sent = timeout(Duration::from_secs(2), stream.write_all(&much)).await;
    assert!(sent.is_err(), "64 MiB don't fit into the link");
}

#[tokio::test]
async fn a_dropped_link_is_gone() {
    let (at, _echo) = echo().await.unwrap();
    let wire = Wire::lay(at).await.unwrap();
    let place = wire.at();
    let mut stream = TcpStream::connect(place).await.unwrap();
    say(&mut stream, "before").await.unwrap();
    drop(wire);
    let ended = timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}
