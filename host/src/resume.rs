//! What a host runs, written down beside it, so that one that was killed comes back with it while nobody is there to tell
//! it what to run: in a PoP whose link is cut, the application manager can't.
//!
//! Only a host with a key of its own does so, as only that comes back as the same host. It forgets all of it when it leaves
//! in order, and leaves the start to the application manager where that can be heard.

mod ledger;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use trellis_lattice::control::{component::ScaleComponent, provider::StartProvider};

use crate::{control, host::Host};

pub(crate) use ledger::Ledger;
use ledger::Runs;

/// How long the application manager may take to answer.
const MANAGER: Duration = Duration::from_secs(2);
/// For how long it is asked again when nobody is there: all of a PoP may just be starting.
const NOBODY: Duration = Duration::from_secs(1);
/// How often.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Starts what ran here before the host was killed, if nobody else does, and from then on writes down what runs. Goes on
/// until it is dropped.
pub(crate) async fn run(host: Arc<Host>) {
    let before = host
        .ledger
        .read(&host.identity.id, &host.config.lattice)
        .await;
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        if manager_answers(&host).await {
            tracing::info!(
                components = before.components.len(),
                providers = before.providers.len(),
                "this host was killed; what ran here is left to the application manager"
            );
        } else {
            start_again(&host, before).await;
        }
    }
    loop {
        host.ledger.changed().await;
        host.ledger.write(runs(&host)).await;
    }
}

/// Whether there is an application manager to hear.
async fn manager_answers(host: &Host) -> bool {
    let since = Instant::now();
    loop {
        let request = async_nats::Request::new().timeout(Some(MANAGER));
        let asked = host.client.send_request(host.subjects.app("list"), request);
        match asked.await {
            Ok(_) => return true,
            Err(error) => {
                let nobody = error.kind() == async_nats::RequestErrorKind::NoResponders;
                if !nobody || since.elapsed() >= NOBODY {
                    return false;
                }
            }
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Starts all of it at once.
async fn start_again(host: &Arc<Host>, before: Runs) {
    tracing::warn!(
        components = before.components.len(),
        providers = before.providers.len(),
        "this host was killed, and no application manager can be heard: starting what ran here"
    );
    for request in before.providers {
        if host.components.image_ref(&request.provider_id).is_some() {
            continue;
        }
        match host.providers.reserve(&request) {
            Ok(reserved) => host.spawn(reserved.run(host.clone())),
            Err(error) => {
                tracing::warn!(provider = %request.provider_id, %error, "not started again");
            }
        }
    }
    let components = before.components.into_iter();
    futures::future::join_all(components.map(|request| control::resume(host, request))).await;
}

/// What runs now, as requests that would start it.
fn runs(host: &Host) -> Runs {
    let host_id = &host.identity.id;
    let components = host.components.all_wanted().into_iter();
    let providers = host.providers.all_wanted().into_iter();
    Runs {
        host_id: host_id.clone(),
        lattice: host.config.lattice.clone(),
        components: components
            .map(|wanted| ScaleComponent {
                component_ref: wanted.image_ref,
                component_id: wanted.id,
                host_id: host_id.clone(),
                count: wanted.max_instances,
                annotations: Some(wanted.annotations),
                config: wanted.config,
                allow_update: true,
                limits: wanted.limits,
                dormant: wanted.dormant,
            })
            .collect(),
        providers: providers
            .map(|(description, config)| StartProvider {
                provider_id: description.id,
                provider_ref: description.image_ref.unwrap_or_default(),
                host_id: host_id.clone(),
                config,
                annotations: Some(description.annotations),
            })
            .collect(),
    }
}
