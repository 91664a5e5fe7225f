//! Hosts in PoPs.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use trellis_lattice::{
    HostId,
    claims::HostKey,
    topology::{HUB, Role},
};

use super::Pops;
use crate::{process::Process, wait::until};

/// A host process in a PoP.
#[derive(Debug)]
pub struct PopHost {
    /// Its id in the lattice, which it keeps.
    pub id: HostId,
    /// Its name, such as `fra-1`.
    pub name: String,
    /// Its PoP.
    pub pop: String,
    /// Where its providers listen that are told to listen everywhere.
    pub address: Ipv4Addr,
    /// Its process.
    pub process: Process,
    arguments: Vec<OsString>,
}

impl PopHost {
    /// Where a provider of it listens at a port.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.address, port))
    }

    /// Freezes it (`true`) or lets it go on. Its providers go on.
    ///
    /// # Errors
    /// It is gone.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        self.process.signal(if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        })
    }
}

impl Pops {
    /// Starts a host in a PoP, which connects to the PoP's leaf only, and waits until it answers there.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn add_host(&mut self, pop: &str) -> Result<HostId> {
        self.add_host_with(pop, &[]).await
    }

    /// As [`Self::add_host`], with further arguments.
    ///
    /// # Errors
    /// It does not start or answer.
    pub async fn add_host_with(&mut self, pop: &str, arguments: &[&str]) -> Result<HostId> {
        let in_pop = self.hosts.iter().filter(|host| host.pop == pop).count();
        let number = u8::try_from(in_pop + 1)?;
        let name = format!("{pop}-{number}");
        let leaf = self.leaf(pop)?;
        let address = Ipv4Addr::new(127, 0, leaf.number, number);
        let key = self.directory().join(format!("{name}.nk"));
        let id = HostId::new(HostKey::read_or_create(&key)?.public().as_str())?;
        let mut all: Vec<OsString> = vec!["host".into()];
        all.extend(["--host-key".into(), key.into()]);
        all.extend(["--data-dir".into(), self.directory().join(&name).into()]);
        all.extend([
            "--provider-seed-file".into(),
            self.seed_file(pop, Role::Provider).into(),
        ]);
        let issuer = self.issuer.public().to_string();
        for (flag, value) in [
            ("--friendly-name", name.as_str()),
            ("--issuer", &issuer),
            ("--js-domain", HUB),
            ("--pop", pop),
            ("--bind", &address.to_string()),
        ] {
            all.extend([flag.into(), value.into()]);
        }
        if let Some(region) = &leaf.region {
            all.extend(["--region".into(), region.into()]);
        }
        all.extend(arguments.iter().map(Into::into));
        let process = self.start_host(&name, pop, &all)?;
        self.hosts.push(PopHost {
            id: id.clone(),
            name: name.clone(),
            pop: pop.to_owned(),
            address,
            process,
            arguments: all,
        });
        self.host_answers(&name).await?;
        Ok(id)
    }

    fn start_host(&self, name: &str, pop: &str, arguments: &[OsString]) -> Result<Process> {
        let mut command = self.trellis(pop)?;
        command
            .args(arguments)
            .env("TRELLIS_NATS_SEED_FILE", self.seed_file(pop, Role::Host));
        Process::start(name, self.directory(), command)
    }

    /// A host by its name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn host(&self, name: &str) -> Result<&PopHost> {
        self.hosts
            .iter()
            .find(|host| host.name == name)
            .with_context(|| format!("there is no host {name}"))
    }

    /// Waits until a host answers at its own PoP's server.
    ///
    /// # Errors
    /// It does not within the kit's deadline.
    pub async fn host_answers(&self, name: &str) -> Result<()> {
        let host = self.host(name)?;
        let control = self.control_at(&host.pop).await?;
        until(&format!("host {name} answers"), || async {
            Ok(control.inventory(&host.id).await?)
        })
        .await
        .with_context(|| host.process.output())?;
        Ok(())
    }

    /// Ends a host at once, as a crash would. Its providers notice.
    ///
    /// # Errors
    /// There is none of that name, or it is gone.
    pub async fn crash_host(&mut self, name: &str) -> Result<()> {
        let host = self.host_mut(name)?;
        host.process.signal(Signal::SIGKILL)?;
        host.process.ended().await?;
        Ok(())
    }

    /// Starts a host again that has ended, with its key and folder, without waiting for it: [`Self::host_answers`] does.
    ///
    /// # Errors
    /// There is none of that name, or it can't be started.
    pub fn resume_host(&mut self, name: &str) -> Result<()> {
        let host = self.host(name)?;
        let process = self.start_host(name, &host.pop, &host.arguments)?;
        self.host_mut(name)?.process = process;
        Ok(())
    }

    fn host_mut(&mut self, name: &str) -> Result<&mut PopHost> {
        self.hosts
            .iter_mut()
            .find(|host| host.name == name)
            .with_context(|| format!("there is no host {name}"))
    }
}
