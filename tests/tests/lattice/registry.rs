//! Actors and providers from a registry: pushed by `trellis push`, pulled, kept and removed by hosts.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use futures::StreamExt as _;
use trellis_lattice::{
    ComponentId, HostId,
    event::{CloudEvent, Event},
};
use trellis_tests::{
    actors,
    dropping::Dropping,
    http::Http,
    lattice::Lattice,
    manifest, port,
    registry::{PASSWORD, Registry, USER},
    wait::until,
};

/// What `trellis push` is told, and says.
struct Pushed {
    reference: String,
    digest: String,
    content: String,
}

/// Pushes a file, with further arguments.
async fn push(lattice: &Lattice, reference: &str, file: &str, more: &[&str]) -> Result<Pushed> {
    let line = [&["push", "--output", "json", reference, file], more].concat();
    let said: serde_json::Value = serde_json::from_str(&lattice.succeed(&line).await?)?;
    let field =
        |name: &str| Ok::<_, anyhow::Error>(said[name].as_str().context("no text")?.to_owned());
    Ok(Pushed {
        reference: reference.to_owned(),
        digest: field("digest")?,
        content: field("content_digest")?,
    })
}

/// The path of an actor that is signed by the lattice's issuer.
fn actor_file(lattice: &Lattice, name: &str) -> Result<String> {
    let reference = lattice.actor(name)?;
    let path = reference.strip_prefix("file://").context("not a file")?;
    Ok(path.to_owned())
}

/// What Docker's configuration is after `docker login`, for everything that runs in the lattice's folder.
fn log_in(lattice: &Lattice, registry: &str) -> Result<()> {
    let folder = lattice.directory().join(".docker");
    fs::create_dir_all(&folder)?;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = serde_json::json!({"auths": {(registry): {"auth": auth}}});
    Ok(fs::write(folder.join("config.json"), config.to_string())?)
}

/// Asks a host to run an image, and gives the reason why it does not.
async fn refusal(lattice: &Lattice, host: &HostId, id: &str, image: &str) -> Result<String> {
    let events = lattice.control.subjects().event("component_scale_failed");
    let mut events = lattice.control.nats().subscribe(events).await?;
    lattice.control.nats().flush().await?;
    if let Err(error) = lattice.scale(host, id, image, 1, &[]).await {
        return Ok(error.to_string());
    }
    let message = tokio::time::timeout(trellis_tests::wait::DEADLINE, events.next()).await?;
    match CloudEvent::read(&message.context("no event")?.payload)?.event()? {
        Event::ComponentScaleFailed(failed) => Ok(failed.error),
        other => anyhow::bail!("{other:?}"),
    }
}

/// Runs an image, and waits until it is there.
async fn run(lattice: &Lattice, host: &HostId, id: &str, image: &str) -> Result<()> {
    lattice.scale(host, id, image, 1, &[]).await?;
    let component = ComponentId::new(id)?;
    lattice
        .inventory_until(host, &format!("{id} runs"), |inventory| {
            inventory.component(&component).is_some()
        })
        .await
}

/// The HTTP server as a provider of one's own: a program for this machine, packed and signed by the lattice's issuer.
async fn pack_http_server(lattice: &Lattice) -> Result<PathBuf> {
    let folder = lattice.directory();
    let program = folder.join("program");
    let script = format!(
        "#!/bin/sh\nexec {} provider http-server\n",
        actors::trellis()?.display()
    );
    fs::write(&program, script)?;
    let issuer = folder.join("issuer.nk");
    lattice.issuer.write_file(&issuer)?;
    let binary = format!(
        "{}={}",
        trellis_lattice::claims::this_target(),
        program.display()
    );
    let archive = folder.join("http.par.gz");
    let line = [
        "provider",
        "pack",
        "--name",
        "http",
        "--vendor",
        "acme",
        "--version",
        "1.0.0",
        "--binary",
        &binary,
        "--binary",
        "riscv64-plan9=program",
        "--issuer-key",
        &issuer.display().to_string(),
        "--out",
        &archive.display().to_string(),
    ];
    lattice.succeed(&line).await?;
    Ok(archive)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_runs_from_a_registry_with_tls_and_a_login() -> Result<()> {
    let registry = Registry::with_tls().await?;
    let mut lattice = Lattice::without_hosts().await?;
    log_in(&lattice, &registry.host())?;
    let authority = registry.authority().display().to_string();
    lattice
        .add_host_with(&["--registry-ca", &authority])
        .await?;
    lattice.start_wadm().await?;

    let more = ["--registry-ca", authority.as_str()];
    let hello = format!("{}/acme/hello:1.0", registry.host());
    push(
        &lattice,
        &hello,
        &actor_file(&lattice, "http_hello")?,
        &more,
    )
    .await?;
    let archive = pack_http_server(&lattice).await?;
    let http = format!("{}/acme/http:1.0", registry.host());
    let http = push(&lattice, &http, &archive.display().to_string(), &more).await?;
    let by_digest = format!("oci://{}/acme/http@{}", registry.host(), http.digest);

    let at = std::net::SocketAddr::from(([127, 0, 0, 1], port::free()?));
    let manifest =
        manifest::hello(&hello, &at.to_string()).replace("builtin:http-server", &by_digest);
    lattice.deploy(&manifest).await?;
    let client = Http::new(at);
    let answer = until("it answers", || async { client.get("/").await }).await?;
    assert_eq!(answer.status, 200, "{answer:?}\n{}", lattice.logs());
    let inventory = lattice.control.inventory(&lattice.host()?.id).await?;
    let images: Vec<_> = inventory
        .components
        .iter()
        .map(|one| one.image_ref.clone())
        .collect();
    assert_eq!(images, [hello]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_goes_on_with_a_pull_that_was_cut() -> Result<()> {
    let registry = Registry::start().await?;
    let mut lattice = Lattice::without_hosts().await?;
    let file = actor_file(&lattice, "http_hello")?;
    let size = fs::metadata(&file)?.len();
    let direct = format!("{}/acme/hello:1.0", registry.host());
    push(
        &lattice,
        &direct,
        &file,
        &["--insecure-registry", &registry.host()],
    )
    .await?;

    let way = Dropping::before(registry.at(), size / 3, 2).await?;
    let insecure = way.host();
    let host = lattice
        .add_host_with(&["--insecure-registry", &insecure])
        .await?;
    run(
        &lattice,
        &host,
        "hello",
        &format!("{insecure}/acme/hello:1.0"),
    )
    .await?;
    assert_eq!(way.dropped(), 2);
    assert!(way.passed() < size * 2, "{} for {size}", way.passed());

    // `trellis pull`, too, from what was left of one that was killed.
    let out = lattice.directory().join("pulled.wasm");
    let pulled = lattice
        .succeed(&[
            "pull",
            &format!("{insecure}/acme/hello:1.0"),
            "-o",
            &out.display().to_string(),
            "--insecure-registry",
            &insecure,
        ])
        .await?;
    assert!(pulled.contains("signed by A"), "{pulled}");
    assert_eq!(fs::read(out)?, fs::read(file)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_it_should_be_does_not_run() -> Result<()> {
    let registry = Registry::start().await?;
    let mut lattice = Lattice::without_hosts().await?;
    let insecure = registry.host();
    let host = lattice
        .add_host_with(&["--insecure-registry", &insecure])
        .await?;
    let more = ["--insecure-registry", insecure.as_str()];
    let file = actor_file(&lattice, "http_hello")?;
    let good = push(
        &lattice,
        &format!("{insecure}/acme/hello:1.0"),
        &file,
        &more,
    )
    .await?;

    let missing = format!("{insecure}/acme/hello:2.0");
    let wrong = format!("{insecure}/acme/hello@sha256:{}", "0".repeat(64));
    for (id, image) in [("missing", &missing), ("wrong", &wrong)] {
        let reason = refusal(&lattice, &host, id, image).await?;
        assert!(
            reason.contains(image.as_str()) && reason.contains("no such image"),
            "{reason}"
        );
    }
    let latest = format!("{insecure}/acme/hello");
    let reason = refusal(&lattice, &host, "latest", &latest).await?;
    assert!(reason.contains("--registry-allow-latest"), "{reason}");

    // Somebody else signed it, or nobody: the host's own question, whoever keeps the registry.
    let unsigned = lattice.directory().join("unsigned.wasm");
    fs::write(&unsigned, actors::built("http_hello")?)?;
    let image = format!("{insecure}/acme/unsigned:1.0");
    let path = unsigned.display().to_string();
    let refused = lattice
        .run(&["push", &image, &path, more[0], more[1]])
        .await?;
    assert!(!refused.status.success());
    push(
        &lattice,
        &image,
        &path,
        &["--allow-unsigned", more[0], more[1]],
    )
    .await?;
    let reason = refusal(&lattice, &host, "unsigned", &image).await?;
    assert!(reason.contains("unsigned"), "{reason}");

    // Last: what the registry has was changed.
    registry.tamper(&good.content)?;
    let reason = refusal(&lattice, &host, "hello", &good.reference).await?;
    assert!(reason.contains("was changed"), "{reason}");
    let line = ["pull", &good.reference, more[0], more[1]];
    let output = lattice.run(&line).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("was changed"),
        "{said}"
    );
    assert!(!lattice.directory().join("hello.wasm").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_s_cache_keeps_its_bound_and_what_runs() -> Result<()> {
    let registry = Registry::start().await?;
    let mut lattice = Lattice::without_hosts().await?;
    let insecure = registry.host();
    let more = ["--insecure-registry", insecure.as_str()];
    let file = actor_file(&lattice, "http_hello")?;
    let size = fs::metadata(&file)?.len();
    // Room for two of them.
    let bytes = (size * 5 / 2).to_string();
    let host = lattice
        .add_host_with(&[
            "--insecure-registry",
            &insecure,
            "--registry-cache-bytes",
            &bytes,
        ])
        .await?;
    let cache = lattice.directory().join("host-0/images");
    let kept = || -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&cache)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().replace('-', ":"));
            }
        }
        Ok(names)
    };
    let mut contents = Vec::new();
    for number in 0..4 {
        // Each another one of the same size.
        let says = format!("Hell{number} from Trellis");
        let change = ("Hello from Trellis", says.as_str());
        let reference = lattice.actor_saying("http_hello", &format!("v{number}"), change)?;
        let path = reference.trim_start_matches("file://").to_owned();
        let image = format!("{insecure}/acme/hello:{number}");
        contents.push(push(&lattice, &image, &path, &more).await?.content);
        let id = format!("hello-{number}");
        run(&lattice, &host, &id, &image).await?;
        // The first goes on running, the others are stopped.
        if number > 0 {
            lattice.scale(&host, &id, &image, 0, &[]).await?;
            let component = ComponentId::new(&id)?;
            lattice
                .inventory_until(&host, "it is stopped", |inventory| {
                    inventory.component(&component).is_none()
                })
                .await?;
        }
        ensure!(kept()?.len() <= 2, "{:?}", kept()?);
    }
    let kept = kept()?;
    assert!(kept.contains(&contents[0]), "what runs is kept: {kept:?}");
    assert!(kept.contains(&contents[3]), "and what came last: {kept:?}");
    Ok(())
}
