//! http-client, beside hyper's own client with a pool: a short answer from plain hyper.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use trellis_rpc::interface::http::{
    Body, Fields, Method, Request, Response, Scheme, outgoing_handle,
};

use crate::reference::Reference;

use super::{
    Stand, Work,
    host::{Host, Provider},
};

const CLIENT: &str = "hyper's client";

pub async fn begin(host: &Host) -> Result<Stand> {
    let server = Reference::start(host.folder(), None).await?;
    let provider = host
        .run("wasi:http", &[("allow_private", "127.0.0.1")])
        .await?;
    let authority = server.at.to_string();
    let url: http::Uri = format!("http://{authority}/").parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    Ok(Stand {
        works: vec![Work::new(
            "GET",
            move || get(provider.clone(), authority.clone()),
            CLIENT,
            move || get_by(client.clone(), url.clone()),
        )],
        _keep: Box::new(server),
    })
}

async fn get(provider: Provider, authority: String) -> Result<()> {
    let request = Request {
        method: Method::Get,
        path_with_query: Some("/".to_owned()),
        scheme: Some(Scheme::Http),
        authority: Some(authority),
        headers: Fields::default(),
        body: Body::empty(),
    };
    let params = request.into_outgoing_params(None);
    let answer = provider.call(outgoing_handle().clone(), params).await?;
    let response = Response::from_result(answer)?.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let body = response.body.collect(1 << 10).await;
    let body = body.context("the body")?;
    ensure!(
        response.status == 200 && body.starts_with(b"Hello"),
        "{} {body:?}",
        response.status
    );
    Ok(())
}

async fn get_by(client: Client<HttpConnector, Empty<Bytes>>, url: http::Uri) -> Result<()> {
    let response = client.get(url).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(
        status == 200 && body.starts_with(b"Hello"),
        "{status} {body:?}"
    );
    Ok(())
}
