//! An interface that the provider calls on components.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use crate::{
    declare::docs,
    function::{Described, resources},
    lift::lift,
    lower::lower,
    model::{Model, Used},
    names::{camel, snake},
    problem::Problem,
    types::Side,
};

/// The struct `Calls`.
pub(crate) fn calls(
    model: &Model<'_>,
    used: Used,
    functions: &[Described<'_>],
) -> Result<TokenStream, Problem> {
    let interface_docs = docs(&model.resolve.interfaces[used.id].docs);
    let methods = functions
        .iter()
        .map(method)
        .collect::<Result<Vec<_>, _>>()?;
    let drops = resources(model, used).into_iter().map(|name| {
        let (ty, method) = (camel(name), format_ident!("{}_drop", snake(name)));
        let wire = format!("[resource-drop]{name}");
        let doc = format!(" Lets go of a {name}: its component may forget it.");
        quote! {
            #[doc = #doc]
            ///
            /// # Errors
            /// The call's own; a 1.x host doesn't know of this.
            pub async fn #method(
                &self,
                resource: #ty,
            ) -> ::std::result::Result<(), ::trellis_provider::rpc::CallError> {
                static OPERATION: ::std::sync::LazyLock<::trellis_provider::rpc::Operation> =
                    ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(INSTANCE, #wire));
                let mut __lowering = ::trellis_provider::generated::Lowering::new();
                __lowering.value(&resource);
                ::trellis_provider::generated::call(&self.component, &OPERATION, __lowering, self.options, false)
                    .await?
                    .finish()
            }
        }
    });
    Ok(quote! {
        #interface_docs
        ///
        /// Calls of a component that exports it. Each method fails with the call's own error; those of the interface are
        /// among its results.
        #[derive(Clone, Debug)]
        pub struct Calls {
            component: ::trellis_provider::Component,
            options: ::trellis_provider::CallOptions,
        }

        impl Calls {
            /// Calls of that component, within the time that the host gives a call.
            pub fn new(component: ::trellis_provider::Component) -> Self {
                Self { component, options: ::std::default::Default::default() }
            }

            /// The same, with another time or as a part of a trace.
            #[must_use]
            pub fn with(self, options: ::trellis_provider::CallOptions) -> Self {
                Self { options, ..self }
            }

            /// Who is called.
            pub fn component(&self) -> &::trellis_provider::Component {
                &self.component
            }

            #(#methods)*
            #(#drops)*
        }
    })
}

fn method(one: &Described<'_>) -> Result<TokenStream, Problem> {
    let (docs, name, wire) = (one.docs(), &one.name, one.wire);
    let params = one.params(Side::Asks)?;
    let mut writes = TokenStream::new();
    let scope = one.scope(Side::Asks);
    for (index, (param, (name, _))) in (0_u32..).zip(one.function.params.iter().zip(&params)) {
        let write = lower(&scope, &param.ty, quote!(#name), 0)?;
        writes.extend(quote!(__lowering.enter(#index); #write __lowering.leave();));
    }
    let lowering = match params.is_empty() {
        true => quote!(let __lowering),
        false => quote!(let mut __lowering),
    };
    let params = params.iter().map(|(name, ty)| quote!(#name: #ty));
    let result = one.result(Side::Given)?;
    let due = one.function.result.is_some();
    let call = quote! {
        ::trellis_provider::generated::call(&self.component, &OPERATION, __lowering, self.options, #due).await?
    };
    let answer = match &one.function.result {
        None => quote!(#call.finish()),
        Some(ty) => {
            let read = lift(&one.scope(Side::Given), ty, 0)?;
            quote! {
                let mut __lifting = #call;
                __lifting.enter(0);
                let __result = #read;
                __lifting.leave();
                __lifting.finish()?;
                ::std::result::Result::Ok(__result)
            }
        }
    };
    Ok(quote! {
        #docs
        pub async fn #name(
            &self,
            #(#params,)*
        ) -> ::std::result::Result<#result, ::trellis_provider::rpc::CallError> {
            static OPERATION: ::std::sync::LazyLock<::trellis_provider::rpc::Operation> =
                ::std::sync::LazyLock::new(|| ::trellis_provider::rpc::Operation::new(INSTANCE, #wire));
            #lowering = ::trellis_provider::generated::Lowering::new();
            #writes
            #answer
        }
    })
}
