//! One value of a configuration: a text, read as whatever its field asks for.

use std::{cell::Cell, fmt};

use serde::de::{self, IntoDeserializer as _, Visitor};

use super::fields::nearest;

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ValueError {
    /// A field that must be there is not.
    Missing(&'static str),
    /// A field that there is not.
    Unknown {
        field: String,
        nearest: Option<&'static str>,
    },
    /// Anything else.
    Problem(String),
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(field) => write!(f, "field `{field}` is missing"),
            Self::Unknown { field, .. } => write!(f, "there is no field `{field}`"),
            Self::Problem(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for ValueError {}

impl de::Error for ValueError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::Problem(problem.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::Unknown {
            field: shown(field),
            nearest: nearest(field, known),
        }
    }
}

/// The text of a field's name or value.
pub(super) struct Text<'a> {
    text: &'a str,
    ignored: Cell<bool>,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            ignored: Cell::new(false),
        }
    }

    /// Whether nobody asked for it.
    pub(super) fn ignored(&self) -> bool {
        self.ignored.get()
    }

    fn parse<T: std::str::FromStr>(&self, what: &str) -> Result<T, ValueError> {
        let text = self.text.trim();
        text.parse()
            .map_err(|_| ValueError::Problem(format!("{:?} {what}", shown(self.text))))
    }
}

/// At most this much of a value is repeated in a message.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

const UNSIGNED: &str = "is not a whole number from 0 on";
const SIGNED: &str = "is not a whole number";
const FLOAT: &str = "is not a number";

impl<'de> de::Deserializer<'de> for Text<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_str(self.text)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $ty:ty, $what:expr;)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            visitor.$visit(self.parse::<$ty>($what)?)
        }
    )+};
}

impl<'de> de::Deserializer<'de> for &Text<'_> {
    type Error = ValueError;

    numbers! {
        deserialize_u8 visit_u64 u64, UNSIGNED;
        deserialize_u16 visit_u64 u64, UNSIGNED;
        deserialize_u32 visit_u64 u64, UNSIGNED;
        deserialize_u64 visit_u64 u64, UNSIGNED;
        deserialize_i8 visit_i64 i64, SIGNED;
        deserialize_i16 visit_i64 i64, SIGNED;
        deserialize_i32 visit_i64 i64, SIGNED;
        deserialize_i64 visit_i64 i64, SIGNED;
        deserialize_f32 visit_f64 f64, FLOAT;
        deserialize_f64 visit_f64 f64, FLOAT;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_str(self.text)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.text.trim().to_ascii_lowercase().as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(ValueError::Problem(format!(
                "{:?} is neither true nor false",
                shown(self.text)
            ))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.text.is_empty() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_enum(self.text.trim().into_deserializer())
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let parts = self
            .text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        visitor.visit_seq(de::value::SeqDeserializer::new(parts))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.ignored.set(true);
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier
    }
}
