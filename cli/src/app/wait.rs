//! Waiting until an application runs as declared.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use trellis_lattice::app::{AppStatus, ScalerStatus, StatusType};

use super::{client::AppClient, list::word, rollout};
use crate::exit::NoAnswer;

/// How often the status is asked for.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long `failed` or `unhealthy` must last to be believed: the manager tries again, another host may do, and a
/// provider may just have been started.
const FAILED_FOR: Duration = Duration::from_secs(3);

/// Waits until an application is deployed, telling `progress` of each change.
///
/// # Errors
/// It failed or is unhealthy (with each part's reason), went back to the version before, or is not there within the
/// time.
pub async fn until_deployed(
    apps: &AppClient,
    name: &str,
    within: Duration,
    mut progress: impl FnMut(&str),
) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    let mut said = String::new();
    let mut failed_since = None;
    let wanted = rollout::deployed(apps, name).await;
    loop {
        let Ok(status) = timeout_at(deadline, apps.status_of_known(name)).await else {
            return Err(late(name, within, &said));
        };
        let status = status?;
        // That of another version says nothing, but that this one may have gone.
        if let Some(wanted) = &wanted
            && !status.version.is_empty()
            && status.version != *wanted
            && Instant::now() < deadline
        {
            rollout::stays(apps, name, wanted).await?;
            sleep(INTERVAL).await;
            continue;
        }
        match status.status.ty {
            StatusType::Deployed => return Ok(()),
            ty @ (StatusType::Failed | StatusType::Unhealthy) => {
                let since = *failed_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= FAILED_FOR {
                    let how = match ty {
                        StatusType::Failed => "failed",
                        _ => "runs, but not as it ought to",
                    };
                    return Err(anyhow::anyhow!(
                        "application {name} {how}: {}. It is tried again; `trellis app explain {name}` tells more",
                        reasons(&status)
                    ));
                }
            }
            _ => failed_since = None,
        }
        let now = describe(&status);
        if now != said {
            progress(&now);
            said = now;
        }
        if Instant::now() >= deadline {
            return Err(late(name, within, &said));
        }
        sleep(INTERVAL).await;
    }
}

fn late(name: &str, within: Duration, said: &str) -> anyhow::Error {
    NoAnswer(format!(
        "application {name} is not deployed after {}: {said}. `trellis app explain {name}` tells why",
        humantime::format_duration(within)
    ))
    .into()
}

/// "3 of 5 parts ready; waiting for shop-http (reason)".
fn describe(status: &AppStatus) -> String {
    let scalers = &status.scalers;
    if scalers.is_empty() {
        return word(status.status.ty).to_owned();
    }
    let missing: Vec<&ScalerStatus> = scalers
        .iter()
        .filter(|scaler| scaler.status.ty != StatusType::Deployed)
        .collect();
    let ready = scalers.len() - missing.len();
    let mut text = format!("{ready} of {} parts ready", scalers.len());
    if let Some(first) = missing.first() {
        text.push_str("; waiting for ");
        text.push_str(&part(first));
    }
    text
}

fn reasons(status: &AppStatus) -> String {
    let failed = status
        .scalers
        .iter()
        .filter(|scaler| matches!(scaler.status.ty, StatusType::Failed | StatusType::Unhealthy));
    let parts: Vec<String> = failed.map(part).collect();
    if parts.is_empty() {
        status.status.message.clone()
    } else {
        parts.join("; ")
    }
}

fn part(scaler: &ScalerStatus) -> String {
    match scaler.status.message.as_str() {
        "" => scaler.name.clone(),
        message => format!("{} ({message})", scaler.name),
    }
}
