//! Stopping a host.

use std::{sync::Arc, time::Duration};

use trellis_lattice::control::host::StopHost;

use super::{Outcome, Refused, check_host, done, read};
use crate::host::Host;

pub(super) fn stop(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let request: StopHost = read("host.stop request", body)?;
    check_host(host, &request.host_id)?;
    tracing::info!(timeout_ms = request.timeout, "asked to stop");
    host.stop_timeout
        .send_replace(request.timeout.map(Duration::from_millis));
    let host = host.clone();
    Ok(Outcome::later(async move {
        host.stopping.cancel();
        done("successfully handled stop host")
    }))
}
