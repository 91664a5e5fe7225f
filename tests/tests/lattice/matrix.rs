//! Every provider that ships, and what each must stand: the rows in [`rows`] are tried on each line of the table below, on a
//! lattice and a backend of its own, as tests `matrix::PROVIDER::ROW`.
//!
//! A new provider adds its line, and a [`subject::Subject`] in `matrix/subjects/`. It can't leave out a row, since the
//! lines make all of them; nor the whole of it, since the program's own list is compared with the table.

mod held;
mod load;
mod rows;
mod stand;
mod subject;
mod subjects;

use std::collections::BTreeSet;

use anyhow::Result;
use subject::Subject;

/// A provider's line: a test for every row.
macro_rules! line {
    ($provider:ty: $($row:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $row() -> anyhow::Result<()> {
                super::rows::$row::<$provider>().await
            }
        )*
    };
}

/// The table, by the name of its tests and what is said of the provider.
macro_rules! table {
    ($($name:ident: $provider:ty,)*) => {
        const TABLE: &[&str] = &[$(<$provider as Subject>::NAME),*];
        $(
            mod $name {
                use super::subjects;

                line! {
                    $provider:
                    starts
                    link_put
                    wrong_config_refused
                    backend_down_at_start
                    backend_restarts_under_load
                    killed
                    link_replaced
                    drain
                }
            }
        )*
    };
}

table! {
    blobstore_fs: subjects::blobstore_fs::Folder,
    blobstore_s3: subjects::blobstore_s3::Objects,
    http_client: subjects::http_client::Upstreams,
    http_server: subjects::http_server::Actors,
    keyvalue_nats: subjects::keyvalue_nats::NatsBucket,
    keyvalue_redis: subjects::keyvalue_redis::Redis,
    messaging_mqtt: subjects::messaging_mqtt::MqttMessages,
    messaging_nats: subjects::messaging_nats::NatsMessages,
    sqldb_postgres: subjects::sqldb_postgres::Postgres,
}

#[tokio::test]
async fn every_provider_that_ships_has_its_line() -> Result<()> {
    let table: BTreeSet<String> = TABLE.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(table, subject::builtin().await?);
    assert_eq!(table.len(), TABLE.len(), "each once");
    Ok(())
}
