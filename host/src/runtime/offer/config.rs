//! `wasi:config`: the actor's configuration, in the drafts that actors in the field import.

use wasmtime::component::{HasSelf, Linker};

use crate::runtime::state::CallState;

mod draft {
    wasmtime::component::bindgen!({
        inline: "
            package trellis:host;
            world config {
                import wasi:config/store@0.2.0-draft;
                import wasi:config/runtime@0.2.0-draft;
            }
        ",
        path: "../wit/wasi-config-0.2.0-draft",
        world: "trellis:host/config",
    });
}

mod candidate {
    wasmtime::component::bindgen!({
        inline: "
            package trellis:host;
            world config {
                import wasi:config/store@0.2.0-rc.1;
            }
        ",
        path: "../wit/wasi-config-0.2.0-rc.1",
        world: "trellis:host/config",
    });
}

/// Offers all of them.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    draft::wasi::config::store::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    draft::wasi::config::runtime::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)?;
    candidate::wasi::config::store::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
}

impl CallState {
    fn configured(&self, key: &str) -> Option<String> {
        self.actor().config.load().get(key).cloned()
    }

    fn all_configured(&self) -> Vec<(String, String)> {
        let config = self.actor().config.load();
        config
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

macro_rules! offer {
    ($host:path, $error:path) => {
        impl $host for CallState {
            fn get(&mut self, key: String) -> Result<Option<String>, $error> {
                Ok(self.configured(&key))
            }

            fn get_all(&mut self) -> Result<Vec<(String, String)>, $error> {
                Ok(self.all_configured())
            }
        }
    };
}

offer!(
    draft::wasi::config::store::Host,
    draft::wasi::config::store::Error
);
offer!(
    draft::wasi::config::runtime::Host,
    draft::wasi::config::runtime::ConfigError
);
offer!(
    candidate::wasi::config::store::Host,
    candidate::wasi::config::store::Error
);
