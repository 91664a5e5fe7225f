//! A NATS server with nobody in the lattice: lists are empty, requests say who is missing.

use trellis_tests::nats::NatsServer;

use crate::program::Folder;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_missing_is_told() {
    let nats = NatsServer::start().await.unwrap();
    let (folder, url) = (Folder::new(), nats.url());
    let arguments = |line: &'static str| -> Vec<String> {
        let words = line.split(' ').map(str::to_owned);
        words
            .chain([
                "--timeout".into(),
                "1s".into(),
                "--nats-url".into(),
                url.clone(),
            ])
            .collect()
    };
    let with = |line| {
        arguments(line)
            .iter()
            .map(|word| word.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let run = |line| {
        let words = with(line);
        folder.trellis(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let hosts = run("get hosts --output json");
    assert_eq!(String::from_utf8_lossy(&hosts.stdout).trim(), "[]");
    for line in ["get inventory --output json", "get config --output json"] {
        let listed = run(line);
        assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), "[]");
        assert!(listed.status.success(), "{line}");
    }
    for (line, code, word) in [
        ("get inventory someone", 4, "trellis host"),
        ("get links", 4, "trellis host"),
        ("config put a b=c", 4, "trellis host"),
        ("app list", 4, "trellis wadm"),
        ("call nobody a.b", 3, "nobody"),
        ("stop component nobody", 4, "trellis host"),
    ] {
        let output = run(line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(said.contains(word), "{line}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jetstream_that_is_off_is_told() {
    let nats = NatsServer::without_jetstream().await.unwrap();
    let said = Folder::new().fail(1, &["get", "config", "--nats-url", &nats.url()]);
    assert!(said.contains("nats-server -js"), "{said}");
}
