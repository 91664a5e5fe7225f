//! A component, compiled and linked: what its actors' calls are instantiated from.

mod check;
mod link;
mod load;

use std::{collections::HashMap, sync::Arc};

use trellis_rpc::{Operation, interface::keyvalue::WATCHER};
use wasmtime::component::{ComponentExportIndex, InstancePre};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

pub(super) use load::{compile, find};

use super::{
    describe::{Description, ExportDescription, FunctionDescription, wit},
    dynamic::reflect::{DynamicInterface, Function, Resources},
    state::CallState,
};

/// A loaded component. One serves any number of actors; loading the same bytes again gives the same module.
pub struct Module {
    pub(super) pre: InstancePre<CallState>,
    /// Imports that are called by their types, in the order of their slots.
    pub(super) dynamic: Vec<DynamicInterface>,
    pub(super) resources: Resources,
    pub(super) exports: Exports,
    /// The names of all imports.
    imports: Vec<String>,
    /// Its size as WebAssembly.
    bytes: usize,
    from_cache: bool,
}

/// What calls of a module reach.
#[derive(Default)]
pub(super) struct Exports {
    /// `wasi:http/incoming-handler`.
    pub(super) http: Option<ProxyIndices>,
    /// `wasmcloud:messaging/handler`, and its one function.
    pub(super) messaging: Option<ComponentExportIndex>,
    /// `wasi:keyvalue/watcher`.
    pub(super) watcher: Option<Watcher>,
    /// Others, by interface and wire name.
    pub(super) dynamic: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Export>>>,
    /// In the component's order, with those that cannot be called by their types.
    listed: Vec<ExportDescription>,
}

/// An exported function that is called by its types.
pub(super) struct Export {
    pub(super) index: ComponentExportIndex,
    pub(super) function: Arc<Function>,
}

/// The functions of `wasi:keyvalue/watcher`.
#[derive(Clone, Copy)]
pub(super) struct Watcher {
    pub(super) on_set: ComponentExportIndex,
    pub(super) on_delete: ComponentExportIndex,
}

/// What answers an operation.
pub(super) enum Answers {
    Http(ProxyIndices),
    Messaging(ComponentExportIndex),
    OnSet(ComponentExportIndex),
    OnDelete(ComponentExportIndex),
    Dynamic(Arc<Export>),
    /// A resource that a caller lets go of (an addition of ours, see [`RESOURCE_DROP`]).
    Drop,
}

/// HTTP on the wire.
pub(super) const HTTP_INSTANCE: &str = "wrpc:http/incoming-handler@0.1.0";
/// Messages on the wire; the export has the same name.
pub(super) const MESSAGING_INSTANCE: &str = "wasmcloud:messaging/handler@0.2.0";
/// What a component exports to be told what changes in a store; on the wire it is [`WATCHER`].
pub(super) const WATCHER_EXPORT: &str = "wasi:keyvalue/watcher@0.2.0-draft";
/// What a function that tells of a dropped resource is called, followed by the resource's name. wRPC has no word for it,
/// so peers of 1.x never call it, and answer that they do not know it.
pub(super) const RESOURCE_DROP: &str = "[resource-drop]";

impl Module {
    /// What answers that operation, if anything does.
    pub(super) fn find(&self, operation: &Operation) -> Option<Answers> {
        let (instance, function) = (&*operation.instance, &*operation.function);
        match (instance, function) {
            (HTTP_INSTANCE, "handle") => return self.exports.http.clone().map(Answers::Http),
            (MESSAGING_INSTANCE, "handle-message") => {
                return self.exports.messaging.map(Answers::Messaging);
            }
            (WATCHER, "on-set") => {
                return self.exports.watcher.map(|it| Answers::OnSet(it.on_set));
            }
            (WATCHER, "on-delete") => {
                return self
                    .exports
                    .watcher
                    .map(|it| Answers::OnDelete(it.on_delete));
            }
            _ => {}
        }
        if let Some(resource) = function.strip_prefix(RESOURCE_DROP) {
            return self
                .resources
                .find(&format!("{instance}.{resource}"))
                .map(|_| Answers::Drop);
        }
        self.export(instance, function)
            .cloned()
            .map(Answers::Dynamic)
    }

    /// An exported function that is called by its types.
    pub(super) fn export(&self, interface: &str, wire_name: &str) -> Option<&Arc<Export>> {
        self.exports.dynamic.get(interface)?.get(wire_name)
    }

    /// What it exports and imports.
    pub fn describe(&self) -> Description {
        Description {
            exports: self.exports.listed.clone(),
            imports: self.imports.clone(),
        }
    }

    /// Whether it was found compiled on disk.
    pub fn is_from_cache(&self) -> bool {
        self.from_cache
    }

    /// Its size as WebAssembly, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("bytes", &self.bytes)
            .field("imports", &self.imports)
            .finish_non_exhaustive()
    }
}

impl Exports {
    /// Takes up an interface whose functions are called by their types.
    pub(super) fn list(&mut self, interface: &str, functions: Vec<FunctionDescription>) {
        self.listed.push(ExportDescription {
            interface: interface.to_owned(),
            functions,
        });
    }
}

/// A function for [`Description`].
pub(super) fn describe_function(function: &Function) -> FunctionDescription {
    FunctionDescription {
        name: function.name.clone(),
        wire_name: function.wire_name.to_string(),
        wit: wit(&function.name, &function.ty),
        ty: Some(function.ty.clone()),
    }
}
