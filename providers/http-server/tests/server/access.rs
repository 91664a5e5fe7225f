//! The access log has a line for each request, and nothing that is nobody's business.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::stream;
use http_body_util::BodyExt as _;
use serde_json::Value;
use trellis_provider::rpc::{
    interface::http::{Body, Response as WireResponse},
    nats::Serving,
};
use trellis_provider_testkit::wait::until;

use crate::{
    client::{Connection, get},
    kit::{Lattice, SERVER, text},
};

async fn lines(file: &Path, count: usize) -> Result<Vec<String>> {
    until("the log has its lines", || async {
        let text = tokio::fs::read_to_string(file).await?;
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        ensure!(lines.len() >= count && text.ends_with('\n'), "{text}");
        Ok(lines)
    })
    .await
}

async fn logging(file: &Path, format: &str) -> Result<(Lattice, Serving)> {
    let file = file.to_str().context("a path in UTF-8")?;
    let lattice = Lattice::start(&[("access_log_file", file)]).await?;
    let component = lattice
        .component("hello", |request| async move {
            if request.path_with_query.as_deref() == Some("/a/endless") {
                let parts = stream::repeat_with(|| Ok(Bytes::from(vec![7; 1000])));
                return Ok(WireResponse {
                    body: Body::stream(Box::pin(parts)),
                    ..text(200, "")
                });
            }
            Ok(text(201, "hello"))
        })
        .await?;
    let config = [("access_log", format), ("path", "/a")];
    lattice.put(&lattice.link("hello", &config)).await?;
    Ok((lattice, component))
}

#[tokio::test]
async fn a_request_is_a_line_of_json() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("access.log");
    let (lattice, _component) = logging(&file, "json").await?;
    for http2 in [false, true] {
        let mut connection = Connection::open(lattice.address, http2).await?;
        let id = [("x-request-id", "r-1"), ("x-forwarded-for", "192.0.2.1")];
        connection
            .get("http://www.example.com/a/b?token=hush", &id)
            .await?;
        connection
            .get("http://www.example.com/nothing", &[])
            .await?;
    }
    // A client that goes away in the middle.
    let mut connection = Connection::open(lattice.address, false).await?;
    let endless = get("http://www.example.com/a/endless", &[])?;
    let mut body = connection.begin(endless).await?.into_body();
    body.frame().await.context("no body")??;
    drop((body, connection));

    let lines = lines(&file, 5).await?;
    ensure!(!lines.concat().contains("hush"), "{lines:?}");
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect::<Result<_, _>>()?;
    let line = |path: &str, version: &str| {
        let mut lines = lines.iter();
        let found = lines.find(|line| line["path"] == path && line["version"] == version);
        found.with_context(|| format!("no {path} by {version}: {lines:?}"))
    };
    for version in ["HTTP/1.1", "HTTP/2.0"] {
        let line = line("/a/b", version)?;
        for (field, value) in [
            ("client", Value::from("127.0.0.1")),
            ("method", "GET".into()),
            ("scheme", "http".into()),
            ("host", "www.example.com".into()),
            ("path", "/a/b".into()),
            ("version", version.into()),
            ("status", 201.into()),
            ("bytes", 5.into()),
            ("complete", true.into()),
            ("request_id", "r-1".into()),
            ("actor", "hello".into()),
        ] {
            assert_eq!(line[field], value, "{field} of {line}");
        }
        ensure!(
            line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0),
            "{line}"
        );
        ensure!(
            line["time"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z')),
            "{line}"
        );
    }
    let nothing = line("/nothing", "HTTP/2.0")?;
    assert_eq!(nothing["status"], 404);
    assert_eq!(nothing["actor"], Value::Null);
    let cut = line("/a/endless", "HTTP/1.1")?;
    assert_eq!(
        (&cut["status"], &cut["complete"]),
        (&200.into(), &false.into())
    );
    ensure!(
        cut["bytes"].as_u64().is_some_and(|bytes| bytes >= 1000),
        "{cut}"
    );
    Ok(())
}

#[tokio::test]
async fn the_common_format_is_there_and_the_last_line_too() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("access.log");
    let (lattice, _component) = logging(&file, "common").await?;
    let mut connection = Connection::open(lattice.address, false).await?;
    connection.get("http://x/a", &[]).await?;
    assert_eq!(lattice.host.shut_down(SERVER).await?, "shutting down");
    lattice.running.ended().await?;
    let text = std::fs::read_to_string(&file)?;
    ensure!(
        text.starts_with("127.0.0.1 - - [") && text.ends_with("] \"GET /a HTTP/1.1\" 201 5\n"),
        "{text}"
    );
    Ok(())
}
