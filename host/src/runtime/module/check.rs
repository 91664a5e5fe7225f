//! What can be said of a component before it is compiled: whether it is one, is valid, and asks for nothing that this
//! host cannot serve. Compiling takes seconds; a wrong file should not.

use wasmparser::{
    ComponentExternName, Parser, Payload, PrimitiveValType, Validator, WasmFeatures,
    component_types::{
        ComponentDefinedType, ComponentEntityType, ComponentFuncType, ComponentValType,
    },
    types::TypesRef,
};

use crate::runtime::{
    LoadError,
    interface::{Interface, serve_import},
};

/// Types nest less deep than this in whatever the validator accepts.
const MAX_DEPTH: usize = 100;

/// Checks a component.
pub(super) fn check(bytes: &[u8]) -> Result<(), LoadError> {
    check_kind(bytes)?;
    let invalid = |error: wasmparser::BinaryReaderError| LoadError::Invalid(error.to_string());
    // All features, so that what is valid but not supported is told from what is broken.
    let types = Validator::new_with_features(WasmFeatures::all())
        .validate_all(bytes)
        .map_err(invalid)?;
    let types = types.as_ref();
    for (side, name) in names(bytes).map_err(invalid)? {
        match side {
            Side::Import => {
                if let Some(interface) = Interface::parse(&name) {
                    serve_import(&interface).map_err(|why| side.error(&name, why))?;
                }
                let ty = types.component_item_for_import(&name).map(|item| item.ty);
                check_types(types, side, &name, ty)?;
            }
            Side::Export => {
                let ty = types.component_item_for_export(&name).map(|item| item.ty);
                check_types(types, side, &name, ty)?;
            }
        }
    }
    Ok(())
}

/// Tells components from core modules and from everything else, which the validator's message does less well.
fn check_kind(bytes: &[u8]) -> Result<(), LoadError> {
    let head = bytes.split_first_chunk::<8>();
    let Some((head, _)) = head.filter(|(head, _)| head.starts_with(b"\0asm")) else {
        let head = bytes.iter().take(4).map(|byte| format!("{byte:02x}"));
        let found = head.collect::<Vec<_>>().join(" ");
        let found = if found.is_empty() {
            "nothing".into()
        } else {
            found
        };
        return Err(LoadError::NotWasm { found });
    };
    // Version and layer: 01 00 00 00 is a core module, 0d 00 01 00 a component.
    match head[6..] {
        [0, 0] => Err(LoadError::CoreModule),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum Side {
    Import,
    Export,
}

impl Side {
    fn error(self, name: &str, why: impl Into<String>) -> LoadError {
        let (name, why) = (name.to_owned(), why.into());
        match self {
            Self::Import => LoadError::Import { import: name, why },
            Self::Export => LoadError::Export { export: name, why },
        }
    }
}

/// The names of the component's own imports and exports, not those of the modules and components inside it.
fn names(bytes: &[u8]) -> wasmparser::Result<Vec<(Side, String)>> {
    let owned = |name: ComponentExternName<'_>| name.name.to_owned();
    let mut names = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    names.push((Side::Import, owned(import?.name)));
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    names.push((Side::Export, owned(export?.name)));
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Finds what only WASI 0.3 has: this host has no values for it.
fn check_types(
    types: TypesRef<'_>,
    side: Side,
    name: &str,
    ty: Option<ComponentEntityType>,
) -> Result<(), LoadError> {
    let refuse = |function: &str, what: &str| {
        let why = format!(
            "{function} {what}, which is of WASI 0.3, and only WASI 0.2 is supported: build the actor for the target wasm32-wasip2"
        );
        Err(side.error(name, why))
    };
    match ty {
        Some(ComponentEntityType::Func(func)) => match newer(types, &types[func]) {
            Some(what) => refuse("it", what),
            None => Ok(()),
        },
        Some(ComponentEntityType::Instance(instance)) => {
            for (function, item) in &types[instance].exports {
                if let ComponentEntityType::Func(func) = item.ty
                    && let Some(what) = newer(types, &types[func])
                {
                    return refuse(function, what);
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What a function has that WASI 0.2 has not.
fn newer(types: TypesRef<'_>, func: &ComponentFuncType) -> Option<&'static str> {
    if func.async_ {
        return Some("is an async function");
    }
    let params = func.params.iter().map(|(_, ty)| ty);
    params
        .chain(&func.result)
        .find_map(|ty| newer_value(types, ty, 0))
}

fn newer_value(types: TypesRef<'_>, ty: &ComponentValType, depth: usize) -> Option<&'static str> {
    let id = match ty {
        ComponentValType::Primitive(PrimitiveValType::ErrorContext) => {
            return Some("carries an error context");
        }
        ComponentValType::Primitive(_) => return None,
        ComponentValType::Type(id) => *id,
    };
    if depth > MAX_DEPTH {
        return Some("carries a type nested too deep to look into");
    }
    let inside = |ty: &ComponentValType| newer_value(types, ty, depth + 1);
    match &types[id] {
        ComponentDefinedType::Future { .. } => Some("carries a future"),
        ComponentDefinedType::Stream { .. } => Some("carries a stream"),
        ComponentDefinedType::Primitive(PrimitiveValType::ErrorContext) => {
            Some("carries an error context")
        }
        ComponentDefinedType::Record(record) => record.fields.values().find_map(inside),
        ComponentDefinedType::Variant(variant) => variant
            .cases
            .values()
            .filter_map(|case| case.ty.as_ref())
            .find_map(inside),
        ComponentDefinedType::List { element, .. }
        | ComponentDefinedType::FixedLengthList { element, .. } => inside(element),
        ComponentDefinedType::Map { key, value, .. } => inside(key).or_else(|| inside(value)),
        ComponentDefinedType::Tuple(tuple) => tuple.types.iter().find_map(inside),
        ComponentDefinedType::Option { ty, .. } => inside(ty),
        ComponentDefinedType::Result { ok, err, .. } => ok.iter().chain(err).find_map(inside),
        ComponentDefinedType::Primitive(_)
        | ComponentDefinedType::Flags(_)
        | ComponentDefinedType::Enum(_)
        | ComponentDefinedType::Own(_)
        | ComponentDefinedType::Borrow(_) => None,
    }
}
