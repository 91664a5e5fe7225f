//! Streams of bytes among values: from whoever calls through one actor to the one that it is linked to, and back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::{sync::mpsc, time::timeout};
use trellis_host::runtime::Actor;
use trellis_rpc::{
    ByteStream, CallContext, CallError, Incoming, Operation, Outgoing,
    codec::{Decode, Deferred, collect, decode_chunks, encode_chunks, from_bytes, to_bytes},
};

use super::Pair;
use crate::kit::{SOON, invoke};

/// What links between relays are for, where streams are.
pub const PARCELS: &str = "trellis:test-streams/parcels";

/// Larger than any window and any message.
const LARGE: usize = 8 << 20;

type Parcel = (String, Deferred<Bytes>);

/// Calls a function that takes a parcel.
async fn send(
    actor: &Arc<Actor>,
    function: &str,
    label: &str,
    content: ByteStream,
) -> Result<Incoming, CallError> {
    let parcel: Parcel = (label.to_owned(), Deferred::Pending);
    let params = Outgoing {
        root: to_bytes(&parcel),
        channels: vec![([0, 1].into(), encode_chunks(content))],
    };
    call(actor, function, params).await
}

async fn call(actor: &Arc<Actor>, function: &str, params: Outgoing) -> Result<Incoming, CallError> {
    let operation = Operation::new(&*format!("{PARCELS}@0.1.0"), function);
    let answer = invoke(actor.clone(), operation, CallContext::default(), params);
    timeout(SOON, answer).await.unwrap()
}

fn read<T: Decode>(answer: Incoming) -> T {
    from_bytes(answer.root).unwrap()
}

/// So many bytes, of which each says where it stands.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

fn pieces(count: usize) -> ByteStream {
    let pieces: Vec<Bytes> = bytes(count)
        .chunks(10_007)
        .map(Bytes::copy_from_slice)
        .collect();
    Box::pin(stream::iter(pieces.into_iter().map(Ok)))
}

fn weight(count: usize) -> (u64, u32) {
    let sum = bytes(count)
        .into_iter()
        .fold(0_u32, |sum, byte| sum.wrapping_add(byte.into()));
    (count as u64, sum)
}

pub async fn a_stream_of_bytes_reaches_the_callee(pair: Pair) {
    for count in [0, 1, LARGE] {
        let answer = send(&pair.a, "forward-weigh", "large", pieces(count)).await;
        let weighed: Result<(u64, u32), String> = read(answer.unwrap());
        assert_eq!(weighed, Ok(weight(count)));
    }
}

pub async fn a_stream_of_bytes_comes_back(pair: Pair) {
    let answer = send(&pair.a, "forward-pass", "there and back", pieces(LARGE)).await;
    let mut answer = answer.unwrap();
    let (label, content) = from_bytes::<Result<Parcel, String>>(answer.root)
        .unwrap()
        .unwrap();
    assert_eq!(label, "there and back");
    assert_eq!(content, Deferred::Pending);
    let content = decode_chunks(answer.channels.take(&[0, 1]).unwrap());
    let content = timeout(SOON, collect(content, LARGE, "a parcel")).await;
    assert!(content.unwrap().unwrap() == bytes(LARGE));
}

pub async fn a_stream_goes_on_while_it_is_written(pair: Pair) {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let content = stream::unfold(receiver, |mut receiver| async move {
        Some((Ok(receiver.recv().await?), receiver))
    });
    let answer = send(&pair.a, "forward-pass", "live", Box::pin(content)).await;
    let mut answer = answer.unwrap();
    let mut content = decode_chunks(answer.channels.take(&[0, 1]).unwrap());
    for line in ["one", "two", "three"] {
        sender
            .send(Bytes::from_static(line.as_bytes()))
            .await
            .unwrap();
        let got = timeout(SOON, content.next()).await.unwrap();
        assert_eq!(got.unwrap().unwrap(), line);
    }
    drop(sender);
    assert!(timeout(SOON, content.next()).await.unwrap().is_none());
}

pub async fn what_is_there_with_the_values_is_a_stream_too(pair: Pair) {
    let parcel: Parcel = ("small".to_owned(), Deferred::Ready(bytes(1000).into()));
    let params = Outgoing::unary(to_bytes(&parcel));
    let answer = call(&pair.a, "forward-weigh", params).await.unwrap();
    assert_eq!(read::<Result<(u64, u32), String>>(answer), Ok(weight(1000)));
}

pub async fn a_stream_that_breaks_off_is_known_to_be_cut(pair: Pair) {
    let broken = CallError::Failed("the disk is gone".to_owned());
    let content = pieces(100).chain(stream::iter([Err(broken)]));
    let answer = send(&pair.a, "forward-weigh", "cut", Box::pin(content)).await;
    let weighed: Result<(u64, u32), String> = read(answer.unwrap());
    let error = weighed.unwrap_err();
    assert!(error.starts_with("after "), "{error}");
    assert!(error.contains("the disk is gone"), "{error}");
}

pub async fn who_reads_part_of_a_stream_leaves_the_rest(pair: Pair) {
    // It never ends, and is read only as far as is asked for.
    let endless = stream::repeat_with(|| Ok(Bytes::from(bytes(251))));
    let params = Outgoing {
        root: to_bytes(&(Deferred::<Bytes>::Pending, 1000_u64)),
        channels: vec![([0].into(), encode_chunks(endless))],
    };
    let answer = call(&pair.a, "forward-sample", params).await.unwrap();
    let sample: Bytes = read(answer);
    assert!(sample == bytes(1000), "{sample:?}");
}

pub async fn a_refused_parcel_is_not_read(pair: Pair) {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let content = stream::unfold(receiver, |mut receiver| async move {
        Some((Ok(receiver.recv().await?), receiver))
    });
    let answer = send(&pair.a, "forward-pass", "", Box::pin(content)).await;
    let refused: Result<Parcel, String> = read(answer.unwrap());
    assert_eq!(refused.unwrap_err(), "a parcel without a label");
    // Nobody holds its other end for long.
    let closed = timeout(Duration::from_secs(10), sender.closed()).await;
    closed.unwrap();
}

pub async fn a_stream_without_a_channel_is_refused(pair: Pair) {
    let parcel: Parcel = ("lost".to_owned(), Deferred::Pending);
    let params = Outgoing::unary(to_bytes(&parcel));
    let error = call(&pair.a, "weigh", params).await.unwrap_err();
    assert!(error.to_string().contains("no channel"), "{error}");
}
