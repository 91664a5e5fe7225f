//! A body of any length out of one block.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// How much comes at once: what a socket takes.
const BLOCK: usize = 64 << 10;

/// So many bytes, announced with their length.
#[derive(Clone, Debug)]
pub struct Blocks {
    block: Bytes,
    left: u64,
}

impl Blocks {
    /// A body of that length.
    pub fn new(bytes: u64) -> Self {
        static BYTES: [u8; BLOCK] = [b'.'; BLOCK];
        Self {
            block: Bytes::from_static(&BYTES),
            left: bytes,
        }
    }
}

impl Body for Blocks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let count = usize::try_from(self.left).map_or(BLOCK, |left| left.min(BLOCK));
        self.left -= count as u64;
        Poll::Ready(Some(Ok(Frame::data(self.block.slice(..count)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_has_the_length_that_it_says() {
        for length in [0, 1, 65_536, 65_537, 1 << 20] {
            let body = Blocks::new(length);
            assert_eq!(body.size_hint().exact(), Some(length));
            assert_eq!(
                body.collect().await.unwrap().to_bytes().len() as u64,
                length
            );
        }
    }
}
