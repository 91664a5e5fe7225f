//! An actor whose accounts are in a PostgreSQL database.

use anyhow::{Result, ensure};
use futures::future::join_all;
use trellis_tests::{http::Http, lattice::Lattice, postgres::PostgresServer, wait::until};

/// The ledger behind HTTP, linked to the database for both its packages.
async fn ledger(server: &PostgresServer) -> Result<(Lattice, Http)> {
    let lattice = Lattice::start().await?;
    lattice
        .config("database", &[("url", &server.url())])
        .await?;
    lattice.run_actor("ledger", "sql_ledger", 16).await?;
    lattice
        .run_provider("sql", "builtin:sqldb-postgres", &["database"])
        .await?;
    for (package, interfaces) in [
        ("wasmcloud:postgres", &["query", "prepared"][..]),
        ("trellis:postgres", &["transaction"][..]),
    ] {
        let link = Lattice::link("ledger", "sql", package, interfaces)?;
        lattice.control.put_link(&link).await?;
    }
    let http = Http::new(lattice.serve_http("http", "ledger").await?);
    let ready = http.get_until_good("/setup").await;
    ready.map_err(|error| error.context(lattice.logs()))?;
    Ok((lattice, http))
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_moved_whole_or_not_at_all() -> Result<()> {
    let server = PostgresServer::start().await?;
    let (lattice, http) = ledger(&server).await?;
    for (path, status, body) in [
        ("/open?name=ada&amount=100", 200, "ada has 100\n"),
        ("/open?name=bob&amount=1", 200, "bob has 1\n"),
        (
            "/open?name=bob&amount=1",
            500,
            "the ledger can't be reached, or is not set up\n",
        ),
        (
            "/pay?from=ada&to=bob&amount=30",
            200,
            "30 from ada to bob\n",
        ),
        (
            "/pay?from=ada&to=bob&amount=71",
            409,
            "ada does not have 71\n",
        ),
        ("/pay?from=ada&to=eve&amount=1", 404, "no account eve\n"),
        ("/balance?name=ada", 200, "70\n"),
        ("/balance?name=bob", 200, "31\n"),
        ("/balance?name=eve", 404, "no account eve\n"),
    ] {
        let answer = http.get(path).await?;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, body),
            "{path}"
        );
    }
    assert!(
        lattice.printed().contains("23505: duplicate key"),
        "the actor's log says why: {}",
        lattice.logs()
    );
    assert!(!lattice.printed().contains(PostgresServer::PASSWORD));

    // Many at once move as much as there is.
    let payments = (0..100).map(|_| http.get("/pay?from=ada&to=bob&amount=1"));
    let answers = join_all(payments).await;
    let paid = answers
        .iter()
        .filter(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200));
    assert_eq!(paid.count(), 70);
    let sum = server.sql("SELECT string_agg(balance::text, ' ' ORDER BY name) FROM account");
    assert_eq!(sum.await?, "0 101");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_goes_on_when_its_database_comes_back() -> Result<()> {
    let mut server = PostgresServer::start().await?;
    let (lattice, http) = ledger(&server).await?;
    assert_eq!(http.get("/open?name=ada&amount=100").await?.status, 200);
    server.crash().await?;
    assert_eq!(http.get("/balance?name=ada").await?.status, 500);
    server.resume().await?;
    let balance = until("the ledger answers again", || async {
        let answer = http.get("/balance?name=ada").await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.body)
    });
    let balance = balance.await;
    assert_eq!(
        balance.map_err(|error| error.context(lattice.logs()))?,
        "100\n"
    );
    Ok(())
}
