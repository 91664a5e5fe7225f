//! How an application is, for people and tools, in 1.x's form.

use trellis_lattice::app::{AppStatus, ScalerStatus, StatusInfo, StatusType};

use crate::{
    attempts::Attempts,
    plan::{AppState, PartState, State, Step},
};

/// How many leftovers a message names.
const MAX_NAMED: usize = 8;

/// An application's status, made from its part of a plan and from how its commands went. `version` is the deployed one;
/// `runs` tells whether a part runs somewhere, though perhaps not wherever it ought to.
pub fn status(
    version: Option<&str>,
    state: &AppState,
    steps: &[&Step],
    attempts: &Attempts,
    runs: &dyn Fn(&PartState) -> bool,
) -> AppStatus {
    let error = |part: Option<&str>| {
        steps
            .iter()
            .filter(|step| step.part.as_deref() == part)
            .find_map(|step| {
                let error = attempts.error(&step.command.subject())?;
                Some(format!("{}: {error}; trying again", step.command))
            })
    };
    let whole_error = error(None);
    let scalers: Vec<ScalerStatus> = state
        .parts
        .iter()
        .map(|part| ScalerStatus {
            id: part.id.clone(),
            kind: part.kind.as_str().to_owned(),
            name: part.name.clone(),
            status: match (&part.state, error(Some(&part.id)).or(whole_error.clone())) {
                // One host that refuses doesn't make it fail while others have it.
                (State::Reconciling(_), Some(error)) if runs(part) => {
                    info(StatusType::Unhealthy, error)
                }
                (State::Reconciling(_), Some(error)) => info(StatusType::Failed, error),
                (State::Reconciling(why), None) => info(StatusType::Reconciling, why.clone()),
                (State::Failed(why), _) => info(StatusType::Failed, why.clone()),
                (State::Unhealthy(why), _) => info(StatusType::Unhealthy, why.clone()),
                (State::Deployed, _) => info(StatusType::Deployed, String::new()),
            },
        })
        .collect();
    let whole = match version {
        Some(_) => deployed(&scalers, &state.leftovers, whole_error),
        None => undeployed(&state.leftovers, whole_error),
    };
    AppStatus {
        status: whole,
        scalers,
        version: version.unwrap_or_default().to_owned(),
        components: Vec::new(),
    }
}

fn deployed(scalers: &[ScalerStatus], leftovers: &[String], error: Option<String>) -> StatusInfo {
    let worst = scalers
        .iter()
        .map(|scaler| scaler.status.ty)
        .chain((!leftovers.is_empty()).then_some(StatusType::Reconciling))
        .chain(error.is_some().then_some(StatusType::Failed))
        .max_by_key(|ty| match ty {
            StatusType::Failed => 3,
            StatusType::Reconciling | StatusType::Waiting => 2,
            StatusType::Unhealthy => 1,
            StatusType::Deployed | StatusType::Undeployed => 0,
        })
        .unwrap_or(StatusType::Deployed);
    let mut messages: Vec<String> = Vec::new();
    let told = scalers.iter().map(|scaler| scaler.status.message.clone());
    for message in told.chain(error).chain(removing(leftovers)) {
        if !message.is_empty() && !messages.contains(&message) {
            messages.push(message);
        }
    }
    info(worst, messages.join(", "))
}

fn undeployed(leftovers: &[String], error: Option<String>) -> StatusInfo {
    match (removing(leftovers), error) {
        (None, _) => info(
            StatusType::Undeployed,
            "Manifest has been undeployed".into(),
        ),
        (Some(what), None) => info(StatusType::Reconciling, what),
        (Some(what), Some(error)) => info(StatusType::Failed, format!("{what}: {error}")),
    }
}

fn removing(leftovers: &[String]) -> Option<String> {
    if leftovers.is_empty() {
        return None;
    }
    let named = leftovers[..leftovers.len().min(MAX_NAMED)].join(", ");
    let more = leftovers.len().saturating_sub(MAX_NAMED);
    Some(match more {
        0 => format!("removing {named}"),
        more => format!("removing {named} and {more} more"),
    })
}

fn info(ty: StatusType, message: String) -> StatusInfo {
    StatusInfo { ty, message }
}
