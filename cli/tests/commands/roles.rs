//! Roles that can't begin say why.

use std::process::Stdio;

use crate::program::{Folder, err};

#[test]
fn an_unknown_provider_is_told_which_there_are() {
    let said = Folder::new().fail(3, &["provider", "http-sever"]);
    for name in [
        "http-sever",
        "http-server",
        "keyvalue-nats",
        "keyvalue-redis",
        "messaging-nats",
    ] {
        assert!(said.contains(name), "{said}");
    }
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
