//! A connection goes from one call to the next as if it were new.

use anyhow::{Result, ensure};
use trellis_sqldb_postgres::wire::PgValue;

use crate::kit::{Lattice, text};

#[tokio::test]
async fn nothing_is_left_for_the_next_call() -> Result<()> {
    let lattice = Lattice::with(&[("pool_size", "1")]).await?;
    // A transaction that is begun and not ended; settings; a temporary table; a lock.
    lattice.done("CREATE TABLE item (id int)").await?;
    lattice.done("BEGIN; INSERT INTO item VALUES (1)").await?;
    lattice.values("SET search_path TO nowhere", vec![]).await?;
    lattice
        .done("CREATE TEMP TABLE scratch (id int); SELECT pg_advisory_lock(7)")
        .await?;

    let path = lattice.value("SHOW search_path", vec![]).await?;
    ensure!(path == text("\"$user\", public"), "{path:?}");
    ensure!(lattice.value("SELECT count(*) FROM item", vec![]).await? == PgValue::Int8(0));
    ensure!(
        lattice
            .query("SELECT * FROM scratch", vec![])
            .await?
            .is_err()
    );
    let locks = lattice
        .server
        .sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
    ensure!(locks.await? == "0");
    let limit = lattice.value("SHOW statement_timeout", vec![]).await?;
    ensure!(limit == text("30s"), "{limit:?}");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_failed_batch_leaves_nothing_either() -> Result<()> {
    let lattice = Lattice::with(&[("pool_size", "1")]).await?;
    lattice.done("CREATE TABLE item (id int)").await?;
    let failed = lattice
        .batch("INSERT INTO item VALUES (1); SELECT 1 / 0")
        .await?;
    ensure!(failed.is_err());
    let failed = lattice
        .batch("BEGIN; INSERT INTO item VALUES (1); SELEC")
        .await?;
    ensure!(failed.is_err());
    ensure!(lattice.value("SELECT count(*) FROM item", vec![]).await? == PgValue::Int8(0));
    lattice.running.stop().await?;
    Ok(())
}
