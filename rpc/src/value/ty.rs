//! WIT types as data.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::function::SignatureError;

/// How deep a type may nest.
const MAX_DEPTH: usize = 64;

/// A WIT type. As JSON: `"u32"`, `{"list": "u8"}`, `{"record": {"fields": [["x", "u32"]]}}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ty {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Box<Ty>),
    /// `record`
    Record {
        /// Names and types, in order.
        fields: Vec<(String, Ty)>,
    },
    /// `tuple<…>`
    Tuple(Vec<Ty>),
    /// `variant`
    Variant {
        /// Names and payloads, in order.
        cases: Vec<(String, Option<Ty>)>,
    },
    /// `enum`
    Enum {
        /// Names, in order.
        cases: Vec<String>,
    },
    /// `option<T>`
    Option(Box<Ty>),
    /// `result<T, E>`
    Result {
        /// The value's type.
        ok: Option<Box<Ty>>,
        /// The error's type.
        err: Option<Box<Ty>>,
    },
    /// `flags`
    Flags {
        /// Names, in order.
        names: Vec<String>,
    },
    /// `own<R>`, by the resource's name.
    Own(String),
    /// `borrow<R>`, by the resource's name.
    Borrow(String),
    /// `stream<T>`
    Stream(Option<Box<Ty>>),
    /// `future<T>`
    Future(Option<Box<Ty>>),
}

impl Ty {
    /// `list<T>`
    pub fn list(element: Ty) -> Self {
        Self::List(Box::new(element))
    }

    /// `option<T>`
    pub fn option(some: Ty) -> Self {
        Self::Option(Box::new(some))
    }

    /// `result<T, E>`
    pub fn result(ok: Option<Ty>, err: Option<Ty>) -> Self {
        Self::Result {
            ok: ok.map(Box::new),
            err: err.map(Box::new),
        }
    }

    /// `stream<T>`
    pub fn stream(element: Ty) -> Self {
        Self::Stream(Some(Box::new(element)))
    }

    /// `future<T>`
    pub fn future(value: Ty) -> Self {
        Self::Future(Some(Box::new(value)))
    }

    /// The fewest bytes that a value of this type has on the wire: what makes a list's count believable.
    pub fn min_bytes(&self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Record { fields } => sum(fields.iter().map(|(_, ty)| ty.min_bytes())),
            Self::Tuple(items) => sum(items.iter().map(Self::min_bytes)),
            Self::Flags { names } => names.len().div_ceil(8),
            _ => 1,
        }
    }

    /// Whether a stream or future stands anywhere in it.
    pub fn is_async(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::Future(_))
            || self.parts().any(|(_, part)| part.is_async())
    }

    /// Checks that values of this type can travel: no empty type, no channel whose path would not be known beforehand.
    ///
    /// # Errors
    /// [`SignatureError`], which names the place.
    pub fn check(&self) -> Result<(), SignatureError> {
        self.check_at(&mut Vec::new())
    }

    pub(super) fn check_at<'a>(&'a self, place: &mut Vec<&'a str>) -> Result<(), SignatureError> {
        let refuse = |place: &[&str], why| Err(SignatureError::new(place, self, why));
        if place.len() > MAX_DEPTH {
            return refuse(place, "it nests too deep");
        }
        match self {
            Self::Record { fields } if fields.is_empty() => {
                return refuse(place, "a record has at least one field");
            }
            Self::Tuple(items) if items.is_empty() => {
                return refuse(place, "a tuple has at least one item");
            }
            Self::Variant { cases } if cases.is_empty() => {
                return refuse(place, "a variant has at least one case");
            }
            Self::Enum { cases } if cases.is_empty() => {
                return refuse(place, "an enum has at least one case");
            }
            // wRPC's own implementations disagree about them: one byte or none.
            Self::Flags { names } if names.is_empty() => {
                return refuse(place, "flags have at least one name");
            }
            Self::List(element) if element.is_async() => {
                return refuse(
                    place,
                    "a stream or future inside a list has no channel of its own",
                );
            }
            Self::Stream(Some(element)) if element.is_async() => {
                return refuse(
                    place,
                    "a stream or future inside a stream has no channel of its own",
                );
            }
            Self::Future(Some(value)) if value.is_async() => {
                return refuse(
                    place,
                    "a stream or future inside a future has no channel of its own",
                );
            }
            _ => {}
        }
        for (name, part) in self.parts() {
            place.push(name);
            part.check_at(place)?;
            place.pop();
        }
        Ok(())
    }

    /// The types directly inside, with a name for messages.
    fn parts(&self) -> Box<dyn Iterator<Item = (&str, &Ty)> + '_> {
        match self {
            Self::List(element) => Box::new(std::iter::once(("element", &**element))),
            Self::Option(some) => Box::new(std::iter::once(("some", &**some))),
            Self::Record { fields } => {
                Box::new(fields.iter().map(|(name, ty)| (name.as_str(), ty)))
            }
            Self::Tuple(items) => Box::new(items.iter().map(|ty| ("item", ty))),
            Self::Variant { cases } => Box::new(
                cases
                    .iter()
                    .filter_map(|(name, ty)| Some((name.as_str(), ty.as_ref()?))),
            ),
            Self::Result { ok, err } => {
                let sides = [("ok", ok.as_deref()), ("err", err.as_deref())];
                Box::new(sides.into_iter().filter_map(|(name, ty)| Some((name, ty?))))
            }
            Self::Stream(inner) | Self::Future(inner) => {
                Box::new(inner.as_deref().into_iter().map(|ty| ("element", ty)))
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Every place where a stream or future can stand, with its type: the channels that values of this type may
    /// have. Two cases of a variant may share a path; which one it is, only the value tells.
    pub fn channels(&self) -> Vec<(Vec<u32>, &Ty)> {
        let mut found = Vec::new();
        self.find_channels(&mut Vec::new(), &mut found);
        found
    }

    pub(super) fn find_channels<'a>(
        &'a self,
        path: &mut Vec<u32>,
        found: &mut Vec<(Vec<u32>, &'a Ty)>,
    ) {
        match self {
            Self::Stream(_) | Self::Future(_) => found.push((path.clone(), self)),
            Self::Record { .. } | Self::Tuple(_) => {
                for (index, (_, part)) in (0_u32..).zip(self.parts()) {
                    path.push(index);
                    part.find_channels(path, found);
                    path.pop();
                }
            }
            // A list's elements have no channels: `check` refuses them.
            Self::List(_) => {}
            _ => self
                .parts()
                .for_each(|(_, part)| part.find_channels(path, found)),
        }
    }
}

fn sum(sizes: impl Iterator<Item = usize>) -> usize {
    sizes.fold(0, usize::saturating_add)
}

/// As WIT writes it, with the contents of records and the like left out.
impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let simple = match self {
            Self::Bool => "bool",
            Self::S8 => "s8",
            Self::U8 => "u8",
            Self::S16 => "s16",
            Self::U16 => "u16",
            Self::S32 => "s32",
            Self::U32 => "u32",
            Self::S64 => "s64",
            Self::U64 => "u64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
            Self::String => "string",
            Self::Record { .. } => "record",
            Self::Variant { .. } => "variant",
            Self::Enum { .. } => "enum",
            Self::Flags { .. } => "flags",
            Self::List(element) => return write!(f, "list<{element}>"),
            Self::Option(some) => return write!(f, "option<{some}>"),
            Self::Own(resource) => return write!(f, "own<{resource}>"),
            Self::Borrow(resource) => return write!(f, "borrow<{resource}>"),
            Self::Stream(None) => "stream",
            Self::Stream(Some(element)) => return write!(f, "stream<{element}>"),
            Self::Future(None) => "future",
            Self::Future(Some(value)) => return write!(f, "future<{value}>"),
            Self::Tuple(items) => {
                f.write_str("tuple<")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                return f.write_str(">");
            }
            Self::Result { ok, err } => {
                return match (ok, err) {
                    (None, None) => f.write_str("result"),
                    (Some(ok), None) => write!(f, "result<{ok}>"),
                    (None, Some(err)) => write!(f, "result<_, {err}>"),
                    (Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
                };
            }
        };
        f.write_str(simple)
    }
}
