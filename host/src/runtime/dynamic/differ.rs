//! Where a caller's types of a function and its callee's differ: two components may have been built against different
//! versions of an interface.

use trellis_rpc::value::{FunctionType, Ty};

/// Where they differ, in words; `None` when values of the one are values of the other. Parameters go by their place, so
/// their names may differ, as on the wire.
pub(in crate::runtime) fn difference(
    expected: &FunctionType,
    found: &FunctionType,
) -> Option<String> {
    let (ours, theirs) = (expected.params.len(), found.params.len());
    if ours != theirs {
        return Some(format!(
            "the caller passes {ours} parameters, it takes {theirs}"
        ));
    }
    for ((name, ours), (_, theirs)) in expected.params.iter().zip(&found.params) {
        if let Some(difference) = differ(&format!("parameter {name}"), ours, theirs) {
            return Some(difference);
        }
    }
    side(
        "the result",
        expected.result.as_ref(),
        found.result.as_ref(),
    )
}

/// Of two types at that place.
fn differ(place: &str, expected: &Ty, found: &Ty) -> Option<String> {
    match (expected, found) {
        (Ty::List(ours), Ty::List(theirs)) => differ(&format!("{place}, element"), ours, theirs),
        (Ty::Option(ours), Ty::Option(theirs)) => differ(&format!("{place}, some"), ours, theirs),
        (Ty::Record { fields: ours }, Ty::Record { fields: theirs }) => {
            names(place, "fields", first(ours), first(theirs)).or_else(|| {
                ours.iter()
                    .zip(theirs)
                    .find_map(|((name, ours), (_, theirs))| {
                        differ(&format!("{place}, field {name}"), ours, theirs)
                    })
            })
        }
        (Ty::Tuple(ours), Ty::Tuple(theirs)) if ours.len() == theirs.len() => ours
            .iter()
            .zip(theirs)
            .enumerate()
            .find_map(|(at, (ours, theirs))| differ(&format!("{place}, item {at}"), ours, theirs)),
        (Ty::Variant { cases: ours }, Ty::Variant { cases: theirs }) => {
            names(place, "cases", first(ours), first(theirs)).or_else(|| {
                ours.iter()
                    .zip(theirs)
                    .find_map(|((name, ours), (_, theirs))| {
                        side(
                            &format!("{place}, case {name}"),
                            ours.as_ref(),
                            theirs.as_ref(),
                        )
                    })
            })
        }
        (Ty::Enum { cases: ours }, Ty::Enum { cases: theirs }) => {
            names(place, "cases", ours.iter(), theirs.iter())
        }
        (Ty::Flags { names: ours }, Ty::Flags { names: theirs }) => {
            names(place, "flags", ours.iter(), theirs.iter())
        }
        (
            Ty::Result {
                ok: our_ok,
                err: our_err,
            },
            Ty::Result {
                ok: their_ok,
                err: their_err,
            },
        ) => side(
            &format!("{place}, ok"),
            our_ok.as_deref(),
            their_ok.as_deref(),
        )
        .or_else(|| {
            side(
                &format!("{place}, err"),
                our_err.as_deref(),
                their_err.as_deref(),
            )
        }),
        // A resource has the name of the interface that it was found in first, which need not be the same on both sides.
        (Ty::Own(_), Ty::Own(_)) | (Ty::Borrow(_), Ty::Borrow(_)) => None,
        _ if expected == found => None,
        _ => Some(format!(
            "{place} is {expected} to the caller and {found} to it"
        )),
    }
}

/// Of a result or payload that either may lack.
fn side(place: &str, expected: Option<&Ty>, found: Option<&Ty>) -> Option<String> {
    match (expected, found) {
        (None, None) => None,
        (Some(expected), Some(found)) => differ(place, expected, found),
        (Some(expected), None) => Some(format!(
            "{place} is {expected} to the caller and nothing to it"
        )),
        (None, Some(found)) => Some(format!(
            "{place} is nothing to the caller and {found} to it"
        )),
    }
}

fn first<T>(named: &[(String, T)]) -> impl Iterator<Item = &String> + Clone {
    named.iter().map(|(name, _)| name)
}

/// Of names, which count in their order.
fn names<'a>(
    place: &str,
    kind: &str,
    ours: impl Iterator<Item = &'a String> + Clone,
    theirs: impl Iterator<Item = &'a String> + Clone,
) -> Option<String> {
    if ours.clone().eq(theirs.clone()) {
        return None;
    }
    let list = |names: Vec<&String>| {
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        names.join(", ")
    };
    Some(format!(
        "{place} has the {kind} {} to the caller and {} to it",
        list(ours.collect()),
        list(theirs.collect())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(params: &[Ty], result: Option<Ty>) -> FunctionType {
        let params = params.iter().map(|ty| ("value".to_owned(), ty.clone()));
        FunctionType {
            params: params.collect(),
            result,
        }
    }

    fn record(fields: &[(&str, Ty)]) -> Ty {
        let fields = fields
            .iter()
            .map(|(name, ty)| ((*name).to_owned(), ty.clone()));
        Ty::Record {
            fields: fields.collect(),
        }
    }

    #[test]
    fn the_same_types_do_not_differ_whatever_parameters_are_called() {
        let ours = function(
            &[Ty::list(Ty::U8), Ty::Own("a:b/c.d".into())],
            Some(Ty::result(None, Some(Ty::String))),
        );
        let mut theirs = ours.clone();
        theirs.params[0].0 = "another".into();
        theirs.params[1].1 = Ty::Own("a:b/types.d".into());
        assert_eq!(difference(&ours, &theirs), None);
        assert_eq!(difference(&function(&[], None), &function(&[], None)), None);
    }

    #[test]
    fn differences_say_where_they_are() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let cases = |payload| Ty::Variant {
            cases: vec![("none".to_owned(), None), ("some".to_owned(), payload)],
        };
        for (ours, theirs, said) in [
            (
                Ty::U32,
                Ty::U64,
                "parameter value is u32 to the caller and u64 to it",
            ),
            (
                Ty::list(Ty::option(Ty::U8)),
                Ty::list(Ty::option(Ty::S8)),
                "parameter value, element, some is u8",
            ),
            (
                record(&[("x", Ty::U8), ("y", Ty::U8)]),
                record(&[("x", Ty::U8)]),
                "has the fields x, y to the caller and x to it",
            ),
            (
                record(&[("x", Ty::U8), ("y", Ty::U8)]),
                record(&[("x", Ty::U8), ("y", Ty::String)]),
                "parameter value, field y is u8 to the caller and string to it",
            ),
            (
                Ty::Enum {
                    cases: names(&["a", "b"]),
                },
                Ty::Enum {
                    cases: names(&["b", "a"]),
                },
                "has the cases a, b to the caller and b, a to it",
            ),
            (
                Ty::Flags {
                    names: names(&["a"]),
                },
                Ty::Flags {
                    names: names(&["a", "b"]),
                },
                "has the flags a to the caller and a, b to it",
            ),
            (
                cases(Some(Ty::U8)),
                cases(None),
                "case some is u8 to the caller and nothing",
            ),
            (
                Ty::Tuple(vec![Ty::U8, Ty::U8]),
                Ty::Tuple(vec![Ty::U8, Ty::Bool]),
                "item 1 is u8",
            ),
            (
                Ty::result(Some(Ty::U8), None),
                Ty::result(Some(Ty::U8), Some(Ty::String)),
                "err is nothing to the caller and string",
            ),
            (Ty::Own("r".into()), Ty::Borrow("r".into()), "own<r>"),
        ] {
            let found = difference(&function(&[ours], None), &function(&[theirs], None)).unwrap();
            assert!(found.contains(said), "{found}");
        }
        let (none, some) = (function(&[], None), function(&[Ty::U8], Some(Ty::U8)));
        assert!(
            difference(&none, &some)
                .unwrap()
                .contains("0 parameters, it takes 1")
        );
        let result = difference(&function(&[Ty::U8], None), &some).unwrap();
        assert!(result.starts_with("the result is nothing"), "{result}");
    }
}
