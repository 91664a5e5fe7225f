//! A server with a certificate of an authority that only the link knows.

use anyhow::{Result, ensure};
use trellis_tests::s3::S3Server;

use crate::stage::Stage;

#[tokio::test]
async fn an_authority_of_its_own_is_trusted_where_the_link_names_it() -> Result<()> {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &certificate)?;
    let file = file.to_string_lossy();

    let server = S3Server::with_tls(Some((&certificate, &key))).await?;
    let trusting = [("tls_ca_file", &*file), ("tls_system_roots", "false")];
    let stage = Stage::on(server, &trusting).await?;
    let store = stage.store();
    store.create("docs").await?;
    store.write("docs", "a", b"a").await?;
    ensure!(store.read("docs", "a").await? == b"a");
    let Stage {
        running, server, ..
    } = stage;
    running.stop().await?;

    let stage = Stage::on(server, &[("max_attempts", "1")]).await?;
    let error = stage.store().read("docs", "a").await.unwrap_err();
    ensure!(error.to_string().contains("certificate"), "{error}");
    stage.running.stop().await?;
    Ok(())
}
