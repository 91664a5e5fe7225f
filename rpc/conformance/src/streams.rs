//! Streams and futures among the values.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use trellis_rpc::{
    ByteStream, CallError, Channels, Outgoing,
    codec::{collect, decode_chunks, encode_chunks},
};

use crate::{
    kit::{call, call_within, handler, soon, unary, until_true},
    setting::{Setting, start},
};

/// What a stream may be ahead of its reader by default, on every route.
const WINDOW: usize = 256 * 1024;
const CHUNK: usize = 16 * 1024;

/// A body of so many chunks that counts those that were asked for, and notes when it is dropped.
fn body(chunks: usize, made: &Arc<AtomicUsize>, dropped: &Arc<AtomicBool>) -> ByteStream {
    struct Drops(Arc<AtomicBool>);
    impl Drop for Drops {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (made, drops) = (made.clone(), Drops(dropped.clone()));
    Box::pin(stream::iter(0..chunks).map(move |number| {
        let _ = &drops;
        made.fetch_add(1, Ordering::SeqCst);
        Ok(Bytes::from(vec![(number % 251) as u8; CHUNK]))
    }))
}

fn plain_body(chunks: usize) -> ByteStream {
    body(chunks, &Arc::default(), &Arc::default())
}

fn with_stream(root: &'static str, content: ByteStream) -> Outgoing {
    Outgoing {
        root: Bytes::from_static(root.as_bytes()),
        channels: vec![([0, 0].into(), encode_chunks(content))],
    }
}

fn content(channels: &mut Channels) -> ByteStream {
    decode_chunks(channels.take(&[0, 0]).expect("there is a stream"))
}

/// A stream is read by the callee before it answers.
pub async fn a_stream_is_read_by_the_callee_before_it_answers<S: Setting>() {
    let setting = start::<S>().await;
    let handler = handler(|mut call| async move {
        assert_eq!(call.params.root, "upload");
        let all = collect(content(&mut call.params.channels), 64 << 20, "upload").await?;
        Ok(Outgoing::unary(all.len().to_string()))
    });
    let _serving = setting.serve(handler).await;
    let params = with_stream("upload", plain_body(640));
    let results = setting.route().call(call(params)).await.unwrap();
    assert_eq!(results.root, (640 * CHUNK).to_string());
}

/// Streams flow both ways at once.
pub async fn streams_flow_both_ways_at_once<S: Setting>() {
    let setting = start::<S>().await;
    // The callee answers first and reads while its own stream is being read.
    let handler = handler(|mut call| async move {
        let upload = content(&mut call.params.channels);
        Ok(with_stream("echo", upload))
    });
    let _serving = setting.serve(handler).await;
    let params = with_stream("upload", plain_body(1280));
    let mut results = setting.route().call(call(params)).await.unwrap();
    assert_eq!(results.root, "echo");
    let mut echoed = content(&mut results.channels);
    let mut bytes = 0;
    while let Some(chunk) = echoed.next().await {
        for byte in chunk.unwrap() {
            assert_eq!(usize::from(byte), bytes / CHUNK % 251, "at byte {bytes}");
            bytes += 1;
        }
    }
    assert_eq!(bytes, 1280 * CHUNK);
}

/// A slow reader holds the writer back and nobody else.
pub async fn a_slow_reader_holds_the_writer_back_and_nobody_else<S: Setting>() {
    let setting = start::<S>().await;
    let made = Arc::new(AtomicUsize::new(0));
    let handler = handler({
        let made = made.clone();
        move |call| {
            let made = made.clone();
            async move {
                match &call.params.root[..] {
                    b"stream" => Ok(with_stream("here", body(4000, &made, &Arc::default()))),
                    _ => Ok(Outgoing::unary(call.params.root)),
                }
            }
        }
    });
    let _serving = setting.serve(handler).await;
    let route = setting.route();
    let mut results = route.call(call(Outgoing::unary("stream"))).await.unwrap();
    let mut slow = content(&mut results.channels);
    // Nobody reads: the writer stops within the window.
    until_true("the window is full", || {
        made.load(Ordering::SeqCst) * CHUNK > WINDOW / 2
    })
    .await;
    for number in 0..500 {
        unary(&route, format!("{number}")).await.unwrap();
    }
    let ahead = made.load(Ordering::SeqCst) * CHUNK;
    // What is gathered into one message and what waits for credit come on top.
    assert!(
        ahead <= WINDOW + 256 * 1024,
        "{ahead} bytes were made for a reader that does not read"
    );
    let mut bytes = 0;
    while let Some(chunk) = slow.next().await {
        bytes += chunk.unwrap().len();
    }
    assert_eq!(bytes, 4000 * CHUNK);
}

/// A reader that leaves stops the writer.
pub async fn a_reader_that_leaves_stops_the_writer<S: Setting>() {
    let setting = start::<S>().await;
    let (made, dropped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let handler = handler({
        let (made, dropped) = (made.clone(), dropped.clone());
        move |_| {
            let endless = body(usize::MAX, &made, &dropped);
            async move { Ok(with_stream("here", endless)) }
        }
    });
    let serving = setting.serve(handler).await;
    let mut results = setting
        .route()
        .call(call(Outgoing::unary("x")))
        .await
        .unwrap();
    let mut endless = content(&mut results.channels);
    for _ in 0..100 {
        endless.next().await.unwrap().unwrap();
    }
    drop((endless, results));
    until_true("the body is dropped", || dropped.load(Ordering::SeqCst)).await;
    // Nothing of the call is left, so the drain is at once.
    soon("the drain", serving.drain()).await;
}

/// A callee that does not read to the end stops the caller.
pub async fn a_callee_that_does_not_read_to_the_end_stops_the_caller<S: Setting>() {
    let setting = start::<S>().await;
    let handler = handler(|mut call| async move {
        let mut upload = content(&mut call.params.channels);
        let first = upload.next().await.unwrap()?;
        Ok(Outgoing::unary(first.slice(..1)))
    });
    let _serving = setting.serve(handler).await;
    let dropped = Arc::<AtomicBool>::default();
    let params = with_stream("upload", body(usize::MAX, &Arc::default(), &dropped));
    let results = setting.route().call(call(params)).await.unwrap();
    assert_eq!(results.root[..], [0]);
    until_true("the body is dropped", || dropped.load(Ordering::SeqCst)).await;
}

/// A stream that breaks off says why.
pub async fn a_stream_that_breaks_off_says_why<S: Setting>() {
    let setting = start::<S>().await;
    let handler = handler(|_| async move {
        let broken = stream::iter([
            Ok(Bytes::from_static(b"part")),
            Err(CallError::Failed("the disk is gone".to_owned())),
        ]);
        Ok(with_stream("here", Box::pin(broken)))
    });
    let _serving = setting.serve(handler).await;
    let mut results = setting
        .route()
        .call(call(Outgoing::unary("x")))
        .await
        .unwrap();
    let mut broken = content(&mut results.channels);
    assert_eq!(broken.next().await.unwrap().unwrap(), "part");
    let error = broken.next().await.unwrap().unwrap_err();
    assert!(
        matches!(&error, CallError::Failed(why) if why == "the disk is gone"),
        "{error}"
    );
    assert!(broken.next().await.is_none());
}

/// Several channels of one call keep to themselves.
pub async fn several_channels_of_one_call_keep_to_themselves<S: Setting>() {
    let setting = start::<S>().await;
    let handler = handler(|mut call| async move {
        // The second channel is read to its end before the first one's beginning.
        let second = call.params.channels.take(&[1]).unwrap();
        let second = collect(decode_chunks(second), 8 << 20, "second").await?;
        let first = call.params.channels.take(&[0]).unwrap();
        let first = collect(decode_chunks(first), 8 << 20, "first").await?;
        assert!(
            call.params.channels.take(&[0]).is_none(),
            "a channel is taken once"
        );
        Ok(Outgoing::unary(format!("{} {}", first.len(), second.len())))
    });
    let _serving = setting.serve(handler).await;
    let channels = vec![
        ([0].into(), encode_chunks(plain_body(100))),
        ([1].into(), encode_chunks(plain_body(200))),
    ];
    let params = Outgoing {
        root: Bytes::from_static(b"two"),
        channels,
    };
    let results = setting.route().call(call(params)).await.unwrap();
    assert_eq!(results.root, format!("{} {}", 100 * CHUNK, 200 * CHUNK));
}

/// Large values and streams go together.
pub async fn large_values_and_streams_go_together<S: Setting>() {
    let setting = start::<S>().await;
    let handler = handler(|mut call| async move {
        let upload = content(&mut call.params.channels);
        let channels = vec![([0, 0].into(), encode_chunks(upload))];
        Ok(Outgoing {
            root: call.params.root,
            channels,
        })
    });
    let _serving = setting.serve(handler).await;
    let root = Bytes::from(vec![9; 3 << 20]);
    let params = Outgoing {
        root: root.clone(),
        channels: vec![([0, 0].into(), encode_chunks(plain_body(10)))],
    };
    let mut results = setting.route().call(call(params)).await.unwrap();
    assert!(results.root == root);
    let echoed = collect(content(&mut results.channels), 1 << 20, "echo")
        .await
        .unwrap();
    assert_eq!(echoed.len(), 10 * CHUNK);
}

/// Many streams at once come through whole, each at its own pace.
pub async fn many_streams_share_the_way<S: Setting>() {
    let setting = start::<S>().await;
    let handler = handler(|mut call| async move {
        let upload = content(&mut call.params.channels);
        Ok(with_stream("echo", upload))
    });
    let _serving = setting.serve(handler).await;
    let route = setting.route();
    let each = (0..300).map(|number| {
        let chunks = number % 24;
        let route = route.clone();
        async move {
            let params = with_stream("upload", plain_body(chunks));
            let call = call_within(Duration::from_secs(30), params);
            let mut results = route.call(call).await.unwrap();
            let echoed = collect(content(&mut results.channels), 8 << 20, "echo").await;
            assert_eq!(echoed.unwrap().len(), chunks * CHUNK);
        }
    });
    soon("all streams", futures::future::join_all(each)).await;
}

/// A reader is told when nothing will come any more because the writer's process is gone.
pub async fn a_stream_whose_writer_vanished_ends_with_an_error<S: Setting>() {
    let mut setting = start::<S>().await;
    let handler = handler(|_| async move {
        let first = stream::iter([Ok(Bytes::from_static(b"first"))]);
        Ok(with_stream(
            "here",
            Box::pin(first.chain(stream::pending())),
        ))
    });
    let serving = setting.serve(handler).await;
    let mut results = setting
        .route()
        .call(call(Outgoing::unary("x")))
        .await
        .unwrap();
    let mut stuck = content(&mut results.channels);
    assert_eq!(stuck.next().await.unwrap().unwrap(), "first");
    setting.kill_callee();
    let error = soon("the stream's end", stuck.next())
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, CallError::Transport(_)), "{error}");
    drop(serving);
}
