//! What a component imports and exports, by its types.

use std::sync::Arc;

use trellis_rpc::value::{FunctionType, Ty};
use wasmtime::{
    Engine,
    component::{
        ResourceType,
        types::{ComponentFunc, ComponentInstance, ComponentItem, Type},
    },
};

use super::{size::is_small, stream};
use crate::runtime::interface::{Interface, wire_name};

/// A resource that a component's functions may carry.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Resource {
    ty: ResourceType,
    /// `namespace:package/interface@version.name`: what stands in [`Ty::Own`] and [`Ty::Borrow`].
    pub(in crate::runtime) name: String,
    /// Whose it is.
    pub(in crate::runtime) origin: Origin,
}

/// Whose a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Origin {
    /// This runtime's: it means nothing elsewhere.
    BuiltIn,
    /// That of whoever serves the import: here an opaque handle, of this type number.
    Imported(u32),
    /// The component's own.
    Exported,
}

/// All resources of a component; few enough to search from end to end.
#[derive(Clone, Debug, Default)]
pub(in crate::runtime) struct Resources {
    known: Vec<Resource>,
}

impl Resources {
    /// Takes up the resources that an instance defines; one that it only uses is known already.
    pub(in crate::runtime) fn add(
        &mut self,
        engine: &Engine,
        name: &str,
        instance: &ComponentInstance,
        origin: impl Fn(u32) -> Origin,
    ) {
        for (resource, item) in instance.exports(engine) {
            if let ComponentItem::Resource(ty) = item.ty
                && self.find_type(ty).is_none()
            {
                let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
                self.known.push(Resource {
                    ty,
                    name: format!("{name}.{resource}"),
                    origin: origin(number),
                });
            }
        }
    }

    fn find_type(&self, ty: ResourceType) -> Option<&Resource> {
        self.known.iter().find(|known| known.ty == ty)
    }

    /// The resource that a [`Ty`] names.
    pub(in crate::runtime) fn find(&self, name: &str) -> Option<&Resource> {
        self.known.iter().find(|known| known.name == name)
    }

    /// The type number of a resource that an import defines.
    pub(in crate::runtime) fn imported(&self, interface: &str, resource: &str) -> Option<u32> {
        let known = self.known.iter().find(|known| {
            known
                .name
                .strip_prefix(interface)
                .and_then(|rest| rest.strip_prefix('.'))
                == Some(resource)
        })?;
        match known.origin {
            Origin::Imported(number) => Some(number),
            _ => None,
        }
    }

    /// The name of the resource of that type number.
    pub(in crate::runtime) fn name_of(&self, number: u32) -> Option<&str> {
        self.known
            .get(number as usize)
            .map(|known| known.name.as_str())
    }
}

/// A function that is called by its types.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Function {
    /// As in WIT, for example `[method]bucket.get`.
    pub(in crate::runtime) name: String,
    /// On the wire, for example `bucket.get`.
    pub(in crate::runtime) wire_name: Arc<str>,
    pub(in crate::runtime) ty: FunctionType,
    /// Whether resources of the component's own are among its values.
    pub(in crate::runtime) carries_exported: bool,
    /// Whether any resources are, streams among them.
    pub(in crate::runtime) carries_resources: bool,
    /// Whether its parameters, and its result, are small whatever they are.
    pub(in crate::runtime) small: (bool, bool),
}

/// A function's type, as far as it can be called from afar.
///
/// # Errors
/// Which of its types cannot travel, and why.
pub(in crate::runtime) fn function(
    resources: &Resources,
    name: &str,
    func: &ComponentFunc,
) -> Result<Function, String> {
    if func.async_() {
        return Err(format!(
            "{name} is an async function of WASI 0.3; only WASI 0.2 is supported"
        ));
    }
    let mut reflector = Reflector {
        resources,
        carries_exported: false,
        carries_resources: false,
    };
    let mut ty = FunctionType::default();
    for (param, param_ty) in func.params() {
        let reflected = reflector
            .reflect(&param_ty)
            .map_err(|why| format!("{name}, parameter {param}: {why}"))?;
        ty.params.push((param.to_owned(), reflected));
    }
    let mut results = func.results();
    if let Some(result) = results.next() {
        ty.result = Some(
            reflector
                .reflect(&result)
                .map_err(|why| format!("{name}, result: {why}"))?,
        );
    }
    if results.next().is_some() {
        return Err(format!(
            "{name} has several results, as WIT had them before 2025"
        ));
    }
    drop(results);
    ty.check().map_err(|error| format!("{name}: {error}"))?;
    let small = (
        ty.params.iter().all(|(_, ty)| is_small(ty)),
        ty.result.as_ref().is_none_or(is_small),
    );
    Ok(Function {
        name: name.to_owned(),
        wire_name: wire_name(name),
        ty,
        carries_exported: reflector.carries_exported,
        carries_resources: reflector.carries_resources,
        small,
    })
}

struct Reflector<'a> {
    resources: &'a Resources,
    carries_exported: bool,
    carries_resources: bool,
}

impl Reflector<'_> {
    fn reflect(&mut self, ty: &Type) -> Result<Ty, String> {
        Ok(match ty {
            Type::Bool => Ty::Bool,
            Type::S8 => Ty::S8,
            Type::U8 => Ty::U8,
            Type::S16 => Ty::S16,
            Type::U16 => Ty::U16,
            Type::S32 => Ty::S32,
            Type::U32 => Ty::U32,
            Type::S64 => Ty::S64,
            Type::U64 => Ty::U64,
            Type::Float32 => Ty::F32,
            Type::Float64 => Ty::F64,
            Type::Char => Ty::Char,
            Type::String => Ty::String,
            Type::List(list) => Ty::list(self.reflect(&list.ty())?),
            Type::Record(record) => {
                let fields = record
                    .fields()
                    .map(|field| Ok((field.name.to_owned(), self.reflect(&field.ty)?)));
                Ty::Record {
                    fields: fields.collect::<Result<_, String>>()?,
                }
            }
            Type::Tuple(tuple) => Ty::Tuple(
                tuple
                    .types()
                    .map(|item| self.reflect(&item))
                    .collect::<Result<_, _>>()?,
            ),
            Type::Variant(variant) => {
                let cases = variant.cases().map(|case| {
                    let payload = case.ty.as_ref().map(|ty| self.reflect(ty)).transpose()?;
                    Ok((case.name.to_owned(), payload))
                });
                Ty::Variant {
                    cases: cases.collect::<Result<_, String>>()?,
                }
            }
            Type::Enum(cases) => Ty::Enum {
                cases: cases.names().map(str::to_owned).collect(),
            },
            Type::Option(option) => Ty::option(self.reflect(&option.ty())?),
            Type::Result(result) => {
                let ok = result.ok().map(|ty| self.reflect(&ty)).transpose()?;
                let err = result.err().map(|ty| self.reflect(&ty)).transpose()?;
                Ty::result(ok, err)
            }
            Type::Flags(flags) => Ty::Flags {
                names: flags.names().map(str::to_owned).collect(),
            },
            Type::Own(resource) => match self.stream(*resource) {
                Some(stream) => stream,
                None => Ty::Own(self.resource(*resource)?),
            },
            Type::Borrow(resource) if self.stream(*resource).is_some() => {
                return Err(
                    "a borrowed input-stream cannot travel: its content would have to come back; take it as own".into(),
                );
            }
            Type::Borrow(resource) => Ty::Borrow(self.resource(*resource)?),
            Type::Map(_) => return Err("maps have no encoding that others understand".into()),
            Type::FixedLengthList(_) => {
                return Err("lists of fixed length have no encoding that others understand".into());
            }
            Type::Future(_) | Type::Stream(_) | Type::ErrorContext => {
                return Err(
                    "streams, futures and error contexts of WASI 0.3 are not supported".into(),
                );
            }
        })
    }

    /// A stream of bytes travels, though it is a resource of this host.
    fn stream(&mut self, ty: ResourceType) -> Option<Ty> {
        let resource = self.resources.find_type(ty)?;
        let stream = match resource.origin {
            Origin::BuiltIn => stream::of_resource(&resource.name)?,
            Origin::Imported(_) | Origin::Exported => return None,
        };
        self.carries_resources = true;
        Some(stream)
    }

    fn resource(&mut self, ty: ResourceType) -> Result<String, String> {
        self.carries_resources = true;
        let resource = self
            .resources
            .find_type(ty)
            .ok_or("a resource of unknown origin")?;
        match resource.origin {
            Origin::BuiltIn => {
                return Err(format!(
                    "the resource {} lives in this host and cannot travel",
                    resource.name
                ));
            }
            Origin::Imported(_) => {}
            Origin::Exported => self.carries_exported = true,
        }
        Ok(resource.name.clone())
    }
}

/// An interface's functions, in its order.
pub(in crate::runtime) fn functions<'a>(
    engine: &'a Engine,
    instance: &'a ComponentInstance,
) -> impl Iterator<Item = (&'a str, ComponentFunc)> {
    instance
        .exports(engine)
        .filter_map(|(name, item)| match item.ty {
            ComponentItem::ComponentFunc(func) => Some((name, func)),
            _ => None,
        })
}

/// An interface that is called by its types.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct DynamicInterface {
    pub(in crate::runtime) interface: Interface,
    pub(in crate::runtime) functions: Vec<Arc<Function>>,
}
