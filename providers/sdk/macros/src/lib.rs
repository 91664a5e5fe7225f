//! `trellis_provider::generate!`: the Rust of a provider's WIT world. The crate `trellis-provider` gives it on; what it
//! writes stands on that crate's module `generated`.
//!
//! Why not `wit-bindgen-wrpc`, which has the same purpose: its code wants the traits of `wrpc-transport` 0.30, whose NATS
//! side was dropped upstream, and one connection a call; Trellis's routes (NATS in two messages, a socket that many calls
//! share) are others, with the same bytes for every value.
//!
//! - [`options`]: what stands between the braces.
//! - [`source`]: the WIT files.
//! - [`model`]: which interfaces are answered, and which are called.
//! - [`names`], [`types`], [`declare`]: Rust names, types, and declarations.
//! - [`function`], [`lower`], [`lift`]: parameters and results, to bytes and back.
//! - [`exported`], [`imported`]: the trait that a provider implements, and the calls that it makes.
//! - [`modules`]: all of it in its modules.
//! - [`problem`]: what can't be done, with its place in the WIT.

mod declare;
mod exported;
mod function;
mod imported;
mod lift;
mod lower;
mod model;
mod modules;
mod names;
mod options;
mod problem;
mod source;
mod types;

#[cfg(test)]
mod golden;

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as Tokens};
use quote::quote;

use crate::{options::Options, problem::Problem, source::Source};

/// Generates the Rust of a provider's world: `generate!({ path: "wit", world: "provider" })`.
///
/// - `path`: the folder or file of the WIT, from the package's folder on; a list of them where the first ones' packages
///   are used by the last one. Default: `"wit"`.
/// - `world`: the world. Default: the only one.
/// - `inline`: WIT in place, instead of or on top of the files.
///
/// Each interface is a module `namespace::package::interface` with its types. One that the world *exports* has a trait
/// `Answers` there, which the provider implements, and the whole has a function `handler` that makes the
/// [`Handler`](../trellis_provider/rpc/trait.Handler.html) which `Provider::handler` gives. One that the world *imports* has a
/// struct `Calls`, made of a `Component`. `functions` has a type for each function without streams and resources, for
/// `Component::invoke` and for tests.
///
/// | WIT | Rust |
/// | --- | --- |
/// | numbers, `bool`, `char`, `string` | the same |
/// | `list<u8>`, other lists | `bytes::Bytes`, `Vec` |
/// | `option`, `result`, `tuple` | the same |
/// | `record`, `variant`, `enum` | struct, enum |
/// | `flags` | a struct of `bool`s |
/// | `resource` of an exported interface | an associated type of `Answers`; its functions are `RESOURCE_FUNCTION` |
/// | `resource` of an imported interface | a handle; its functions are those of `Calls` |
/// | `stream<u8>`, `wasi:io/streams.input-stream` | `trellis_provider::generated::Content` |
/// | `future<T>` | `trellis_provider::generated::Later` |
///
/// What has no encoding that others understand (maps, lists of fixed length, `error-context`, other streams, streams in
/// lists, async functions, functions of the world itself) is refused with its place in the WIT.
#[proc_macro]
pub fn generate(input: TokenStream) -> TokenStream {
    let options = match syn::parse::<Options>(input) {
        Ok(options) => options,
        Err(error) => return error.into_compile_error().into(),
    };
    let expanded = expand(&options).unwrap_or_else(|problem| {
        syn::Error::new(Span::call_site(), problem.to_string()).into_compile_error()
    });
    expanded.into()
}

fn expand(options: &Options) -> Result<Tokens, Problem> {
    let source = Source::read(options)?;
    let code = modules::all(&source.resolve, source.world)?;
    // So that the compiler knows what the code was made from.
    let files = source.files.iter().map(|file| {
        let file = file.display().to_string();
        quote!(
            const _: &[u8] = ::core::include_bytes!(#file);
        )
    });
    Ok(quote!(#code #(#files)*))
}
