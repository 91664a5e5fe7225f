//! Small components and keys to try claims with.

use std::sync::LazyLock;

use time::OffsetDateTime;
use trellis_lattice::claims::{
    AccountKey, ComponentDetails, ComponentKey, Grants, IssuerPolicy, Validity, sign_component,
};
use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentImportSection,
    ComponentInstanceSection, ComponentTypeRef, ComponentTypeSection, CustomSection, Encode,
    InstanceType, Module, RawSection, TypeBounds,
};

/// The tests' present.
pub static NOW: LazyLock<OffsetDateTime> = LazyLock::new(|| at(1_800_000_000));

pub fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

/// A component with imports and exports by their names. A name that begins with `types ` is an import of
/// types alone, one without a colon is a function of the world itself, any other an interface with a function.
pub fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    let mut with_function = InstanceType::new();
    with_function
        .ty()
        .function()
        .params([] as [(&str, wasm_encoder::ComponentValType); 0])
        .result(None);
    with_function.export("call", ComponentTypeRef::Func(0));
    types.instance(&with_function);
    let mut types_only = InstanceType::new();
    types_only
        .ty()
        .defined_type()
        .primitive(wasm_encoder::PrimitiveValType::U32);
    types_only.export("number", ComponentTypeRef::Type(TypeBounds::Eq(0)));
    types.instance(&types_only);
    types
        .function()
        .params([] as [(&str, wasm_encoder::ComponentValType); 0])
        .result(None);

    let mut import_section = ComponentImportSection::new();
    for name in imports {
        match name.strip_prefix("types ") {
            Some(name) => import_section.import(name, ComponentTypeRef::Instance(1)),
            None if name.contains(':') => {
                import_section.import(*name, ComponentTypeRef::Instance(0))
            }
            None => import_section.import(*name, ComponentTypeRef::Func(2)),
        };
    }
    let imported_instances = imports.iter().filter(|name| name.contains(':')).count() as u32;
    let mut instances = ComponentInstanceSection::new();
    let mut export_section = ComponentExportSection::new();
    for (index, name) in (0..).zip(exports) {
        instances.export_items([] as [(&str, ComponentExportKind, u32); 0]);
        // Each export makes an instance of its own, after all that are there already.
        let instance = imported_instances + index;
        export_section.export(*name, ComponentExportKind::Instance, instance, None);
    }
    let mut component = Component::new();
    component.section(&types).section(&import_section);
    component
        .section(&nested_module())
        .section(&instances)
        .section(&export_section);
    component.finish()
}

/// A core module, its one section's length written in five bytes where one would do.
fn nested_module() -> RawSection<'static> {
    static MODULE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut module = Module::HEADER.to_vec();
        module.extend([0, 0x87, 0x80, 0x80, 0x80, 0x00]);
        module.extend(b"\x04note!!");
        // What 1.x's tool drops at every depth.
        let mut token = Vec::new();
        CustomSection {
            name: "wasmcloud_jwt".into(),
            data: b"nested"[..].into(),
        }
        .encode(&mut token);
        module.push(0);
        module.extend(token);
        module
    });
    RawSection {
        id: 1,
        data: &MODULE,
    }
}

/// A component as a keyvalue actor is one.
pub fn counter() -> Vec<u8> {
    component(
        &[
            "types wasi:io/error@0.2.6",
            "wasi:io/poll@0.2.6",
            "wasi:keyvalue/store@0.2.0-draft",
        ],
        &["wasi:http/incoming-handler@0.2.6"],
    )
}

/// An issuer, and the subject that it signs.
pub struct Signer {
    pub account: AccountKey,
    pub subject: ComponentKey,
}

impl Signer {
    pub fn new() -> Self {
        Self {
            account: AccountKey::generate(),
            subject: ComponentKey::generate(),
        }
    }

    /// A policy that trusts this issuer alone.
    pub fn policy(&self) -> IssuerPolicy {
        IssuerPolicy::trusting([self.account.public().as_str()]).unwrap()
    }

    pub fn sign(&self, component: &[u8], grants: Option<&[&str]>) -> Vec<u8> {
        self.sign_for(component, grants, &Validity::unlimited(*NOW))
    }

    pub fn sign_for(
        &self,
        component: &[u8],
        grants: Option<&[&str]>,
        validity: &Validity,
    ) -> Vec<u8> {
        let details = ComponentDetails {
            name: Some("counter".into()),
            version: Some("0.1.0".into()),
            revision: Some(1),
            grants: grants.map(|patterns| Grants::parse(patterns).unwrap()),
            ..ComponentDetails::default()
        };
        sign_component(
            component,
            &self.account,
            &self.subject.public(),
            &details,
            validity,
        )
        .unwrap()
    }
}
