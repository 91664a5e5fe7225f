//! Labels of a host.

use std::sync::Arc;

use trellis_lattice::{
    control::{
        Labels,
        label::{DeleteLabel, PutLabel},
    },
    event::{Event, LabelsChanged},
};

use super::{Outcome, Refused, done, failed, read};
use crate::host::Host;

pub(super) fn put(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let request: PutLabel = read("label.put request", body)?;
    let labels = host
        .identity
        .put_label(&request.key, &request.value)
        .map_err(|error| failed(format!("label.put request: {error}")))?;
    Ok(changed(host, Some(labels), "successfully put label"))
}

pub(super) fn delete(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let request: DeleteLabel = read("label.del request", body)?;
    let labels = host
        .identity
        .delete_label(&request.key)
        .map_err(|error| failed(format!("label.del request: {error}")))?;
    Ok(changed(host, labels, "successfully deleted label"))
}

/// Tells of the labels, where they changed, and answers.
fn changed(host: &Arc<Host>, labels: Option<Labels>, message: &'static str) -> Outcome {
    let host = host.clone();
    Outcome::later(async move {
        if let Some(labels) = labels {
            let event = LabelsChanged {
                host_id: host.identity.id.clone(),
                labels,
            };
            host.events.publish(Event::LabelsChanged(event)).await;
        }
        done(message)
    })
}
