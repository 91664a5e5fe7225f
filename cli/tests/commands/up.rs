//! What `trellis up` refuses, before anything is started; and what it starts, ends with it.

use std::{fs, net::TcpListener, time::Duration};

use nix::sys::signal::Signal;
use trellis_tests::{
    manifest, nats, port,
    process::{Process, alive, children_of, signal_to},
    wait::until,
};

use crate::program::{Folder, code, err, out};

/// The arguments of an `up` on a free port, with the tests' own nats-server.
fn up(port: u16) -> Vec<String> {
    let program = nats::program().to_string_lossy().into_owned();
    [
        "up",
        "--nats-port",
        &port.to_string(),
        "--nats-server",
        &program,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The binary with these arguments, in the folder, with the tester's PATH: it may be what finds nats-server.
fn command(folder: &Folder, arguments: &[String]) -> std::process::Command {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = folder.command(&arguments);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

#[test]
fn a_port_in_use_is_told() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = command(&folder, &up(port)).output().unwrap();
    let said = err(&output);
    assert_eq!(code(&output), 1, "{said}");
    assert!(
        said.contains(&port.to_string()) && said.contains("--nats-port"),
        "{said}"
    );
}

#[test]
fn an_application_s_address_in_use_is_told() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let manifest = manifest::hello("file:///hello.wasm", &address);
    fs::write(folder.path().join("app.yaml"), manifest).unwrap();
    let said = folder.fail(1, &["up", "--app", "app.yaml"]);
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}

#[test]
fn a_nats_server_that_isn_t_there_is_told() {
    let folder = Folder::new();
    let said = folder.fail(3, &["up", "--nats-server", "/no/such/nats-server"]);
    assert!(said.contains("/no/such/nats-server"), "{said}");
    // PATH is empty here; a system may still have one where Debian puts it.
    if !std::path::Path::new("/usr/sbin/nats-server").exists() {
        let said = folder.fail(3, &["up"]);
        assert!(
            said.contains("--nats-server") && said.contains("--nats-url"),
            "{said}"
        );
    }
}

#[test]
fn a_bad_manifest_is_told_before_anything_starts() {
    let folder = Folder::new();
    fs::write(folder.path().join("app.yaml"), "kind: Application\n").unwrap();
    let said = folder.fail(1, &["up", "--app", "app.yaml"]);
    assert!(said.contains("app.yaml"), "{said}");
    assert!(
        !folder.path().join(".trellis").exists(),
        "nothing was begun"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lattice_is_found_while_it_is_up_and_leaves_nothing() {
    let folder = Folder::new();
    let port = port::free().unwrap();
    let mut lattice = Process::start("up", folder.path(), command(&folder, &up(port))).unwrap();
    let is_up = until("it is up", || async {
        anyhow::ensure!(lattice.output().contains("up after"), "not yet");
        Ok(())
    });
    is_up
        .await
        .unwrap_or_else(|error| panic!("{error:#}\n{}", lattice.output()));

    // Without being told where: the state's folder knows.
    let hosts = folder.json(&["get", "hosts"]);
    assert_eq!(hosts.as_array().map(Vec::len), Some(1), "{hosts}");
    let host = hosts[0]["friendly_name"].as_str().unwrap();
    let labelled = folder.json(&["label", "put", host, "pop=fra", "region=eu"]);
    assert_eq!(
        labelled["labels"],
        serde_json::json!({ "pop": "fra", "region": "eu" })
    );
    let begun = &host[..host.len() - 1];
    let unlabelled = folder.json(&["label", "del", begun, "region", "none-such"]);
    assert_eq!(unlabelled["host_id"], hosts[0]["id"]);
    assert_eq!(folder.json(&["get", "hosts"])[0]["labels"]["pop"], "fra");
    folder.succeed(&["config", "put", "shop", "a=1", "b=2"]);
    assert_eq!(
        folder.json(&["get", "config", "shop"]),
        serde_json::json!({ "a": "1", "b": "2" })
    );
    assert_eq!(folder.json(&["get", "config"])[0]["name"], "shop");
    folder.succeed(&[
        "link",
        "put",
        "cart",
        "kv",
        "wasi:keyvalue/store",
        "--target-config",
        "shop",
    ]);
    let other = ["link", "put", "cart", "kv2", "wasi:keyvalue/store"];
    assert!(folder.fail(1, &other).contains("link"));
    folder.succeed(&[&other[..], &["--replace"]].concat());
    assert_eq!(folder.json(&["get", "links"])[0]["target"], "kv2");
    folder.succeed(&["start", "provider", "web", "builtin:http-server"]);
    let inventory = folder.json(&["get", "inventory", host]);
    assert_eq!(inventory["providers"][0]["id"], "web");
    folder.succeed(&["stop", "provider", "web"]);
    folder.fail(3, &["stop", "provider", "web"]);
    folder.fail(1, &["start", "provider", "x", "builtin:no-such"]);
    folder.fail(3, &["get", "config", "none"]);
    folder.fail(3, &["app", "status", "none"]);
    folder.fail(3, &["get", "inventory", "Nobody"]);
    folder.fail(3, &["call", "nobody", "a.b"]);

    // NATS crashes: it is started again, and what was put is still there.
    let server = children_of(lattice.id(), "nats-server").unwrap()[0];
    signal_to(server, Signal::SIGKILL).unwrap();
    let back = until("the lattice answers again", || async {
        let links = folder.trellis(&["get", "links", "--output", "json", "--timeout", "1s"]);
        anyhow::ensure!(links.status.success(), "{}", err(&links));
        Ok(out(&links))
    });
    let links = back
        .await
        .unwrap_or_else(|error| panic!("{error:#}\n{}", lattice.output()));
    assert!(links.contains("kv2"), "{links}");

    // A second one in the same folder says who is there.
    let second = command(&folder, &up(port::free().unwrap()))
        .output()
        .unwrap();
    assert_eq!((code(&second), out(&second).as_str()), (1, ""));
    assert!(
        err(&second).contains(&format!("process {}", lattice.id())),
        "{}",
        err(&second)
    );

    let children = children_of(lattice.id(), "").unwrap();
    assert!(!children.is_empty(), "nats-server");
    let began = std::time::Instant::now();
    lattice.signal(Signal::SIGTERM).unwrap();
    let status = lattice.ended().await.unwrap();
    assert!(status.success(), "{}", lattice.output());
    assert!(began.elapsed() < Duration::from_secs(20));
    for child in children {
        assert!(!alive(child), "{child} is left\n{}", lattice.output());
    }
    assert!(
        !lattice.output().contains("panicked"),
        "{}",
        lattice.output()
    );
}
