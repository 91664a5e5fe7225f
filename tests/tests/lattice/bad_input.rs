//! Bad input: a clear error, nothing half-applied, nobody falls over.

use std::process::Output;

use anyhow::Result;
use trellis_lattice::{ComponentId, LatticeName, control::provider::StartProvider};
use trellis_tests::{actors, lattice::Lattice, nats::NatsServer, port};

/// Bytes that are no message of any kind.
const GARBAGE: [&[u8]; 7] = [
    b"",
    b"\xff\xfe\x00garbage",
    b"{",
    b"null",
    b"[1,2,3]",
    br#"{"component_ref":1,"host_id":[],"key":{},"source_id":""}"#,
    br#"{"source_id":"a.b","target":"*","wit_namespace":">","wit_package":"","interfaces":[""],"count":-1}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_subject_is_answered_with_an_error() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    let subjects = lattice.control.subjects();
    let host = lattice.host()?.id.clone();
    let component = ComponentId::new("nobody")?;
    let commands = [
        subjects.component_auction(),
        subjects.provider_auction(),
        subjects.component_scale(&host),
        subjects.component_update(&host),
        subjects.provider_start(&host),
        subjects.provider_stop(&host),
        subjects.link_put(),
        subjects.link_del(),
        subjects.config_put("name"),
        subjects.label_put(&host),
        subjects.label_del(&host),
        subjects.app("put"),
        subjects.app_named("deploy", "nobody"),
    ];
    let client = lattice.control.nats();
    for subject in commands {
        for garbage in GARBAGE {
            // `config.put` takes any object of strings, and `null` or nothing may stand for "no options".
            let reply = client.request(subject.clone(), garbage.into()).await;
            let Ok(reply) = reply else {
                panic!("{subject} does not answer {garbage:?}: {reply:?}")
            };
            let said = String::from_utf8_lossy(&reply.payload).into_owned();
            let refused = said.contains("\"success\":false")
                || said.contains("\"error\"")
                || said.contains("\"notfound\"");
            assert!(
                refused,
                "{subject} took {:?}: {said}",
                String::from_utf8_lossy(garbage)
            );
        }
    }
    // Names in subjects that can't be names of anything, and subjects that are none.
    for subject in [
        "wasmbus.ctl.v1.default.config.get.",
        "wasmbus.ctl.v1.default.nonsense",
        "wasmbus.ctl.v1.default.host.get.NOBODY",
        "wadm.api.default.model.nonsense",
    ] {
        // Nobody needs to answer; nobody may fall over.
        let _ = client.publish(subject, "x".into()).await;
    }
    let _ = client
        .request(subjects.component_describe(&component), "x".into())
        .await;

    let process = &mut lattice.hosts[0].process;
    assert!(process.running()?, "{}", process.output());
    let printed = lattice.printed();
    assert!(!printed.contains("panicked"), "{printed}");
    assert!(lattice.control.links().await?.is_empty());
    assert_eq!(lattice.control.hosts().await?.len(), 1);
    let inventory = lattice.control.inventory(&host).await?;
    assert!(inventory.components.is_empty() && inventory.providers.is_empty());
    Ok(())
}

/// Runs `trellis` where nothing is; it must fail, say these words, and not panic.
fn fails(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(
            said.to_lowercase().contains(&word.to_lowercase()),
            "no {word:?} in: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_with_mistakes_are_refused_whole() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    let file = lattice.directory().join("app.yaml");
    let head = "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata:\n  name: bad\nspec:\n  components:\n";
    let cases = [
        (
            "    - name: a\n      type: component\n      properties:\n        imagee: file:///x.wasm\n",
            "imagee",
        ),
        (
            "    - name: a\n      type: thing\n      properties:\n        image: file:///x.wasm\n",
            "thing",
        ),
        ("    - name: a\n      type: [\n", ":9:1"),
    ];
    for (body, word) in cases {
        std::fs::write(&file, format!("{head}{body}"))?;
        fails(
            &lattice
                .run(&["app", "deploy", &file.to_string_lossy()])
                .await?,
            &["app.yaml", word],
        );
    }
    let missing = lattice.directory().join("missing.yaml");
    fails(
        &lattice
            .run(&["app", "deploy", &missing.to_string_lossy()])
            .await?,
        &["missing.yaml"],
    );
    let list = lattice
        .succeed(&["app", "list", "--output", "json"])
        .await?;
    assert!(!list.contains("bad"), "nothing was stored: {list}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_providers_are_refused_by_name() -> Result<()> {
    let lattice = Lattice::start().await?;
    let host = lattice.host()?.id.clone();
    for (reference, word) in [
        ("builtin:no-such-thing", "no-such-thing"),
        ("file:///no/such/file", "/no/such/file"),
        ("nonsense://x", "nonsense"),
    ] {
        let request = StartProvider {
            provider_id: ComponentId::new("p")?,
            provider_ref: reference.to_owned(),
            host_id: host.clone(),
            config: Vec::new(),
            annotations: None,
        };
        let events = lattice.control.subjects().event("provider_start_failed");
        let mut events = lattice.control.nats().subscribe(events).await?;
        lattice.control.nats().flush().await?;
        let reason = match lattice.control.start_provider(&request).await {
            Err(error) => error.to_string(),
            Ok(()) => {
                use futures::StreamExt as _;
                let event =
                    tokio::time::timeout(trellis_tests::wait::DEADLINE, events.next()).await?;
                event
                    .map(|event| String::from_utf8_lossy(&event.payload).into_owned())
                    .unwrap_or_default()
            }
        };
        assert!(reason.contains(word), "{reference}: {reason}");
    }
    let inventory = lattice.control.inventory(&host).await?;
    assert!(inventory.providers.is_empty(), "{inventory:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_or_jetstream_a_host_says_so() -> Result<()> {
    let nowhere = format!("nats://127.0.0.1:{}", port::free()?);
    let run = |arguments: Vec<String>| async move {
        let mut command = tokio::process::Command::new(actors::trellis()?);
        command.args(&arguments).kill_on_drop(true);
        let directory = tempfile::TempDir::new()?;
        command
            .current_dir(directory.path())
            .env("HOME", directory.path());
        anyhow::Ok(tokio::time::timeout(trellis_tests::wait::DEADLINE, command.output()).await??)
    };
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for line in ["host", "wadm", "get hosts", "app list"] {
        let output =
            run([words(line), vec!["--nats-url".into(), nowhere.clone()]].concat()).await?;
        fails(&output, &["NATS", "127.0.0.1"]);
    }
    let nats = NatsServer::without_jetstream().await?;
    for line in ["host", "wadm"] {
        let output = run([words(line), vec!["--nats-url".into(), nats.url()]].concat()).await?;
        fails(&output, &["JetStream"]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_told() -> Result<()> {
    let lattice = Lattice::start().await?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let at = taken.local_addr()?.to_string();
    lattice.run_actor("hello", "http_hello", 1).await?;
    lattice.config("taken", &[("address", &at)]).await?;
    lattice
        .run_provider("http", "builtin:http-server", &[])
        .await?;
    let link = Lattice::link("http", "hello", "wasi:http", &["incoming-handler"])?;
    lattice
        .control
        .put_link(&trellis_lattice::Link {
            source_config: vec!["taken".into()],
            ..link
        })
        .await?;
    trellis_tests::wait::until("the log names the address", || async {
        let log = lattice.printed();
        anyhow::ensure!(log.contains(&at) && log.contains("in use"), "{log}");
        Ok(())
    })
    .await?;
    // Once the port is free, the server takes it without being asked again.
    drop(taken);
    let http = trellis_tests::http::Http::new(at.parse()?);
    trellis_tests::wait::until("the server listens after all", || async {
        let answer = http.get("/").await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_message_is_refused() -> Result<()> {
    let lattice = Lattice::start().await?;
    let huge = "x".repeat(800 * 1024);
    let error = lattice
        .config("huge", &[("value", &huge)])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("huge"), "{error}");
    assert!(lattice.control.config("huge").await?.is_none());
    assert_eq!(
        lattice.control.subjects().lattice(),
        &LatticeName::default()
    );
    Ok(())
}
