//! Code that reads a value at the current path.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use wit_parser::{Handle, Type, TypeDefKind};

use crate::{declare::is_carried, problem::Problem, types::Scope};

/// An expression of `ty`'s Rust type, which may return early with an error.
///
/// It stands where there are `__lifting` and, where resources of the provider are read, `__resources`.
pub(crate) fn lift(scope: &Scope<'_>, ty: &Type, depth: usize) -> Result<TokenStream, Problem> {
    if scope.carries(ty)?.nothing() {
        let rust = scope.rust(ty)?;
        return Ok(quote!(__lifting.value::<#rust>()?));
    }
    if is_carried(scope, ty)? {
        let rust = scope.rust(ty)?;
        return Ok(quote!(__lifting.carried::<#rust>()?));
    }
    let Type::Id(id) = ty else {
        let rust = scope.rust(ty)?;
        return Ok(quote!(__lifting.value::<#rust>()?));
    };
    let kind = &scope.model.resolve.types[scope.model.root(*id)].kind;
    let side = |ty: &Option<Type>| match ty {
        None => Ok(quote!(())),
        Some(ty) => lift(scope, ty, depth + 1),
    };
    Ok(match kind {
        TypeDefKind::Option(some) => {
            let some = lift(scope, some, depth + 1)?;
            quote! {
                if __lifting.tag()? {
                    ::std::option::Option::Some(#some)
                } else {
                    ::std::option::Option::None
                }
            }
        }
        TypeDefKind::Result(result) => {
            let (ok, err) = (side(&result.ok)?, side(&result.err)?);
            quote! {
                if __lifting.tag()? {
                    ::std::result::Result::Err(#err)
                } else {
                    ::std::result::Result::Ok(#ok)
                }
            }
        }
        TypeDefKind::Tuple(tuple) => {
            let mut items = TokenStream::new();
            for (index, ty) in (0_u32..).zip(&tuple.types) {
                let read = lift(scope, ty, depth + 1)?;
                items.extend(quote!({
                    __lifting.enter(#index);
                    let __value = #read;
                    __lifting.leave();
                    __value
                },));
            }
            quote!((#items))
        }
        TypeDefKind::List(element) => {
            let read = lift(scope, element, depth + 1)?;
            let list = format_ident!("__list{depth}");
            quote!({
                let mut #list = ::std::vec::Vec::new();
                for _ in 0..__lifting.length()? {
                    #list.push(#read);
                }
                #list
            })
        }
        TypeDefKind::Stream(_) => quote!(__lifting.content()?),
        TypeDefKind::Future(_) => quote!(__lifting.later()?),
        TypeDefKind::Handle(handle) => match (scope.own_resource(*handle), handle) {
            (Some(table), Handle::Own(_)) => quote! {
                __resources.#table.take(&__lifting.value::<::trellis_provider::generated::Bytes>()?)?
            },
            (Some(table), Handle::Borrow(_)) => quote! {
                __resources.#table.get(&__lifting.value::<::trellis_provider::generated::Bytes>()?)?
            },
            // The one other handle that is not plain.
            (None, _) => quote!(__lifting.content()?),
        },
        other => {
            return Err(scope.problem(format_args!("`{}` isn't supported here", other.as_str())));
        }
    })
}
