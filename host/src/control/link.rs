//! Links.

use std::{convert::Infallible, sync::Arc};

use serde::Deserialize;
use trellis_lattice::{
    Link, LinkKey, ResolvedLink,
    bucket::ComponentSpec,
    event::{Event, LinkDeleted, LinkSetFailed},
};

use super::{Answer, Outcome, Refused, done, failed, read};
use crate::{host::Host, providers::REPLACED_GRACE, store::Edit};

/// The most links of one source: its entry must fit into a message.
const MAX_LINKS: usize = 1000;

/// Ours: beside the link itself.
#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    replace: bool,
}

/// Why a link is not put.
#[derive(Debug, thiserror::Error)]
enum PutError {
    // 1.x's own words; its tools look for them.
    #[error(
        "link already exists with different target, consider deleting the existing link or using a different link name"
    )]
    OtherTarget,
    #[error("{0:?} has {MAX_LINKS} links, and no more are taken")]
    TooMany(String),
}

pub(super) fn put(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let link: Link = read("link.put request", body)?;
    let Options { replace } = read("link.put request", body)?;
    link.check()
        .map_err(|error| failed(format!("link.put request: {error}")))?;
    let mut ticket = host.ids.ticket(&order(&link.source_id));
    let host = host.clone();
    Ok(Outcome::later(async move {
        ticket.turn().await;
        let answer = put_in_turn(&host, &link, replace).await;
        if !answer.success {
            let failed = LinkSetFailed {
                error: answer.message.clone(),
                link,
            };
            host.events.publish(Event::LinkSetFailed(failed)).await;
        }
        answer
    }))
}

async fn put_in_turn(host: &Arc<Host>, link: &Link, replace: bool) -> Answer {
    for (field, names) in [
        ("source_config", &link.source_config),
        ("target_config", &link.target_config),
    ] {
        if let Err(missing) = host.wait_for_config(names).await {
            return failed(format!("link.put request: field `{field}`: {missing}"));
        }
    }
    let edit = |spec: &mut ComponentSpec| edit_put(spec, link, replace);
    let (before, written) = match host.store.edit_spec(&link.source_id, edit).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(refused)) => return failed(refused),
        Err(error) => return failed(error),
    };
    if let Some(written) = written {
        host.view
            .wrote_spec(&link.source_id, written.revision, written.spec);
    }
    // Secrets are for a provider's own host to ask for; without them nobody has a use for the link.
    if !link.has_secrets() {
        tell_put(host, &host.resolve_link(link)).await;
    }
    if let Some(before) = before.filter(|before| before.target != link.target) {
        take_from_old_target(host, &before);
    }
    host.events.publish(Event::LinkSet(link.clone())).await;
    done("successfully set link")
}

/// Puts a link into its source's entry; gives the link that it replaces.
fn edit_put(
    spec: &mut ComponentSpec,
    link: &Link,
    replace: bool,
) -> Result<Edit<Option<Link>>, PutError> {
    let key = link.key();
    let count = spec.links.len();
    match spec.links.iter_mut().find(|known| known.key() == key) {
        Some(known) if known.target != link.target && !replace => Err(PutError::OtherTarget),
        Some(known) if known == link => Ok(Edit::Keep(None)),
        Some(known) => Ok(Edit::Write(Some(std::mem::replace(known, link.clone())))),
        None if count >= MAX_LINKS => Err(PutError::TooMany(link.source_id.to_string())),
        None => {
            spec.links.push(link.clone());
            Ok(Edit::Write(None))
        }
    }
}

pub(super) fn delete(host: &Arc<Host>, body: &[u8]) -> Result<Outcome, Refused> {
    let key: LinkKey = read("link.del request", body)?;
    let mut ticket = host.ids.ticket(&order(&key.source_id));
    let host = host.clone();
    Ok(Outcome::later(async move {
        ticket.turn().await;
        delete_in_turn(&host, key).await
    }))
}

async fn delete_in_turn(host: &Arc<Host>, key: LinkKey) -> Answer {
    let edit = |spec: &mut ComponentSpec| {
        Ok::<_, Infallible>(
            match spec.links.iter().position(|known| known.key() == key) {
                Some(index) => Edit::Write(Some(spec.links.remove(index))),
                None => Edit::Keep(None),
            },
        )
    };
    let (deleted, written) = match host.store.edit_spec(&key.source_id, edit).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(never)) => match never {},
        Err(error) => return failed(error),
    };
    if let Some(written) = written {
        host.view
            .wrote_spec(&key.source_id, written.revision, written.spec);
    }
    let mut event = LinkDeleted {
        source_id: key.source_id,
        target: None,
        name: key.name,
        wit_namespace: key.wit_namespace,
        wit_package: key.wit_package,
        interfaces: Vec::new(),
    };
    if let Some(link) = deleted {
        event.target = Some(link.target.clone());
        event.interfaces.clone_from(&link.interfaces);
        tell_deleted(host, &link).await;
    }
    host.events.publish(Event::LinkDeleted(event)).await;
    done("successfully deleted link")
}

/// Links of one source are put and deleted one after the other, apart from the source's own starts and stops.
fn order(source: &trellis_lattice::ComponentId) -> String {
    // No id has a dot in it.
    format!("link.{source}")
}

/// Tells both ends of a link, wherever they run, as 1.x does. A provider of this host hears it from its supervisor,
/// which knows what it was told before.
async fn tell_put(host: &Host, link: &ResolvedLink) {
    for end in [&link.source_id, &link.target] {
        if !host.providers.contains(end) {
            host.publish_link(&host.subjects.provider_link_put(end.as_str()), link)
                .await;
        }
    }
}

async fn tell_deleted(host: &Host, link: &Link) {
    let link = ResolvedLink::new(link, Default::default(), Default::default());
    for end in [&link.source_id, &link.target] {
        if !host.providers.contains(end) {
            host.publish_link(&host.subjects.provider_link_del(end.as_str()), &link)
                .await;
        }
    }
}

/// Calls that were made over a replaced link finish at its old target, so it loses the link a little later.
fn take_from_old_target(host: &Arc<Host>, before: &Link) {
    if host.providers.contains(&before.target) {
        return;
    }
    let (link, worker) = (before.clone(), host.clone());
    host.spawn(async move {
        tokio::time::sleep(REPLACED_GRACE).await;
        // It may have come back meanwhile.
        if worker.view.links_from(&link.source_id).contains(&link) {
            return;
        }
        let subject = worker.subjects.provider_link_del(link.target.as_str());
        let link = ResolvedLink::new(&link, Default::default(), Default::default());
        worker.publish_link(&subject, &link).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str) -> Link {
        serde_json::from_value(serde_json::json!({
            "source_id": "a", "target": target, "wit_namespace": "wasi", "wit_package": "keyvalue",
            "interfaces": ["store"],
        }))
        .unwrap()
    }

    #[test]
    fn another_target_is_refused_or_replaced() {
        let mut spec = ComponentSpec::default();
        assert!(matches!(
            edit_put(&mut spec, &link("b"), false),
            Ok(Edit::Write(None))
        ));
        assert!(matches!(
            edit_put(&mut spec, &link("b"), false),
            Ok(Edit::Keep(None))
        ));
        assert!(matches!(
            edit_put(&mut spec, &link("c"), false),
            Err(PutError::OtherTarget)
        ));
        assert_eq!(spec.links, [link("b")]);
        let replaced = edit_put(&mut spec, &link("c"), true);
        assert!(matches!(replaced, Ok(Edit::Write(Some(before))) if before == link("b")));
        assert_eq!(spec.links, [link("c")]);
    }
}
