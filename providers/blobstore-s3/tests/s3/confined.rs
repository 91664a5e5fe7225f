//! A link's containers are all that its component can reach.

use anyhow::{Result, ensure};

use crate::stage::{BUCKET, Stage};

#[tokio::test]
async fn nothing_leads_out_of_a_link_s_folder() -> Result<()> {
    let stage = Stage::begin(&[("bucket", BUCKET), ("prefix", "teams/blue")]).await?;
    let acme = stage.server.data().join(BUCKET);
    std::fs::create_dir_all(acme.join("teams/red"))?;
    std::fs::write(acme.join("teams/red/secret"), "hush")?;
    let other = stage.server.make_bucket("other")?;
    std::fs::write(other.join("secret"), "hush")?;
    let store = stage.store();
    store.create("c").await?;
    for (container, object) in [
        ("other", "secret"),
        ("../red", "secret"),
        ("..", "red/secret"),
        ("c/../../red", "secret"),
        ("c", "../../red/secret"),
        ("c", "../../../../other/secret"),
        ("c", "%2e%2e/%2e%2e/red/secret"),
        ("c", "..%2f..%2fred%2fsecret"),
        ("c", "/teams/red/secret"),
        ("c", "\\..\\..\\red\\secret"),
        ("%2e%2e", "red/secret"),
        ("c", "x/\t../../../red/secret"),
        ("", "teams/red/secret"),
        (".", "secret"),
    ] {
        let read = store.read(container, object).await;
        ensure!(
            read.is_err(),
            "{container:?} {object:?}: {:?}",
            read.map(|read| read.len())
        );
        // It may be written under the link's own folder, or not at all.
        let _ = store.write(container, object, b"changed").await;
        let _ = stage.copy((container, object), ("c", "stolen")).await;
        let stolen = store.read("c", "stolen").await.unwrap_or_default();
        ensure!(stolen != b"hush", "{container:?} {object:?}");
        let _ = stage.delete_all(container, &[object]).await;
        if container != "c" {
            let listed = store.list(container, None, None).await.unwrap_or_default();
            ensure!(
                !listed.iter().any(|name| name.contains("secret")),
                "{container:?}: {listed:?}"
            );
        }
    }
    for secret in [acme.join("teams/red/secret"), other.join("secret")] {
        ensure!(std::fs::read(&secret)? == b"hush", "{secret:?}");
    }
    ensure!(stage.server.files("other")? == ["secret"]);
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn only_the_containers_that_a_link_names_are_there() -> Result<()> {
    let stage = Stage::begin(&[("containers", "photos=acme,docs")]).await?;
    let other = stage.server.make_bucket("other")?;
    std::fs::write(other.join("secret"), "hush")?;
    let store = stage.store();
    store.write("photos", "a", b"a").await?;
    ensure!(std::fs::read(stage.server.data().join("acme/a"))? == b"a");
    store.create("docs").await?;
    for none in ["other", "acme", "photos/../other"] {
        let error = store.read(none, "secret").await.unwrap_err().to_string();
        ensure!(error.contains(none), "{error}");
        store.create(none).await.unwrap_err();
    }
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_may_only_be_read_stays_as_it_is() -> Result<()> {
    let stage = Stage::begin(&[("read_only", "true")]).await?;
    std::fs::write(stage.server.data().join("acme/o"), "as it is")?;
    let store = stage.store();
    ensure!(store.read("acme", "o").await? == b"as it is");
    for refused in [
        store.write("acme", "o", b"new").await,
        store.create("another").await,
        stage.clear("acme").await,
        stage.delete_all("acme", &["o"]).await,
        stage.copy(("acme", "o"), ("acme", "p")).await,
    ] {
        let error = refused.unwrap_err().to_string();
        ensure!(error.contains("read_only"), "{error}");
    }
    ensure!(stage.server.files("acme")? == ["o"]);
    stage.running.stop().await?;
    Ok(())
}
