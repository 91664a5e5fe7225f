//! What a call costs when nothing is in its way. The bounds are far above what it takes; the figures are printed.

use std::time::{Duration, Instant};

use crate::kit::{Kit, get};

#[tokio::test]
async fn a_call_takes_a_fraction_of_a_millisecond() {
    const CALLS: u32 = 2_000;
    let kit = Kit::new();
    let hello = kit.start("http_hello").await;
    for _ in 0..200 {
        get(&hello, "/").await.unwrap();
    }
    let started = Instant::now();
    for _ in 0..CALLS {
        get(&hello, "/").await.unwrap();
    }
    let each = started.elapsed() / CALLS;
    println!("http-hello, one instance a call, in process: {each:?}");
    assert!(each < Duration::from_millis(5), "{each:?}");
}
