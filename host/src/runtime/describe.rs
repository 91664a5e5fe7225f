//! What an actor offers, as text for people and as types for tools.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use trellis_rpc::value::{FunctionType, Ty};

/// What an actor exports: the answer to a `describe` request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The interfaces, by name.
    pub exports: Vec<ExportDescription>,
    /// The names of what it imports.
    pub imports: Vec<String>,
}

/// One exported interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportDescription {
    /// `namespace:package/interface@version`; empty for functions that belong to no interface.
    pub interface: String,
    /// Its functions, in WIT order.
    pub functions: Vec<FunctionDescription>,
}

/// One exported function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionDescription {
    /// As in WIT.
    pub name: String,
    /// As calls name it.
    pub wire_name: String,
    /// For example `greet: func(name: string) -> result<string, string>`.
    pub wit: String,
    /// Its types, when it can be called with values of them: what `trellis call` encodes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ty: Option<FunctionType>,
}

/// A function as WIT writes it, with the types that have names in WIT written out in place.
pub(super) fn wit(name: &str, ty: &FunctionType) -> String {
    let mut out = format!("{name}: func(");
    for (index, (param, ty)) in ty.params.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        let _ = write!(out, "{param}: ");
        put(ty, &mut out);
    }
    out.push(')');
    if let Some(result) = &ty.result {
        out.push_str(" -> ");
        put(result, &mut out);
    }
    out
}

fn put(ty: &Ty, out: &mut String) {
    match ty {
        Ty::List(element) => wrap("list", [&**element], out),
        Ty::Option(some) => wrap("option", [&**some], out),
        Ty::Tuple(items) => wrap("tuple", items, out),
        Ty::Record { fields } => {
            out.push_str("record { ");
            separated(fields, out, |(name, ty), out| {
                let _ = write!(out, "{name}: ");
                put(ty, out);
            });
            out.push_str(" }");
        }
        Ty::Variant { cases } => {
            out.push_str("variant { ");
            separated(cases, out, |(name, payload), out| {
                out.push_str(name);
                if let Some(payload) = payload {
                    out.push('(');
                    put(payload, out);
                    out.push(')');
                }
            });
            out.push_str(" }");
        }
        Ty::Enum { cases } => {
            let _ = write!(out, "enum {{ {} }}", cases.join(", "));
        }
        Ty::Flags { names } => {
            let _ = write!(out, "flags {{ {} }}", names.join(", "));
        }
        Ty::Result { ok, err } => match (ok, err) {
            (None, None) => out.push_str("result"),
            (Some(ok), None) => wrap("result", [&**ok], out),
            (None, Some(err)) => {
                out.push_str("result<_, ");
                put(err, out);
                out.push('>');
            }
            (Some(ok), Some(err)) => wrap("result", [&**ok, &**err], out),
        },
        Ty::Own(resource) => out.push_str(short(resource)),
        Ty::Borrow(resource) => {
            let _ = write!(out, "borrow<{}>", short(resource));
        }
        simple => {
            let _ = write!(out, "{simple}");
        }
    }
}

/// A resource's own name, without its interface's.
fn short(resource: &str) -> &str {
    resource.rsplit('.').next().unwrap_or(resource)
}

fn wrap<'a>(name: &str, inner: impl IntoIterator<Item = &'a Ty>, out: &mut String) {
    let _ = write!(out, "{name}<");
    separated(inner, out, put);
    out.push('>');
}

fn separated<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    each: impl Fn(T, &mut String),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        each(item, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_read_as_in_wit() {
        let point = Ty::Record {
            fields: vec![("x".into(), Ty::S32), ("y".into(), Ty::S32)],
        };
        let ty = FunctionType {
            params: vec![
                ("self".into(), Ty::Borrow("a:b/c@1.0.0.shape".into())),
                ("points".into(), Ty::list(point)),
            ],
            result: Some(Ty::result(
                None,
                Some(Ty::Tuple(vec![Ty::String, Ty::option(Ty::U8)])),
            )),
        };
        assert_eq!(
            wit("[method]shape.draw", &ty),
            "[method]shape.draw: func(self: borrow<shape>, points: list<record { x: s32, y: s32 }>) \
             -> result<_, tuple<string, option<u8>>>"
        );
    }
}
