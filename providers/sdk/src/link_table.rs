//! What a provider keeps for each component that calls it, found by the call's context.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use trellis_lattice::{ComponentId, LinkKey, LinkName};
use trellis_rpc::CallContext;

/// How long a call waits for its link. The host gives a link to both ends at once, so a component's first call can be
/// here before its link is.
const LINK_WAIT: Duration = Duration::from_millis(500);

type BySource<T> = HashMap<ComponentId, HashMap<LinkName, Vec<Linked<T>>>>;

/// One link's value. Of one component and name there is a link for each package.
#[derive(Debug)]
struct Linked<T> {
    namespace: String,
    package: String,
    value: Arc<T>,
}

/// Values by link: whose call comes over which link.
#[derive(Debug)]
pub struct LinkTable<T> {
    links: watch::Sender<BySource<T>>,
}

/// A call over a link that isn't there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLink {
    /// The call doesn't say who makes it.
    #[error("the call has no source: a provider answers only calls that come over a link")]
    NoSource,
    /// No such link.
    #[error("{source_id:?} has no link named {link_name:?} to this provider, or it was refused")]
    Unknown {
        /// Who called.
        source_id: String,
        /// The link's name.
        link_name: String,
    },
}

impl<T> Default for LinkTable<T> {
    fn default() -> Self {
        Self {
            links: watch::Sender::new(HashMap::new()),
        }
    }
}

impl<T> LinkTable<T> {
    /// Puts a link's value in place of an earlier one. Calls that run keep the one they found.
    pub fn put(&self, link: &LinkKey, value: T) {
        let linked = Linked {
            namespace: link.wit_namespace.clone(),
            package: link.wit_package.clone(),
            value: Arc::new(value),
        };
        self.links.send_modify(|links| {
            let names = links.entry(link.source_id.clone()).or_default();
            let packages = names.entry(link.name.clone()).or_default();
            packages.retain(|earlier| !earlier.is(link));
            packages.push(linked);
        });
    }

    /// Takes a link's value out.
    pub fn remove(&self, link: &LinkKey) -> Option<Arc<T>> {
        let mut removed = None;
        self.links.send_modify(|links| {
            let Some(names) = links.get_mut(&link.source_id) else {
                return;
            };
            let Some(packages) = names.get_mut(&link.name) else {
                return;
            };
            let place = packages.iter().position(|linked| linked.is(link));
            removed = place.map(|place| packages.remove(place).value);
            if packages.is_empty() {
                names.remove(&link.name);
            }
            if names.is_empty() {
                links.remove(&link.source_id);
            }
        });
        removed
    }

    /// Every link's value.
    pub fn values(&self) -> Vec<Arc<T>> {
        self.links
            .borrow()
            .values()
            .flat_map(HashMap::values)
            .flatten()
            .map(|linked| linked.value.clone())
            .collect()
    }

    /// The value for a call, of a provider of one package. Waits a moment for a link that isn't there yet.
    ///
    /// # Errors
    /// [`NoLink`] when the link doesn't come.
    pub async fn get(&self, context: &CallContext) -> Result<Arc<T>, NoLink> {
        self.find(context, |packages| packages.last()).await
    }

    /// The value for a call of a package's function, for a provider of several. Links of one component and name may lead each
    /// package elsewhere. Waits a moment for a link that isn't there yet.
    ///
    /// # Errors
    /// [`NoLink`] when the link doesn't come.
    pub async fn get_of(
        &self,
        context: &CallContext,
        namespace: &str,
        package: &str,
    ) -> Result<Arc<T>, NoLink> {
        let of_package =
            |linked: &&Linked<T>| linked.namespace == namespace && linked.package == package;
        self.find(context, |packages| packages.iter().find(of_package))
            .await
    }

    async fn find(
        &self,
        context: &CallContext,
        choose: impl Fn(&Vec<Linked<T>>) -> Option<&Linked<T>>,
    ) -> Result<Arc<T>, NoLink> {
        let source_id = context.source_id.as_deref().ok_or(NoLink::NoSource)?;
        let link_name = context.link_name.as_deref().unwrap_or("default");
        let find = |links: &BySource<T>| {
            let packages = links.get(source_id)?.get(link_name)?;
            choose(packages).map(|linked| linked.value.clone())
        };
        if let Some(found) = find(&self.links.borrow()) {
            return Ok(found);
        }
        let mut changes = self.links.subscribe();
        let deadline = Instant::now() + LINK_WAIT;
        loop {
            if let Some(found) = find(&changes.borrow_and_update()) {
                return Ok(found);
            }
            // The sender is `self`, so only the time can end the waiting.
            if tokio::time::timeout_at(deadline, changes.changed())
                .await
                .is_err()
            {
                return Err(NoLink::Unknown {
                    source_id: source_id.to_owned(),
                    link_name: link_name.to_owned(),
                });
            }
        }
    }
}

impl<T> Linked<T> {
    fn is(&self, link: &LinkKey) -> bool {
        self.namespace == link.wit_namespace && self.package == link.wit_package
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(source: &str, name: &str) -> LinkKey {
        LinkKey {
            source_id: ComponentId::new(source).unwrap(),
            name: LinkName::new(name).unwrap(),
            wit_namespace: "wasi".into(),
            wit_package: "keyvalue".into(),
        }
    }

    fn from(source: &str, name: Option<&str>) -> CallContext {
        CallContext {
            source_id: Some(source.into()),
            link_name: name.map(Into::into),
            ..CallContext::default()
        }
    }

    #[tokio::test]
    async fn a_call_finds_its_own_link() {
        let table = LinkTable::default();
        table.put(&link("a", "default"), 1);
        table.put(&link("a", "other"), 2);
        assert_eq!(*table.get(&from("a", None)).await.unwrap(), 1);
        assert_eq!(*table.get(&from("a", Some("other"))).await.unwrap(), 2);
        assert_eq!(
            table.get(&CallContext::default()).await,
            Err(NoLink::NoSource)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn packages_of_one_name_have_links_of_their_own() {
        let table = LinkTable::default();
        let ours = LinkKey {
            wit_namespace: "trellis".into(),
            ..link("a", "default")
        };
        let call = from("a", None);
        table.put(&link("a", "default"), 1);
        table.put(&ours, 2);
        table.put(&ours, 3);
        let of = async |namespace| Ok(*table.get_of(&call, namespace, "keyvalue").await?);
        assert_eq!(of("wasi").await, Ok(1));
        assert_eq!(of("trellis").await, Ok(3));
        assert_eq!(table.remove(&ours).as_deref(), Some(&3));
        assert_eq!(of("wasi").await, Ok(1));
        assert!(matches!(of("trellis").await, Err(NoLink::Unknown { .. })));
        assert_eq!(table.values().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_comes_before_its_link_waits_for_it() {
        let table = LinkTable::default();
        let context = from("a", None);
        let (found, ()) = tokio::join!(table.get(&context), async {
            tokio::time::sleep(LINK_WAIT / 2).await;
            table.put(&link("a", "default"), 1);
        });
        assert_eq!(*found.unwrap(), 1);
        table.remove(&link("a", "default"));
        let error = table.get(&from("a", None)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"a\" has no link named \"default\" to this provider, or it was refused"
        );
    }
}
