//! Owners of remote resources are told when those are no longer used here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use trellis_rpc::{Call, CallContext, Operation, Outgoing, codec::to_bytes};

use crate::runtime::{
    actor::Shared, dynamic::handles::Released, interface::Typed, module::RESOURCE_DROP,
};

/// How long an owner may take to hear of a dropped resource.
const TELL_DEADLINE: Duration = Duration::from_secs(5);

/// Tells the owners of remote resources that those are no longer used here. A peer that does not know of this (1.x) says
/// so, and keeps them as it always did.
pub(in crate::runtime) async fn tell(shared: Arc<Shared>, released: Vec<Released>) {
    for Released { bytes, resource } in released {
        let Some((interface, name)) = shared
            .module
            .resources
            .name_of(resource)
            .and_then(|name| name.rsplit_once('.'))
        else {
            continue;
        };
        let position = shared
            .module
            .dynamic
            .iter()
            .position(|import| &*import.interface.name == interface);
        let slot = position.and_then(|position| shared.slots.get(Typed::ALL.len() + position));
        let Some(filled) = slot.and_then(|slot| slot.get().ok()) else {
            continue;
        };
        let call = Call {
            operation: Operation::new(interface, format!("{RESOURCE_DROP}{name}")),
            context: CallContext {
                source_id: Some(shared.id.to_shared()),
                link_name: Some("default".into()),
                deadline: Some(Instant::now() + TELL_DEADLINE),
                ..CallContext::default()
            },
            params: Outgoing::unary(to_bytes(&bytes)),
        };
        let told = tokio::time::timeout(TELL_DEADLINE, filled.route.call(call)).await;
        if let Ok(Err(error)) = told {
            tracing::debug!(actor = %shared.id, interface, resource = name, %error, "the owner was not told of a dropped resource");
        }
    }
}
