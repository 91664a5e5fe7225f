//! What was started: looked after while it runs, ended at the end.

use futures::future::{join_all, select_all};
use trellis_wire::Wire;

use super::{hosts::HostProcess, nats::NatsServer, progress::Progress, services::Services};

/// What was started. Dropping it ends it at once.
#[derive(Default)]
pub struct Running {
    /// What runs in this process.
    pub services: Services,
    /// Hosts in processes of their own.
    pub hosts: Vec<HostProcess>,
    /// NATS servers, the hub first.
    pub servers: Vec<NatsServer>,
    /// What makes links slow.
    pub wires: Vec<Wire>,
}

/// Who ended by itself, by its place in its list.
enum Ended {
    Service(anyhow::Error),
    Server(usize, anyhow::Result<String>),
    Host(usize, anyhow::Result<String>),
}

impl Running {
    /// Looks after what was started until a part ends that can't be started again; why. NATS servers and hosts of their
    /// own process can.
    pub async fn ended(&mut self, progress: &Progress) -> anyhow::Error {
        loop {
            let again = match self.one_ended().await {
                Ended::Service(error) => return error,
                Ended::Server(index, why) => self.server_again(index, why, progress).await,
                Ended::Host(index, why) => self.host_again(index, why, progress),
            };
            if let Err(error) = again {
                return error;
            }
        }
    }

    async fn one_ended(&mut self) -> Ended {
        let servers = first(self.servers.iter_mut().map(NatsServer::ended));
        let hosts = first(self.hosts.iter_mut().map(HostProcess::ended));
        tokio::select! {
            error = self.services.ended() => Ended::Service(error),
            (index, why) = servers => Ended::Server(index, why),
            (index, why) = hosts => Ended::Host(index, why),
        }
    }

    async fn server_again(
        &mut self,
        index: usize,
        why: anyhow::Result<String>,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let Some(server) = self.servers.get_mut(index) else {
            return Ok(());
        };
        progress.step(server.name(), format_args!("{}; it is started again", why?));
        server.restart().await?;
        progress.step(server.name(), format_args!("at {} again", server.url()));
        Ok(())
    }

    fn host_again(
        &mut self,
        index: usize,
        why: anyhow::Result<String>,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let Some(host) = self.hosts.get_mut(index) else {
            return Ok(());
        };
        progress.step(host.name(), format_args!("{}; it is started again", why?));
        host.restart()
    }

    /// Ends what was started, NATS last, the hub after its leaves.
    pub async fn stop(&mut self) {
        self.services.stop().await;
        join_all(self.hosts.iter_mut().map(HostProcess::stop)).await;
        let mut servers = self.servers.iter_mut();
        let hub = servers.next();
        join_all(servers.map(NatsServer::stop)).await;
        if let Some(hub) = hub {
            hub.stop().await;
        }
        self.wires.clear();
    }
}

/// The first of these that is done, and which it is; never without any.
async fn first<T, F: Future<Output = T>>(all: impl Iterator<Item = F>) -> (usize, T) {
    let all: Vec<_> = all.map(Box::pin).collect();
    if all.is_empty() {
        return std::future::pending().await;
    }
    let (done, index, _) = select_all(all).await;
    (index, done)
}
