//! A provider's life: host data, NATS, links, calls, and a clean end.

use std::{io::Write as _, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use trellis_lattice::provider::HostData;
use trellis_rpc::{ServeOptions, stats::Stats};

use crate::{
    config::from_config,
    control::{Control, Subscriptions},
    counted,
    error::RunError,
    help, host_data,
    lattice::{Lattice, Serving, nats_settings},
    links::Links,
    logging,
    provider::Provider,
    secrets::{self, SecretKeys, Secrets},
};

/// How long a provider takes to finish what is going on when it is asked to end.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(8);

/// How long it finishes what it began itself before calls of components are drained, too.
const OWN_FIRST: Duration = Duration::from_secs(5);
/// How many calls of components run at once; one more is refused at once.
const MAX_CALLS: usize = 4096;
/// The deadline of a call that comes without one.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// Runs a provider as this process: reads the host data from standard input, logs to standard error, and ends on
/// SIGTERM, SIGINT, the host's shutdown message, or, where the host keeps standard input open, on its end. With `--help` it
/// says how it is started and what can be configured, and ends.
///
/// # Errors
/// [`RunError`]; its [`RunError::exit_code`] is for the process.
pub async fn run<P: Provider>() -> Result<(), RunError> {
    if let Some(help) = help::asked::<P>(std::env::args_os()) {
        // A reader that has gone is no error.
        let _ = std::io::stdout().write_all(help.as_bytes());
        return Ok(());
    }
    let (data, host_gone) = host_data::read().await?;
    logging::start(&data);
    let stop = CancellationToken::new();
    let asked = stop.clone();
    let keep_stdin = data.keep_stdin;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move {
        let why = tokio::select! {
            why = ended_by_signal() => why,
            _ = host_gone, if keep_stdin => "the host is gone",
        };
        tracing::info!(why, "shutting down");
        asked.cancel();
        // Whoever asks again doesn't want to wait for what is going on.
        ended_by_signal().await
    });
    tokio::select! {
        outcome = run_with_host_data::<P>(data, stop) => outcome,
        // Ends only by a second signal.
        _ = waiting.join_next() => {
            tracing::warn!("ending at once, with work going on");
            Err(RunError::NotDrained(Duration::ZERO))
        }
    }
}

/// Waits for SIGTERM or SIGINT. Where they can't be listened to, the process ends by them anyway.
async fn ended_by_signal() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Runs a provider with host data that is there already, until `stop` is cancelled or the host asks for its end: what
/// [`run`] does without the process around it.
///
/// # Errors
/// As [`run`].
pub async fn run_with_host_data<P: Provider>(
    data: HostData,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let keys = SecretKeys::new(&data.provider_xkey_private_key, &data.host_xkey_public_key)?;
    let own_secrets = own_secrets(&data);
    let config: P::Config = from_config(
        "the provider's configuration",
        &secrets::merge(&data.config, &own_secrets),
    )?;

    let settings = nats_settings(&data);
    let client = settings
        .connect(format!("{} {}", P::NAME, data.provider_key))
        .await?;
    // Before anything else, so that nothing the host sends from now on is missed.
    let subscriptions = Subscriptions::new(&client, &data, keys.as_ref()).await?;
    let lattice = Lattice::new(&data, settings, client);

    let provider = P::start(config, lattice.clone()).await;
    let provider = Arc::new(provider.map_err(|error| RunError::Start(error.to_string()))?);
    let place = data.trellis_place.clone();
    let links = Links::new(provider.clone(), data.provider_key.clone(), place, keys);
    let stats = Arc::default();
    let mut control = Control::start(
        &lattice,
        provider.clone(),
        links,
        data.link_definitions,
        subscriptions,
        own_secrets,
        Arc::clone(&stats),
    );
    let mut serving = None;
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        outcome = work(&mut control, &provider, &lattice, &stats, &mut serving) => outcome,
    };
    // Health is still answered.
    control.end_links().await;
    let drained = drain(&*provider, serving).await;
    let made = lattice.calls_made();
    if !made.is_none() {
        tracing::info!(
            socket = made.socket,
            own_pop = made.own_pop,
            other_pop = made.other_pop,
            unknown_pop = made.unknown_pop,
            "calls made to components"
        );
    }
    // What was answered last, the shutdown's reply among it, is still to go out.
    if tokio::time::timeout(Duration::from_secs(1), lattice.nats().flush())
        .await
        .is_err()
    {
        tracing::warn!("NATS doesn't take the last messages");
    }
    outcome.and(drained)
}

/// Answers calls once the first links are there, until the host asks for the end or something fails.
async fn work<P: Provider>(
    control: &mut Control,
    provider: &Arc<P>,
    lattice: &Lattice,
    stats: &Arc<Stats>,
    serving: &mut Option<Serving>,
) -> Result<(), RunError> {
    if let Err(ended) = control.links_ready().await {
        return ended.map_or(Ok(()), Err);
    }
    *serving = serve(provider, lattice, stats).await?;
    control.answer_health();
    tracing::info!(provider = %lattice.provider_id(), name = P::NAME, lattice = %lattice.name(), "ready");
    control.ended().await
}

/// The provider's own secrets, which 1.x puts into the host data as they are.
fn own_secrets(data: &HostData) -> Secrets {
    let read = |(name, value): (&String, &serde_json::Value)| {
        let secret = serde_json::from_value(value.clone());
        if secret.is_err() {
            tracing::warn!(name, "a secret that is neither text nor bytes");
        }
        Some((name.clone(), secret.ok()?))
    };
    data.secrets.iter().filter_map(read).collect()
}

async fn serve<P: Provider>(
    provider: &Arc<P>,
    lattice: &Lattice,
    stats: &Arc<Stats>,
) -> Result<Option<Serving>, RunError> {
    let Some(handler) = provider.handler() else {
        return Ok(None);
    };
    let handler = counted::calls(handler, stats.clone());
    let options = ServeOptions {
        max_in_flight: MAX_CALLS,
        default_deadline: DEFAULT_DEADLINE,
    };
    let serving = lattice.serve(handler, options).await;
    serving
        .map(Some)
        .map_err(|error| RunError::Nats(error.to_string()))
}

/// First what the provider began itself, for it may lead to calls back, then the calls of components. Where the first takes
/// long, both: calls must have left before the process does.
async fn drain<P: Provider>(provider: &P, serving: Option<Serving>) -> Result<(), RunError> {
    let calls = async {
        if let Some(serving) = serving {
            serving.drain().await;
        }
    };
    let all = async {
        let own = provider.shutdown();
        tokio::pin!(own);
        match tokio::time::timeout(OWN_FIRST, &mut own).await {
            Ok(()) => calls.await,
            Err(_) => drop(futures::future::join(own, calls).await),
        }
        provider.ended().await;
    };
    let ended = tokio::time::timeout(DRAIN_LIMIT, all).await;
    ended.map_err(|_| RunError::NotDrained(DRAIN_LIMIT))
}
