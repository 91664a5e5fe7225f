//! What of a request reaches the component, and of its response the client.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Version};
use tokio::sync::watch;
use trellis_provider::rpc::{
    CallError,
    interface::http::{Body, Request as WireRequest, Response as WireResponse},
};

use crate::kit::{Lattice, client, full, send, text};

/// Answers with what it was asked, as text.
fn described(request: &WireRequest, body: &Bytes) -> String {
    let mut headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, values)| {
            let values = values
                .iter()
                .map(|value| String::from_utf8_lossy(value))
                .collect::<Vec<_>>();
            format!("{name}={}", values.join("|"))
        })
        .collect();
    headers.sort();
    let path = request.path_with_query.clone().unwrap_or_default();
    let authority = request.authority.clone().unwrap_or_default();
    let body = String::from_utf8_lossy(body);
    format!(
        "{} {path} {authority} [{}] {body}",
        request.method.as_str(),
        headers.join(", ")
    )
}

#[tokio::test]
async fn a_request_arrives_whole_over_both_versions() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |request| async move {
            let head = WireRequest {
                body: Body::empty(),
                ..request
            };
            let body = request.body.collect(1 << 20).await?;
            let mut response = text(201, described(&head, &body));
            response.headers = vec![
                ("x-two".to_owned(), vec!["a".into(), "b".into()]),
                ("connection".to_owned(), vec!["close".into()]),
                ("content-length".to_owned(), vec!["99999".into()]),
            ];
            Ok(response)
        })
        .await?;
    lattice.put(&lattice.link("hello", &[])).await?;
    let at = lattice.address;
    for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(lattice.url("/a%20b/c?d=e&f"))
            .header("x-many", "1")
            .header("x-many", "2")
            .header("x-request-id", "r-1")
            .header(
                "traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            );
        let request = match http2 {
            // They are about the connection, and HTTP/2 doesn't have them.
            false => request
                .header("connection", "x-private")
                .header("x-private", "p")
                .header("te", "trailers"),
            true => request,
        };
        let response = send(&client(http2), request.body(full("the body"))?).await?;
        assert_eq!(response.version(), version);
        assert_eq!(response.status(), 201);
        let values: Vec<_> = response.headers().get_all("x-two").iter().collect();
        assert_eq!(values, ["a", "b"]);
        assert_eq!(response.headers()["x-request-id"], "r-1");
        assert!(!response.headers().contains_key("connection"));
        let host = if http2 {
            String::new()
        } else {
            format!("host={at}, ")
        };
        let told = String::from_utf8(response.body().to_vec())?;
        assert_eq!(
            told,
            format!(
                "PUT /a%20b/c?d=e&f {at} [content-length=8, {host}traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, x-many=1|2, x-request-id=r-1] the body"
            )
        );
        assert_eq!(response.headers()["content-length"], told.len().to_string());
    }
    Ok(())
}

#[tokio::test]
async fn head_and_empty_answers_have_no_body() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let (held, mut dropped) = watch::channel(());
    let held = std::sync::Arc::new(std::sync::Mutex::new(Some(held)));
    let _component = lattice
        .component("hello", move |request| {
            let held = held.clone();
            async move {
                let path = request.path_with_query.unwrap_or_default();
                if path == "/stream" {
                    // Goes on until nobody wants it.
                    let held = held.lock().ok().and_then(|mut held| held.take());
                    let parts = stream::unfold(held, |held| async move {
                        tokio::task::yield_now().await;
                        Some((Ok(Bytes::from_static(b"part")), held))
                    });
                    return Ok(WireResponse {
                        body: Body::stream(Box::pin(parts)),
                        ..text(200, "")
                    });
                }
                if path == "/fails" {
                    return Err(CallError::Failed("inside".to_owned()));
                }
                let status = path.trim_start_matches('/').parse().unwrap_or(200);
                let mut response = text(status, "hello");
                if path != "/missing" {
                    response.headers = vec![("content-length".to_owned(), vec!["5".into()])];
                }
                Ok(response)
            }
        })
        .await?;
    lattice.put(&lattice.link("hello", &[])).await?;
    for http2 in [false, true] {
        let client = client(http2);
        let ask = async |method: Method, path: &str| {
            let request = Request::builder().method(method).uri(lattice.url(path));
            let response = send(&client, request.body(full(""))?).await;
            let response = response.with_context(|| format!("{path} http2={http2}"))?;
            let length = response.headers().get("content-length");
            let length = length.map(|length| length.to_str().map(str::to_owned));
            assert!(response.body().is_empty(), "{path} http2={http2}");
            anyhow::Ok((response.status().as_u16(), length.transpose()?))
        };
        let five = || Some("5".to_owned());
        assert_eq!(ask(Method::HEAD, "/").await?, (200, five()));
        assert_eq!(ask(Method::HEAD, "/missing").await?, (200, five()));
        assert_eq!(ask(Method::HEAD, "/stream").await?, (200, None));
        let refusal = "502 Bad Gateway: the component failed\n".len().to_string();
        assert_eq!(ask(Method::HEAD, "/fails").await?, (502, Some(refusal)));
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(ask(method.clone(), "/204").await?, (204, None));
            assert_eq!(ask(method.clone(), "/205").await?.0, 205);
            assert_eq!(ask(method, "/304").await?.0, 304);
        }
    }
    // The component is not left to send what nobody gets: what its stream held is gone.
    let gone = async { while dropped.changed().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .context("the component still sends")
}

#[tokio::test]
async fn what_http_does_not_allow_is_the_component_s_fault() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("bad", |request| async move {
            let path = request
                .path_with_query
                .context("no path")
                .unwrap_or_default();
            Ok(match path.as_str() {
                "/status" => text(99, ""),
                "/early" => text(103, ""),
                _ => WireResponse {
                    headers: vec![("x-evil".to_owned(), vec!["a\r\nb: c".into()])],
                    ..text(200, "")
                },
            })
        })
        .await?;
    lattice.put(&lattice.link("bad", &[])).await?;
    for path in ["/status", "/early", "/header"] {
        let request = Request::builder().uri(lattice.url(path)).body(full(""))?;
        let response = send(&client(false), request).await?;
        assert_eq!(response.status(), 502, "{path}");
        assert_eq!(
            &response.body()[..],
            b"502 Bad Gateway: the component's response is not valid HTTP\n"
        );
    }
    let connect = Request::builder()
        .method(Method::CONNECT)
        .uri(lattice.address.to_string());
    let response = client(true).request(connect.body(full(""))?).await;
    assert!(response.is_err() || response.is_ok_and(|response| response.status() == 501));
    Ok(())
}
