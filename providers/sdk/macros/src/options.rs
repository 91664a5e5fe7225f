//! What stands between the braces of `generate!`.

use syn::{
    Ident, LitStr, Token, braced, bracketed,
    parse::{Parse, ParseStream},
    token::{Brace, Bracket},
};

/// What to generate, from where.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Folders or files, from the package's folder on.
    pub(crate) paths: Vec<String>,
    /// The world.
    pub(crate) world: Option<String>,
    /// WIT in place.
    pub(crate) inline: Option<String>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        if input.is_empty() {
            return Ok(options);
        }
        if !input.peek(Brace) {
            return Err(
                input.error("expected braces: generate!({ path: \"wit\", world: \"provider\" })")
            );
        }
        let fields;
        braced!(fields in input);
        while !fields.is_empty() {
            let name: Ident = fields.parse()?;
            fields.parse::<Token![:]>()?;
            let again = match name.to_string().as_str() {
                "path" => !std::mem::replace(&mut options.paths, paths(&fields)?).is_empty(),
                "world" => options.world.replace(text(&fields)?).is_some(),
                "inline" => options.inline.replace(text(&fields)?).is_some(),
                other => {
                    return Err(syn::Error::new(
                        name.span(),
                        format!("no option `{other}`: there are `path`, `world` and `inline`"),
                    ));
                }
            };
            if again {
                return Err(syn::Error::new(
                    name.span(),
                    format!("`{name}` is given twice"),
                ));
            }
            if !fields.is_empty() {
                fields.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

fn text(input: ParseStream<'_>) -> syn::Result<String> {
    Ok(input.parse::<LitStr>()?.value())
}

fn paths(input: ParseStream<'_>) -> syn::Result<Vec<String>> {
    if !input.peek(Bracket) {
        return Ok(vec![text(input)?]);
    }
    let list;
    bracketed!(list in input);
    let paths = list.parse_terminated(text, Token![,])?;
    Ok(paths.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_wrong_ones_named() {
        let options: Options =
            syn::parse_str(r#"{ path: ["a", "b"], world: "provider", }"#).unwrap();
        assert_eq!(options.paths, ["a", "b"]);
        assert_eq!(options.world.as_deref(), Some("provider"));
        let options: Options = syn::parse_str("").unwrap();
        assert!(options.paths.is_empty());
        for (text, said) in [
            (r#"{ wrld: "x" }"#, "no option `wrld`"),
            (r#"{ path: "a", path: "b" }"#, "`path` is given twice"),
            (r#""wit""#, "expected braces"),
        ] {
            let error = syn::parse_str::<Options>(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
