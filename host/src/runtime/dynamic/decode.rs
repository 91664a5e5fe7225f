//! Wire bytes to wasmtime's values, led by their type. Nothing is built for bytes that are not there.

use bytes::Bytes;
use trellis_rpc::{
    CallError,
    codec::{Decode as _, Decoder, leb},
    value::Ty,
};
use wasmtime::component::{ResourceAny, Val};

use super::stream::{Spot, is_bytes};

/// The most bytes of a call's values: each byte of a `list<u8>` is a value of its own, of some fifty bytes, until the guest
/// has it.
pub(in crate::runtime) const MAX_ROOT_BYTES: usize = 4 << 20;
/// What is reserved for a list at first; the rest comes as its elements prove to be there.
const FIRST_CAPACITY: usize = 1024;

/// Turns what travels in place of resources into them.
pub(in crate::runtime) trait Incoming {
    /// The resource that a handle stands for; `own` when it is given to us.
    fn resource(&mut self, handle: Bytes, name: &str, own: bool) -> Result<ResourceAny, CallError>;

    /// A stream: of that content, or of what comes on the channel of that path.
    fn stream(&mut self, whole: Option<Bytes>, path: &[u32]) -> Result<ResourceAny, CallError>;
}

/// Reads the values of a parameter list or result.
///
/// # Errors
/// As [`decode`]; [`CallError::TooLarge`] past [`MAX_ROOT_BYTES`].
pub(in crate::runtime) fn decode_all<'t>(
    root: Bytes,
    types: impl Iterator<Item = &'t Ty>,
    handles: &mut dyn Incoming,
) -> Result<Vec<Val>, CallError> {
    if root.len() > MAX_ROOT_BYTES {
        return Err(CallError::TooLarge {
            what: "a call's values".into(),
            bytes: root.len(),
            limit: MAX_ROOT_BYTES,
        });
    }
    let mut decoder = Decoder::new(root);
    let values = types
        .enumerate()
        .map(|(index, ty)| decode(&mut decoder, ty, handles, &mut Spot::at(index)))
        .collect::<Result<_, _>>()?;
    decoder.finish()?;
    Ok(values)
}

/// Reads the value at that spot.
///
/// # Errors
/// [`CallError::Malformed`] when the bytes do not fit the type or go past a limit; whatever `handles` says about a handle.
pub(in crate::runtime) fn decode(
    decoder: &mut Decoder,
    ty: &Ty,
    handles: &mut dyn Incoming,
    spot: &mut Spot,
) -> Result<Val, CallError> {
    Ok(match ty {
        Ty::Bool => Val::Bool(bool::decode(decoder)?),
        Ty::S8 => Val::S8(i8::decode(decoder)?),
        Ty::U8 => Val::U8(u8::decode(decoder)?),
        Ty::S16 => Val::S16(i16::decode(decoder)?),
        Ty::U16 => Val::U16(u16::decode(decoder)?),
        Ty::S32 => Val::S32(i32::decode(decoder)?),
        Ty::U32 => Val::U32(u32::decode(decoder)?),
        Ty::S64 => Val::S64(i64::decode(decoder)?),
        Ty::U64 => Val::U64(u64::decode(decoder)?),
        Ty::F32 => Val::Float32(f32::decode(decoder)?),
        Ty::F64 => Val::Float64(f64::decode(decoder)?),
        Ty::Char => Val::Char(char::decode(decoder)?),
        Ty::String => Val::String(String::decode(decoder)?),
        Ty::List(element) if **element == Ty::U8 => {
            let bytes = Bytes::decode(decoder)?;
            Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect())
        }
        Ty::List(element) => {
            let count = decoder.list_length(element.min_bytes())?;
            let mut values = Vec::with_capacity(count.min(FIRST_CAPACITY));
            for _ in 0..count {
                values.push(decode(decoder, element, handles, spot)?);
            }
            Val::List(values)
        }
        Ty::Record { fields } => {
            let mut values = Vec::with_capacity(fields.len());
            for (index, (name, ty)) in fields.iter().enumerate() {
                spot.enter(index);
                values.push((name.clone(), decode(decoder, ty, handles, spot)?));
                spot.leave();
            }
            Val::Record(values)
        }
        Ty::Tuple(items) => {
            let mut values = Vec::with_capacity(items.len());
            for (index, ty) in items.iter().enumerate() {
                spot.enter(index);
                values.push(decode(decoder, ty, handles, spot)?);
                spot.leave();
            }
            Val::Tuple(values)
        }
        Ty::Variant { cases } => {
            let index = leb::read_u32(decoder, "a variant's case")?;
            let Some((name, payload)) = cases.get(index as usize) else {
                return Err(decoder.unknown_case("a variant's case", index).into());
            };
            Val::Variant(
                name.clone(),
                side(decoder, payload.as_ref(), handles, spot)?,
            )
        }
        Ty::Enum { cases } => {
            let index = leb::read_u32(decoder, "an enum's case")?;
            let Some(name) = cases.get(index as usize) else {
                return Err(decoder.unknown_case("an enum's case", index).into());
            };
            Val::Enum(name.clone())
        }
        Ty::Option(some) => {
            let present = bool::decode(decoder)?;
            Val::Option(side(decoder, present.then_some(&**some), handles, spot)?)
        }
        Ty::Result { ok, err } => Val::Result(if bool::decode(decoder)? {
            Err(side(decoder, err.as_deref(), handles, spot)?)
        } else {
            Ok(side(decoder, ok.as_deref(), handles, spot)?)
        }),
        Ty::Flags { names } => {
            let bytes = decoder.take(names.len().div_ceil(8), "flags")?;
            let bit = |index: usize| bytes[index / 8] >> (index % 8) & 1 == 1;
            if (names.len()..bytes.len() * 8).any(bit) {
                return Err(CallError::Malformed(
                    "a flag is set that has no name".into(),
                ));
            }
            Val::Flags(
                names
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| bit(*index))
                    .map(|(_, name)| name.clone())
                    .collect(),
            )
        }
        Ty::Own(name) => Val::Resource(handles.resource(Bytes::decode(decoder)?, name, true)?),
        Ty::Borrow(name) => {
            Val::Resource(handles.resource(Bytes::decode(decoder)?, name, false)?)
        }
        ty if is_bytes(ty) => {
            let whole = bool::decode(decoder)?.then(|| Bytes::decode(decoder));
            Val::Resource(handles.stream(whole.transpose()?, spot.path()?)?)
        }
        // Reflection makes no others: wasmtime has no values for them without WASI 0.3.
        Ty::Stream(_) | Ty::Future(_) => {
            return Err(CallError::Malformed(format!(
                "{ty} cannot be passed to an actor"
            )));
        }
    })
}

/// The payload of a variant's case, an option or a result's side.
fn side(
    decoder: &mut Decoder,
    ty: Option<&Ty>,
    handles: &mut dyn Incoming,
    spot: &mut Spot,
) -> Result<Option<Box<Val>>, CallError> {
    ty.map(|ty| decode(decoder, ty, handles, spot).map(Box::new))
        .transpose()
}
