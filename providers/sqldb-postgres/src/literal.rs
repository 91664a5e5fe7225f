//! Parameters as PostgreSQL reads them: as text, of which it makes what the statement needs there. So an `int4` fits a
//! `bigint` column and a `text` one of any type, with PostgreSQL's own check of it, and there is no type that a parameter
//! could not have.

use std::{error::Error, fmt::Write as _};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use crate::{
    calendar, float,
    wire::{HashableFloat, Lexeme, PgValue, Point, Weight},
};

/// A parameter, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// No value.
    Null,
    /// For PostgreSQL to read.
    Text(String),
    /// Bytes for a column of bytes, as they are.
    Bytes(Bytes),
}

impl Parameter {
    /// The parameter for a place of that type.
    ///
    /// # Errors
    /// What is wrong with the value, in words.
    pub fn new(value: PgValue, ty: &Type) -> Result<Self, String> {
        if let (PgValue::Bytea(bytes), &Type::BYTEA) = (&value, ty) {
            return Ok(Self::Bytes(bytes.clone()));
        }
        let text = text(value)?;
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err("PostgreSQL's texts have no zero byte".to_owned());
        }
        Ok(text.map_or(Self::Null, Self::Text))
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Text(text) => out.put_slice(text.as_bytes()),
            Self::Bytes(bytes) => out.put_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self {
            Self::Bytes(_) => Format::Binary,
            Self::Null | Self::Text(_) => Format::Text,
        }
    }

    to_sql_checked!();
}

/// A value as PostgreSQL reads it; none for null.
///
/// # Errors
/// What is wrong with the value, in words.
pub fn text(value: PgValue) -> Result<Option<String>, String> {
    use PgValue as V;
    Ok(Some(match value {
        V::Null => return Ok(None),
        V::BigInt(n) | V::Int8(n) | V::BigSerial(n) | V::Serial8(n) | V::TxidSnapshot(n) => {
            n.to_string()
        }
        V::Integer(n) | V::Int(n) | V::Int4(n) => n.to_string(),
        V::Serial(n) | V::Serial4(n) => n.to_string(),
        V::SmallInt(n) | V::Int2(n) | V::SmallSerial(n) | V::Serial2(n) => n.to_string(),
        V::Int8Array(items) => array(items, |n| n.to_string()),
        V::Int4Array(items) => array(items, |n| n.to_string()),
        V::Int2Array(items) => array(items, |n| n.to_string()),
        V::Int2Vector(items) => vector(&items),
        V::Int2VectorArray(items) => array(items, |items| vector(&items)),
        V::Bool(yes) | V::Boolean(yes) => yes.to_string(),
        V::BoolArray(items) => array(items, |yes| yes.to_string()),
        V::Double(n) | V::Float8(n) | V::Real(n) | V::Float4(n) => float::text(n),
        V::Float8Array(items) | V::Float4Array(items) => array(items, float::text),

        V::Bit((length, bytes)) => bits(Some(length), &bytes)?,
        V::BitVarying((length, bytes)) | V::Varbit((length, bytes)) => bits(length, &bytes)?,
        V::BitArray(items) => try_array(items, |(length, bytes)| bits(Some(length), &bytes))?,
        V::VarbitArray(items) => try_array(items, |(length, bytes)| bits(length, &bytes))?,
        V::Bytea(bytes) => hex(&bytes),
        V::ByteaArray(items) => array(items, |bytes| hex(&bytes)),

        V::Char((length, bytes)) => characters(bytes, |of| of == length as usize)?,
        V::CharArray(items) => try_array(items, |(length, bytes)| {
            characters(bytes, |of| of == length as usize)
        })?,
        V::Varchar((most, bytes)) => characters(bytes, |of| within(of, most))?,
        V::VarcharArray(items) => try_array(items, |(most, bytes)| {
            characters(bytes, |of| within(of, most))
        })?,

        V::Macaddr(mac) => <[u8; 6]>::from(mac.bytes).map(octet).join(":"),
        V::MacaddrArray(items) => {
            array(items, |mac| <[u8; 6]>::from(mac.bytes).map(octet).join(":"))
        }
        V::Macaddr8(mac) => <[u8; 8]>::from(mac.bytes).map(octet).join(":"),
        V::Macaddr8Array(items) => {
            array(items, |mac| <[u8; 8]>::from(mac.bytes).map(octet).join(":"))
        }

        V::Point(at) => point(at),
        V::PointArray(items) => array(items, point),
        V::Box((low, high)) => format!("{},{}", point(low), point(high)),
        // The one type whose items have a semicolon between them.
        V::BoxArray(items) => list(
            items
                .into_iter()
                .map(|(low, high)| Ok(format!("{},{}", point(low), point(high)))),
            ';',
        )?,
        V::Circle((center, radius)) => circle(center, radius),
        V::CircleArray(items) => array(items, |(center, radius)| circle(center, radius)),
        V::Line((from, to)) => format!("({})", points([from, to])),
        V::LineArray(items) => array(items, |(from, to)| format!("({})", points([from, to]))),
        V::Lseg((from, to)) => format!("[{}]", points([from, to])),
        V::LsegArray(items) => array(items, |(from, to)| format!("[{}]", points([from, to]))),
        V::Path(through) => format!("[{}]", points(through)),
        V::PathArray(items) => array(items, |through| format!("[{}]", points(through))),
        V::Polygon(corners) => format!("({})", points(corners)),
        V::PolygonArray(items) => array(items, |corners| format!("({})", points(corners))),

        V::Date(date) => calendar::date_text(date),
        V::DateArray(items) => array(items, calendar::date_text),
        V::Interval(days) => calendar::days_text(days),
        V::IntervalArray(items) => array(items, calendar::days_text),
        V::Time(time) => calendar::time_text(time),
        V::TimeArray(items) => array(items, calendar::time_text),
        V::TimeTz(time) => format!("{} {}", calendar::time_text(time.time), time.zone),
        V::TimeTzArray(items) => array(items, |time| {
            format!("{} {}", calendar::time_text(time.time), time.zone)
        }),
        V::Timestamp(moment) => calendar::timestamp_text(moment),
        V::TimestampArray(items) => array(items, calendar::timestamp_text),
        V::TimestampTz(moment) => calendar::timestamp_tz_text(moment),
        V::TimestampTzArray(items) => array(items, calendar::timestamp_tz_text),

        V::PgLsn(at) => lsn(at),
        V::PgLsnArray(items) => array(items, lsn),
        V::PgSnapshot((from, to, running)) => {
            let running: Vec<String> = running.iter().map(ToString::to_string).collect();
            format!("{from}:{to}:{}", running.join(","))
        }

        V::TsVector(words) => words.iter().map(lexeme).collect::<Vec<_>>().join(" "),
        V::Hstore(pairs) => {
            let pair = |(key, value): (String, Option<String>)| {
                let value = value.map_or_else(|| "NULL".to_owned(), |value| quoted(&value));
                format!("{}=>{value}", quoted(&key))
            };
            pairs.into_iter().map(pair).collect::<Vec<_>>().join(",")
        }

        V::Numeric(text) | V::Decimal(text) | V::Money(text) => text,
        V::Cidr(text) | V::Inet(text) | V::Json(text) | V::Jsonb(text) | V::Name(text) => text,
        V::Text(text) | V::Xml(text) | V::TsQuery(text) | V::Uuid(text) => text,
        V::NumericArray(items)
        | V::MoneyArray(items)
        | V::CidrArray(items)
        | V::InetArray(items)
        | V::JsonArray(items)
        | V::JsonbArray(items)
        | V::NameArray(items)
        | V::TextArray(items)
        | V::XmlArray(items)
        | V::UuidArray(items) => array(items, |text| text),
    }))
}

fn array<T>(items: Vec<T>, text: impl Fn(T) -> String) -> String {
    // Nothing can go wrong.
    list(items.into_iter().map(|item| Ok(text(item))), ',').unwrap_or_default()
}

fn try_array<T>(
    items: Vec<T>,
    text: impl Fn(T) -> Result<String, String>,
) -> Result<String, String> {
    list(items.into_iter().map(text), ',')
}

/// PostgreSQL's form of an array: its items in quotes, which are right for every type.
fn list(
    items: impl Iterator<Item = Result<String, String>>,
    between: char,
) -> Result<String, String> {
    let mut text = "{".to_owned();
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(between);
        }
        text.push_str(&quoted(&item?));
    }
    text.push('}');
    Ok(text)
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn vector(items: &[i16]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(" ")
}

/// So many bits, or all there are; the first one is at the top of the first byte.
fn bits(length: Option<u32>, bytes: &[u8]) -> Result<String, String> {
    let there = bytes.len() * 8;
    let length = length.map_or(there, |length| length as usize);
    if length > there {
        return Err(format!("{length} bits are not in {} bytes", bytes.len()));
    }
    let bit = |index: usize| match bytes[index / 8] >> (7 - index % 8) & 1 {
        0 => '0',
        _ => '1',
    };
    Ok((0..length).map(bit).collect())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        // A text takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn octet(byte: u8) -> String {
    format!("{byte:02x}")
}

fn characters(bytes: Bytes, fits: impl Fn(usize) -> bool) -> Result<String, String> {
    if !fits(bytes.len()) {
        return Err(format!("{} bytes are not as many as it says", bytes.len()));
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| "its characters are not UTF-8".to_owned())
}

fn within(length: usize, most: Option<u32>) -> bool {
    most.is_none_or(|most| length <= most as usize)
}

fn point((x, y): Point) -> String {
    format!("({},{})", float::text(x), float::text(y))
}

fn points(points: impl IntoIterator<Item = Point>) -> String {
    points.into_iter().map(point).collect::<Vec<_>>().join(",")
}

fn circle(center: Point, radius: HashableFloat) -> String {
    format!("<{},{}>", point(center), float::text(radius))
}

fn lsn(at: u64) -> String {
    format!("{:X}/{:X}", at >> 32, at & 0xffff_ffff)
}

/// A word at its place: `'word':3B`.
fn lexeme(word: &Lexeme) -> String {
    let mut text = "'".to_owned();
    for c in word.data.chars() {
        if matches!(c, '\'' | '\\') {
            text.push(c);
        }
        text.push(c);
    }
    text.push('\'');
    if let Some(position) = word.position {
        let weight = match word.weight {
            Some(Weight::A) => "A",
            Some(Weight::B) => "B",
            Some(Weight::C) => "C",
            Some(Weight::D) | None => "",
        };
        let _ = write!(text, ":{position}{weight}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{float::apart, wire::Eui48};

    fn written(value: PgValue) -> String {
        text(value).unwrap().unwrap()
    }

    #[test]
    fn arrays_have_their_items_in_quotes() {
        let odd = vec![
            "a,b".to_owned(),
            "\"q\"".into(),
            "\\".into(),
            String::new(),
            "NULL".into(),
        ];
        assert_eq!(
            written(PgValue::TextArray(odd)),
            r#"{"a,b","\"q\"","\\","","NULL"}"#
        );
        assert_eq!(written(PgValue::Int4Array(vec![1, -2])), r#"{"1","-2"}"#);
        assert_eq!(written(PgValue::Int8Array(vec![])), "{}");
        let unit = (apart(0.0), apart(0.0));
        assert_eq!(
            written(PgValue::BoxArray(vec![(unit, unit), (unit, unit)])),
            r#"{"(0e0,0e0),(0e0,0e0)";"(0e0,0e0),(0e0,0e0)"}"#
        );
    }

    #[test]
    fn bits_begin_at_the_top() {
        let bits = |length| {
            written(PgValue::Varbit((
                length,
                Bytes::from_static(&[0b1010_0000]),
            )))
        };
        assert_eq!(bits(Some(3)), "101");
        assert_eq!(bits(None), "10100000");
        assert!(text(PgValue::Bit((9, Bytes::from_static(&[0])))).is_err());
    }

    #[test]
    fn characters_are_as_many_as_they_say() {
        assert_eq!(written(PgValue::Char((2, "é".into()))), "é");
        assert!(text(PgValue::Char((1, "é".into()))).is_err());
        assert!(text(PgValue::Varchar((Some(1), "ab".into()))).is_err());
        assert!(text(PgValue::Varchar((None, Bytes::from_static(&[0xff])))).is_err());
        let zero = Parameter::new(PgValue::Text("a\0b".into()), &Type::TEXT);
        assert!(zero.is_err(), "PostgreSQL would take it for the end");
    }

    #[test]
    fn what_has_a_form_of_its_own_has_it() {
        let word = |data: &str, position, weight| Lexeme {
            position,
            weight,
            data: data.to_owned(),
        };
        for (value, form) in [
            (
                PgValue::Macaddr(Eui48 {
                    bytes: (8, 0, 43, 1, 2, 255),
                }),
                "08:00:2b:01:02:ff",
            ),
            (PgValue::Bytea(Bytes::from_static(b"\x00\xff")), "\\x00ff"),
            (PgValue::PgLsn(0x16_b374_d848), "16/B374D848"),
            (PgValue::PgSnapshot((10, 20, vec![11, 14])), "10:20:11,14"),
            (
                PgValue::TsVector(vec![
                    word("it's", Some(3), Some(Weight::A)),
                    word("x", None, None),
                ]),
                "'it''s':3A 'x'",
            ),
            (
                PgValue::Hstore(vec![("a\"".into(), Some("1".into())), ("b".into(), None)]),
                r#""a\""=>"1","b"=>NULL"#,
            ),
            (PgValue::Int2Vector(vec![1, 2]), "1 2"),
        ] {
            assert_eq!(written(value), form);
        }
    }

    #[test]
    fn bytes_for_bytes_go_as_they_are() {
        let bytes = PgValue::Bytea(Bytes::from_static(b"\x00"));
        let sent = Parameter::new(bytes.clone(), &Type::BYTEA).unwrap();
        assert_eq!(sent, Parameter::Bytes(Bytes::from_static(b"\x00")));
        let sent = Parameter::new(bytes, &Type::TEXT).unwrap();
        assert_eq!(sent, Parameter::Text("\\x00".to_owned()));
        assert_eq!(
            Parameter::new(PgValue::Null, &Type::INT4),
            Ok(Parameter::Null)
        );
    }
}
