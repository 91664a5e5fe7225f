//! An interface that the provider answers: its trait, and what hands calls to it.

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

/// The trait `Answers` and the function `interface`.
pub(crate) fn answers(
    model: &Model<'_>,
    used: Used,
    functions: &[Described<'_>],
) -> Result<TokenStream, Problem> {
    let interface_docs = docs(&model.resolve.interfaces[used.id].docs);
    let names = resources(model, used);
    let types: Vec<_> = names.iter().map(|name| camel(name)).collect();
    let tables: Vec<_> = names.iter().map(|name| snake(name)).collect();
    let methods = functions
        .iter()
        .map(method)
        .collect::<Result<Vec<_>, _>>()?;
    let arms = functions.iter().map(arm).collect::<Result<Vec<_>, _>>()?;
    let drops = names.iter().zip(&tables).map(|(name, table)| {
        let wire = format!("[resource-drop]{name}");
        quote! {
            #wire => {
                let mut __lifting = ::trellis_provider::generated::Lifting::new(__params);
                let __handle = __lifting.value::<::trellis_provider::generated::Bytes>()?;
                __lifting.finish()?;
                __resources.#table.release(&__handle);
                ::std::result::Result::Ok(::trellis_provider::generated::Lowering::new().finish())
            }
        }
    });
    let (kept, made, handed) = if names.is_empty() {
        (TokenStream::new(), TokenStream::new(), TokenStream::new())
    } else {
        let kept = quote! {
            struct Resources<T: Answers> {
                #(#tables: ::trellis_provider::generated::Handles<T::#types>,)*
            }
        };
        let made = quote! {
            let __resources = ::std::sync::Arc::new(Resources::<T> {
                #(#tables: ::trellis_provider::generated::Handles::new(#names),)*
            });
        };
        (kept, made, quote!(__resources.clone(),))
    };
    let taken = if names.is_empty() {
        TokenStream::new()
    } else {
        quote!(__resources: ::std::sync::Arc<Resources<T>>,)
    };
    Ok(quote! {
        #interface_docs
        ///
        /// What a component calls is answered by the method of that name. The context says who calls, over which link. An
        /// error is one of the call itself, which the component can't handle; those of the interface are among its results.
        pub trait Answers: ::std::marker::Send + ::std::marker::Sync + 'static {
            #(
                /// A resource that lives in this provider until its component drops it.
                type #types: ::std::marker::Send + ::std::marker::Sync + 'static;
            )*
            #(#methods)*
        }

        #kept

        /// This interface, answered by a provider; a part of a handler ([`combined`](trellis_provider::generated::combined)).
        pub fn interface<T: Answers>(
            provider: ::std::sync::Arc<T>,
        ) -> ::trellis_provider::generated::Interface {
            #made
            ::trellis_provider::generated::Interface::new(INSTANCE, move |call| {
                answer(provider.clone(), #handed call)
            })
        }

        async fn answer<T: Answers>(
            __provider: ::std::sync::Arc<T>,
            #taken
            __call: ::trellis_provider::rpc::IncomingCall,
        ) -> ::std::result::Result<::trellis_provider::rpc::Outgoing, ::trellis_provider::rpc::CallError> {
            let ::trellis_provider::rpc::IncomingCall {
                operation: __operation,
                context: __context,
                params: __params,
                ..
            } = __call;
            match &*__operation.function {
                #(#arms)*
                #(#drops)*
                _ => ::std::result::Result::Err(
                    ::trellis_provider::generated::unknown_function(&__operation, &__context),
                ),
            }
        }
    })
}

fn method(one: &Described<'_>) -> Result<TokenStream, Problem> {
    let (docs, name) = (one.docs(), &one.name);
    let params = one.params(Side::Asked)?;
    let params = params.iter().map(|(name, ty)| quote!(#name: #ty));
    let result = one.result(Side::Answered)?;
    Ok(quote! {
        #docs
        fn #name(
            &self,
            context: ::trellis_provider::rpc::CallContext,
            #(#params,)*
        ) -> impl ::std::future::Future<
            Output = ::std::result::Result<#result, ::trellis_provider::rpc::CallError>,
        > + ::std::marker::Send;
    })
}

/// The arm of a call's `match` that answers one function.
fn arm(one: &Described<'_>) -> Result<TokenStream, Problem> {
    let (wire, name) = (one.wire, &one.name);
    let mut reads = TokenStream::new();
    let mut arguments = Vec::new();
    let scope = one.scope(Side::Asked);
    for (index, param) in (0_u32..).zip(&one.function.params) {
        let argument = format_ident!("__argument{index}");
        let read = lift(&scope, &param.ty, 0)?;
        reads.extend(quote! {
            __lifting.enter(#index);
            let #argument = #read;
            __lifting.leave();
        });
        arguments.push(argument);
    }
    let lifting = match arguments.is_empty() {
        true => quote!(let __lifting),
        false => quote!(let mut __lifting),
    };
    // Who holds a resource that is made now.
    let caller = one
        .keeps_resources(Side::Answered)?
        .then(|| quote!(let __caller = __context.source_id.clone();));
    let ask = quote!(__provider.#name(__context, #(#arguments),*).await?);
    let answer = match &one.function.result {
        None => quote! {
            #ask;
            ::std::result::Result::Ok(::trellis_provider::generated::Lowering::new().finish())
        },
        Some(ty) => {
            let write = lower(&one.scope(Side::Answered), ty, quote!(__result), 0)?;
            quote! {
                let __result = #ask;
                let mut __lowering = ::trellis_provider::generated::Lowering::new();
                __lowering.enter(0);
                #write
                __lowering.leave();
                ::std::result::Result::Ok(__lowering.finish())
            }
        }
    };
    Ok(quote! {
        #wire => {
            #lifting = ::trellis_provider::generated::Lifting::new(__params);
            #reads
            __lifting.finish()?;
            #caller
            #answer
        }
    })
}
