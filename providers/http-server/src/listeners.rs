//! All addresses, and which link has which.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use trellis_provider::contract::LinkKey;

use crate::{
    access::AccessLog,
    listener::Listener,
    route::Route,
    routes::{Occupied, Routes, Target},
    table::Clash,
};

/// The addresses that are listened at.
#[derive(Debug)]
pub struct Listeners {
    all: Mutex<All>,
    log: AccessLog,
}

#[derive(Debug, Default)]
struct All {
    by_address: HashMap<SocketAddr, Listener>,
    by_link: HashMap<LinkKey, SocketAddr>,
    /// Given up, with requests that still run.
    ending: Vec<Listener>,
}

/// Why a link can't have its address now.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another link has it, or the part of it that this one wants.
    #[error(
        "{}address {address} is link {link}'s: give this one an `address` of its own, or another `host` or `path`",
        shared(.route)
    )]
    Taken {
        /// The address.
        address: SocketAddr,
        /// The requests that both want.
        route: Route,
        /// Who has them.
        link: Box<LinkKey>,
    },
    /// Another link has the address encrypted in another way.
    #[error(
        "field `{field}`: address {address} is also link {link}'s, which has another `{field}`: the links of an address share one certificate"
    )]
    OtherTls {
        /// The address.
        address: SocketAddr,
        /// What they differ in.
        field: &'static str,
        /// The other link.
        link: Box<LinkKey>,
    },
    /// The system refuses it.
    #[error("can't listen at {address}: {source}; {hint}")]
    System {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
        /// What to do about it.
        hint: &'static str,
    },
}

/// Which part of an address is meant, if it is a part.
fn shared(route: &Route) -> String {
    match route.takes_everything() {
        true => String::new(),
        false => format!("{route}, at "),
    }
}

impl Listeners {
    /// None yet; requests are logged there.
    pub fn new(log: AccessLog) -> Self {
        Self {
            all: Mutex::default(),
            log,
        }
    }

    /// Lets a link have its address: a new one, or the one that it or a deleted link had. Connections and requests on it
    /// go on.
    ///
    /// # Errors
    /// [`ListenError`]; what the link had before it keeps.
    pub fn put(&self, target: Target, grace: Duration) -> Result<(), ListenError> {
        let (link, address) = (target.link.clone(), target.settings.address);
        let target = Arc::new(target);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.ending.retain(|listener| !listener.is_finished());
        let occupied = match all.by_address.get(&address) {
            None => Err(Occupied::Gone),
            Some(listener) => listener.routes.put(&target),
        };
        match occupied {
            Ok(()) => {}
            Err(Occupied::By(Clash::Route(link))) => {
                return Err(ListenError::Taken {
                    address,
                    route: target.settings.route.clone(),
                    link: link.into(),
                });
            }
            Err(Occupied::By(Clash::Tls(field, link))) => {
                return Err(ListenError::OtherTls {
                    address,
                    field,
                    link: link.into(),
                });
            }
            Err(Occupied::Gone) => {
                if let Some(ending) = all.by_address.remove(&address) {
                    all.ending.push(ending);
                }
                let listener =
                    Listener::bind(address, Routes::new(target, grace), self.log.clone());
                let listener = listener.map_err(|source| system_error(address, source))?;
                all.by_address.insert(address, listener);
            }
        }
        if let Some(earlier) = all.by_link.insert(link.clone(), address)
            && earlier != address
            && let Some(listener) = all.by_address.get(&earlier)
        {
            listener.routes.vacate(&link);
        }
        Ok(())
    }

    /// Takes a link's address from it; another link may take it over for a while.
    pub fn delete(&self, link: &LinkKey) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = all
            .by_link
            .remove(link)
            .and_then(|address| all.by_address.get(&address));
        if let Some(listener) = listener {
            listener.routes.vacate(link);
        }
    }

    /// What is wrong with certificates whose earlier content is still in use, each told once.
    pub fn problems(&self) -> BTreeSet<String> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let tables = all
            .by_address
            .values()
            .map(|listener| listener.routes.table());
        let tls = tables.filter_map(|table| table.bounds().tls.clone());
        tls.filter_map(|tls| tls.problem())
            .map(|problem| (*problem).clone())
            .collect()
    }

    /// Gives every address up and waits until what runs has finished.
    pub async fn drain(&self) {
        let all = std::mem::take(&mut *self.all.lock().unwrap_or_else(PoisonError::into_inner));
        let listeners = all.by_address.into_values().chain(all.ending);
        join_all(listeners.map(Listener::drain)).await;
    }
}

fn system_error(address: SocketAddr, source: std::io::Error) -> ListenError {
    let hint = match source.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or give the link another `address`"
        }
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: give the link another `address`"
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "it is none of this machine's addresses: give the link another `address`"
        }
        _ => "it is tried again",
    };
    ListenError::System {
        address,
        source,
        hint,
    }
}
