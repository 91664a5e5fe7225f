//! The providers, one a file; `messages`: what two of them have in common.

pub mod blobstore_fs;
pub mod blobstore_s3;
pub mod http_client;
pub mod http_server;
pub mod keyvalue_nats;
pub mod keyvalue_redis;
pub mod messages;
pub mod messaging_mqtt;
pub mod messaging_nats;
pub mod sqldb_postgres;
