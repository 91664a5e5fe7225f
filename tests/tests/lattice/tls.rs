//! A lattice whose NATS speaks TLS, with an authority of its own, from the configurations that operators deploy.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use trellis_tests::{actors, nats, port, process::Process, wait::until};

/// An authority, and a certificate of it for this machine.
fn make_certificates(folder: &Path) -> Result<()> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    fs::write(folder.join("ca.pem"), authority.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(authority, key);
    let server = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)?.signed_by(&server, &issuer)?;
    fs::write(folder.join("server.pem"), certificate.pem())?;
    Ok(fs::write(
        folder.join("server.key"),
        server.serialize_pem(),
    )?)
}

struct Tls {
    folder: TempDir,
    hub: u16,
    leaf: u16,
    leaves: u16,
}

impl Tls {
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(actors::trellis()?);
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .env("RUST_LOG", "info");
        Ok(command)
    }

    /// Runs `trellis` with a role's key at one of the servers.
    fn at(&self, port: u16, seed: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = self.command(arguments)?;
        let url = format!("tls://localhost:{port}");
        command.args(["--nats-url", &url, "--nats-seed-file", seed]);
        Ok(command)
    }

    fn configure(&self, arguments: &[&str], server: &str, port: u16) -> Result<()> {
        let (listen, store) = (format!("127.0.0.1:{port}"), format!("store-{server}"));
        let certificate = ["--tls-cert", "server.pem", "--tls-key", "server.key"];
        let place = ["--listen", &listen, "--store", &store, "--out", server];
        let mut command = self.command(&["lattice", "config"])?;
        command.args(arguments).args(certificate).args(place);
        succeed(&mut command).map(|_| ())
    }

    fn serve(&self, server: &str) -> Result<Process> {
        let mut command = Command::new(nats::program());
        command
            .current_dir(self.folder.path())
            .args(["-c", &format!("{server}/nats.conf")]);
        Process::start(server, self.folder.path(), command)
    }
}

fn succeed(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn hosts_and_their_providers_trust_the_authority_they_are_told_of() -> Result<()> {
    let lattice = Tls {
        folder: TempDir::new()?,
        hub: port::free()?,
        leaf: port::free()?,
        leaves: port::free()?,
    };
    make_certificates(lattice.folder.path())?;
    let leaves = format!("127.0.0.1:{}", lattice.leaves);
    lattice.configure(
        &["--hub", "--pops", "fra", "--leaf-listen", &leaves],
        "hub",
        lattice.hub,
    )?;
    let url = format!("tls://localhost:{}", lattice.leaves);
    lattice.configure(
        &["--pop", "fra", "--hub-url", &url, "--hub-ca", "ca.pem"],
        "fra",
        lattice.leaf,
    )?;
    let (_hub, _leaf) = (lattice.serve("hub")?, lattice.serve("fra")?);
    let ask = |arguments: &[&str], trusting: bool| {
        let mut command = lattice.at(lattice.hub, "hub/operator.nk", arguments)?;
        if trusting {
            command.args(["--nats-tls-ca", "ca.pem"]);
        }
        succeed(&mut command)
    };
    until("the hub answers", || async {
        ask(&["get", "hosts"], true).map(|_| ())
    })
    .await?;
    let refused = ask(&["get", "hosts"], false).unwrap_err().to_string();
    ensure!(refused.contains("certificate"), "{refused}");

    let mut host = lattice.at(
        lattice.leaf,
        "fra/host.nk",
        &["host", "--js-domain", "hub", "--pop", "fra"],
    )?;
    host.args(["--nats-tls-ca", "ca.pem", "--allow-unsigned"]);
    host.args(["--provider-seed-file", "fra/provider.nk"]);
    let host = Process::start("host", lattice.folder.path(), host)?;
    let ready = until("the host is seen at the hub", || async {
        let hosts = ask(&["get", "hosts"], true)?;
        ensure!(hosts.contains("pop=fra"), "{hosts}");
        Ok(())
    });
    ready.await.map_err(|error| error.context(host.output()))?;
    // It connects with what its host tells it.
    let started = ask(&["start", "provider", "kv", "builtin:keyvalue-nats"], true);
    started.map_err(|error| error.context(host.output()))?;
    Ok(())
}
