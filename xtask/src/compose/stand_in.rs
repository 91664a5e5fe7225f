//! The public images that the Dockerfile and docker-compose.yml begin with. They are pulled; where no registry can be
//! reached, stand-ins of the same names are made on this machine from Debian's packages and from the programs that are
//! here, so that both files run as they are, unchanged.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::layout::Layout;
use crate::process::{clean, probe, run};
use crate::progress::say;
use crate::setup::{self, Docker};

const DEBIAN: &str = "debian:bookworm-slim";
const RUST: &str = "rust:1.95.0-bookworm";
const DISTROLESS: &str = "gcr.io/distroless/cc-debian12:nonroot";
const NATS: &str = "nats:2.15-alpine";
const REDIS: &str = "redis:7-alpine";

/// Debian's first, which the others' stand-ins are made from.
const IMAGES: [&str; 5] = [DEBIAN, RUST, DISTROLESS, NATS, REDIS];

/// The machine's certificate authorities: where traffic is looked into on its way, they differ from Debian's.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Has every public image here: as it is, pulled, or stood in for. Returns the names of stand-ins.
pub fn ensure(layout: &Layout, docker: &Docker) -> Result<Vec<&'static str>> {
    let mut stand_ins = Vec::new();
    for image in IMAGES {
        if is_here(docker, image) {
            say(format_args!("image {image}: here"));
        } else if run(docker.client().args(["pull", "--quiet", image])).is_err() {
            say(format_args!(
                "image {image}: cannot be pulled, making a STAND-IN of that name from what can be had here"
            ));
            make(layout, docker, image)
                .with_context(|| format!("no stand-in could be made for {image}"))?;
        }
        if label(docker, image).is_some() {
            stand_ins.push(image);
        }
    }
    Ok(stand_ins)
}

/// What a stand-in says of itself.
const LABEL: &str = "dev.trellis.stand-in";

fn is_here(docker: &Docker, image: &str) -> bool {
    probe(docker.client().args(["image", "inspect", image])).is_some()
}

fn label(docker: &Docker, image: &str) -> Option<String> {
    let format = format!("{{{{index .Config.Labels {LABEL:?}}}}}");
    probe(
        docker
            .client()
            .args(["image", "inspect", "--format", &format, image]),
    )
    .filter(|said| !said.is_empty() && said != "<no value>")
}

fn make(layout: &Layout, docker: &Docker, image: &'static str) -> Result<()> {
    let folder = layout.docker().join("stand-ins");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let made = match image {
        DEBIAN => debian(docker, &folder),
        RUST => rust(layout, docker),
        DISTROLESS => distroless(docker, &folder),
        NATS => nats(layout, docker),
        REDIS => redis(docker),
        other => bail!("nobody knows how to stand in for {other}"),
    };
    fs::remove_dir_all(&folder)?;
    made
}

/// The smallest Debian that can install packages, with this machine's package sources.
fn debian(docker: &Docker, folder: &Path) -> Result<()> {
    setup::debian_packages(&["debootstrap"])?;
    let root = folder.join("debian");
    run(clean("debootstrap")
        .args(["--variant=minbase", "bookworm"])
        .arg(&root))
    .context("debootstrap, which needs root, failed")?;
    let sources = Path::new("/etc/apt/sources.list.d/debian.sources");
    if sources.exists() {
        fs::remove_file(root.join("etc/apt/sources.list")).ok();
        fs::copy(sources, root.join("etc/apt/sources.list.d/debian.sources"))?;
    }
    for spare in [
        "var/cache/apt",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
    ] {
        fs::remove_dir_all(root.join(spare)).ok();
    }
    // apt wants its folders back.
    fs::create_dir_all(root.join("var/cache/apt/archives/partial"))?;
    fs::create_dir_all(root.join("var/lib/apt/lists/partial"))?;
    import(docker, &root, DEBIAN, &[r#"CMD ["bash"]"#])
}

/// The compiler that runs this.
fn rust(layout: &Layout, docker: &Docker) -> Result<()> {
    let sysroot = probe(
        clean("rustc")
            .current_dir(layout.root())
            .args(["--print", "sysroot"]),
    )
    .context("rustc says no sysroot")?;
    let sysroot = fs::canonicalize(sysroot)?;
    let cargo = which::which("rustup").context("no rustup here")?;
    let programs = cargo.parent().context("rustup lies in no folder")?;
    commit(
        docker,
        RUST,
        include_str!("stand_in/rust.sh"),
        &[
            (&sysroot, "/toolchain"),
            (programs, "/cargo-bin"),
            (Path::new(AUTHORITIES), "/authorities.crt"),
        ],
        &[
            "ENV RUSTUP_HOME=/usr/local/rustup",
            "ENV CARGO_HOME=/usr/local/cargo",
            "ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            r#"CMD ["bash"]"#,
        ],
    )
}

fn distroless(docker: &Docker, folder: &Path) -> Result<()> {
    let root = folder.join("distroless");
    fs::create_dir_all(&root)?;
    run(within(
        docker.client().args(["run", "--rm"]),
        &[(Path::new(AUTHORITIES), "/authorities.crt")],
    )
    .arg("--volume")
    .arg(format!("{}:/out", root.display()))
    .args([DEBIAN, "sh", "-c", include_str!("stand_in/distroless.sh")]))?;
    import(
        docker,
        &root,
        DISTROLESS,
        &[
            "USER 65532",
            "WORKDIR /home/nonroot",
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
        ],
    )
}

/// The server that the tests run against.
fn nats(layout: &Layout, docker: &Docker) -> Result<()> {
    let server = program(setup::nats_server(layout)?)?;
    commit(
        docker,
        NATS,
        include_str!("stand_in/nats.sh"),
        &[(&server, "/nats-server")],
        &[
            "EXPOSE 4222 6222 8222",
            r#"CMD ["nats-server", "--config", "/etc/nats/nats-server.conf"]"#,
        ],
    )
}

fn redis(docker: &Docker) -> Result<()> {
    commit(
        docker,
        REDIS,
        include_str!("stand_in/redis.sh"),
        &[],
        &[
            "EXPOSE 6379",
            "VOLUME /data",
            "WORKDIR /data",
            r#"ENTRYPOINT ["docker-entrypoint.sh"]"#,
            r#"CMD ["redis-server"]"#,
        ],
    )
}

/// The program itself: what a version manager puts on PATH may be a script, which is nothing without the manager.
fn program(found: PathBuf) -> Result<PathBuf> {
    let mut candidates = vec![found.clone()];
    if let Some(manager) = probe(clean("pyenv").args(["which", "nats-server"])) {
        candidates.push(manager.into());
    }
    candidates
        .into_iter()
        .find(|path| is_program(path))
        .with_context(|| format!("{} is a script, not the server itself", found.display()))
}

fn is_program(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok_and(|()| &magic == b"\x7fELF")
}

/// Runs a script in Debian's image and keeps what it left as an image of that name.
fn commit(
    docker: &Docker,
    image: &str,
    script: &str,
    mounts: &[(&Path, &str)],
    changes: &[&str],
) -> Result<()> {
    let name = format!("trellis-stand-in-{}", std::process::id());
    let left = run(
        within(docker.client().args(["run", "--name", &name]), mounts)
            .args([DEBIAN, "sh", "-c", script]),
    )
    .and_then(|()| {
        run(changed(docker.client().arg("commit"), image, changes).args([&name, image]))
    });
    let removed = run(docker.client().args(["rm", "--force", &name]));
    left.and(removed)
}

/// Makes an image of a folder.
fn import(docker: &Docker, root: &Path, image: &str, changes: &[&str]) -> Result<()> {
    let mut tar = clean("tar")
        .arg("-C")
        .arg(root)
        .args(["--numeric-owner", "-c", "."])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start tar")?;
    let packed = tar.stdout.take().context("tar has no output")?;
    let status = changed(docker.client().arg("import"), image, changes)
        .args(["-", image])
        .stdin(packed)
        .status()
        .context("cannot start docker import")?;
    if !tar.wait()?.success() || !status.success() {
        bail!("docker import of {} failed", root.display());
    }
    Ok(())
}

/// With files and folders of this machine, which the container can't change.
fn within<'c>(command: &'c mut Command, mounts: &[(&Path, &str)]) -> &'c mut Command {
    for (from, to) in mounts {
        command
            .arg("--volume")
            .arg(format!("{}:{to}:ro", from.display()));
    }
    command
}

fn changed<'c>(command: &'c mut Command, image: &str, changes: &[&str]) -> &'c mut Command {
    for change in changes {
        command.args(["--change", change]);
    }
    command.args(["--change", &format!("LABEL {LABEL}={image}")])
}
