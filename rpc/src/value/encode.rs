//! Values to bytes, led by their type.

use bytes::{BufMut as _, BytesMut};

use super::{Pending, Ty, Value};
use crate::codec::{Encode as _, leb};

/// How deep a value may nest; as deep as a reader follows.
const MAX_DEPTH: usize = 64;

/// A value that is not of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: expected {expected}, found {found}", place(path))]
pub struct ValueError {
    /// Where, outermost first: field names and indices.
    pub path: Vec<String>,
    /// The type there.
    pub expected: String,
    /// What the value is.
    pub found: String,
}

fn place(path: &[String]) -> String {
    if path.is_empty() {
        "value".to_owned()
    } else {
        path.join(".")
    }
}

impl ValueError {
    pub(super) fn new(expected: &Ty, found: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            expected: expected.to_string(),
            found: found.into(),
        }
    }

    /// The same error seen from one level further out.
    pub(super) fn inside(mut self, name: impl Into<String>) -> Self {
        self.path.insert(0, name.into());
        self
    }
}

impl From<ValueError> for crate::CallError {
    fn from(error: ValueError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Appends a value's encoding.
///
/// # Errors
/// [`ValueError`] when the value is not of that type; what was appended until then is to be thrown away.
pub fn encode(value: &Value, ty: &Ty, out: &mut BytesMut) -> Result<(), ValueError> {
    Encoder {
        out,
        path: Vec::new(),
        pending: Vec::new(),
        depth: 0,
    }
    .value(value, ty)
}

/// Where the encoding stands.
pub(super) struct Encoder<'a> {
    pub(super) out: &'a mut BytesMut,
    pub(super) path: Vec<u32>,
    pub(super) pending: Vec<Pending>,
    pub(super) depth: usize,
}

impl Encoder<'_> {
    /// One value at the current path.
    pub(super) fn value(&mut self, value: &Value, ty: &Ty) -> Result<(), ValueError> {
        if self.depth >= MAX_DEPTH {
            return Err(ValueError::new(
                ty,
                format!("values nested more than {MAX_DEPTH} deep"),
            ));
        }
        self.depth += 1;
        let result = self.typed(value, ty);
        self.depth -= 1;
        result
    }

    fn typed(&mut self, value: &Value, ty: &Ty) -> Result<(), ValueError> {
        match (ty, value) {
            (Ty::Bool, Value::Bool(value)) => value.encode(self.out),
            (Ty::S8, Value::S8(value)) => value.encode(self.out),
            (Ty::U8, Value::U8(value)) => value.encode(self.out),
            (Ty::S16, Value::S16(value)) => value.encode(self.out),
            (Ty::U16, Value::U16(value)) => value.encode(self.out),
            (Ty::S32, Value::S32(value)) => value.encode(self.out),
            (Ty::U32, Value::U32(value)) => value.encode(self.out),
            (Ty::S64, Value::S64(value)) => value.encode(self.out),
            (Ty::U64, Value::U64(value)) => value.encode(self.out),
            (Ty::F32, Value::F32(value)) => value.encode(self.out),
            (Ty::F64, Value::F64(value)) => value.encode(self.out),
            (Ty::Char, Value::Char(value)) => value.encode(self.out),
            (Ty::String, Value::String(value)) => value.encode(self.out),
            (Ty::Own(_) | Ty::Borrow(_), Value::Resource(handle)) => handle.encode(self.out),
            (Ty::List(element), list) => return self.list(list, element, ty),
            (Ty::Record { fields }, Value::Record(values)) => {
                same_count(ty, fields.len(), values.len())?;
                let fields = fields.iter().map(|(name, ty)| (name.as_str(), ty));
                return self.each(fields, values);
            }
            (Ty::Tuple(items), Value::Tuple(values)) => {
                same_count(ty, items.len(), values.len())?;
                return self.each(items.iter().map(|ty| ("", ty)), values);
            }
            (Ty::Variant { cases }, Value::Variant(index, payload)) => {
                let Some((name, payload_ty)) = cases.get(*index as usize) else {
                    return Err(no_case(ty, *index, cases.len()));
                };
                leb::put_unsigned(u64::from(*index), self.out);
                return self
                    .side(payload.as_deref(), payload_ty.as_ref(), ty)
                    .map_err(|e| e.inside(name));
            }
            (Ty::Enum { cases }, Value::Enum(index)) => {
                if *index as usize >= cases.len() {
                    return Err(no_case(ty, *index, cases.len()));
                }
                leb::put_unsigned(u64::from(*index), self.out);
            }
            (Ty::Option(_), Value::Option(None)) => self.out.put_u8(0),
            (Ty::Option(some), Value::Option(Some(value))) => {
                self.out.put_u8(1);
                return self.value(value, some);
            }
            (Ty::Result { ok, .. }, Value::Result(Ok(value))) => {
                self.out.put_u8(0);
                return self
                    .side(value.as_deref(), ok.as_deref(), ty)
                    .map_err(|e| e.inside("ok"));
            }
            (Ty::Result { err, .. }, Value::Result(Err(value))) => {
                self.out.put_u8(1);
                return self
                    .side(value.as_deref(), err.as_deref(), ty)
                    .map_err(|e| e.inside("err"));
            }
            (Ty::Flags { names }, Value::Flags(set)) => {
                same_count(ty, names.len(), set.len())?;
                for byte in set.chunks(8) {
                    let bits = byte
                        .iter()
                        .rev()
                        .fold(0, |bits, set| bits << 1 | u8::from(*set));
                    self.out.put_u8(bits);
                }
            }
            (Ty::Stream(_), Value::Stream(None)) | (Ty::Future(_), Value::Future(None)) => {
                self.out.put_u8(0);
                self.pending.push(Pending {
                    path: self.path.as_slice().into(),
                    ty: ty.clone(),
                });
            }
            (Ty::Stream(element), Value::Stream(Some(content))) => {
                self.out.put_u8(1);
                return match (element, &**content) {
                    (Some(element), list) => self.list(list, element, ty),
                    (None, Value::U32(count)) => {
                        count.encode(self.out);
                        Ok(())
                    }
                    (None, other) => Err(ValueError::new(ty, other.kind())),
                };
            }
            (Ty::Future(None), Value::Future(Some(_))) => self.out.put_u8(1),
            (Ty::Future(Some(inner)), Value::Future(Some(value))) => {
                self.out.put_u8(1);
                return self.value(value, inner);
            }
            (_, other) => return Err(ValueError::new(ty, other.kind())),
        }
        Ok(())
    }

    /// A list's content; `ty` is the list or stream, for messages.
    fn list(&mut self, list: &Value, element: &Ty, ty: &Ty) -> Result<(), ValueError> {
        match list {
            Value::Bytes(bytes) if *element == Ty::U8 => {
                bytes.encode(self.out);
                Ok(())
            }
            Value::List(values) if *element != Ty::U8 => {
                leb::put_length(values.len(), self.out);
                self.each(values.iter().map(|_| ("", element)), values)
            }
            other => Err(ValueError::new(ty, other.kind())),
        }
    }

    /// Values one after the other, each a level down the path. A part without a name is called by its index.
    fn each<'t>(
        &mut self,
        types: impl Iterator<Item = (&'t str, &'t Ty)>,
        values: &[Value],
    ) -> Result<(), ValueError> {
        for (index, ((name, ty), value)) in (0_u32..).zip(types.zip(values)) {
            self.path.push(index);
            self.value(value, ty).map_err(|e| {
                e.inside(if name.is_empty() {
                    index.to_string()
                } else {
                    name.to_owned()
                })
            })?;
            self.path.pop();
        }
        Ok(())
    }

    /// The payload of a variant's case or of a result's side.
    fn side(
        &mut self,
        value: Option<&Value>,
        side: Option<&Ty>,
        whole: &Ty,
    ) -> Result<(), ValueError> {
        match (value, side) {
            (None, None) => Ok(()),
            (Some(value), Some(side)) => self.value(value, side),
            (None, Some(side)) => Err(ValueError::new(side, "nothing")),
            (Some(value), None) => Err(ValueError::new(
                whole,
                format!("{} where this case has no value", value.kind()),
            )),
        }
    }
}

fn same_count(ty: &Ty, expected: usize, found: usize) -> Result<(), ValueError> {
    if expected == found {
        return Ok(());
    }
    Err(ValueError::new(
        ty,
        format!("{found} parts where the type has {expected}"),
    ))
}

fn no_case(ty: &Ty, index: u32, cases: usize) -> ValueError {
    ValueError::new(ty, format!("case {index} where the type has {cases}"))
}
