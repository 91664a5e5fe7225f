//! A function's names, parameters and result.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use wit_parser::{Function, FunctionKind, TypeDefKind};

use crate::{
    declare::docs,
    model::{Model, Used},
    names::{camel, snake, wire},
    problem::Problem,
    types::{MAX_TUPLE, Scope, Side},
};

/// A function of an interface.
pub(crate) struct Described<'a> {
    pub(crate) model: &'a Model<'a>,
    pub(crate) used: Used,
    pub(crate) function: &'a Function,
    /// On the wire, for example `quote.convert`.
    pub(crate) wire: &'a str,
    /// The method's name, for example `quote_convert`.
    pub(crate) name: Ident,
    /// For messages.
    whose: String,
}

impl<'a> Described<'a> {
    /// All functions of an interface.
    pub(crate) fn all(model: &'a Model<'a>, used: Used) -> Result<Vec<Self>, Problem> {
        let functions = model.resolve.interfaces[used.id].functions.values();
        functions.map(|one| Self::new(model, used, one)).collect()
    }

    fn new(model: &'a Model<'a>, used: Used, function: &'a Function) -> Result<Self, Problem> {
        let whose = format!("{}, function `{}`", model.name(used.id), function.name);
        if function.kind.is_async() {
            return Err(Problem::at(
                model.resolve,
                function.span,
                &whose,
                "async functions of WASI 0.3 aren't supported: here every function may wait, leave `async` out",
            ));
        }
        let wire = wire(&function.name);
        let name = match function.kind {
            FunctionKind::Constructor(_) => format!("{wire}-new"),
            _ => wire.replace('.', "-"),
        };
        Ok(Self {
            model,
            used,
            function,
            wire,
            name: snake(&name),
            whose,
        })
    }

    /// The types seen from the interface's module.
    pub(crate) fn scope(&self, side: Side) -> Scope<'_> {
        Scope {
            model: self.model,
            interface: self.used.id,
            deeper: 0,
            side,
            span: self.function.span,
            whose: &self.whose,
        }
    }

    /// WIT's documentation.
    pub(crate) fn docs(&self) -> TokenStream {
        docs(&self.function.docs)
    }

    /// The parameters' names and types.
    pub(crate) fn params(&self, side: Side) -> Result<Vec<(Ident, TokenStream)>, Problem> {
        let scope = self.scope(side);
        let params = self.function.params.iter().map(|param| {
            let whose = format!("{}, parameter `{}`", self.whose, param.name);
            let scope = Scope {
                span: param.span,
                whose: &whose,
                ..scope
            };
            let name = match (param.name.as_str(), &self.function.kind) {
                // A method's first parameter is called as its resource is.
                ("self", kind) => kind.resource().and_then(|id| {
                    let root = self.model.root(id);
                    Some(snake(self.model.resolve.types[root].name.as_deref()?))
                }),
                // That is the name of a parameter of our own.
                ("context", _) => Some(format_ident!("context_")),
                (name, _) => Some(snake(name)),
            };
            Ok((
                name.unwrap_or_else(|| format_ident!("this")),
                scope.rust(&param.ty)?,
            ))
        });
        params.collect()
    }

    /// The result's type.
    pub(crate) fn result(&self, side: Side) -> Result<TokenStream, Problem> {
        let whose = format!("{}, result", self.whose);
        let scope = Scope {
            whose: &whose,
            ..self.scope(side)
        };
        self.function
            .result
            .as_ref()
            .map_or_else(|| Ok(quote!(())), |ty| scope.rust(ty))
    }

    /// Whether any of the values is, or has in it, a resource that lives here.
    pub(crate) fn keeps_resources(&self, side: Side) -> Result<bool, Problem> {
        let scope = self.scope(side);
        let types = match side {
            Side::Asked => self.function.params.iter().map(|param| &param.ty).collect(),
            _ => Vec::from_iter(&self.function.result),
        };
        for ty in types {
            if scope.carries(ty)?.own {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The function as a type, for those whose values are all plain.
    pub(crate) fn as_type(&self) -> Result<Option<TokenStream>, Problem> {
        let whose = &self.whose;
        let scope = Scope {
            deeper: 1,
            side: Side::Declared,
            whose,
            ..self.scope(Side::Declared)
        };
        let types = self.function.params.iter().map(|param| &param.ty);
        for ty in types.clone().chain(&self.function.result) {
            let carries = scope.carries(ty)?;
            if !carries.nothing() || carries.lent {
                return Ok(None);
            }
        }
        let params = types
            .map(|ty| scope.rust(ty))
            .collect::<Result<Vec<_>, _>>()?;
        let params = match params.as_slice() {
            many if many.len() > MAX_TUPLE => return Ok(None),
            [one] => one.clone(),
            many => quote!((#(#many),*)),
        };
        let result = match &self.function.result {
            Some(ty) => scope.rust(ty)?,
            None => quote!(()),
        };
        let (docs, wire) = (self.docs(), self.wire);
        let name = camel(&wire.replace('.', "-"));
        Ok(Some(quote!(#docs #name = #wire(#params) -> #result;)))
    }
}

/// The resources that an interface declares, by their names in WIT.
pub(crate) fn resources<'a>(model: &'a Model<'_>, used: Used) -> Vec<&'a str> {
    let types = &model.resolve.interfaces[used.id].types;
    let resources = types
        .iter()
        .filter(|(_, id)| matches!(model.resolve.types[**id].kind, TypeDefKind::Resource));
    resources.map(|(name, _)| name.as_str()).collect()
}

/// The functions of an interface as types, in a module of their own.
pub(crate) fn module(functions: &[Described<'_>], instance: &str) -> Result<TokenStream, Problem> {
    let types = functions
        .iter()
        .filter_map(|one| one.as_type().transpose())
        .collect::<Result<Vec<_>, _>>()?;
    if types.is_empty() {
        return Ok(TokenStream::new());
    }
    Ok(quote! {
        /// Each function without streams and resources as a type, for [`Component::invoke`](trellis_provider::Component::invoke) and
        /// for tests.
        pub mod functions {
            ::trellis_provider::rpc::wire_functions! { #instance { #(#types)* } }
        }
    })
}
