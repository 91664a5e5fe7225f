//! Roles that can't begin say why.

use std::process::Stdio;

use crate::program::{Folder, err};

#[test]
fn an_unknown_provider_is_told_which_there_are() {
    let said = Folder::new().fail(3, &["provider", "http-sever"]);
    for name in [
        "http-sever",
        "blobstore-fs",
        "blobstore-s3",
        "http-client",
        "http-server",
        "keyvalue-nats",
        "keyvalue-redis",
        "messaging-mqtt",
        "messaging-nats",
        "sqldb-postgres",
    ] {
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn whether_a_host_is_well_needs_its_key() {
    let said = Folder::new().fail(2, &["health", "host"]);
    assert!(said.contains("--host-key"), "{said}");
}

#[test]
fn a_file_of_issuers_names_somebody() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("issuers"), "# nobody yet\n").unwrap();
    let said = folder.fail(1, &["host", "--issuers-file", "issuers"]);
    assert!(
        said.contains("issuers") && said.contains("names nobody"),
        "{said}"
    );
}

#[test]
fn a_provider_without_host_data_fails() {
    let folder = Folder::new();
    let output = folder
        .command(&["provider", "http-server"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = err(&output);
    assert!(
        said.contains("host data") && !said.contains("panicked"),
        "{said}"
    );
}
