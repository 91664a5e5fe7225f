//! Requests go out and responses come back.

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::{future::join_all, stream};
use http_body_util::{BodyExt as _, StreamBody};
use trellis_provider::rpc::interface::http::{Body, ErrorCode, Trailers};

use crate::{
    kit::{Lattice, field, get, header, request, whole},
    server::{Server, text, told},
};

#[tokio::test]
async fn a_request_arrives_as_it_was_made() -> Result<()> {
    let server = Server::start(told).await?;
    let lattice = Lattice::open().await?;
    let mut asked = request("POST", &server.url("/a?b=c"), Body::Full("hello".into()))?;
    asked.headers = vec![
        field("x-mine", "1"),
        field("host", "other.example"),
        field("connection", "x-hop"),
        field("x-hop", "1"),
    ];
    let response = lattice.respond(asked).await?;
    ensure!(response.status == 200);
    let told = String::from_utf8(whole(response).await?.to_vec())?;
    let wanted = format!(
        "POST /a?b=c HTTP/1.1\ncontent-length: 5\nhost: {}\nx-mine: 1\nbody of 5 bytes",
        server.address
    );
    ensure!(told == wanted, "{told}");
    lattice.running.stop().await?;
    Ok(())
}

/// A host sends every body as a stream; a server must not see one where none is.
#[tokio::test]
async fn a_request_without_a_body_has_none() -> Result<()> {
    let server = Server::start(told).await?;
    let lattice = Lattice::open().await?;
    let empty = || Body::stream(Box::pin(stream::empty()));
    for (method, length) in [("GET", ""), ("DELETE", ""), ("POST", "content-length: 0\n")] {
        let response = lattice
            .respond(request(method, &server.url("/"), empty())?)
            .await?;
        let told = String::from_utf8(whole(response).await?.to_vec())?;
        let wanted = format!(
            "{method} / HTTP/1.1\n{length}host: {}\nbody of 0 bytes",
            server.address
        );
        ensure!(told == wanted, "{told}");
    }
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_response_arrives_as_it_was_sent() -> Result<()> {
    let server = Server::start(|request| async move {
        let mut response = text(404, "not here");
        let headers = response.headers_mut();
        headers.insert("x-theirs", http::HeaderValue::from_static("2"));
        headers.insert("keep-alive", http::HeaderValue::from_static("timeout=5"));
        if request.uri().path() == "/redirect" {
            *response.status_mut() = http::StatusCode::FOUND;
            headers_of(&mut response, "location", "http://169.254.169.254/");
        }
        response
    })
    .await?;
    let lattice = Lattice::open().await?;
    let response = lattice.respond(get(&server.url("/"))?).await?;
    ensure!(response.status == 404 && header(&response, "x-theirs").as_deref() == Some("2"));
    ensure!(header(&response, "keep-alive").is_none(), "{response:?}");
    ensure!(header(&response, "content-length").as_deref() == Some("8"));
    ensure!(whole(response).await? == "not here");

    // Where a redirect leads is for the component to say.
    let response = lattice.respond(get(&server.url("/redirect"))?).await?;
    ensure!(response.status == 302 && server.connections() == 1);

    let response = lattice
        .respond(request("HEAD", &server.url("/"), Body::empty())?)
        .await?;
    ensure!(header(&response, "content-length").as_deref() == Some("8"));
    ensure!(whole(response).await?.is_empty());
    lattice.running.stop().await?;
    Ok(())
}

fn headers_of(
    response: &mut http::Response<crate::server::ServerBody>,
    name: &'static str,
    value: &'static str,
) {
    let value = http::HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
}

#[tokio::test]
async fn connections_are_kept_for_the_next_request() -> Result<()> {
    let server = Server::start(|_| async { text(200, "x") }).await?;
    let lattice = Lattice::open().await?;
    for _ in 0..20 {
        ensure!(lattice.get(&server.url("/")).await?.0 == 200);
    }
    ensure!(server.connections() == 1, "{}", server.connections());
    let url = server.url("/");
    let at_once = (0..20).map(|_| lattice.get(&url));
    for outcome in join_all(at_once).await {
        outcome?;
    }
    ensure!(server.connections() <= 20);
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn trailers_arrive_in_both_directions() -> Result<()> {
    let server = Server::start(|request| async move {
        let body = request.into_body().collect().await;
        let came = body.ok().and_then(|body| body.trailers().cloned());
        let parts = stream::iter([
            Ok(http_body::Frame::data(Bytes::from_static(b"data"))),
            Ok(http_body::Frame::trailers(came.unwrap_or_default())),
        ]);
        let mut response = http::Response::new(StreamBody::new(parts).boxed_unsync());
        headers_of(&mut response, "trailer", "x-sum");
        response
    })
    .await?;
    let lattice = Lattice::open().await?;
    let trailers: Trailers = Box::pin(async { Ok(Some(vec![field("x-sum", "42")])) });
    let body = Body::Stream {
        content: Box::pin(stream::iter([Ok(Bytes::from_static(b"data"))])),
        trailers: Some(trailers),
    };
    let mut asked = request("POST", &server.url("/"), body)?;
    asked.headers = vec![field("trailer", "x-sum"), field("te", "trailers")];
    let response = lattice.respond(asked).await?;
    let Body::Stream { content, trailers } = response.body else {
        anyhow::bail!("the response has no trailers: {response:?}")
    };
    ensure!(Body::stream(content).collect(100).await? == "data");
    let trailers = match trailers {
        Some(trailers) => trailers.await?,
        None => None,
    };
    ensure!(trailers == Some(vec![field("x-sum", "42")]), "{trailers:?}");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_request_s_length_must_be_its_body_s() -> Result<()> {
    let server = Server::start(told).await?;
    let lattice = Lattice::open().await?;
    let mut asked = request("POST", &server.url("/"), Body::Full("hello".into()))?;
    asked.headers = vec![field("content-length", "3")];
    ensure!(lattice.refusal(asked).await? == ErrorCode::HttpRequestBodySize(Some(5)));
    ensure!(server.connections() == 0);
    lattice.running.stop().await?;
    Ok(())
}
