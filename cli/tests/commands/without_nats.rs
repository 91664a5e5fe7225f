//! Without NATS, every command that needs it says so, and how to get one.

use trellis_tests::port;

use crate::program::Folder;

#[test]
fn no_nats_is_told_with_a_remedy() {
    let folder = Folder::new();
    let url = format!("nats://127.0.0.1:{}", port::free().unwrap());
    for line in [
        "get hosts",
        "get inventory",
        "get links",
        "get claims",
        "get config",
        "app list",
        "app status shop",
        "call a b.c",
        "link put a b wasi:keyvalue/store",
        "link del a wasi:keyvalue",
        "config put a b=c",
        "config del a",
        "label put h a=b",
        "scale a 1",
        "start provider a builtin:http-server",
        "stop host h",
        "host",
        "wadm",
        "health wadm",
    ] {
        let arguments: Vec<&str> = line.split(' ').chain(["--nats-url", &url]).collect();
        let said = folder.fail(4, &arguments);
        assert!(
            said.contains(&url) && said.contains("--nats-url"),
            "{line}: {said}"
        );
    }
}

#[test]
fn a_wrong_url_is_a_usage_error() {
    let said = Folder::new().fail(2, &["get", "hosts", "--nats-url", "nats://nowhere:port"]);
    assert!(said.contains("nats://127.0.0.1:4222"), "{said}");
}
