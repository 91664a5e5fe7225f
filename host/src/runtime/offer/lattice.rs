//! `wasmcloud:bus/lattice`: an actor with several links of one interface chooses among them by name.
//!
//! 1.x's versions of it differ in whether `set-link-name` has a result, so it is defined by the component's own types.

use trellis_lattice::LinkName;
use wasmtime::{
    Engine, StoreContextMut,
    component::{
        Linker, Resource, ResourceType, Val,
        types::{ComponentInstance, ComponentItem},
    },
};

use crate::runtime::{dynamic::reflect::functions, state::CallState};

/// An interface that a link is chosen for.
struct TargetInterface {
    namespace: String,
    package: String,
    interface: String,
}

/// Defines an import of it.
pub(in crate::runtime) fn define(
    linker: &mut Linker<CallState>,
    engine: &Engine,
    name: &str,
    instance: &ComponentInstance,
) -> wasmtime::Result<()> {
    let mut linked = linker.instance(name)?;
    for (resource, item) in instance.exports(engine) {
        if let ComponentItem::Resource(_) = item.ty {
            linked.resource(
                resource,
                ResourceType::host::<TargetInterface>(),
                |mut store, rep| {
                    store
                        .data_mut()
                        .table
                        .delete(Resource::<TargetInterface>::new_own(rep))?;
                    Ok(())
                },
            )?;
        }
    }
    for (function, _) in functions(engine, instance) {
        match function {
            "[constructor]call-target-interface" => {
                linked.func_new(function, |store, _, params, results| {
                    make(store, params, results)
                })?;
            }
            "set-link-name" => {
                linked.func_new(function, |store, _, params, results| {
                    set_link_name(store, params, results)
                })?;
            }
            other => wasmtime::bail!("this host does not offer {other} of it"),
        }
    }
    Ok(())
}

fn make(
    mut store: StoreContextMut<'_, CallState>,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let (
        [
            Val::String(namespace),
            Val::String(package),
            Val::String(interface),
        ],
        [result],
    ) = (params, results)
    else {
        wasmtime::bail!("call-target-interface is made of a namespace, a package and an interface");
    };
    let target = TargetInterface {
        namespace: namespace.clone(),
        package: package.clone(),
        interface: interface.clone(),
    };
    let target = store.data_mut().table.push(target)?;
    *result = Val::Resource(target.try_into_resource_any(&mut store)?);
    Ok(())
}

fn set_link_name(
    mut store: StoreContextMut<'_, CallState>,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let [Val::String(name), Val::List(interfaces)] = params else {
        wasmtime::bail!("set-link-name takes a name and a list of interfaces");
    };
    // The versions with a result also say whether there are such links.
    let must_exist = !results.is_empty();
    let chosen = choose(&mut store, name, interfaces, must_exist)?;
    match (results.first_mut(), chosen) {
        (None, Ok(())) => Ok(()),
        (None, Err(why)) => wasmtime::bail!("set-link-name: {why}"),
        (Some(result), Ok(())) => {
            *result = Val::Result(Ok(None));
            Ok(())
        }
        (Some(result), Err(why)) => {
            *result = Val::Result(Err(Some(Box::new(Val::String(why)))));
            Ok(())
        }
    }
}

fn choose(
    store: &mut StoreContextMut<'_, CallState>,
    name: &str,
    interfaces: &[Val],
    must_exist: bool,
) -> wasmtime::Result<Result<(), String>> {
    let name = LinkName::new(name);
    let mut chosen = Ok(());
    for interface in interfaces {
        let Val::Resource(resource) = interface else {
            wasmtime::bail!("set-link-name takes a list of interfaces")
        };
        let resource = resource.try_into_resource::<TargetInterface>(&mut *store)?;
        let state = store.data_mut();
        let target = state.table.get(&resource)?;
        let one = match &name {
            Ok(name) => {
                let (namespace, package) = (&target.namespace, &target.package);
                state
                    .scope
                    .choose(namespace, package, &target.interface, name, must_exist)
            }
            Err(error) => Err(error.to_string()),
        };
        if resource.owned() {
            state.table.delete(resource)?;
        }
        chosen = chosen.and(one);
    }
    Ok(chosen)
}
