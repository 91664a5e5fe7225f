//! Pushing and pulling by hand.

use std::{fs, os::unix::fs::PermissionsExt as _};

use trellis_tests::registry::{PASSWORD, Registry, USER};

use crate::program::{Folder, code, err, out};

/// A folder with a signed component.
fn folder() -> Folder {
    let folder = Folder::new();
    let component = wasm_encoder::Component::new().finish();
    fs::write(folder.path().join("cart.wasm"), component).unwrap();
    folder.succeed(&["sign", "--in-place", "cart.wasm"]);
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_goes_to_a_registry_and_back() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let folder = folder();
    let tag = format!("{host}/acme/shop/cart:1.0");
    let pushed = folder.json(&["push", &tag, "cart.wasm", "--insecure-registry", &host]);
    assert_eq!(pushed["kind"], "component");
    assert_eq!(pushed["reference"], tag);
    let original = fs::read(folder.path().join("cart.wasm")).unwrap();
    assert_eq!(pushed["size_bytes"], original.len());

    fs::remove_file(folder.path().join("cart.wasm")).unwrap();
    let pulled = folder.json(&["pull", &tag, "--insecure-registry", &host]);
    assert_eq!(pulled["file"], "cart.wasm");
    assert_eq!(pulled["digest"], pushed["digest"]);
    assert!(pulled["issuer"].as_str().unwrap().starts_with('A'));
    assert_eq!(fs::read(folder.path().join("cart.wasm")).unwrap(), original);

    let by_digest = pushed["by_digest"].as_str().unwrap();
    let text = folder.succeed(&[
        "pull",
        by_digest,
        "-o",
        "again.wasm",
        "--insecure-registry",
        &host,
    ]);
    assert!(
        text.contains("pulled a component") && text.contains("again.wasm"),
        "{text}"
    );
    assert_eq!(
        fs::read(folder.path().join("again.wasm")).unwrap(),
        original
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_names_the_reference_and_the_remedy() {
    let registry = Registry::with_login().await.unwrap();
    let host = registry.host();
    let folder = folder();
    let tag = format!("{host}/acme/cart:1.0");
    let insecure = ["--insecure-registry", host.as_str()];
    let push = [&["push", &tag, "cart.wasm"], &insecure[..]].concat();
    let said = folder.fail(1, &push);
    assert!(
        said.contains(&tag) && said.contains(&format!("docker login {host}")),
        "{said}"
    );
    let said = folder.fail(1, &["push", &tag, "cart.wasm"]);
    assert!(
        said.contains(&format!("--insecure-registry {host}")),
        "{said}"
    );
    for reference in ["cart.wasm", "ghcr.io/acme/Cart:1"] {
        let said = folder.fail(2, &["pull", reference]);
        assert!(
            said.contains(reference) && said.contains("REGISTRY/NAME:TAG"),
            "{said}"
        );
    }

    let with_login = |line: &[&str]| {
        let mut command = folder.command(line);
        command
            .env("TRELLIS_REGISTRY_USER", USER)
            .env("TRELLIS_REGISTRY_PASSWORD", PASSWORD);
        command.output().unwrap()
    };
    let pull = [&["pull", &tag], &insecure[..]].concat();
    let missing = with_login(&pull);
    assert_eq!(code(&missing), 3, "{}", err(&missing));
    assert!(err(&missing).contains("no such image"), "{}", err(&missing));
    let pushed = with_login(&push);
    assert_eq!(code(&pushed), 0, "{}", err(&pushed));
    let pulled = with_login(&pull);
    assert_eq!(code(&pulled), 0, "{}", err(&pulled));

    // The user without the password; a password for another registry.
    let half = folder
        .command(&pull)
        .env("TRELLIS_REGISTRY_USER", USER)
        .output()
        .unwrap();
    assert_eq!(code(&half), 2, "{}", err(&half));
    let other = folder
        .command(&pull)
        .env("OCI_REGISTRY", "other.test")
        .env("OCI_REGISTRY_USER", USER)
        .env("OCI_REGISTRY_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(err(&other).contains("anonymous"), "{}", err(&other));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_helper_is_asked() {
    let registry = Registry::with_login().await.unwrap();
    let host = registry.host();
    let folder = folder();
    let helper = folder.path().join("docker-credential-kit");
    let script = format!(
        "#!/bin/sh\nread server\n[ \"$server\" = {host} ] || {{ echo credentials not found; exit 1; }}\n\
         echo '{{\"Username\": \"{USER}\", \"Secret\": \"{PASSWORD}\"}}'\n"
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let docker = folder.path().join("docker");
    fs::create_dir(&docker).unwrap();
    fs::write(docker.join("config.json"), r#"{"credsStore": "kit"}"#).unwrap();
    let tag = format!("{host}/acme/cart:1.0");
    let pushed = folder
        .command(&["push", &tag, "cart.wasm", "--insecure-registry", &host])
        .env("DOCKER_CONFIG", &docker)
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .output()
        .unwrap();
    assert_eq!(code(&pushed), 0, "{}", err(&pushed));
    assert!(
        out(&pushed).contains("pushed a component"),
        "{}",
        out(&pushed)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_needs_leave() {
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let folder = Folder::new();
    let component = wasm_encoder::Component::new().finish();
    fs::write(folder.path().join("cart.wasm"), component).unwrap();
    let tag = format!("{host}/acme/cart:1.0");
    let line = ["push", &tag, "cart.wasm", "--insecure-registry", &host];
    assert!(folder.fail(1, &line).contains("trellis sign"));
    folder.succeed(&[&line[..], &["--allow-unsigned"]].concat());
    let line = ["pull", &tag, "-o", "got.wasm", "--insecure-registry", &host];
    assert!(folder.fail(1, &line).contains("not signed"));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left"
    );
    folder.succeed(&[&line[..], &["--allow-unsigned"]].concat());
    assert!(folder.path().join("got.wasm").is_file());
    // What is neither a component nor an archive.
    fs::write(folder.path().join("text"), "hello").unwrap();
    let line = [
        "push",
        &tag,
        "text",
        "--allow-unsigned",
        "--insecure-registry",
        &host,
    ];
    assert!(folder.fail(1, &line).contains("file text"));
}
