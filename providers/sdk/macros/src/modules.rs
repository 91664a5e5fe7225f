//! Everything of a world, in modules as WIT names them: namespace, package, interface.

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use quote::quote;
use wit_parser::{Resolve, WorldId};

use crate::{
    declare::{docs, types},
    exported, function,
    function::{Described, resources},
    imported,
    model::{Model, Used},
    problem::Problem,
};

/// The code of a world.
pub(crate) fn all(resolve: &Resolve, world: WorldId) -> Result<TokenStream, Problem> {
    let model = Model::new(resolve, world)?;
    let mut namespaces: BTreeMap<_, BTreeMap<_, TokenStream>> = BTreeMap::new();
    let mut exported = Vec::new();
    for used in &model.interfaces {
        let [namespace, package, name] = model.module(used.id);
        let content = interface(&model, *used)?;
        let docs = docs(&resolve.interfaces[used.id].docs);
        let code = quote! {
            #docs
            pub mod #name { #content }
        };
        let packages = namespaces.entry(namespace.clone()).or_default();
        packages.entry(package.clone()).or_default().extend(code);
        if used.exported && !resolve.interfaces[used.id].functions.is_empty() {
            exported.push(quote!(#namespace::#package::#name));
        }
    }
    let mut code = TokenStream::new();
    for (namespace, packages) in namespaces {
        let packages = packages
            .into_iter()
            .map(|(package, interfaces)| quote!(pub mod #package { #interfaces }));
        // What WIT says nothing about has no documentation here either.
        code.extend(quote! {
            #[allow(missing_docs, clippy::all, clippy::pedantic, dead_code)]
            pub mod #namespace { #(#packages)* }
        });
    }
    if !exported.is_empty() {
        code.extend(quote! {
            /// What answers all interfaces that the world exports: what `Provider::handler` gives.
            #[allow(dead_code)]
            pub fn handler<T>(
                provider: ::std::sync::Arc<T>,
            ) -> ::std::sync::Arc<dyn ::trellis_provider::rpc::Handler>
            where
                T: #(#exported::Answers)+*,
            {
                ::trellis_provider::generated::combined([
                    #(#exported::interface(provider.clone()),)*
                ])
            }
        });
    }
    Ok(code)
}

fn interface(model: &Model<'_>, used: Used) -> Result<TokenStream, Problem> {
    let name = model.name(used.id);
    if used.exported && used.imported && !resources(model, used).is_empty() {
        let span = model.resolve.interfaces[used.id].span;
        return Err(Problem::at(
            model.resolve,
            span,
            &name,
            "an interface with resources is either imported or exported: with both, nobody could tell whose a resource is",
        ));
    }
    let types = types(model, used)?;
    let functions = Described::all(model, used)?;
    if functions.is_empty() {
        return Ok(types);
    }
    let instance = quote! {
        /// The interface on the wire.
        pub const INSTANCE: &str = #name;
    };
    let calls = match used.imported {
        true => imported::calls(model, used, &functions)?,
        false => TokenStream::new(),
    };
    let answers = match used.exported {
        true => exported::answers(model, used, &functions)?,
        false => TokenStream::new(),
    };
    // Last: what is wrong with a parameter is told with its name by those above.
    let by_type = function::module(&functions, &name)?;
    Ok(quote!(#types #instance #by_type #calls #answers))
}
