//! What a link's server refuses is told when the link is put, with the field that is wrong.

use anyhow::{Result, ensure};
use trellis_provider_testkit::Side;
use trellis_tests::{port, s3::S3Server};

use crate::stage::{INTERFACE, Stage, with_keys};

#[tokio::test]
async fn a_wrong_link_is_refused_by_name() -> Result<()> {
    let stage = Stage::begin(&[]).await?;
    let url = stage.server.url();
    for (wrong, field, word) in [
        (
            vec![("secret_access_key", "wrong")],
            "secret_access_key",
            "access_key_id",
        ),
        (vec![("access_key_id", "nobody")], "access_key_id", "nobody"),
        (vec![("bucket", "never-made")], "bucket", "make it"),
        (vec![("endpoint", "127.0.0.1")], "endpoint", "not a URL"),
        (
            vec![("secret_access_key", "")],
            "secret_access_key",
            "missing",
        ),
        (vec![("buckets", "acme")], "buckets", "bucket"),
        (vec![("part_bytes", "7")], "part_bytes", "5242880"),
        (
            vec![("tls_ca_file", "/nowhere/ca.pem")],
            "tls_ca_file",
            "/nowhere",
        ),
    ] {
        let config = with_keys(&url, &wrong);
        let link = Side {
            source: "other",
            target: "blobs",
            interface: INTERFACE,
            config: &config,
        };
        stage.host.put("blobs", &link.link()).await?;
        let message = stage.host.until_healthy("blobs", false).await?;
        let named = format!("`{field}`");
        let hidden = word == "nobody" || message.contains(word);
        ensure!(message.contains(&named) && hidden, "{wrong:?}: {message}");
        ensure!(!message.contains(S3Server::SECRET), "{message}");
        stage.host.delete("blobs", &link.link()).await?;
        stage.host.until_healthy("blobs", true).await?;
    }
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_bucket_that_is_made_later_is_found() -> Result<()> {
    let stage = Stage::begin(&[("bucket", "later-made")]).await?;
    let message = stage.host.until_healthy("blobs", false).await?;
    ensure!(
        message.contains("later-made") || message.contains("`bucket`"),
        "{message}"
    );
    stage.server.make_bucket("later-made")?;
    stage.host.until_healthy("blobs", true).await?;
    stage.store().create("c").await?;
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_away_is_named() -> Result<()> {
    let nowhere = format!("http://127.0.0.1:{}", port::free()?);
    let stage = Stage::begin(&[("endpoint", &nowhere), ("max_attempts", "2")]).await?;
    let message = stage.host.until_healthy("blobs", false).await?;
    ensure!(message.contains(&nowhere), "{message}");
    let error = stage.store().create("docs").await.unwrap_err().to_string();
    ensure!(
        error.contains(&nowhere) && error.contains("docs") && !error.contains("X-Amz"),
        "{error}"
    );
    stage.running.stop().await?;
    Ok(())
}
