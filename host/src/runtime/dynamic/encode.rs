//! wasmtime's values to wire bytes, led by their type (`wasmcloud-v1.md`, Invocation: Encoding).

use bytes::{BufMut as _, BytesMut};
use trellis_rpc::{
    CallError,
    codec::{Encode as _, leb},
    value::Ty,
};
use wasmtime::component::{ResourceAny, Val};

use super::stream::{Spot, is_bytes};

/// Turns resources into what travels in their place: handles, and channels for streams.
pub(in crate::runtime) trait Outgoing {
    /// The handle of a resource; `own` when it is given away.
    fn handle(
        &mut self,
        resource: ResourceAny,
        name: &str,
        own: bool,
    ) -> Result<bytes::Bytes, CallError>;

    /// Sends a stream's content on the channel of that path.
    fn stream(&mut self, resource: ResourceAny, path: &[u32]) -> Result<(), CallError>;
}

/// Appends the encoding of the value at that spot.
///
/// # Errors
/// [`CallError::Malformed`] when the value is not of that type, which wasmtime's own checks rule out;
/// whatever `handles` says about a resource.
pub(in crate::runtime) fn encode(
    value: &Val,
    ty: &Ty,
    handles: &mut dyn Outgoing,
    spot: &mut Spot,
    out: &mut BytesMut,
) -> Result<(), CallError> {
    match (ty, value) {
        (Ty::Bool, Val::Bool(value)) => value.encode(out),
        (Ty::S8, Val::S8(value)) => value.encode(out),
        (Ty::U8, Val::U8(value)) => value.encode(out),
        (Ty::S16, Val::S16(value)) => value.encode(out),
        (Ty::U16, Val::U16(value)) => value.encode(out),
        (Ty::S32, Val::S32(value)) => value.encode(out),
        (Ty::U32, Val::U32(value)) => value.encode(out),
        (Ty::S64, Val::S64(value)) => value.encode(out),
        (Ty::U64, Val::U64(value)) => value.encode(out),
        (Ty::F32, Val::Float32(value)) => value.encode(out),
        (Ty::F64, Val::Float64(value)) => value.encode(out),
        (Ty::Char, Val::Char(value)) => value.encode(out),
        (Ty::String, Val::String(value)) => value.encode(out),
        (Ty::List(element), Val::List(values)) if **element == Ty::U8 => {
            leb::put_length(values.len(), out);
            out.reserve(values.len());
            for value in values {
                let Val::U8(byte) = value else {
                    return Err(mismatch(element, value));
                };
                out.put_u8(*byte);
            }
        }
        (Ty::List(element), Val::List(values)) => {
            leb::put_length(values.len(), out);
            for value in values {
                encode(value, element, handles, spot, out)?;
            }
        }
        (Ty::Record { fields }, Val::Record(values)) if fields.len() == values.len() => {
            for (index, ((_, ty), (_, value))) in fields.iter().zip(values).enumerate() {
                spot.enter(index);
                encode(value, ty, handles, spot, out)?;
                spot.leave();
            }
        }
        (Ty::Tuple(items), Val::Tuple(values)) if items.len() == values.len() => {
            for (index, (ty, value)) in items.iter().zip(values).enumerate() {
                spot.enter(index);
                encode(value, ty, handles, spot, out)?;
                spot.leave();
            }
        }
        (Ty::Variant { cases }, Val::Variant(name, payload)) => {
            let index = position(cases.iter().map(|(case, _)| case), name)
                .ok_or_else(|| mismatch(ty, value))?;
            leb::put_length(index, out);
            side(
                payload.as_deref(),
                cases[index].1.as_ref(),
                (ty, handles, spot),
                out,
            )?;
        }
        (Ty::Enum { cases }, Val::Enum(name)) => {
            leb::put_length(
                position(cases, name).ok_or_else(|| mismatch(ty, value))?,
                out,
            );
        }
        (Ty::Option(_), Val::Option(None)) => out.put_u8(0),
        (Ty::Option(some), Val::Option(Some(value))) => {
            out.put_u8(1);
            encode(value, some, handles, spot, out)?;
        }
        (Ty::Result { ok, .. }, Val::Result(Ok(value))) => {
            out.put_u8(0);
            side(value.as_deref(), ok.as_deref(), (ty, handles, spot), out)?;
        }
        (Ty::Result { err, .. }, Val::Result(Err(value))) => {
            out.put_u8(1);
            side(value.as_deref(), err.as_deref(), (ty, handles, spot), out)?;
        }
        (Ty::Flags { names }, Val::Flags(set)) => {
            let start = out.len();
            out.put_bytes(0, names.len().div_ceil(8));
            for name in set {
                let index = position(names, name).ok_or_else(|| mismatch(ty, value))?;
                out[start + index / 8] |= 1 << (index % 8);
            }
        }
        (Ty::Own(name), Val::Resource(resource)) => {
            handles.handle(*resource, name, true)?.encode(out)
        }
        (Ty::Borrow(name), Val::Resource(resource)) => {
            handles.handle(*resource, name, false)?.encode(out)
        }
        (ty, Val::Resource(resource)) if is_bytes(ty) => {
            handles.stream(*resource, spot.path()?)?;
            // To come.
            out.put_u8(0);
        }
        _ => return Err(mismatch(ty, value)),
    }
    Ok(())
}

/// The payload of a variant's case or of a result's side.
fn side(
    value: Option<&Val>,
    side: Option<&Ty>,
    (whole, handles, spot): (&Ty, &mut dyn Outgoing, &mut Spot),
    out: &mut BytesMut,
) -> Result<(), CallError> {
    match (value, side) {
        (None, None) => Ok(()),
        (Some(value), Some(ty)) => encode(value, ty, handles, spot, out),
        _ => Err(CallError::Malformed(format!(
            "a case of {whole} with a payload too many or too few"
        ))),
    }
}

fn position<'a>(names: impl IntoIterator<Item = &'a String>, name: &str) -> Option<usize> {
    names.into_iter().position(|known| known == name)
}

fn mismatch(ty: &Ty, value: &Val) -> CallError {
    let mut found = format!("{value:?}");
    found.truncate(
        found
            .char_indices()
            .nth(80)
            .map_or(found.len(), |(at, _)| at),
    );
    CallError::Malformed(format!("expected {ty}, found {found}"))
}
