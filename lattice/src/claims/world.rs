//! What a component imports and exports, at its outermost level.

use serde::Serialize;
use wasmparser::{
    Parser, Payload, ValidPayload, Validator, WasmFeatures,
    component_types::ComponentEntityType,
    types::{Types, TypesRef},
};

use super::{error::ClaimsError, interface::InterfaceName};

/// What kind of thing is imported or exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// An interface, as a rule.
    Instance,
    /// A function of the world itself.
    Function,
    /// A type of the world itself.
    Type,
    /// A value.
    Value,
    /// A core module.
    Module,
    /// A component.
    Component,
}

/// One import or export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its name, such as `wasi:http/types@0.2.12`.
    pub name: String,
    /// What it is.
    pub kind: ItemKind,
    /// An instance's functions, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// Whether it brings types alone: nothing in it can be called.
    pub types_only: bool,
}

impl Item {
    /// Whether it is a WIT interface rather than a name of the world's own.
    pub fn is_interface(&self) -> bool {
        self.kind == ItemKind::Instance && InterfaceName::parse(&self.name).is_some()
    }
}

/// A component's imports and exports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct World {
    /// In the component's order.
    pub imports: Vec<Item>,
    /// In the component's order.
    pub exports: Vec<Item>,
}

impl World {
    /// Reads a component's types. The functions' bodies are not looked at: compiling them checks them.
    ///
    /// # Errors
    /// [`ClaimsError::NotComponent`] for a core module, [`ClaimsError::BrokenWasm`] otherwise. Never panics,
    /// whatever the bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, ClaimsError> {
        // Lenient, so that a component for another WASI gets that as its error; strict where an import's
        // name isn't the whole of what it asks for.
        let features =
            WasmFeatures::all() - WasmFeatures::CM_IMPLEMENTS - WasmFeatures::CM_CANON_NAMES;
        let mut validator = Validator::new_with_features(features);
        let mut parser = Parser::new(0);
        parser.set_features(features);
        let mut names = Names::default();
        let mut depth = 0_usize;
        let mut outermost = None;
        for payload in parser.parse_all(bytes) {
            let payload = payload.map_err(broken)?;
            match &payload {
                Payload::Version {
                    encoding: wasmparser::Encoding::Module,
                    ..
                } if depth == 0 => {
                    return Err(ClaimsError::NotComponent);
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section.clone() {
                        names
                            .imports
                            .push(import.map_err(broken)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section.clone() {
                        names
                            .exports
                            .push(export.map_err(broken)?.name.name.to_owned());
                    }
                }
                _ => {}
            }
            if let ValidPayload::End(types) = validator.payload(&payload).map_err(broken)? {
                outermost = Some(types);
            }
        }
        let types = outermost.ok_or_else(|| broken("it ends early"))?;
        names.with_types(&types)
    }

    /// The imports' names.
    pub fn import_names(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().map(|item| item.name.as_str())
    }

    /// The exports' names.
    pub fn export_names(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().map(|item| item.name.as_str())
    }

    /// The imports that grants are about: those that bring something to call.
    pub fn callable_imports(&self) -> impl Iterator<Item = &str> {
        self.imports
            .iter()
            .filter(|item| !item.types_only)
            .map(|item| item.name.as_str())
    }
}

#[derive(Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Names {
    /// A name without a type can't be, and if it could, must not slip past the grants.
    fn with_types(self, types: &Types) -> Result<World, ClaimsError> {
        let types = types.as_ref();
        let untyped = |name: &str| broken(format!("{name:?} has no type"));
        let imports = self.imports.into_iter().map(|name| {
            let found = types
                .component_item_for_import(&name)
                .ok_or_else(|| untyped(&name))?;
            Ok::<_, ClaimsError>(item(types, name, found.ty))
        });
        let exports = self.exports.into_iter().map(|name| {
            let found = types
                .component_item_for_export(&name)
                .ok_or_else(|| untyped(&name))?;
            Ok::<_, ClaimsError>(item(types, name, found.ty))
        });
        Ok(World {
            imports: imports.collect::<Result<_, _>>()?,
            exports: exports.collect::<Result<_, _>>()?,
        })
    }
}

fn item(types: TypesRef<'_>, name: String, ty: ComponentEntityType) -> Item {
    let mut functions = Vec::new();
    let (kind, types_only) = match ty {
        ComponentEntityType::Instance(id) => {
            let exports = &types[id].exports;
            functions.extend(
                exports
                    .iter()
                    .filter(|(_, export)| matches!(export.ty, ComponentEntityType::Func(_)))
                    .map(|(name, _)| name.clone()),
            );
            let only = exports
                .values()
                .all(|export| matches!(export.ty, ComponentEntityType::Type { .. }));
            (ItemKind::Instance, only)
        }
        ComponentEntityType::Type { .. } => (ItemKind::Type, true),
        ComponentEntityType::Func(_) => (ItemKind::Function, false),
        ComponentEntityType::Value(_) => (ItemKind::Value, false),
        ComponentEntityType::Module(_) => (ItemKind::Module, false),
        ComponentEntityType::Component(_) => (ItemKind::Component, false),
    };
    Item {
        name,
        kind,
        functions,
        types_only,
    }
}

fn broken(problem: impl ToString) -> ClaimsError {
    ClaimsError::BrokenWasm {
        problem: problem.to_string(),
    }
}
