//! The reference: what the same answers cost with nothing but hyper, and a Redis client for the counter.

use std::{convert::Infallible, net::Ipv4Addr};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use redis::aio::MultiplexedConnection;
use tokio::{net::TcpListener, task::JoinSet};

/// Serves until it is ended: a greeting, or with a Redis a count.
///
/// # Errors
/// The port is taken, or Redis does not answer.
pub async fn serve(port: u16, redis: Option<String>) -> Result<()> {
    let redis = match redis {
        Some(url) => {
            let client = redis::Client::open(url.as_str())?;
            Some(
                client
                    .get_multiplexed_async_connection()
                    .await
                    .context("connecting to Redis")?,
            )
        }
        None => None,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let redis = redis.clone();
        connections.spawn(async move {
            let answer = service_fn(move |request| answer(request, redis.clone()));
            // A client that went away in the middle is no matter here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<Incoming>,
    redis: Option<MultiplexedConnection>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let Some(mut redis) = redis else {
        return Ok(Response::new("Hello from Trellis!\n".into()));
    };
    let key = request.uri().path().trim_start_matches('/');
    let count: redis::RedisResult<u64> = redis::cmd("INCR").arg(key).query_async(&mut redis).await;
    Ok(match count {
        Ok(count) => Response::new(format!("{count}\n").into()),
        Err(error) => {
            let mut response = Response::new(format!("{error}\n").into());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    })
}
