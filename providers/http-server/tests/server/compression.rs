//! Responses are compressed where the link says so, and a stream of events stays one.

use std::{io::Read as _, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures::stream;
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use trellis_provider::rpc::interface::http::{Body, Response as WireResponse};

use crate::{
    client::{Connection, get, header_of},
    kit::{Lattice, text},
};

fn headers(content_type: &str) -> trellis_provider::rpc::interface::http::Fields {
    vec![(
        "content-type".to_owned(),
        vec![content_type.to_owned().into()],
    )]
}

/// As far as it can be read: the end may not be there yet.
fn decompressed(encoding: &str, compressed: &[u8]) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = match encoding {
        "gzip" => flate2::read::GzDecoder::new(compressed).read_to_end(&mut content),
        "br" => brotli::Decompressor::new(compressed, 4096).read_to_end(&mut content),
        "zstd" => zstd::stream::read::Decoder::new(compressed)?.read_to_end(&mut content),
        other => bail!("{other}"),
    };
    match read {
        Err(error) if content.is_empty() => Err(error.into()),
        _ => Ok(content),
    }
}

#[tokio::test]
async fn what_gets_smaller_is_compressed_as_the_client_likes() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    // Something that is not all the same.
    let page: Bytes = (0..40_000)
        .flat_map(|line: u64| format!("{}\n", line.wrapping_mul(2_654_435_761) % 1009).into_bytes())
        .collect();
    let content = page.clone();
    let _component = lattice
        .component("page", move |request| {
            let page = content.clone();
            async move {
                Ok(match request.path_with_query.as_deref() {
                    Some("/small") => WireResponse {
                        headers: headers("text/html"),
                        ..text(200, "small")
                    },
                    Some("/image") => WireResponse {
                        headers: headers("image/png"),
                        ..text(200, page)
                    },
                    Some("/stream") => {
                        let parts: Vec<_> = page.chunks(7000).map(Bytes::copy_from_slice).collect();
                        WireResponse {
                            status: 200,
                            headers: headers("text/html"),
                            body: Body::stream(Box::pin(stream::iter(parts.into_iter().map(Ok)))),
                        }
                    }
                    _ => WireResponse {
                        headers: headers("text/html"),
                        ..text(200, page)
                    },
                })
            }
        })
        .await?;
    lattice
        .put(&lattice.link("page", &[("compression", "on")]))
        .await?;
    for http2 in [false, true] {
        let mut connection = Connection::open(lattice.address, http2).await?;
        for encoding in ["gzip", "br", "zstd"] {
            for path in ["/", "/stream"] {
                let accept = [("accept-encoding", encoding)];
                let response = connection.get(&lattice.url(path), &accept).await?;
                let headers = response.headers();
                assert_eq!(header_of(headers, "content-encoding"), Some(encoding));
                assert_eq!(header_of(headers, "vary"), Some("accept-encoding"));
                assert_eq!(header_of(headers, "content-length"), None);
                let body = response.body();
                ensure!(body.len() < page.len() / 2, "{encoding}: {}", body.len());
                let whole = decompressed(encoding, body)?;
                ensure!(whole == page, "{encoding} {path}: {} bytes", whole.len());
            }
        }
        for (path, accept, varies) in [
            ("/", "identity", true),
            ("/small", "gzip", false),
            ("/image", "gzip", false),
        ] {
            let accept = [("accept-encoding", accept)];
            let response = connection.get(&lattice.url(path), &accept).await?;
            let headers = response.headers();
            assert_eq!(header_of(headers, "content-encoding"), None, "{path}");
            assert_eq!(header_of(headers, "vary").is_some(), varies, "{path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_compressed_unless_the_link_says_so() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("page", |_| async {
            Ok(WireResponse {
                headers: headers("text/html"),
                ..text(200, vec![b'a'; 10_000])
            })
        })
        .await?;
    lattice.put(&lattice.link("page", &[])).await?;
    let mut connection = Connection::open(lattice.address, false).await?;
    let accept = [("accept-encoding", "gzip")];
    let response = connection.get(&lattice.url("/"), &accept).await?;
    assert_eq!(response.body().len(), 10_000);
    assert_eq!(header_of(response.headers(), "vary"), None);
    Ok(())
}

#[tokio::test]
async fn an_event_is_there_before_the_next_one_is_made() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let (next, made) = watch::channel(0);
    let _component = lattice
        .component("events", move |_| {
            let made = made.clone();
            async move {
                let events = stream::unfold((0, made), |(event, mut made)| async move {
                    made.wait_for(|made| *made > event).await.ok()?;
                    let data = Bytes::from(format!("data: {event}\n\n"));
                    (event < 3).then_some((Ok(data), (event + 1, made)))
                });
                Ok(WireResponse {
                    status: 200,
                    headers: headers("text/event-stream"),
                    body: Body::stream(Box::pin(events)),
                })
            }
        })
        .await?;
    lattice
        .put(&lattice.link("events", &[("compression", "on")]))
        .await?;
    for encoding in ["gzip", "br", "zstd"] {
        next.send_replace(0);
        let mut connection = Connection::open(lattice.address, true).await?;
        let request = get(&lattice.url("/"), &[("accept-encoding", encoding)])?;
        let response = connection.begin(request).await?;
        assert_eq!(
            header_of(response.headers(), "content-encoding"),
            Some(encoding)
        );
        let (mut body, mut compressed) = (response.into_body(), Vec::new());
        let mut expected = String::new();
        for event in 0..3 {
            next.send_replace(event + 1);
            expected += &format!("data: {event}\n\n");
            loop {
                let frame = tokio::time::timeout(Duration::from_secs(20), body.frame());
                let frame = frame
                    .await
                    .with_context(|| format!("{encoding} holds event {event} back"))?;
                let data = frame.context("it ended")??.into_data().ok();
                compressed.extend_from_slice(&data.context("no data")?);
                if decompressed(encoding, &compressed)
                    .is_ok_and(|so_far| so_far == expected.as_bytes())
                {
                    break;
                }
            }
        }
        next.send_replace(4);
        compressed.extend_from_slice(&body.collect().await?.to_bytes());
        assert_eq!(decompressed(encoding, &compressed)?, expected.as_bytes());
    }
    Ok(())
}
