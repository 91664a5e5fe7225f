//! Code that writes a value at the current path.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use wit_parser::{Type, TypeDefKind};

use crate::{declare::is_carried, problem::Problem, types::Scope};

/// Writes `value`, an expression of `ty`'s Rust type, which is moved. `depth` keeps the names of what is inside apart.
///
/// It stands where there are `__lowering` and, where resources of the provider are written, `__resources` and `__caller`.
pub(crate) fn lower(
    scope: &Scope<'_>,
    ty: &Type,
    value: TokenStream,
    depth: usize,
) -> Result<TokenStream, Problem> {
    if scope.carries(ty)?.nothing() {
        return Ok(quote!(__lowering.value(&#value);));
    }
    if is_carried(scope, ty)? {
        return Ok(quote!(__lowering.carried(#value);));
    }
    let Type::Id(id) = ty else {
        return Ok(quote!(__lowering.value(&#value);));
    };
    let kind = &scope.model.resolve.types[scope.model.root(*id)].kind;
    let inner = format_ident!("__value{depth}");
    let side = |ty: &Option<Type>| -> Result<_, Problem> {
        Ok(match ty {
            None => (quote!(()), TokenStream::new()),
            Some(ty) => (quote!(#inner), lower(scope, ty, quote!(#inner), depth + 1)?),
        })
    };
    Ok(match kind {
        TypeDefKind::Option(some) => {
            let some = lower(scope, some, quote!(#inner), depth + 1)?;
            quote! {
                match #value {
                    ::std::option::Option::None => __lowering.tag(false),
                    ::std::option::Option::Some(#inner) => { __lowering.tag(true); #some }
                }
            }
        }
        TypeDefKind::Result(result) => {
            let (ok, write_ok) = side(&result.ok)?;
            let (err, write_err) = side(&result.err)?;
            quote! {
                match #value {
                    ::std::result::Result::Ok(#ok) => { __lowering.tag(false); #write_ok }
                    ::std::result::Result::Err(#err) => { __lowering.tag(true); #write_err }
                }
            }
        }
        TypeDefKind::Tuple(tuple) => {
            let items: Vec<_> = (0..tuple.types.len())
                .map(|index| format_ident!("__value{depth}_{index}"))
                .collect();
            let mut all = TokenStream::new();
            for (index, (ty, item)) in (0_u32..).zip(tuple.types.iter().zip(&items)) {
                let write = lower(scope, ty, quote!(#item), depth + 1)?;
                all.extend(quote!(__lowering.enter(#index); #write __lowering.leave();));
            }
            quote!({ let (#(#items,)*) = #value; #all })
        }
        TypeDefKind::List(element) => {
            let write = lower(scope, element, quote!(#inner), depth + 1)?;
            quote!({
                let #inner = #value;
                __lowering.length(#inner.len());
                for #inner in #inner { #write }
            })
        }
        TypeDefKind::Stream(_) => quote!(__lowering.content(#value);),
        TypeDefKind::Future(_) => quote!(__lowering.later(#value);),
        TypeDefKind::Handle(handle) => match scope.own_resource(*handle) {
            Some(table) => {
                quote!(__lowering.value(&__resources.#table.keep(__caller.as_ref(), #value)?);)
            }
            // The one other handle that is not plain.
            None => quote!(__lowering.content(#value);),
        },
        other => {
            return Err(scope.problem(format_args!("`{}` isn't supported here", other.as_str())));
        }
    })
}
