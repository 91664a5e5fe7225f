//! `wasi:logging`: lines to the host's log.

use wasmtime::component::{HasSelf, Linker};

use crate::runtime::state::CallState;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/wasi-logging",
        world: "wasi:logging/imports",
    });
}

use bindings::wasi::logging::logging::{self, Level};

/// What is logged of one message.
const MAX_MESSAGE_BYTES: usize = 16 << 10;
const MAX_CONTEXT_BYTES: usize = 256;

/// Offers it.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    logging::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
}

impl logging::Host for CallState {
    fn log(&mut self, level: Level, context: String, message: String) {
        let (context, message) = (
            cut(&context, MAX_CONTEXT_BYTES),
            cut(&message, MAX_MESSAGE_BYTES),
        );
        let actor = &self.actor().id;
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(target: "trellis::actor", %actor, context, "{message}")
            };
        }
        match level {
            Level::Trace => line!(trace),
            Level::Debug => line!(debug),
            Level::Info => line!(info),
            Level::Warn => line!(warn),
            Level::Error => line!(error),
            Level::Critical => {
                tracing::error!(target: "trellis::actor", %actor, context, critical = true, "{message}")
            }
        }
    }
}

/// The beginning of a text, whole characters only.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
