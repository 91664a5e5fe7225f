//! A peer that speaks byte by byte, so that it can say what no honest one would.

use bytes::{BufMut as _, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::kit::{Host, soon};

pub const REFUSED: u8 = 3;
pub const CALL: u8 = 8;
pub const RESULTS: u8 = 10;
pub const FAILED: u8 = 12;

/// A frame of that kind and content.
pub fn frame(kind: u8, content: impl AsRef<[u8]>) -> BytesMut {
    let content = content.as_ref();
    let mut out = BytesMut::new();
    out.put_u32_le(content.len() as u32 + 1);
    out.put_u8(kind);
    out.put_slice(content);
    out
}

fn content(put: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    put(&mut out);
    out
}

pub fn hello(version: u16, window: u64, token: &str) -> BytesMut {
    let content = content(|out| {
        out.put_u16_le(version);
        out.put_u64_le(window);
        out.put_slice(token.as_bytes());
    });
    frame(1, content)
}

pub fn ready() -> BytesMut {
    frame(4, [])
}

pub fn here(target: &str) -> BytesMut {
    frame(5, target)
}

pub fn gone(target: &str) -> BytesMut {
    frame(6, target)
}

/// A head of the tests' operation, of that target and source.
pub fn head(number: u32, target: &str, source: &str) -> BytesMut {
    let content = content(|out| {
        out.put_u32_le(number);
        for text in ["acme:test/things@1.2.3", "do-it", target] {
            out.put_u16_le(text.len() as u16);
            out.put_slice(text.as_bytes());
        }
        out.put_u8(1);
        out.put_u16_le(source.len() as u16);
        out.put_slice(source.as_bytes());
        out.put_slice(&[0, 0]);
    });
    frame(7, content)
}

/// A call with 5 s left; `channels` so many at the paths `[0]`, `[1]` and so on.
pub fn call(id: u64, head: u32, total: u64, channels: u8, first: &[u8]) -> BytesMut {
    let content = content(|out| {
        out.put_u64_le(id);
        out.put_u32_le(head);
        out.put_u64_le(5000);
        out.put_u64_le(total);
        paths(channels, out);
        out.put_u8(0);
        out.put_slice(first);
    });
    frame(CALL, content)
}

pub fn results(id: u64, total: u64, channels: u8, first: &[u8]) -> BytesMut {
    let content = content(|out| {
        out.put_u64_le(id);
        out.put_u64_le(total);
        paths(channels, out);
        out.put_slice(first);
    });
    frame(RESULTS, content)
}

fn paths(channels: u8, out: &mut BytesMut) {
    out.put_u8(channels);
    for channel in 0..channels {
        out.put_u8(1);
        out.put_u32_le(channel.into());
    }
}

/// A frame of which the number of a call is all that comes before the payload.
pub fn about(kind: u8, id: u64, payload: &[u8]) -> BytesMut {
    let content = content(|out| {
        out.put_u64_le(id);
        out.put_slice(payload);
    });
    frame(kind, content)
}

/// A frame about a channel, `values` being 0 for parameters and 1 for results.
pub fn channel(kind: u8, values: u8, id: u64, channel: u8, rest: &[u8]) -> BytesMut {
    let content = content(|out| {
        out.put_u8(values);
        out.put_u64_le(id);
        out.put_u8(channel);
        out.put_slice(rest);
    });
    frame(kind, content)
}

/// The socket under our hands.
pub struct Raw {
    pub socket: UnixStream,
}

impl Raw {
    pub async fn connect(host: &Host) -> Self {
        let socket = UnixStream::connect(host.path()).await.unwrap();
        Self { socket }
    }

    /// One that has come in with that token and said that it serves nothing.
    pub async fn admitted(host: &Host, token: &str) -> Self {
        let mut raw = Self::connect(host).await;
        raw.send(&hello(1, 256 << 10, token)).await;
        raw.send(&ready()).await;
        let (kind, _) = raw.next().await.unwrap();
        assert_eq!(kind, 2, "a welcome");
        raw
    }

    /// What is written to a connection that is closed already goes nowhere.
    pub async fn send(&mut self, bytes: &[u8]) {
        _ = self.socket.write_all(bytes).await;
    }

    /// The next frame's kind and content; nothing at the end.
    pub async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let length = self.socket.read_u32_le().await.ok()?;
            let mut content = vec![0; length as usize];
            self.socket.read_exact(&mut content).await.ok()?;
            Some((content.remove(0), content))
        };
        soon("a frame or the end", read).await
    }

    /// The next frame of that kind.
    pub async fn next_of(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let (found, content) = self.next().await.expect("the connection goes on");
            if found == kind {
                return content;
            }
        }
    }

    /// Waits for the end.
    pub async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }
}
