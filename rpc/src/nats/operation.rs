//! Which function a call's subject names.

use crate::call::Operation;

/// Takes `instance.function` apart. Versions and methods have dots of their own: the instance ends where its version
/// does, and a function's name never starts with a digit. Without a `:` it is a function of the world itself.
pub(super) fn parse(suffix: &str) -> Option<Operation> {
    let (instance, function) = if !suffix.contains(':') {
        ("", suffix)
    } else {
        let end = match suffix.find('@') {
            Some(at) => at + 1 + version_length(&suffix[at + 1..])?,
            None => suffix.find('.')?,
        };
        (&suffix[..end], suffix[end..].strip_prefix('.')?)
    };
    (!function.is_empty()).then(|| Operation::new(instance, function))
}

/// How long the version is that the text begins with: three numbers, the last with what `-` or `+` adds, and further
/// numbers of a pre-release such as `0.2.0-rc.1`.
fn version_length(text: &str) -> Option<usize> {
    let mut length = 0;
    let mut tokens = text.split('.');
    for _ in 0..3 {
        length += tokens.next()?.len() + 1;
    }
    for token in tokens {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        length += token.len() + 1;
    }
    Some(length - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_name_is_taken_apart() {
        for (instance, function) in [
            ("wrpc:keyvalue/store@0.2.0-draft", "get"),
            ("wasi:keyvalue/store@0.2.0-draft2", "bucket.get"),
            ("wasi:config/store@0.2.0-rc.1", "get-all"),
            ("wrpc:http/incoming-handler@0.1.0", "handle"),
            ("acme:shop/cart@1.2.3+build", "cart.add"),
            ("acme:shop/cart", "cart.add"),
            ("", "run"),
        ] {
            let suffix = if instance.is_empty() {
                function.to_owned()
            } else {
                format!("{instance}.{function}")
            };
            assert_eq!(
                parse(&suffix),
                Some(Operation::new(instance, function)),
                "{suffix}"
            );
        }
    }

    #[test]
    fn what_names_no_function_is_refused() {
        for suffix in [
            "",
            "a:b/c",
            "a:b/c@1.0",
            "a:b/c@1.0.0",
            "a:b/c@1.0.0.",
            "a:b/c.",
        ] {
            assert_eq!(parse(suffix), None, "{suffix:?}");
        }
    }
}
