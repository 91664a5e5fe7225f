//! WIT's names as Rust's.

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use proc_macro2::{Ident, Span};

/// A function's, field's, module's name: `rate-watcher` is `rate_watcher`.
pub(crate) fn snake(name: &str) -> Ident {
    ident(&name.to_snake_case())
}

/// A type's or case's name: `rate-change` is `RateChange`.
pub(crate) fn camel(name: &str) -> Ident {
    ident(&name.to_upper_camel_case())
}

fn ident(text: &str) -> Ident {
    match text {
        // These can't be raw.
        "self" | "super" | "crate" | "Self" => Ident::new(&format!("{text}_"), Span::call_site()),
        "gen" => Ident::new_raw(text, Span::call_site()),
        _ if syn::parse_str::<Ident>(text).is_ok() => Ident::new(text, Span::call_site()),
        _ => Ident::new_raw(text, Span::call_site()),
    }
}

/// A function's name without the brackets that say what kind it is: `[method]quote.convert` is `quote.convert`.
pub(crate) fn wire(function: &str) -> &str {
    match function
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((_, rest)) => rest,
        None => function,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_rust_s_even_where_they_are_its_keywords() {
        for (wit, rust) in [
            ("rate-change", "rate_change"),
            ("type", "r#type"),
            ("self", "self_"),
            ("u8-list", "u8_list"),
            ("gen", "r#gen"),
        ] {
            assert_eq!(snake(wit).to_string(), rust);
        }
        assert_eq!(camel("f-thirty-two").to_string(), "FThirtyTwo");
        assert_eq!(camel("self").to_string(), "Self_");
        assert_eq!(camel("HTTP-error").to_string(), "HttpError");
        assert_eq!(wire("[method]quote.convert"), "quote.convert");
        assert_eq!(wire("convert"), "convert");
    }
}
