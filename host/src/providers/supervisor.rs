//! Keeps one provider running: starts it, tells it of links and configuration, watches its health, and starts it
//! again when it ends by itself.

mod secrets;

use std::{
    collections::HashSet,
    os::unix::process::ExitStatusExt as _,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng as _;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use trellis_lattice::{
    Link, ResolvedLink,
    config::Config,
    event::{Event, HealthCheck, ProviderStartFailed, ProviderStarted, ProviderStopped},
    provider::{HostData, Shutdown},
    secret::Secrets,
};

use super::{
    Provider,
    delivery::{Delivery, Told},
    health::{self, Heard, News},
    process::Process,
    vault::Vault,
};
use crate::host::Host;
use secrets::secret_json;

/// The signal that ends a process without asking it.
const SIGKILL: i32 = nix::sys::signal::Signal::SIGKILL as i32;
/// How long to wait before a provider is started again, at first and at most.
const RESTART: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// A provider that ran this long was stable: its next restart comes soon again.
const STABLE: Duration = Duration::from_secs(30);
/// A provider that runs this long without answering health requests counts as started all the same.
const STARTED_ANYWAY: Duration = Duration::from_secs(5);
/// How long a provider may take to answer the request to shut down.
const SHUTDOWN_ANSWER: Duration = Duration::from_secs(2);

/// How one run of a provider came to its end.
enum Ended {
    /// We stopped it.
    Stopped,
    /// We ended it because its own secrets are others now: it reads them when it starts.
    Renewed,
    /// The program could not be started at all.
    NotStarted(String),
    /// It ended by itself.
    Exited {
        why: String,
        /// What it said last, line by line.
        last_words: Vec<String>,
        was_started: bool,
    },
}

/// Keeps a provider running until `stop` is cancelled, then ends it in order.
pub(super) async fn supervise(host: &Arc<Host>, provider: &Provider, stop: CancellationToken) {
    let id = &provider.description.id;
    let mut wait = RESTART.0;
    // Longer than a run: one that ended by itself comes back also while a secrets backend is away.
    let mut vault = Vault::new(host.clone(), provider.entity.clone());
    let mut first = true;
    let mut ended = None;
    loop {
        let started = Instant::now();
        let mut run = Run {
            host,
            provider,
            ended,
            started: false,
            vault: &mut vault,
            waits_for: None,
            unwell: None,
            told: Arc::default(),
        };
        host.providers.set_unhealthy(id, None);
        match run.run(&stop).await {
            Ended::Stopped => break,
            Ended::Renewed => {
                tracing::info!(provider = %id, "its secrets are new: starting it again");
                (first, wait) = (false, RESTART.0);
                continue;
            }
            Ended::NotStarted(error) => {
                tracing::error!(provider = %id, error, "the provider can't be started");
                provider.tell_start_failed(host, error).await;
                if first {
                    // It never was: there is nothing to keep running.
                    return;
                }
            }
            Ended::Exited {
                why,
                last_words,
                was_started,
            } => {
                tracing::error!(provider = %id, why, "the provider ended by itself");
                for line in &last_words {
                    tracing::warn!(provider = %id, "it said: {line}");
                }
                let why = match last_words.as_slice() {
                    [] => why,
                    words => format!("{why}: {}", words.join(" | ")),
                };
                if was_started {
                    ended = Some(Instant::now());
                    run_failed(host, provider, why).await;
                } else {
                    provider.tell_start_failed(host, why).await;
                }
            }
        }
        first = false;
        if started.elapsed() >= STABLE {
            wait = RESTART.0;
        }
        let pause = wait.mul_f64(rand::rng().random_range(0.75..=1.25));
        wait = (wait * 2).min(RESTART.1);
        tracing::info!(provider = %id, in_ms = pause.as_millis(), "starting the provider again");
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    let event = ProviderStopped {
        annotations: provider.description.annotations.clone(),
        host_id: host.identity.id.clone(),
        instance_id: Some(id.clone()),
        link_name: Some(trellis_lattice::LinkName::default()),
        provider_id: id.clone(),
        public_key: Some(id.to_string()),
        reason: "stop".into(),
    };
    host.events.publish(Event::ProviderStopped(event)).await;
}

async fn run_failed(host: &Host, provider: &Provider, why: String) {
    let not_ready = Some(format!("{why}; it is started again"));
    let id = &provider.description.id;
    host.providers.set_not_ready(id, not_ready);
    let event = health_event(host, provider, Some(format!("{why}; it is started again")));
    host.events.publish(Event::HealthCheckFailed(event)).await;
}

fn health_event(host: &Host, provider: &Provider, message: Option<String>) -> HealthCheck {
    HealthCheck {
        host_id: host.identity.id.clone(),
        provider_id: provider.description.id.clone(),
        message,
    }
}

impl Provider {
    pub(super) async fn tell_start_failed(&self, host: &Host, error: String) {
        let not_ready = Some(format!("it can't be started: {error}"));
        host.providers
            .set_not_ready(&self.description.id, not_ready);
        let event = ProviderStartFailed {
            error,
            provider_id: self.description.id.clone(),
            provider_ref: self.description.image_ref.clone(),
            host_id: Some(host.identity.id.clone()),
        };
        host.events.publish(Event::ProviderStartFailed(event)).await;
    }
}

/// One run of the provider's program.
struct Run<'a> {
    host: &'a Arc<Host>,
    provider: &'a Provider,
    /// When the run before it ended that had started.
    ended: Option<Instant>,
    started: bool,
    vault: &'a mut Vault,
    /// Links that wait for their secrets, and why; for people.
    waits_for: Option<String>,
    /// Why it is unhealthy by its own account.
    unwell: Option<String>,
    /// That it was told of a link, for who asks for its health.
    told: Arc<Notify>,
}

impl Run<'_> {
    async fn run(&mut self, stop: &CancellationToken) -> Ended {
        let host = self.host;
        let mut changes = host.view.changes();
        let mut connections = host.connections();
        changes.mark_unchanged();
        connections.mark_unchanged();
        let Some(own_secrets) = self.own_secrets(stop).await else {
            return Ended::Stopped;
        };
        let links = self.links(None);
        let mut data = self.host_data(&links, &own_secrets);
        // Good until this run is over.
        let admitted = host.nearby.admit(&self.provider.description.id);
        data.trellis_socket = admitted.as_ref().map(|(socket, _)| socket.clone());
        let mut config = Given {
            config: data.config.clone(),
            changed: false,
        };
        let mut delivery = Delivery::new(&links);
        let id = &self.provider.description.id;
        let process = Process::start(&host.spawner, &self.provider.program, id, &data);
        let mut process = match process.await {
            Ok(process) => process,
            Err(error) => {
                let path = self.provider.program.path.display();
                return Ended::NotStarted(format!("{path}: {error}"));
            }
        };
        tracing::info!(provider = %id, pid = process.pid(), "provider process started");
        let (mut news, mut health) = self.watch_health();
        let mut links_changed = false;
        let started_anyway = tokio::time::sleep(STARTED_ANYWAY);
        tokio::pin!(started_anyway);
        loop {
            let (due, ask_at) = (delivery.next_due(), self.vault.next_due());
            tokio::select! {
                () = stop.cancelled() => {
                    drop(health);
                    self.shut_down(process).await;
                    return Ended::Stopped;
                }
                status = process.ended() => {
                    // Who is killed doesn't say why.
                    let killed = matches!(&status, Ok(status) if status.signal() == Some(SIGKILL));
                    let why = match status {
                        Ok(status) => status.to_string(),
                        Err(error) => error.to_string(),
                    };
                    let last_words = process.last_words().await;
                    return Ended::Exited {
                        why: format!("it ended ({why})"),
                        last_words: if killed { Vec::new() } else { last_words },
                        was_started: self.started,
                    };
                }
                _ = changes.changed() => {
                    self.vault.follow(self.secrets());
                    self.tell_waiting().await;
                    let told = self.links_to_tell(&mut delivery);
                    links_changed |= !told.is_empty();
                    self.tell(told).await;
                    self.tell_config(&mut config).await;
                }
                is_news = self.vault.answered() => {
                    if !is_news {
                        continue;
                    }
                    let own = self.vault.values(&self.provider.config);
                    if own.is_ok_and(|own| own != own_secrets) {
                        drop(health);
                        self.shut_down(process).await;
                        return Ended::Renewed;
                    }
                    let told = self.links_to_tell(&mut delivery);
                    links_changed |= !told.is_empty();
                    self.tell(told).await;
                    self.tell_waiting().await;
                }
                () = sleep_until(ask_at) => self.vault.ask(),
                () = sleep_until(due) => {
                    let told = delivery.due(Instant::now());
                    links_changed |= !told.is_empty();
                    self.tell(told).await;
                }
                _ = connections.changed() => {
                    // It lost NATS too, perhaps, and what was said meanwhile: ask it anew, and tell it again.
                    (news, health) = self.watch_health();
                    links_changed = true;
                }
                () = &mut started_anyway, if !self.started => self.tell_started().await,
                Some(Heard { news, stats }) = news.recv() => {
                    if stats.is_some() {
                        host.providers.set_stats(id, stats);
                    }
                    if news == News::Up {
                        self.tell_started().await;
                        // It reads host data before it listens: what changed between was not heard.
                        if std::mem::take(&mut links_changed) {
                            let told = delivery.again(Instant::now());
                            self.tell(told).await;
                        }
                        if std::mem::take(&mut config.changed) {
                            self.publish_config(&config.config).await;
                        }
                    }
                    self.tell_health(news).await;
                }
            }
        }
    }

    /// Asks for its health in a task that ends when it is dropped.
    fn watch_health(&self) -> (mpsc::Receiver<Heard>, JoinSet<()>) {
        let (sender, news) = mpsc::channel(4);
        let mut task = JoinSet::new();
        let (subjects, id) = (&self.host.subjects, &self.provider.description.id);
        let host = self.host.identity.id.clone();
        let asked = health::Asked {
            own: subjects.provider_health_on(id, &host),
            shared: subjects.provider_health(id),
            host,
        };
        let interval = self.host.config.health_interval;
        let (client, told) = (self.host.client.clone(), self.told.clone());
        task.spawn(async move { health::watch(client, asked, interval, &told, sender).await });
        (news, task)
    }

    fn host_data(&self, links: &[ResolvedLink], secrets: &Secrets) -> HostData {
        let host = self.host;
        let id = &self.provider.description.id;
        let (config, _) = host.view.merged_config(&self.provider.config);
        let credentials = &host.credentials;
        HostData {
            host_id: host.identity.id.clone(),
            lattice_rpc_prefix: host.config.lattice.clone(),
            link_name: "default".into(),
            lattice_rpc_user_jwt: credentials.jwt.clone(),
            lattice_rpc_user_seed: credentials.seed.clone(),
            lattice_rpc_url: host.config.nats.url.clone(),
            provider_key: id.clone(),
            env_values: Default::default(),
            instance_id: uuid::Uuid::new_v4().to_string(),
            link_definitions: links
                .iter()
                .map(|link| self.provider.keys.seal(link))
                .collect(),
            cluster_issuers: Vec::new(),
            config,
            secrets: secrets
                .iter()
                .map(|(name, value)| (name.clone(), secret_json(value)))
                .collect(),
            host_xkey_public_key: self.provider.keys.host_public(),
            provider_xkey_private_key: self.provider.keys.provider_seed(),
            default_rpc_timeout_ms: Some(
                u64::try_from(host.config.component_limits.call_deadline.as_millis())
                    .unwrap_or(u64::MAX),
            ),
            structured_logging: host.config.structured_logging,
            log_level: host.config.log_level.clone(),
            otel_config: serde_json::json!({
                "enable_observability": false,
                "protocol": "Http",
                "additional_ca_paths": [],
                "trace_level": "info",
            }),
            keep_stdin: true,
            trellis_socket: None,
            trellis_place: host.rpc.place().cloned(),
            trellis_js_domain: host.config.js_domain.clone(),
            trellis_bind: host.config.bind,
            trellis_tls: host.config.provider_tls(),
        }
    }

    fn links_to_tell(&self, delivery: &mut Delivery) -> Vec<Told> {
        let id = &self.provider.description.id;
        let mut elsewhere: HashSet<_> = self.host.view.links().iter().map(Link::key).collect();
        for own in self.host.view.links_of(id) {
            elsewhere.remove(&own.key());
        }
        let wanted = self.links(Some(delivery));
        delivery.update(id, wanted, &elsewhere, Instant::now())
    }

    async fn tell(&self, told: Vec<Told>) {
        let id = self.provider.description.id.as_str();
        if !told.is_empty() {
            self.told.notify_one();
        }
        for told in told {
            match &told {
                Told::Put(link) => {
                    let link = self.provider.keys.seal(link);
                    let key = self.provider.keys.provider_public();
                    // Nobody else of its id could open the secrets.
                    if key.is_none() || !link.has_secrets() {
                        self.host
                            .publish_link(&self.host.subjects.provider_link_put(id), &link)
                            .await;
                    }
                    if let Some(key) = &key {
                        // Where 1.9's providers listen.
                        self.host
                            .publish_link(&self.host.subjects.provider_link_put(key), &link)
                            .await;
                    }
                }
                Told::Delete(link) => {
                    self.host
                        .publish_link(&self.host.subjects.provider_link_del(id), link)
                        .await;
                }
            }
        }
    }

    async fn tell_config(&self, given: &mut Given) {
        let (config, _) = self.host.view.merged_config(&self.provider.config);
        if config != given.config {
            self.publish_config(&config).await;
            *given = Given {
                config,
                changed: true,
            };
        }
    }

    async fn publish_config(&self, config: &Config) {
        let subject = self
            .host
            .subjects
            .provider_config_update(&self.provider.description.id);
        self.host.publish_json(subject, config).await;
    }

    async fn tell_started(&mut self) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let description = &self.provider.description;
        self.host.providers.set_not_ready(&description.id, None);
        if self.waits_for.is_some() {
            self.tell_trouble().await;
        }
        let after_ms = self.ended.map(|ended| ended.elapsed().as_millis());
        if let Some(after_ms) = after_ms {
            tracing::info!(provider = %description.id, after_ms, "the provider is back");
        }
        let event = ProviderStarted {
            annotations: description.annotations.clone(),
            claims: self.provider.claims.clone(),
            host_id: self.host.identity.id.clone(),
            image_ref: description.image_ref.clone(),
            instance_id: Some(description.id.clone()),
            link_name: Some(trellis_lattice::LinkName::default()),
            provider_id: description.id.clone(),
            public_key: Some(description.id.to_string()),
        };
        self.host
            .events
            .publish(Event::ProviderStarted(event))
            .await;
    }

    async fn tell_health(&mut self, news: News) {
        match &news {
            News::Up | News::Same(_) => {}
            News::Passed => self.unwell = None,
            News::Failed(why) => self.unwell = Some(why.clone()),
        }
        let id = &self.provider.description.id;
        self.host.providers.set_unhealthy(id, self.unwell.clone());
        if self.waits_for.is_some() {
            return self.tell_trouble().await;
        }
        let event = |message| health_event(self.host, self.provider, message);
        let event = match news {
            News::Up => return,
            News::Passed => Event::HealthCheckPassed(event(None)),
            News::Failed(why) => {
                tracing::warn!(provider = %self.provider.description.id, why, "the provider is unhealthy");
                Event::HealthCheckFailed(event(Some(why)))
            }
            News::Same(unwell) => Event::HealthCheckStatus(event(unwell)),
        };
        self.host.events.publish(event).await;
    }

    /// Asks the provider to end, and sees to it that it does.
    async fn shut_down(&self, process: Process) {
        let id = &self.provider.description.id;
        let host = self.host;
        let shutdown = Shutdown {
            host_id: host.identity.id.clone(),
        };
        let asked = async {
            let payload = serde_json::to_vec(&shutdown).unwrap_or_default();
            let request = async_nats::Request::new()
                .payload(payload.into())
                .timeout(Some(SHUTDOWN_ANSWER));
            host.client
                .send_request(host.subjects.provider_shutdown(id), request)
                .await
        };
        let stopped = match asked.await {
            Ok(_) => process.stop(true, host.config.provider_stop_grace).await,
            Err(error) => {
                tracing::debug!(provider = %id, %error, "the provider does not answer; it is ended by signal");
                process.stop(false, host.config.provider_stop_grace).await
            }
        };
        match stopped {
            Ok(status) => tracing::info!(provider = %id, %status, "provider stopped"),
            Err(error) => {
                tracing::warn!(provider = %id, %error, "the provider's end can't be awaited")
            }
        }
    }
}

/// The configuration that a provider has.
struct Given {
    config: Config,
    /// Changed since it last surely heard.
    changed: bool,
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}
