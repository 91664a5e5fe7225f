//! Declarations of an interface's types.

use proc_macro2::TokenStream;
use quote::quote;
use wit_parser::{Docs, Type, TypeDef, TypeDefKind, TypeId};

use crate::{
    lift::lift,
    lower::lower,
    model::{Model, Resource, Used},
    names::{camel, snake},
    problem::Problem,
    types::{Scope, Side},
};

/// All types of an interface.
pub(crate) fn types(model: &Model<'_>, used: Used) -> Result<TokenStream, Problem> {
    let interface = model.name(used.id);
    let mut all = TokenStream::new();
    for (name, id) in &model.resolve.interfaces[used.id].types {
        let ty = &model.resolve.types[*id];
        let scope = Scope {
            model,
            interface: used.id,
            deeper: 0,
            side: Side::Declared,
            span: ty.span,
            whose: &format!("{interface}, type `{name}`"),
        };
        let rust = camel(name);
        if (used.exported && rust == "Answers") || (used.imported && rust == "Calls") {
            return Err(scope.problem(format_args!(
                "the name `{rust}` is taken by generated code: call the type something else"
            )));
        }
        all.extend(one(&scope, *id, ty, name)?);
    }
    Ok(all)
}

fn one(scope: &Scope<'_>, id: TypeId, ty: &TypeDef, name: &str) -> Result<TokenStream, Problem> {
    let docs = docs(&ty.docs);
    let rust = camel(name);
    let model = scope.model;
    let root = &model.resolve.types[model.root(id)];
    if matches!(root.kind, TypeDefKind::Resource) {
        return match (&ty.kind, model.resource(id)) {
            (TypeDefKind::Resource, Some(Resource::Remote)) => Ok(quote! {
                ::trellis_provider::rpc::wire_record! {
                    #docs
                    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
                    pub struct #rust {
                        handle: ::trellis_provider::generated::Bytes,
                    }
                }
            }),
            (TypeDefKind::Type(other), Some(Resource::Remote)) => {
                let other = scope.rust(other)?;
                Ok(quote!(#docs pub type #rust = #other;))
            }
            // Those of the provider are associated types; what can't be used is told where it is.
            _ => Ok(TokenStream::new()),
        };
    }
    let derives = derives(scope, &ty.kind)?;
    let channel = scope.all_carry(&ty.kind)?.channel;
    Ok(match &ty.kind {
        TypeDefKind::Record(record) => {
            let fields: Vec<_> = record
                .fields
                .iter()
                .map(|field| snake(&field.name))
                .collect();
            let types = record
                .fields
                .iter()
                .map(|field| scope.rust(&field.ty))
                .collect::<Result<Vec<_>, _>>()?;
            let field_docs = record.fields.iter().map(|field| self::docs(&field.docs));
            let declaration = quote! {
                #docs
                #derives
                pub struct #rust {
                    #(#field_docs pub #fields: #types,)*
                }
            };
            if !channel {
                return Ok(quote!(
                    ::trellis_provider::rpc::wire_record! { #declaration }
                ));
            }
            let (mut lowered, mut lifted) = (TokenStream::new(), TokenStream::new());
            for (index, (field, rust_field)) in (0_u32..).zip(record.fields.iter().zip(&fields)) {
                let write = lower(scope, &field.ty, quote!(self.#rust_field), 0)?;
                lowered.extend(quote!(__lowering.enter(#index); #write __lowering.leave();));
                let read = lift(scope, &field.ty, 0)?;
                lifted.extend(quote!(#rust_field: {
                    __lifting.enter(#index);
                    let __value = #read;
                    __lifting.leave();
                    __value
                },));
            }
            let carried = carried(
                &rust,
                &lowered,
                &quote!(::std::result::Result::Ok(Self { #lifted })),
            );
            quote!(#declaration #carried)
        }
        TypeDefKind::Variant(variant) => {
            let mut cases = TokenStream::new();
            let (mut lowered, mut lifted) = (TokenStream::new(), TokenStream::new());
            for (index, case) in (0_u32..).zip(&variant.cases) {
                let (case_docs, name) = (self::docs(&case.docs), camel(&case.name));
                let Some(payload) = &case.ty else {
                    cases.extend(quote!(#case_docs #name,));
                    lowered.extend(quote!(Self::#name => __lowering.case(#index),));
                    lifted.extend(quote!(#index => Self::#name,));
                    continue;
                };
                let rust_payload = scope.rust(payload)?;
                cases.extend(quote!(#case_docs #name(#rust_payload),));
                if channel {
                    let write = lower(scope, payload, quote!(__payload), 0)?;
                    lowered.extend(
                        quote!(Self::#name(__payload) => { __lowering.case(#index); #write }),
                    );
                    let read = lift(scope, payload, 0)?;
                    lifted.extend(quote!(#index => Self::#name(#read),));
                }
            }
            let declaration = quote!(#docs #derives pub enum #rust { #cases });
            if !channel {
                return Ok(quote!(
                    ::trellis_provider::rpc::wire_variant! { #declaration }
                ));
            }
            let carried = carried(
                &rust,
                &quote!(match self { #lowered }),
                &quote!(::std::result::Result::Ok(match __lifting.case(#name)? {
                    #lifted
                    __other => return ::std::result::Result::Err(__lifting.unknown_case(#name, __other)),
                })),
            );
            quote!(#declaration #carried)
        }
        TypeDefKind::Enum(cases) => {
            let case_docs = cases.cases.iter().map(|case| self::docs(&case.docs));
            let names = cases.cases.iter().map(|case| camel(&case.name));
            quote! {
                ::trellis_provider::rpc::wire_variant! {
                    #docs
                    #derives
                    pub enum #rust { #(#case_docs #names,)* }
                }
            }
        }
        TypeDefKind::Flags(flags) => {
            let count = flags.flags.len();
            if count == 0 {
                return Err(
                    scope.problem("flags without a flag have no encoding that all understand")
                );
            }
            let names: Vec<_> = flags.flags.iter().map(|flag| snake(&flag.name)).collect();
            let flag_docs = flags.flags.iter().map(|flag| self::docs(&flag.docs));
            quote! {
                #docs
                #derives
                pub struct #rust { #(#flag_docs pub #names: bool,)* }

                impl ::trellis_provider::rpc::codec::Encode for #rust {
                    fn encode(&self, out: &mut ::trellis_provider::generated::BytesMut) {
                        ::trellis_provider::generated::encode_flags(&[#(self.#names),*], out);
                    }
                }

                impl ::trellis_provider::rpc::codec::Decode for #rust {
                    fn decode(
                        decoder: &mut ::trellis_provider::rpc::codec::Decoder,
                    ) -> ::std::result::Result<Self, ::trellis_provider::rpc::codec::WireError> {
                        let [#(#names),*] =
                            ::trellis_provider::generated::decode_flags::<#count>(decoder)?;
                        ::std::result::Result::Ok(Self { #(#names),* })
                    }
                }
            }
        }
        kind => {
            let other = scope.anonymous(kind)?;
            quote!(#docs pub type #rust = #other;)
        }
    })
}

fn carried(rust: &proc_macro2::Ident, lowered: &TokenStream, lifted: &TokenStream) -> TokenStream {
    quote! {
        impl ::trellis_provider::generated::Carried for #rust {
            fn lower(self, __lowering: &mut ::trellis_provider::generated::Lowering) {
                #lowered
            }

            fn lift(
                __lifting: &mut ::trellis_provider::generated::Lifting,
            ) -> ::std::result::Result<Self, ::trellis_provider::rpc::CallError> {
                #lifted
            }
        }
    }
}

fn derives(scope: &Scope<'_>, kind: &TypeDefKind) -> Result<TokenStream, Problem> {
    Ok(match kind {
        TypeDefKind::Enum(_) => {
            quote!(#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)])
        }
        TypeDefKind::Flags(_) => {
            quote!(#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)])
        }
        kind if scope.all_carry(kind)?.channel => quote!(#[derive(Debug)]),
        kind if scope.has_float(kind) => quote!(#[derive(Clone, Debug, PartialEq)]),
        _ => quote!(#[derive(Clone, Debug, PartialEq, Eq, Hash)]),
    })
}

/// WIT's documentation as Rust's.
pub(crate) fn docs(docs: &Docs) -> TokenStream {
    let Some(text) = &docs.contents else {
        return TokenStream::new();
    };
    let mut in_code = false;
    let lines = text.trim().lines().map(|line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        // Code in WIT's documentation is not Rust, whatever rustdoc would take it for.
        match fence && in_code && line.trim() == "```" {
            true => format!(" {line}text"),
            false if line.is_empty() => String::new(),
            false => format!(" {line}"),
        }
    });
    let lines: Vec<_> = lines.collect();
    quote!(#(#[doc = #lines])*)
}

/// Whether a type is one of the interface's own that a plain value can't be: used where its parts are not known.
pub(crate) fn is_carried(scope: &Scope<'_>, ty: &Type) -> Result<bool, Problem> {
    let Type::Id(id) = ty else {
        return Ok(false);
    };
    let kind = &scope.model.resolve.types[scope.model.root(*id)].kind;
    Ok(
        matches!(kind, TypeDefKind::Record(_) | TypeDefKind::Variant(_))
            && scope.all_carry(kind)?.channel,
    )
}
