//! Files by HTTP, on each provider of `wasi:blobstore`, from a manifest.

use anyhow::{Result, ensure};
use trellis_tests::{http::Http, lattice::Lattice, manifest, port, s3::S3Server};

/// The files' application on a provider.
fn manifest(actor: &str, at: &str, provider: &str, properties: &str) -> String {
    let files = format!(
        "    - name: files
      type: component
      properties:
        image: {actor}
      traits:
        - type: spreadscaler
          properties:
            instances: 8
        - type: link
          properties:
            target:
              name: blobs
              config:
                - name: blobs
                  properties: {properties}
            namespace: wasi
            package: blobstore
            interfaces: [blobstore]
    - name: blobs
      type: capability
      properties:
        image: builtin:{provider}
"
    );
    let http = manifest::http_server("files", at);
    manifest::application("files", &format!("{files}{http}"))
}

/// Text of which each line says which it is.
fn text(lines: usize) -> String {
    (0..lines).map(|line| format!("line {line}\n")).collect()
}

/// An application's files go to its provider and come back.
async fn files_are_kept(http: &Http) -> Result<()> {
    let absent = http.get("/docs/a.txt").await?;
    ensure!(absent.status == 404, "{absent:?}");
    let small = http.put("/docs/a.txt", "small").await?;
    ensure!(small.status == 201, "{small:?}");
    // More than anybody on the way holds.
    let large = text(1 << 20);
    let stored = http.put("/docs/deep/large.txt", large.clone()).await?;
    ensure!(stored.status == 201, "{stored:?}");
    let names = http.get("/docs/").await?;
    ensure!(names.body == "a.txt\ndeep/large.txt\n", "{names:?}");
    let got = http.get("/docs/deep/large.txt").await?;
    ensure!(
        got.status == 200 && got.body == large,
        "{} bytes",
        got.body.len()
    );
    let outside = http.put("/docs/../../app.yaml", "").await?;
    ensure!(outside.status >= 400, "{outside:?}");
    Ok(())
}

async fn deploy(lattice: &mut Lattice, provider: &str, properties: &str) -> Result<Http> {
    lattice.start_wadm().await?;
    let at = format!("127.0.0.1:{}", port::free()?);
    let file = lattice.directory().join("app.yaml");
    let actor = lattice.actor("http_files")?;
    std::fs::write(&file, manifest(&actor, &at, provider, properties))?;
    lattice
        .succeed(&["app", "deploy", &file.to_string_lossy(), "--wait", "60s"])
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    Ok(Http::new(at.parse()?))
}

#[tokio::test]
async fn files_go_into_a_folder_and_come_back() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let root = lattice.directory().join("blobs");
    std::fs::create_dir(&root)?;
    let properties = format!("{{root: {:?}}}", root.display().to_string());
    let http = deploy(&mut lattice, "blobstore-fs", &properties).await?;
    files_are_kept(&http).await?;
    ensure!(std::fs::read(root.join("docs/a.txt"))? == b"small");
    ensure!(http.delete("/docs/a.txt").await?.status == 204);
    ensure!(http.get("/docs/a.txt").await?.status == 404);
    Ok(())
}

#[tokio::test]
async fn files_go_into_a_bucket_and_come_back() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let server = S3Server::start().await?;
    let bucket = server.make_bucket("acme")?;
    let properties = format!(
        "{{endpoint: {:?}, bucket: acme, prefix: teams/blue, access_key_id: {:?}, secret_access_key: {:?}}}",
        server.url(),
        S3Server::KEY,
        S3Server::SECRET,
    );
    let http = deploy(&mut lattice, "blobstore-s3", &properties).await?;
    files_are_kept(&http).await?;
    // Two parts and a bit.
    let large = "0123456789abcdef".repeat(20 << 16);
    let stored = http.put("/docs/larger.txt", large.clone()).await?;
    ensure!(stored.status == 201, "{stored:?}");
    let got = http.get("/docs/larger.txt").await?;
    ensure!(got.body == large, "{} bytes", got.body.len());
    let folder = bucket.join("teams/blue/docs");
    ensure!(std::fs::read(folder.join("a.txt"))? == b"small");
    ensure!(http.delete("/docs/a.txt").await?.status == 204);
    ensure!(http.get("/docs/a.txt").await?.status == 404);
    ensure!(!folder.join("a.txt").exists());
    Ok(())
}
