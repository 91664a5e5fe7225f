//! Bytes to values, led by their type.

use super::{Pending, Ty, Value};
use crate::codec::{Decode as _, Decoder, WireError, leb};

/// Reads one value.
///
/// # Errors
/// [`WireError`] when the bytes do not fit the type or go past a limit of the decoder.
pub fn decode(decoder: &mut Decoder, ty: &Ty) -> Result<Value, WireError> {
    Reader {
        decoder,
        path: Vec::new(),
        pending: Vec::new(),
    }
    .value(ty)
}

/// Where the decoding stands.
pub(super) struct Reader<'a> {
    pub(super) decoder: &'a mut Decoder,
    pub(super) path: Vec<u32>,
    pub(super) pending: Vec<Pending>,
}

impl Reader<'_> {
    /// One value at the current path.
    pub(super) fn value(&mut self, ty: &Ty) -> Result<Value, WireError> {
        self.decoder.enter()?;
        let value = self.typed(ty);
        self.decoder.leave();
        value
    }

    fn typed(&mut self, ty: &Ty) -> Result<Value, WireError> {
        let decoder = &mut *self.decoder;
        Ok(match ty {
            Ty::Bool => Value::Bool(bool::decode(decoder)?),
            Ty::S8 => Value::S8(i8::decode(decoder)?),
            Ty::U8 => Value::U8(u8::decode(decoder)?),
            Ty::S16 => Value::S16(i16::decode(decoder)?),
            Ty::U16 => Value::U16(u16::decode(decoder)?),
            Ty::S32 => Value::S32(i32::decode(decoder)?),
            Ty::U32 => Value::U32(u32::decode(decoder)?),
            Ty::S64 => Value::S64(i64::decode(decoder)?),
            Ty::U64 => Value::U64(u64::decode(decoder)?),
            Ty::F32 => Value::F32(f32::decode(decoder)?),
            Ty::F64 => Value::F64(f64::decode(decoder)?),
            Ty::Char => Value::Char(char::decode(decoder)?),
            Ty::String => Value::String(String::decode(decoder)?),
            Ty::Own(_) | Ty::Borrow(_) => Value::Resource(decoder.sized("a resource handle")?),
            Ty::List(element) => self.list(element)?,
            Ty::Record { fields } => {
                Value::Record(self.each(fields.iter().map(|(_, ty)| ty), fields.len())?)
            }
            Ty::Tuple(items) => Value::Tuple(self.each(items.iter(), items.len())?),
            Ty::Variant { cases } => {
                let index = leb::read_u32(decoder, "a variant's case")?;
                let Some((_, payload)) = cases.get(index as usize) else {
                    return Err(decoder.unknown_case("a variant's case", index));
                };
                Value::Variant(index, self.side(payload.as_ref())?)
            }
            Ty::Enum { cases } => {
                let index = leb::read_u32(decoder, "an enum's case")?;
                if index as usize >= cases.len() {
                    return Err(decoder.unknown_case("an enum's case", index));
                }
                Value::Enum(index)
            }
            Ty::Option(some) => {
                let present = decoder.flag("an option")?;
                Value::Option(self.side(present.then_some(&**some))?)
            }
            Ty::Result { ok, err } => {
                if decoder.flag("a result")? {
                    Value::Result(Err(self.side(err.as_deref())?))
                } else {
                    Value::Result(Ok(self.side(ok.as_deref())?))
                }
            }
            Ty::Flags { names } => Value::Flags(self.flags(names.len())?),
            Ty::Stream(element) => {
                if !decoder.flag("a stream")? {
                    self.pend(ty);
                    return Ok(Value::Stream(None));
                }
                let content = match element {
                    Some(element) => self.list(element)?,
                    // Elements without a type have no bytes; all there is to them is how many they are.
                    None => Value::U32(leb::read_u32(decoder, "a stream's length")?),
                };
                Value::Stream(Some(Box::new(content)))
            }
            Ty::Future(inner) => {
                if !decoder.flag("a future")? {
                    self.pend(ty);
                    return Ok(Value::Future(None));
                }
                let value = self.side(inner.as_deref())?;
                Value::Future(Some(
                    value.unwrap_or_else(|| Box::new(Value::Tuple(Vec::new()))),
                ))
            }
        })
    }

    fn pend(&mut self, ty: &Ty) {
        self.pending.push(Pending {
            path: self.path.as_slice().into(),
            ty: ty.clone(),
        });
    }

    fn list(&mut self, element: &Ty) -> Result<Value, WireError> {
        if *element == Ty::U8 {
            return Ok(Value::Bytes(self.decoder.sized("a list<u8>")?));
        }
        let count = self.decoder.list_length(element.min_bytes())?;
        Ok(Value::List(
            self.each(std::iter::repeat_n(element, count), count)?,
        ))
    }

    /// Values one after the other, each a level down the path.
    fn each<'t>(
        &mut self,
        types: impl Iterator<Item = &'t Ty>,
        count: usize,
    ) -> Result<Vec<Value>, WireError> {
        let mut values = Vec::with_capacity(crate::codec::first_capacity(count));
        for (index, ty) in (0_u32..).zip(types) {
            self.path.push(index);
            values.push(self.value(ty)?);
            self.path.pop();
        }
        Ok(values)
    }

    /// The payload of a variant's case, an option, a result's side or a future.
    fn side(&mut self, ty: Option<&Ty>) -> Result<Option<Box<Value>>, WireError> {
        ty.map(|ty| self.value(ty).map(Box::new)).transpose()
    }

    fn flags(&mut self, count: usize) -> Result<Vec<bool>, WireError> {
        let bytes = self.decoder.take(count.div_ceil(8), "flags")?;
        let bit = |index: usize| bytes[index / 8] >> (index % 8) & 1 == 1;
        if (count..bytes.len() * 8).any(bit) {
            return Err(self
                .decoder
                .invalid("flags", "a flag is set that has no name"));
        }
        Ok((0..count).map(bit).collect())
    }
}
