//! Which interfaces a world answers and calls, and which only have types.

use wit_parser::{
    InterfaceId, Resolve, TypeDef, TypeDefKind, TypeId, TypeOwner, WorldId, WorldItem, WorldKey,
};

use proc_macro2::Ident;

use crate::{names::snake, problem::Problem};

/// A world's interfaces.
pub(crate) struct Model<'a> {
    pub(crate) resolve: &'a Resolve,
    /// In the world's order, each once.
    pub(crate) interfaces: Vec<Used>,
}

/// An interface that the world uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) id: InterfaceId,
    /// The provider calls it.
    pub(crate) imported: bool,
    /// The provider answers it.
    pub(crate) exported: bool,
}

/// Where a resource lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// `wasi:io/streams.input-stream`: no resource on the wire, but a stream of bytes.
    InputStream,
    /// With whoever is called: here it is a handle.
    Remote,
    /// Here.
    Own(InterfaceId),
}

impl<'a> Model<'a> {
    pub(crate) fn new(resolve: &'a Resolve, world: WorldId) -> Result<Self, Problem> {
        let world = &resolve.worlds[world];
        let mut model = Self {
            resolve,
            interfaces: Vec::new(),
        };
        for (items, exported) in [(&world.imports, false), (&world.exports, true)] {
            for (key, item) in items {
                model.add(&world.name, key, item, exported)?;
            }
        }
        Ok(model)
    }

    fn add(
        &mut self,
        world: &str,
        key: &WorldKey,
        item: &WorldItem,
        exported: bool,
    ) -> Result<(), Problem> {
        let refuse = |what: &str| {
            let whose = format!("world `{world}`, `{}`", self.resolve.name_world_key(key));
            Err(Problem::at(self.resolve, item.span(), &whose, what))
        };
        let id = match (key, item) {
            (WorldKey::Interface(id), WorldItem::Interface { .. }) => *id,
            (WorldKey::Name(_), WorldItem::Interface { .. }) => {
                return refuse(
                    "an interface that is written in a world has no name that others could call it by: write it outside, with a name",
                );
            }
            (_, WorldItem::Function(_)) => {
                return refuse(
                    "a function of the world itself can't be linked: put it into an interface",
                );
            }
            // Types that a world gives itself are of no use without functions.
            (_, WorldItem::Type { .. }) => return Ok(()),
        };
        if self.is_wasi_io(id) {
            // Only `input-stream` is of use, and that is none of its functions.
            return Ok(());
        }
        let at = match self.interfaces.iter().position(|used| used.id == id) {
            Some(at) => at,
            None => {
                self.interfaces.push(Used {
                    id,
                    imported: false,
                    exported: false,
                });
                self.interfaces.len() - 1
            }
        };
        let used = &mut self.interfaces[at];
        used.exported |= exported;
        used.imported |= !exported;
        Ok(())
    }

    /// An interface's whole name: `acme:currency/converter@0.1.0`.
    pub(crate) fn name(&self, id: InterfaceId) -> String {
        self.resolve
            .id_of(id)
            .unwrap_or_else(|| "an interface without a name".to_owned())
    }

    fn is_wasi_io(&self, id: InterfaceId) -> bool {
        let package = self.resolve.interfaces[id].package;
        package.is_some_and(|package| {
            let name = &self.resolve.packages[package].name;
            name.namespace == "wasi" && name.name == "io"
        })
    }

    /// The type that an alias stands for in the end.
    pub(crate) fn root(&self, mut id: TypeId) -> TypeId {
        while let TypeDefKind::Type(wit_parser::Type::Id(next)) = self.resolve.types[id].kind {
            id = next;
        }
        id
    }

    /// The interface that a type is declared in.
    pub(crate) fn owner(&self, ty: &TypeDef) -> Option<InterfaceId> {
        match ty.owner {
            TypeOwner::Interface(id) => Some(id),
            _ => None,
        }
    }

    /// Where a resource lives; `None` when it is one that can't be used here.
    pub(crate) fn resource(&self, id: TypeId) -> Option<Resource> {
        let ty = &self.resolve.types[self.root(id)];
        let owner = self.owner(ty)?;
        if self.is_wasi_io(owner) {
            let stream = self.resolve.interfaces[owner].name.as_deref() == Some("streams")
                && ty.name.as_deref() == Some("input-stream");
            return stream.then_some(Resource::InputStream);
        }
        let used = self.interfaces.iter().find(|used| used.id == owner)?;
        Some(if used.exported {
            Resource::Own(owner)
        } else {
            Resource::Remote
        })
    }

    /// An interface's module: namespace, package, interface. A package that is there in several versions has its version in
    /// its module's name.
    pub(crate) fn module(&self, id: InterfaceId) -> [Ident; 3] {
        let interface = &self.resolve.interfaces[id];
        let name = interface.name.as_deref().unwrap_or("interface");
        let Some(package) = interface.package else {
            return [snake("world"), snake("world"), snake(name)];
        };
        let package = &self.resolve.packages[package].name;
        let versions = self.interfaces.iter().filter_map(|used| {
            let other = self.resolve.interfaces[used.id].package?;
            let other = &self.resolve.packages[other].name;
            (other.namespace == package.namespace && other.name == package.name)
                .then_some(&other.version)
        });
        let several = versions.clone().any(|version| *version != package.version);
        let module = match &package.version {
            Some(version) if several => {
                format!("{}-{version}", package.name).replace(['.', '+'], "-")
            }
            _ => package.name.clone(),
        };
        [snake(&package.namespace), snake(&module), snake(name)]
    }
}
