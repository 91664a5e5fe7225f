use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    channel::{MAX_CHANNELS, MAX_PATH},
    socket::frames::{Frames, ReadError},
};

fn name() -> impl Strategy<Value = Arc<str>> {
    "\\PC{0,40}".prop_map(Arc::from)
}

fn paths() -> impl Strategy<Value = Vec<Path>> {
    proptest::collection::hash_set(vec(any::<u32>(), 0..=MAX_PATH), 0..=MAX_CHANNELS)
        .prop_map(|paths| paths.into_iter().map(Path::from).collect())
}

fn trace() -> impl Strategy<Value = Option<TraceContext>> {
    option::of((1_u128.., 1_u64.., any::<u8>())).prop_map(|parts| {
        parts.and_then(|(id, parent, flags)| TraceContext::from_parts(id, parent, flags))
    })
}

fn head() -> impl Strategy<Value = Head> {
    let options = (option::of(name()), option::of(name()), option::of(name()));
    (name(), name(), name(), options).prop_map(
        |(instance, function, target, (source_id, target_id, link_name))| Head {
            instance,
            function,
            target,
            source_id,
            target_id,
            link_name,
        },
    )
}

fn values() -> impl Strategy<Value = Values> {
    prop_oneof![Just(Values::Params), Just(Values::Results)]
}

fn channel() -> impl Strategy<Value = Frame> {
    let fields = (values(), any::<u64>(), any::<u8>(), any::<u64>(), name());
    (0..5, fields).prop_map(|(which, (values, id, channel, total, kind))| match which {
        0 => Frame::Data {
            values,
            id,
            channel,
        },
        1 => Frame::End {
            values,
            id,
            channel,
        },
        2 => Frame::Broken {
            values,
            id,
            channel,
            kind: kind.to_string().into(),
        },
        3 => Frame::Grant {
            values,
            id,
            channel,
            total,
        },
        _ => Frame::Stop {
            values,
            id,
            channel,
        },
    })
}

fn call() -> impl Strategy<Value = Frame> {
    let numbers = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>());
    (numbers, trace(), paths()).prop_map(|((id, head, deadline_ms, total), trace, channels)| {
        Frame::Call {
            id,
            head,
            deadline_ms,
            trace,
            total,
            channels,
        }
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        any::<(u16, u64)>().prop_map(|(version, window)| Frame::Hello { version, window }),
        any::<(u16, u64)>().prop_map(|(version, window)| Frame::Welcome { version, window }),
        Just(Frame::Refused),
        Just(Frame::Ready),
        Just(Frame::Here),
        Just(Frame::Gone),
        (any::<u32>(), head()).prop_map(|(number, head)| Frame::Head { number, head }),
        call(),
        any::<u64>().prop_map(|id| Frame::Params { id }),
        (any::<u64>(), any::<u64>(), paths()).prop_map(|(id, total, channels)| Frame::Results {
            id,
            total,
            channels
        }),
        any::<u64>().prop_map(|id| Frame::MoreResults { id }),
        (any::<u64>(), name()).prop_map(|(id, kind)| Frame::Failed {
            id,
            kind: kind.to_string().into()
        }),
        any::<u64>().prop_map(|id| Frame::Cancel { id }),
        channel(),
    ]
}

/// A frame with a payload, where it has one.
fn with_payload() -> impl Strategy<Value = (Frame, Bytes)> {
    let small = vec(any::<u8>(), 0..200);
    // Around where payloads are no longer copied, and the largest.
    let large = prop_oneof![8000..9000_usize, Just(MAX_PART)].prop_map(|length| vec![7; length]);
    (frame(), prop_oneof![4 => small, 1 => large]).prop_map(|(frame, payload)| {
        let payload = if frame.has_payload() {
            payload
        } else {
            Vec::new()
        };
        (frame, Bytes::from(payload))
    })
}

fn written(frames: &[(Frame, Bytes)]) -> BytesMut {
    let mut out = BytesMut::new();
    for (frame, payload) in frames {
        frame.put(payload.len(), &mut out);
        out.extend_from_slice(payload);
    }
    out
}

/// Reads frames that come in pieces of such sizes.
async fn read(bytes: Bytes, sizes: Vec<usize>) -> (Vec<(Frame, Bytes)>, ReadError) {
    let (mut near, far) = tokio::io::duplex(MAX_FRAME);
    let writing = async move {
        let mut bytes = bytes;
        let mut sizes = sizes.into_iter().cycle();
        while !bytes.is_empty() {
            let size = sizes.next().unwrap_or(1).clamp(1, bytes.len());
            let written =
                tokio::io::AsyncWriteExt::write_all(&mut near, &bytes.split_to(size)).await;
            if written.is_err() {
                // Who reads has seen enough.
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        let mut frames = Frames::new(far, MAX_FRAME);
        let mut read = Vec::new();
        loop {
            match frames.next().await {
                Ok(frame) => read.push(frame),
                Err(error) => return (read, error),
            }
        }
    };
    tokio::join!(writing, reading).1
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #[test]
    fn every_frame_comes_back_as_it_was((frame, payload) in with_payload()) {
        let bytes = written(&[(frame.clone(), payload.clone())]);
        let length = u32::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        prop_assert_eq!(length, bytes.len() - 4);
        prop_assert!(length <= MAX_FRAME);
        let mut rest = &bytes[4..];
        prop_assert_eq!(Frame::take(&mut rest).unwrap(), frame);
        prop_assert_eq!(rest, payload);
    }

    #[test]
    fn frames_are_read_however_they_are_cut(
        frames in vec(with_payload(), 1..12),
        sizes in vec(1..20_000_usize, 1..8),
    ) {
        let (read, end) = block_on(read(written(&frames).freeze(), sizes));
        prop_assert_eq!(read, frames);
        prop_assert!(matches!(end, ReadError::Closed), "{}", end);
    }

    #[test]
    fn a_frame_that_is_cut_off_is_none((frame, _) in with_payload(), cut in any::<prop::sample::Index>()) {
        let bytes = written(&[(frame, Bytes::new())]);
        let fields = &bytes[4..];
        let mut rest = &fields[..cut.index(fields.len())];
        prop_assert!(Frame::take(&mut rest).is_err());
    }

    #[test]
    fn garbage_is_an_error_or_a_frame_and_never_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        let mut rest = &bytes[..];
        if let Ok(frame) = Frame::take(&mut rest) {
            // What can be read can be written, and is the same again.
            let again = written(&[(frame.clone(), Bytes::copy_from_slice(rest))]);
            prop_assert_eq!(&again[4..], &bytes[..]);
        }
        block_on(read(Bytes::from(bytes), vec![17]));
    }
}

#[test]
fn a_length_past_the_bound_is_refused_before_it_is_waited_for() {
    let length = u32::try_from(MAX_FRAME + 1).unwrap();
    let (frames, end) = block_on(read(Bytes::copy_from_slice(&length.to_le_bytes()), vec![4]));
    assert!(frames.is_empty());
    assert!(
        matches!(&end, ReadError::Violation(why) if why.to_string().contains("more than")),
        "{end}"
    );
}
