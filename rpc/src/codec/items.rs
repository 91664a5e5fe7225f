//! The content of streams of other elements than bytes: each chunk a list, the end an empty one.

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};

use super::{Decode, Decoder, Encode, WireError, to_bytes};
use crate::{channel::ByteStream, error::CallError};

/// The largest chunk of elements.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// The channel of a `stream<T>`. Empty chunks are left out, since on the wire they would be the end.
pub fn encode_items<T: Encode + Send + 'static>(
    content: impl Stream<Item = Result<Vec<T>, CallError>> + Send + 'static,
) -> ByteStream {
    let chunks = content
        .filter(|chunk| {
            let is_end = chunk.as_ref().is_ok_and(Vec::is_empty);
            async move { !is_end }
        })
        .map(|chunk| chunk.map(|items| to_bytes(&items)));
    let end = stream::iter([Ok(to_bytes(&Vec::<T>::new()))]);
    // After an error nothing comes, not even the end.
    let mut failed = false;
    let all = chunks.chain(end).take_while(move |chunk| {
        let go_on = !failed;
        failed |= chunk.is_err();
        async move { go_on }
    });
    Box::pin(all)
}

/// The content of a `stream<T>` from its channel, however its bytes are cut. It yields an error when the channel ends
/// before the content does.
pub fn decode_items<T: Decode + Send + 'static>(
    channel: ByteStream,
) -> impl Stream<Item = Result<Vec<T>, CallError>> + Send + 'static {
    let state = Items {
        channel,
        arrived: BytesMut::new(),
        ended: false,
    };
    stream::unfold(state, |mut state| async move {
        let item = state.next().await.transpose()?;
        state.ended |= item.is_err();
        Some((item, state))
    })
}

/// Where the reading of a channel stands.
struct Items {
    channel: ByteStream,
    /// Arrived and not read.
    arrived: BytesMut,
    ended: bool,
}

impl Items {
    async fn next<T: Decode>(&mut self) -> Result<Option<Vec<T>>, CallError> {
        if self.ended {
            return Ok(None);
        }
        loop {
            if let Some(items) = self.take()? {
                self.ended = items.is_empty();
                if !self.ended {
                    return Ok(Some(items));
                }
                if self.arrived.is_empty() {
                    return Ok(None);
                }
                let why = "bytes follow the end of a stream";
                return Err(CallError::Malformed(why.to_owned()));
            }
            match self.channel.next().await.transpose()? {
                Some(bytes) => self.arrived.extend_from_slice(&bytes),
                None => {
                    let why = "a stream broke off before its end";
                    return Err(CallError::Transport(why.to_owned()));
                }
            }
            if self.arrived.len() > MAX_CHUNK_BYTES {
                return Err(CallError::TooLarge {
                    what: "a stream's chunk".into(),
                    bytes: self.arrived.len(),
                    limit: MAX_CHUNK_BYTES,
                });
            }
        }
    }

    /// A chunk, if it is there whole.
    fn take<T: Decode>(&mut self) -> Result<Option<Vec<T>>, CallError> {
        if self.arrived.is_empty() {
            return Ok(None);
        }
        let mut decoder = Decoder::new(Bytes::copy_from_slice(&self.arrived));
        match Vec::decode(&mut decoder) {
            Ok(items) => {
                self.arrived.advance(decoder.position());
                Ok(Some(items))
            }
            Err(WireError::Ended { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(chunks: Vec<Result<Vec<&str>, CallError>>) -> ByteStream {
        let owned = |chunk: Vec<&str>| chunk.into_iter().map(str::to_owned).collect();
        let chunks: Vec<Result<Vec<String>, _>> =
            chunks.into_iter().map(|chunk| chunk.map(owned)).collect();
        encode_items(stream::iter(chunks))
    }

    async fn read(channel: ByteStream) -> Vec<Result<Vec<String>, CallError>> {
        decode_items(channel).collect().await
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_however_it_is_cut() {
        let sent = vec![Ok(vec!["a", "bc"]), Ok(vec![]), Ok(vec!["ä", ""])];
        let bytes: Vec<Bytes> = names(sent).map(Result::unwrap).collect().await;
        let bytes = bytes.concat();
        for cut in 1..=bytes.len() {
            let pieces: Vec<_> = bytes
                .chunks(cut)
                .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                .collect();
            let got = read(Box::pin(stream::iter(pieces))).await;
            let all: Vec<String> = got.into_iter().flat_map(Result::unwrap).collect();
            assert_eq!(all, ["a", "bc", "ä", ""]);
        }
    }

    #[tokio::test]
    async fn an_error_ends_it_without_the_mark_of_an_end() {
        let broken = CallError::Failed("gone".to_owned());
        let got = read(names(vec![Ok(vec!["a"]), Err(broken), Ok(vec!["b"])])).await;
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].as_ref().unwrap(), &["a"]);
        assert!(got[1].is_err());
    }

    #[tokio::test]
    async fn a_channel_that_ends_early_is_an_error() {
        let got = read(Box::pin(stream::iter([Ok(Bytes::from_static(
            b"\x01\x01a",
        ))])))
        .await;
        assert!(
            matches!(got[..], [Ok(_), Err(CallError::Transport(_))]),
            "{got:?}"
        );
    }
}
