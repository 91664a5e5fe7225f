//! A PostgreSQL server of its own for each test.

use std::{
    ffi::OsString,
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::Signal,
    unistd::{Uid, User},
};
use tempfile::TempDir;

use crate::{port, process::Process, wait::until};

/// Where Debian and the systems made from it have each version's programs: not on PATH.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A PostgreSQL server on the loopback, with TLS if there is a certificate. Its superuser and its database are both
/// called `trellis`.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    directory: TempDir,
    process: Option<Process>,
}

impl PostgresServer {
    /// The superuser's password.
    pub const PASSWORD: &str = "a password of the tests";

    /// Starts one on a free port, and waits until it answers.
    ///
    /// # Errors
    /// PostgreSQL is not installed (`cargo xtask test` installs it), or does not answer.
    pub async fn start() -> Result<Self> {
        Self::with_tls(None).await
    }

    /// Starts one that also speaks TLS, with that certificate and key in PEM.
    ///
    /// # Errors
    /// As [`PostgresServer::start`].
    pub async fn with_tls(certificate: Option<(&str, &str)>) -> Result<Self> {
        let mut server = Self {
            port: port::free()?,
            directory: TempDir::new()?,
            process: None,
        };
        server.make_data(certificate).await?;
        server.resume().await?;
        server.sql_in("postgres", "CREATE DATABASE trellis").await?;
        Ok(server)
    }

    async fn make_data(&self, certificate: Option<(&str, &str)>) -> Result<()> {
        let folder = self.directory.path();
        let password = folder.join("password");
        fs::write(&password, Self::PASSWORD)?;
        own(folder)?;
        let mut initdb = command("initdb")?;
        initdb
            .args(["--username", "trellis", "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C"])
            .args(["--no-sync", "--no-instructions", "--pwfile"])
            .arg(&password)
            .arg("--pgdata")
            .arg(self.data());
        let output = tokio::process::Command::from(initdb).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "initdb: {said}");
        if let Some((certificate, key)) = certificate {
            for (name, content) in [("server.crt", certificate), ("server.key", key)] {
                let file = self.data().join(name);
                fs::write(&file, content)?;
                own(&file)?;
            }
            private(&self.data().join("server.key"))?;
            let settings = self.data().join("postgresql.conf");
            let more = fs::read_to_string(&settings)? + "\nssl = on\n";
            fs::write(&settings, more)?;
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Ends it at once, as a crash would: connections are cut, and what was committed is kept.
    ///
    /// # Errors
    /// It is not running.
    pub async fn crash(&mut self) -> Result<()> {
        let mut process = self.process.take().context("postgres is not running")?;
        process.signal(Signal::SIGQUIT)?;
        process.ended().await?;
        Ok(())
    }

    /// Starts it again on the same port, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn resume(&mut self) -> Result<()> {
        let mut postgres = command("postgres")?;
        postgres
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.directory.path())
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            // What is in it need not outlast the machine.
            .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "shared_buffers=16MB", "-c", "max_connections=60"]);
        let process = Process::start("postgres", self.directory.path(), postgres)?;
        self.process = Some(process);
        let answer = until("postgres answers", || self.sql_in("postgres", "SELECT 1"));
        answer.await.map(drop).with_context(|| self.output())
    }

    /// Where it is, with user, password and database.
    pub fn url(&self) -> String {
        let password = Self::PASSWORD.replace(' ', "%20");
        format!(
            "postgres://trellis:{password}@127.0.0.1:{}/trellis",
            self.port
        )
    }

    /// Its port on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket.
    pub fn socket_folder(&self) -> &Path {
        self.directory.path()
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        self.process
            .as_ref()
            .map(Process::output)
            .unwrap_or_default()
    }

    /// Runs statements by another way than what is tested; the values, a row a line.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn sql(&self, sql: &str) -> Result<String> {
        self.sql_in("trellis", sql).await
    }

    /// The same, in another database of it.
    ///
    /// # Errors
    /// As [`PostgresServer::sql`].
    pub async fn sql_in(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = command("psql")?;
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-U", "trellis", "-d", database])
            .args(["-v", "ON_ERROR_STOP=1", "-X", "-q", "-A", "-t", "-c", sql])
            .env("PGPASSWORD", Self::PASSWORD);
        let output = tokio::process::Command::from(psql).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "psql: {said}");
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            // Asked to end as others are, it would wait for its clients.
            let _ = process.signal(Signal::SIGQUIT);
        }
    }
}

/// One of PostgreSQL's programs. It does not run as root, so root runs it as the user that Debian's package makes.
fn command(name: &str) -> Result<Command> {
    let mut command = Command::new(program(name));
    command.current_dir("/");
    if Uid::effective().is_root() {
        let user = user()?;
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    Ok(command)
}

fn user() -> Result<User> {
    User::from_name("postgres")?
        .context("PostgreSQL does not run as root, and there is no user `postgres` to run it as")
}

/// Has a file belong to whom PostgreSQL runs as.
fn own(path: &Path) -> Result<()> {
    if Uid::effective().is_root() {
        let user = user()?;
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    Ok(())
}

/// A key that others may read is none to PostgreSQL.
fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o600),
    )?)
}

/// Debian's newest version, or what is on PATH.
fn program(name: &str) -> OsString {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin").join(name));
    let newest = programs.filter(|program| program.is_file()).max();
    newest.map_or_else(|| name.into(), Into::into)
}
