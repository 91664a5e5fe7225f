//! Statements, several at once, and prepared ones.

use anyhow::{Result, ensure};
use futures::future::join_all;
use trellis_sqldb_postgres::wire::{ExecError, PgValue, QueryError};

use crate::kit::{Lattice, text};

#[tokio::test]
async fn rows_come_back_with_their_columns() -> Result<()> {
    let lattice = Lattice::start().await?;
    lattice
        .done("CREATE TABLE item (id bigint PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'one'), (2, NULL)")
        .await?;
    let rows = lattice
        .query(
            "SELECT name, id FROM item WHERE id <= $1 ORDER BY id",
            vec![PgValue::Int4(2)],
        )
        .await?
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let columns: Vec<&str> = rows[0].iter().map(|entry| entry.column.as_str()).collect();
    ensure!(columns == ["name", "id"], "{columns:?}");
    let values: Vec<Vec<PgValue>> = rows
        .into_iter()
        .map(|row| row.into_iter().map(|entry| entry.value).collect())
        .collect();
    ensure!(
        values
            == [
                vec![text("one"), PgValue::Int8(1)],
                vec![PgValue::Null, PgValue::Int8(2)]
            ],
        "{values:?}"
    );
    ensure!(lattice.values("DELETE FROM item", vec![]).await?.is_empty());
    ensure!(lattice.server.sql("SELECT count(*) FROM item").await? == "0");
    lattice
        .host
        .until_healthy(crate::kit::PROVIDER, true)
        .await?;
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_parameter_is_never_a_part_of_the_statement() -> Result<()> {
    let lattice = Lattice::start().await?;
    lattice.done("CREATE TABLE item (name text)").await?;
    let evil = "x'); DROP TABLE item; --";
    lattice
        .values("INSERT INTO item VALUES ($1)", vec![text(evil)])
        .await?;
    let found = lattice.value("SELECT name FROM item", vec![]).await?;
    ensure!(found == text(evil), "{found:?}");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn prepared_statements_are_run_again_and_again() -> Result<()> {
    let lattice = Lattice::start().await?;
    lattice
        .done("CREATE TABLE item (id int, name text)")
        .await?;
    let token = lattice.prepare("INSERT INTO item VALUES ($1, $2)").await?;
    let token = token.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let inserts = (0..50).map(|id| lattice.exec(&token, vec![PgValue::Int4(id), text("x")]));
    for outcome in join_all(inserts).await {
        ensure!(outcome? == Ok(1));
    }
    let token = lattice.prepare("UPDATE item SET name = $1").await?;
    let token = token.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    ensure!(lattice.exec(&token, vec![PgValue::Null]).await? == Ok(50));

    let unknown = lattice.exec("no token", vec![]).await?;
    ensure!(
        unknown == Err(ExecError::UnknownPreparedQuery),
        "{unknown:?}"
    );
    let wrong = lattice.prepare("SELEC 1").await?;
    ensure!(format!("{wrong:?}").contains("42601"), "{wrong:?}");
    let few = lattice.exec(&token, vec![]).await?;
    ensure!(
        matches!(&few, Err(ExecError::Query(QueryError::InvalidParams(_)))),
        "{few:?}"
    );
    lattice.running.stop().await?;
    Ok(())
}

/// A statement is prepared once for each connection, and tables change.
#[tokio::test]
async fn a_table_that_changes_is_noticed() -> Result<()> {
    let lattice = Lattice::with(&[("pool_size", "1")]).await?;
    lattice
        .done("CREATE TABLE item (id int); INSERT INTO item VALUES (1)")
        .await?;
    let all = "SELECT * FROM item";
    ensure!(lattice.values(all, vec![]).await? == [vec![PgValue::Int4(1)]]);
    // By another way, so that the connection doesn't know.
    lattice
        .server
        .sql("ALTER TABLE item ADD COLUMN name text")
        .await?;
    let values = lattice.values(all, vec![]).await?;
    ensure!(
        values == [vec![PgValue::Int4(1), PgValue::Null]],
        "{values:?}"
    );
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn many_statements_share_few_connections() -> Result<()> {
    let lattice = Lattice::with(&[("pool_size", "3")]).await?;
    let queries = (0..200).map(|n| lattice.value("SELECT $1::int + 1", vec![PgValue::Int4(n)]));
    for (n, value) in join_all(queries).await.into_iter().enumerate() {
        ensure!(value? == PgValue::Int4(i32::try_from(n)? + 1));
    }
    let connections = lattice.connections().await?;
    ensure!(connections <= 3, "{connections}");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_result_has_bounds() -> Result<()> {
    let lattice = Lattice::with(&[
        ("max_rows", "100"),
        ("max_result_bytes", "10000"),
        ("pool_size", "1"),
    ])
    .await?;
    let count = |n| lattice.query("SELECT generate_series(1, $1::int)", vec![PgValue::Int4(n)]);
    ensure!(count(100).await?.map(|rows| rows.len()) == Ok(100));
    let refused = count(1_000_000).await?;
    ensure!(
        format!("{refused:?}").contains("more than 100 rows"),
        "{refused:?}"
    );
    let wide = lattice.query("SELECT repeat('x', $1::int)", vec![PgValue::Int4(20_000)]);
    let refused = wide.await?;
    ensure!(
        format!("{refused:?}").contains("more than 10000 bytes"),
        "{refused:?}"
    );
    // The only connection was closed, and there is another one.
    ensure!(lattice.value("SELECT 1", vec![]).await? == PgValue::Int4(1));
    lattice.running.stop().await?;
    Ok(())
}
