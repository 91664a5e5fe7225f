//! WIT's types as Rust's, seen from a place in the generated code.

use proc_macro2::TokenStream;
use quote::quote;
use wit_parser::{Handle, InterfaceId, Span, Type, TypeDefKind, TypeId};

use crate::{
    model::{Model, Resource},
    names::{camel, snake},
    problem::Problem,
};

/// The longest tuple that has an encoding in `trellis_rpc`.
pub(crate) const MAX_TUPLE: usize = 12;

/// For what a type is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A declaration: of a record, a variant, another name.
    Declared,
    /// What a provider is asked with, and what it answers.
    Asked,
    Answered,
    /// What a provider asks with, and what it is answered.
    Asks,
    Given,
}

/// What plain values don't have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carries {
    /// Streams or futures: they have channels.
    pub(crate) channel: bool,
    /// Resources that live here: they are kept in a table.
    pub(crate) own: bool,
    /// Handles of others' resources that are lent: references.
    pub(crate) lent: bool,
}

impl Carries {
    /// Whether `Encode` and `Decode` are enough.
    pub(crate) fn nothing(self) -> bool {
        !self.channel && !self.own
    }

    fn and(self, other: Self) -> Self {
        Self {
            channel: self.channel || other.channel,
            own: self.own || other.own,
            lent: self.lent || other.lent,
        }
    }
}

/// A place in the generated code that types are seen from, and in the WIT that they come from.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) model: &'a Model<'a>,
    /// Whose module the code is in.
    pub(crate) interface: InterfaceId,
    /// How many modules deeper than that.
    pub(crate) deeper: usize,
    pub(crate) side: Side,
    pub(crate) span: Span,
    /// For messages.
    pub(crate) whose: &'a str,
}

impl Scope<'_> {
    /// An error about what stands here.
    pub(crate) fn problem(&self, what: impl std::fmt::Display) -> Problem {
        Problem::at(self.model.resolve, self.span, self.whose, what)
    }

    /// The Rust type of a WIT type.
    pub(crate) fn rust(&self, ty: &Type) -> Result<TokenStream, Problem> {
        Ok(match ty {
            Type::Bool => quote!(bool),
            Type::U8 => quote!(u8),
            Type::U16 => quote!(u16),
            Type::U32 => quote!(u32),
            Type::U64 => quote!(u64),
            Type::S8 => quote!(i8),
            Type::S16 => quote!(i16),
            Type::S32 => quote!(i32),
            Type::S64 => quote!(i64),
            Type::F32 => quote!(f32),
            Type::F64 => quote!(f64),
            Type::Char => quote!(char),
            Type::String => quote!(::std::string::String),
            Type::ErrorContext => {
                return Err(self.problem(
                    "`error-context` of WASI 0.3 isn't supported: use a record or variant of your own",
                ));
            }
            Type::Id(id) => return self.defined(*id),
        })
    }

    fn defined(&self, id: TypeId) -> Result<TokenStream, Problem> {
        let ty = &self.model.resolve.types[id];
        match &ty.kind {
            TypeDefKind::Record(_)
            | TypeDefKind::Variant(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Flags(_)
            | TypeDefKind::Type(_) => self.named(id),
            _ if ty.name.is_some() => self.named(id),
            kind => self.anonymous(kind),
        }
    }

    /// The right-hand side of a declaration of another name.
    pub(crate) fn anonymous(&self, kind: &TypeDefKind) -> Result<TokenStream, Problem> {
        Ok(match kind {
            TypeDefKind::Type(ty) => self.rust(ty)?,
            TypeDefKind::List(Type::U8) => quote!(::trellis_provider::generated::Bytes),
            TypeDefKind::List(element) => {
                if self.carries(element)?.channel {
                    return Err(self.problem(
                        "a stream or future in a list isn't supported: it has no channel of its own",
                    ));
                }
                let element = self.rust(element)?;
                quote!(::std::vec::Vec<#element>)
            }
            TypeDefKind::Option(some) => {
                let some = self.rust(some)?;
                quote!(::std::option::Option<#some>)
            }
            TypeDefKind::Result(result) => {
                let ok = self.or_unit(result.ok.as_ref())?;
                let err = self.or_unit(result.err.as_ref())?;
                quote!(::std::result::Result<#ok, #err>)
            }
            TypeDefKind::Tuple(tuple) => {
                if tuple.types.len() > MAX_TUPLE {
                    return Err(self.problem(format_args!(
                        "a tuple of {} isn't supported, {MAX_TUPLE} at most: use a record",
                        tuple.types.len()
                    )));
                }
                let items: Vec<_> = tuple
                    .types
                    .iter()
                    .map(|item| self.rust(item))
                    .collect::<Result<_, _>>()?;
                quote!((#(#items,)*))
            }
            TypeDefKind::Handle(handle) => self.handle(*handle)?,
            TypeDefKind::Stream(Some(Type::U8)) => {
                quote!(::trellis_provider::generated::Content)
            }
            TypeDefKind::Stream(_) => {
                return Err(self.problem(
                    "only `stream<u8>` is supported, as is wasi:io/streams.input-stream: write other elements as bytes, a line each for example",
                ));
            }
            TypeDefKind::Future(value) => {
                if let Some(value) = value
                    && !self.carries(value)?.nothing()
                {
                    return Err(
                        self.problem("a future of streams, futures or resources isn't supported")
                    );
                }
                let value = self.or_unit(value.as_ref())?;
                quote!(::trellis_provider::generated::Later<#value>)
            }
            TypeDefKind::Map(..) => {
                return Err(self.problem(
                    "maps have no encoding that others understand: use a list of tuples",
                ));
            }
            TypeDefKind::FixedLengthList(..) => {
                return Err(self.problem(
                    "lists of fixed length have no encoding that others understand: use a list or a tuple",
                ));
            }
            other => {
                return Err(self.problem(format_args!("`{}` isn't supported here", other.as_str())));
            }
        })
    }

    fn or_unit(&self, ty: Option<&Type>) -> Result<TokenStream, Problem> {
        ty.map_or_else(|| Ok(quote!(())), |ty| self.rust(ty))
    }

    /// A type by the name that it is declared under.
    fn named(&self, id: TypeId) -> Result<TokenStream, Problem> {
        let ty = &self.model.resolve.types[id];
        let (Some(name), Some(owner)) = (&ty.name, self.model.owner(ty)) else {
            return Err(self.problem("a type without a name of its own isn't supported here"));
        };
        let path = self.path(owner)?;
        let name = camel(name);
        Ok(quote!(#path #name))
    }

    /// The way to an interface's module, with a `::` at its end.
    fn path(&self, owner: InterfaceId) -> Result<TokenStream, Problem> {
        let up = |levels| std::iter::repeat_n(quote!(super::), levels);
        if owner == self.interface {
            let up = up(self.deeper);
            return Ok(quote!(#(#up)*));
        }
        if !self.model.interfaces.iter().any(|used| used.id == owner) {
            return Err(self.problem(format_args!(
                "types of {} aren't supported, apart from wasi:io/streams.input-stream",
                self.model.name(owner)
            )));
        }
        let up = up(self.deeper + 3);
        let [namespace, package, interface] = self.model.module(owner);
        Ok(quote!(#(#up)* #namespace::#package::#interface::))
    }

    fn handle(&self, handle: Handle) -> Result<TokenStream, Problem> {
        let (id, lent) = match handle {
            Handle::Own(id) => (id, false),
            Handle::Borrow(id) => (id, true),
        };
        let root = self.model.root(id);
        let name = self.model.resolve.types[root]
            .name
            .clone()
            .unwrap_or_default();
        match self.model.resource(id) {
            None => Err(self.problem(format_args!(
                "the resource `{name}` lives with whoever uses it and can't travel; of wasi:io there is `input-stream` only"
            ))),
            Some(Resource::InputStream) if lent => Err(self.problem(
                "a borrowed input-stream can't travel: give it away, as `input-stream`",
            )),
            Some(Resource::InputStream) => Ok(quote!(::trellis_provider::generated::Content)),
            Some(Resource::Remote) => {
                let path = self.named(root)?;
                match (lent, self.side) {
                    (false, _) => Ok(path),
                    (true, Side::Asks) => Ok(quote!(&#path)),
                    (true, _) => Err(self.problem(
                        "a borrowed resource stands in parameters only, not in other types",
                    )),
                }
            }
            Some(Resource::Own(owner)) if owner != self.interface => Err(self.problem(format_args!(
                "the resource `{name}` of another interface isn't supported: put both into one"
            ))),
            Some(Resource::Own(_)) => {
                let resource = camel(&name);
                match self.side {
                    Side::Asked => Ok(quote!(::std::sync::Arc<Self::#resource>)),
                    Side::Answered => Ok(quote!(Self::#resource)),
                    Side::Declared | Side::Asks | Side::Given => Err(self.problem(format_args!(
                        "the resource `{name}`, which lives in this provider, isn't supported inside other types that have a name: give it as a parameter or result, in options, results, lists or tuples"
                    ))),
                }
            }
        }
    }

    /// What a type has that plain values don't.
    pub(crate) fn carries(&self, ty: &Type) -> Result<Carries, Problem> {
        let Type::Id(id) = ty else {
            return Ok(Carries::default());
        };
        self.all_carry(&self.model.resolve.types[*id].kind)
    }

    /// The same of a declaration.
    pub(crate) fn all_carry(&self, kind: &TypeDefKind) -> Result<Carries, Problem> {
        let mut all = Carries::default();
        let mut add = |ty: Option<&Type>| -> Result<(), Problem> {
            if let Some(ty) = ty {
                all = all.and(self.carries(ty)?);
            }
            Ok(())
        };
        match kind {
            TypeDefKind::Type(ty) | TypeDefKind::List(ty) | TypeDefKind::Option(ty) => {
                add(Some(ty))?
            }
            TypeDefKind::Record(record) => {
                record
                    .fields
                    .iter()
                    .try_for_each(|field| add(Some(&field.ty)))?;
            }
            TypeDefKind::Tuple(tuple) => tuple.types.iter().try_for_each(|ty| add(Some(ty)))?,
            TypeDefKind::Variant(variant) => {
                variant
                    .cases
                    .iter()
                    .try_for_each(|case| add(case.ty.as_ref()))?;
            }
            TypeDefKind::Result(result) => {
                add(result.ok.as_ref())?;
                add(result.err.as_ref())?;
            }
            TypeDefKind::Stream(_) | TypeDefKind::Future(_) => all.channel = true,
            TypeDefKind::Handle(handle) => {
                let (id, lent) = match handle {
                    Handle::Own(id) => (*id, false),
                    Handle::Borrow(id) => (*id, true),
                };
                match self.model.resource(id) {
                    Some(Resource::InputStream) => all.channel = true,
                    Some(Resource::Own(_)) => all.own = true,
                    Some(Resource::Remote) => all.lent = lent,
                    // Whoever asks for the Rust type is told.
                    None => {}
                }
            }
            _ => {}
        }
        Ok(all)
    }

    /// Whether a type has floats in it: such values are not `Eq`.
    pub(crate) fn has_float(&self, kind: &TypeDefKind) -> bool {
        let of = |ty: &Type| match ty {
            Type::F32 | Type::F64 => true,
            Type::Id(id) => self.has_float(&self.model.resolve.types[*id].kind),
            _ => false,
        };
        match kind {
            TypeDefKind::Type(ty) | TypeDefKind::List(ty) | TypeDefKind::Option(ty) => of(ty),
            TypeDefKind::Record(record) => record.fields.iter().any(|field| of(&field.ty)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().any(of),
            TypeDefKind::Variant(variant) => variant
                .cases
                .iter()
                .any(|case| case.ty.as_ref().is_some_and(of)),
            TypeDefKind::Result(result) => {
                result.ok.as_ref().is_some_and(of) || result.err.as_ref().is_some_and(of)
            }
            _ => false,
        }
    }

    /// The resource of this interface that a handle stands for: the field of its table.
    pub(crate) fn own_resource(&self, handle: Handle) -> Option<proc_macro2::Ident> {
        let (Handle::Own(id) | Handle::Borrow(id)) = handle;
        match self.model.resource(id) {
            Some(Resource::Own(_)) => {
                let root = self.model.root(id);
                self.model.resolve.types[root].name.as_deref().map(snake)
            }
            _ => None,
        }
    }
}
