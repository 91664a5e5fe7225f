//! What a component imports is defined, what it exports is found.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use wasmtime::{
    Engine,
    component::{
        Component,
        types::{self, ComponentInstance, ComponentItem},
    },
};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

use super::{
    Export, Exports, MESSAGING_INSTANCE, Module, WATCHER_EXPORT, Watcher, describe_function,
};
use crate::runtime::{
    LoadError, Runtime,
    describe::FunctionDescription,
    dynamic::{
        import,
        reflect::{DynamicInterface, Origin, Resources, function, functions},
    },
    interface::{Interface, Served, Typed, is_0_2, serve_import},
    offer,
};

/// Links a compiled component.
pub(super) fn link(
    runtime: &Runtime,
    component: &Component,
    bytes: usize,
    from_cache: bool,
) -> Result<Module, LoadError> {
    let engine = runtime.engine();
    let ty = component.component_type();
    let mut resources = Resources::default();
    let imported = imports(engine, &ty, &mut resources)?;
    add_exported_resources(engine, &ty, &mut resources);

    // Most components import only what all are offered.
    let mut linker = Cow::Borrowed(runtime.linker());
    let mut dynamic = Vec::new();
    for (interface, served, instance) in &imported {
        match served {
            Served::BuiltIn if interface.namespace == "wasmcloud" && interface.package == "bus" => {
                offer::lattice::define(linker.to_mut(), engine, &interface.name, instance)
                    .map_err(|error| import_error(&interface.name, format!("{error:#}")))?;
            }
            Served::BuiltIn => {}
            Served::Dynamic => {
                let slot = Typed::ALL.len() + dynamic.len();
                let found = dynamic_import(engine, &resources, interface, instance)?;
                import::define(linker.to_mut(), engine, &found, instance, &resources, slot)
                    .map_err(|error| import_error(&interface.name, format!("{error:#}")))?;
                dynamic.push(found);
            }
        }
    }
    let pre = linker.instantiate_pre(component).map_err(unmatched)?;
    let exports = exports(engine, component, &ty, &resources, &pre)?;
    component
        .initialize_copy_on_write_image()
        .map_err(|error| {
            LoadError::Compile(format!("its memory image cannot be made: {error:#}"))
        })?;
    Ok(Module {
        imports: imported
            .iter()
            .map(|(interface, ..)| interface.name.to_string())
            .collect(),
        pre,
        dynamic,
        resources,
        exports,
        bytes,
        from_cache,
    })
}

type Imported = (Interface, Served, ComponentInstance);

/// All imported interfaces, with the resources that they define.
fn imports(
    engine: &Engine,
    ty: &types::Component,
    resources: &mut Resources,
) -> Result<Vec<Imported>, LoadError> {
    let mut imported = Vec::new();
    for (name, item) in ty.imports(engine) {
        let instance = match item.ty {
            ComponentItem::ComponentInstance(instance) => instance,
            // A type that world and interfaces share; there is nothing to serve.
            ComponentItem::Type(_) => continue,
            _ => {
                return Err(import_error(
                    name,
                    "it belongs to no interface, and only interfaces can be linked",
                ));
            }
        };
        let interface = Interface::parse(name).ok_or_else(|| {
            import_error(
                name,
                "its name is not `namespace:package/interface@version`, which links go by",
            )
        })?;
        let served = serve_import(&interface).map_err(|why| import_error(name, why))?;
        resources.add(engine, name, &instance, |number| match served {
            Served::BuiltIn => Origin::BuiltIn,
            Served::Dynamic => Origin::Imported(number),
        });
        imported.push((interface, served, instance));
    }
    Ok(imported)
}

fn add_exported_resources(engine: &Engine, ty: &types::Component, resources: &mut Resources) {
    for (name, item) in ty.exports(engine) {
        if let ComponentItem::ComponentInstance(instance) = item.ty {
            resources.add(engine, name, &instance, |_| Origin::Exported);
        }
    }
}

fn dynamic_import(
    engine: &Engine,
    resources: &Resources,
    interface: &Interface,
    instance: &ComponentInstance,
) -> Result<DynamicInterface, LoadError> {
    let mut found = Vec::new();
    for (name, func) in functions(engine, instance) {
        let function =
            function(resources, name, &func).map_err(|why| import_error(&interface.name, why))?;
        if function.carries_exported {
            let why = format!(
                "{name} takes a resource that the actor itself exports, which cannot be given to others"
            );
            return Err(import_error(&interface.name, why));
        }
        found.push(Arc::new(function));
    }
    Ok(DynamicInterface {
        interface: interface.clone(),
        functions: found,
    })
}

fn exports(
    engine: &Engine,
    component: &Component,
    ty: &types::Component,
    resources: &Resources,
    pre: &wasmtime::component::InstancePre<crate::runtime::state::CallState>,
) -> Result<Exports, LoadError> {
    let mut exports = Exports::default();
    for (name, item) in ty.exports(engine) {
        match item.ty {
            ComponentItem::ComponentInstance(_) if is_http(name)? => {
                let handler = ProxyIndices::new(pre)
                    .map_err(|error| export_error(name, format!("{error:#}")))?;
                exports.http = Some(handler);
                let wit =
                    "handle: func(request: incoming-request, response-out: response-outparam)";
                exports.list(name, vec![described("handle", wit)]);
            }
            ComponentItem::ComponentInstance(_) if is_watcher(name)? => {
                export_watcher(&mut exports, component, name);
            }
            ComponentItem::ComponentInstance(instance) => {
                export_interface(&mut exports, engine, component, resources, name, &instance)?;
            }
            ComponentItem::ComponentFunc(func) => {
                let index = component.get_export_index(None, name);
                let callable = function(resources, name, &func);
                let listed = export_function(&mut exports, "", name, index, callable);
                exports.list("", vec![listed]);
            }
            _ => {}
        }
    }
    Ok(exports)
}

/// Whether an export is the HTTP handler of a supported version.
fn is_http(name: &str) -> Result<bool, LoadError> {
    match Interface::parse(name) {
        Some(it) if it.namespace == "wasi" && it.package == "http" => {
            if it.interface == "incoming-handler" && is_0_2(&it.version) {
                return Ok(true);
            }
            Err(export_error(
                name,
                "of wasi:http, this host calls only incoming-handler of WASI 0.2: build the actor for the target wasm32-wasip2",
            ))
        }
        _ => Ok(false),
    }
}

/// Whether an export is the watcher of the supported version.
fn is_watcher(name: &str) -> Result<bool, LoadError> {
    match Interface::parse(name) {
        Some(it)
            if (&*it.namespace, &*it.package, &*it.interface)
                == ("wasi", "keyvalue", "watcher") =>
        {
            if name == WATCHER_EXPORT {
                return Ok(true);
            }
            let why = format!("this host calls {WATCHER_EXPORT}: build the actor against that");
            Err(export_error(name, why))
        }
        _ => Ok(false),
    }
}

/// Its buckets are this runtime's own, so it isn't called by its types.
fn export_watcher(exports: &mut Exports, component: &Component, name: &str) {
    let function = |function: &str| {
        let parent = component.get_export_index(None, name)?;
        component.get_export_index(Some(&parent), function)
    };
    exports.watcher = function("on-set")
        .zip(function("on-delete"))
        .map(|(on_set, on_delete)| Watcher { on_set, on_delete });
    let listed = [
        (
            "on-set",
            "on-set: func(bucket: bucket, key: string, value: list<u8>)",
        ),
        ("on-delete", "on-delete: func(bucket: bucket, key: string)"),
    ];
    exports.list(name, listed.map(|(name, wit)| described(name, wit)).into());
}

fn export_interface(
    exports: &mut Exports,
    engine: &Engine,
    component: &Component,
    resources: &Resources,
    name: &str,
    instance: &ComponentInstance,
) -> Result<(), LoadError> {
    let Some(parent) = component.get_export_index(None, name) else {
        return Ok(());
    };
    let mut listed = Vec::new();
    for (function_name, func) in functions(engine, instance) {
        let index = component.get_export_index(Some(&parent), function_name);
        if name == MESSAGING_INSTANCE && function_name == "handle-message" {
            exports.messaging = index;
        }
        let callable = function(resources, function_name, &func);
        listed.push(export_function(
            exports,
            name,
            function_name,
            index,
            callable,
        ));
    }
    exports.list(name, listed);
    Ok(())
}

/// A function that cannot be called from afar is no error: the component may have it for others.
fn export_function(
    exports: &mut Exports,
    interface: &str,
    name: &str,
    index: Option<wasmtime::component::ComponentExportIndex>,
    callable: Result<crate::runtime::dynamic::reflect::Function, String>,
) -> FunctionDescription {
    match (callable, index) {
        (Ok(function), Some(index)) => {
            let described = describe_function(&function);
            let by_name: &mut HashMap<_, _> = exports.dynamic.entry(interface.into()).or_default();
            by_name.insert(
                function.wire_name.clone(),
                Arc::new(Export {
                    index,
                    function: Arc::new(function),
                }),
            );
            described
        }
        (Err(why), _) => {
            tracing::warn!(
                interface,
                function = name,
                why,
                "an exported function cannot be called from elsewhere"
            );
            described(name, &format!("{name}: not callable from elsewhere: {why}"))
        }
        (Ok(_), None) => described(name, &format!("{name}: not found in the component")),
    }
}

fn described(name: &str, wit: &str) -> FunctionDescription {
    FunctionDescription {
        name: name.to_owned(),
        wire_name: name.to_owned(),
        wit: wit.to_owned(),
        ty: None,
    }
}

fn import_error(import: &str, why: impl Into<String>) -> LoadError {
    LoadError::Import {
        import: import.to_owned(),
        why: why.into(),
    }
}

fn export_error(export: &str, why: impl Into<String>) -> LoadError {
    LoadError::Export {
        export: export.to_owned(),
        why: why.into(),
    }
}

/// An import of a built-in interface whose types are not those of this host.
fn unmatched(error: wasmtime::Error) -> LoadError {
    let text = format!("{error:#}");
    let import = text
        .split('`')
        .nth(1)
        .unwrap_or("of the component")
        .to_owned();
    LoadError::Import { import, why: text }
}
