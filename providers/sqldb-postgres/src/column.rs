//! Results as PostgreSQL writes them, in its binary form, which is the one that the client asks for.

use std::error::Error;

use bytes::{Buf, Bytes};
use tokio_postgres::types::{FromSql, Kind, Type};

use crate::{
    calendar, decimal, float, literal,
    wire::{
        Entry, Eui48, Eui64, HashableFloat, Interval, Lexeme, PgValue, Point, Row, TimeTz, Weight,
    },
};

type Problem = Box<dyn Error + Sync + Send>;

/// A row.
///
/// # Errors
/// Which column has a value that the interface has no case for.
pub fn row(row: &tokio_postgres::Row) -> Result<Row, String> {
    let entry = |(index, column): (usize, &tokio_postgres::Column)| {
        let cell: Result<Cell, _> = row.try_get(index);
        let name = column.name();
        let cell = cell.map_err(|error| {
            let problem = error
                .source()
                .map_or_else(|| error.to_string(), ToString::to_string);
            format!("column {name:?} of type {}: {problem}", column.type_())
        })?;
        Ok(Entry {
            column: name.to_owned(),
            value: cell.0,
        })
    };
    row.columns().iter().enumerate().map(entry).collect()
}

/// One value of any type.
struct Cell(PgValue);

impl FromSql<'_> for Cell {
    fn from_sql(ty: &Type, raw: &[u8]) -> Result<Self, Problem> {
        value(ty, raw).map(Self)
    }

    fn from_sql_null(_: &Type) -> Result<Self, Problem> {
        Ok(Self(PgValue::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn value(ty: &Type, mut raw: &[u8]) -> Result<PgValue, Problem> {
    use PgValue as V;
    Ok(match *ty {
        Type::BOOL => V::Bool(raw.try_get_u8()? != 0),
        Type::INT2 => V::Int2(raw.try_get_i16()?),
        Type::INT4 => V::Int4(raw.try_get_i32()?),
        Type::INT8 => V::Int8(raw.try_get_i64()?),
        // Numbers of the system's own tables, which go up to 2^32.
        Type::OID | Type::XID | Type::CID => V::Int8(raw.try_get_u32()?.into()),
        Type::FLOAT4 => V::Float4(float::apart_32(raw.try_get_f32()?)),
        Type::FLOAT8 => V::Float8(float::apart(raw.try_get_f64()?)),
        Type::NUMERIC => V::Numeric(decimal::text(raw)?),
        Type::MONEY => V::Money(decimal::cents(raw.try_get_i64()?)),

        Type::TEXT => V::Text(string(raw)?),
        Type::UNKNOWN | Type::CSTRING => V::Text(string(raw)?),
        Type::NAME => V::Name(string(raw)?),
        Type::XML => V::Xml(string(raw)?),
        Type::JSON => V::Json(string(raw)?),
        Type::JSONB => match raw.try_get_u8()? {
            1 => V::Jsonb(string(raw)?),
            version => return Err(format!("version {version} of its form is not known").into()),
        },
        Type::VARCHAR => V::Varchar((None, Bytes::copy_from_slice(raw))),
        Type::BPCHAR | Type::CHAR => {
            V::Char((u32::try_from(raw.len())?, Bytes::copy_from_slice(raw)))
        }
        Type::BYTEA => V::Bytea(Bytes::copy_from_slice(raw)),
        Type::BIT => V::Bit(bits(raw)?),
        Type::VARBIT => {
            let (length, bytes) = bits(raw)?;
            V::Varbit((Some(length), bytes))
        }
        Type::UUID => V::Uuid(uuid(raw)?),

        Type::DATE => V::Date(calendar::date(raw.try_get_i32()?)),
        Type::TIME => V::Time(calendar::time(raw.try_get_i64()?)),
        Type::TIMETZ => V::TimeTz(TimeTz {
            time: calendar::time(raw.try_get_i64()?),
            // PostgreSQL counts to the west here.
            zone: calendar::offset_text(raw.try_get_i32()?.saturating_neg()),
        }),
        Type::TIMESTAMP => V::Timestamp(calendar::timestamp(raw.try_get_i64()?)),
        Type::TIMESTAMPTZ => V::TimestampTz(calendar::timestamp_tz(raw.try_get_i64()?)),
        // The interface's `interval` is another thing: days from one to another.
        Type::INTERVAL => {
            let micros = raw.try_get_i64()?;
            let days = raw.try_get_i32()?;
            V::Text(calendar::span_text(raw.try_get_i32()?, days, micros))
        }

        Type::INET => V::Inet(network(raw, false)?),
        Type::CIDR => V::Cidr(network(raw, true)?),
        Type::MACADDR => V::Macaddr(Eui48 {
            bytes: <[u8; 6]>::try_from(raw)?.into(),
        }),
        Type::MACADDR8 => V::Macaddr8(Eui64 {
            bytes: <[u8; 8]>::try_from(raw)?.into(),
        }),

        Type::POINT => V::Point(point(&mut raw)?),
        Type::BOX => {
            let upper_right = point(&mut raw)?;
            V::Box((point(&mut raw)?, upper_right))
        }
        Type::LSEG => V::Lseg((point(&mut raw)?, point(&mut raw)?)),
        Type::LINE => V::Line(line(&mut raw)?),
        Type::CIRCLE => V::Circle((point(&mut raw)?, number(&mut raw)?)),
        Type::PATH => {
            // Whether it is closed, for which the interface has no word.
            raw.try_get_u8()?;
            V::Path(points(&mut raw)?)
        }
        Type::POLYGON => V::Polygon(points(&mut raw)?),

        Type::PG_LSN => V::PgLsn(raw.try_get_u64()?),
        Type::PG_SNAPSHOT | Type::TXID_SNAPSHOT => {
            let count = raw.try_get_i32()?;
            let (from, to) = (raw.try_get_i64()?, raw.try_get_i64()?);
            let running = (0..count).map(|_| raw.try_get_i64());
            V::PgSnapshot((from, to, running.collect::<Result<_, _>>()?))
        }
        Type::TS_VECTOR => V::TsVector(words(raw)?),
        Type::INT2_VECTOR => {
            let items = items(raw)?.into_iter();
            V::Int2Vector(
                items
                    .map(|mut item| item.try_get_i16())
                    .collect::<Result<_, _>>()?,
            )
        }
        Type::VOID => V::Null,
        _ => return by_kind(ty, raw),
    })
}

/// A value of a type that a database has of its own.
fn by_kind(ty: &Type, raw: &[u8]) -> Result<PgValue, Problem> {
    match ty.kind() {
        Kind::Array(member) => array(member, raw),
        Kind::Domain(base) => value(base, raw),
        Kind::Enum(_) => Ok(PgValue::Text(string(raw)?)),
        Kind::Range(member) => range(member, raw),
        Kind::Simple if ty.name() == "hstore" => pairs(raw),
        Kind::Simple if matches!(ty.name(), "citext") => Ok(PgValue::Text(string(raw)?)),
        _ => Err("the interface has no case for it: have the query cast it (::text)".into()),
    }
}

/// The cases of arrays by those of their members.
macro_rules! arrays {
    ($member:ident, $items:ident, $($ty:ident)|+ => $array:ident($case:ident), $($rest:tt)*) => {
        match *$member {
            $(Type::$ty)|+ => {
                let mut all = Vec::with_capacity($items.len());
                for item in $items {
                    match value($member, item)? {
                        PgValue::$case(value) => all.push(value),
                        other => return Err(format!("{other:?} in an array").into()),
                    }
                }
                PgValue::$array(all)
            }
            _ => arrays!($member, $items, $($rest)*),
        }
    };
    ($member:ident, $items:ident, _ => $otherwise:expr) => { $otherwise };
}

fn array(member: &Type, raw: &[u8]) -> Result<PgValue, Problem> {
    let items = items(raw)?;
    Ok(arrays!(member, items,
        BOOL => BoolArray(Bool),
        INT2 => Int2Array(Int2),
        INT4 => Int4Array(Int4),
        INT8 | OID | XID | CID => Int8Array(Int8),
        FLOAT4 => Float4Array(Float4),
        FLOAT8 => Float8Array(Float8),
        NUMERIC => NumericArray(Numeric),
        MONEY => MoneyArray(Money),
        INT2_VECTOR => Int2VectorArray(Int2Vector),
        TEXT => TextArray(Text),
        NAME => NameArray(Name),
        XML => XmlArray(Xml),
        JSON => JsonArray(Json),
        JSONB => JsonbArray(Jsonb),
        VARCHAR => VarcharArray(Varchar),
        BPCHAR | CHAR => CharArray(Char),
        BYTEA => ByteaArray(Bytea),
        BIT => BitArray(Bit),
        VARBIT => VarbitArray(Varbit),
        UUID => UuidArray(Uuid),
        DATE => DateArray(Date),
        TIME => TimeArray(Time),
        TIMETZ => TimeTzArray(TimeTz),
        TIMESTAMP => TimestampArray(Timestamp),
        TIMESTAMPTZ => TimestampTzArray(TimestampTz),
        INET => InetArray(Inet),
        CIDR => CidrArray(Cidr),
        MACADDR => MacaddrArray(Macaddr),
        MACADDR8 => Macaddr8Array(Macaddr8),
        POINT => PointArray(Point),
        BOX => BoxArray(Box),
        LSEG => LsegArray(Lseg),
        LINE => LineArray(Line),
        CIRCLE => CircleArray(Circle),
        PATH => PathArray(Path),
        POLYGON => PolygonArray(Polygon),
        PG_LSN => PgLsnArray(PgLsn),
        _ => others(member, items)?
    ))
}

/// Members that have no array of their own, as text; days from one to another have one, if all of them are such.
fn others(member: &Type, items: Vec<&[u8]>) -> Result<PgValue, Problem> {
    let values = items.into_iter().map(|item| value(member, item));
    let values: Vec<PgValue> = values.collect::<Result<_, _>>()?;
    let days = values.iter().map(|value| match value {
        PgValue::Interval(days) => Some(*days),
        _ => None,
    });
    if let Some(days) = days.collect::<Option<Vec<Interval>>>()
        && *member == Type::DATE_RANGE
    {
        return Ok(PgValue::IntervalArray(days));
    }
    let shown = |value| -> Result<String, Problem> {
        // NULL is in no array that comes here.
        Ok(literal::text(value)?.unwrap_or_default())
    };
    let texts: Vec<String> = values.into_iter().map(shown).collect::<Result<_, _>>()?;
    Ok(PgValue::TextArray(texts))
}

/// An array's members, still as PostgreSQL has them.
fn items(mut raw: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let dimensions = raw.try_get_i32()?;
    let (_may_have_nulls, _type) = (raw.try_get_i32()?, raw.try_get_u32()?);
    if dimensions == 0 {
        return Ok(Vec::new());
    }
    if dimensions != 1 {
        return Err(
            "the interface has arrays of one dimension only: have the query cast it (::text)"
                .into(),
        );
    }
    let (length, _first) = (raw.try_get_i32()?, raw.try_get_i32()?);
    let item = |_| match field(&mut raw)? {
        Some(item) => Ok(item),
        None => Err(
            "the interface's arrays have no NULL in them: have the query cast it (::text)".into(),
        ),
    };
    (0..length).map(item).collect()
}

/// Bytes behind their length; none for NULL.
fn field<'a>(raw: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Problem> {
    let length = raw.try_get_i32()?;
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    let (field, rest) = raw.split_at_checked(length).ok_or("it ends too early")?;
    *raw = rest;
    Ok(Some(field))
}

fn string(raw: &[u8]) -> Result<String, Problem> {
    Ok(std::str::from_utf8(raw)?.to_owned())
}

fn bits(mut raw: &[u8]) -> Result<(u32, Bytes), Problem> {
    let length = u32::try_from(raw.try_get_i32()?)?;
    Ok((length, Bytes::copy_from_slice(raw)))
}

fn uuid(raw: &[u8]) -> Result<String, Problem> {
    let bytes = <[u8; 16]>::try_from(raw)?;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Ok(text)
}

/// An address, with the length of its network where that says something.
fn network(mut raw: &[u8], always: bool) -> Result<String, Problem> {
    let _family = raw.try_get_u8()?;
    let prefix = raw.try_get_u8()?;
    let (_is_cidr, length) = (raw.try_get_u8()?, raw.try_get_u8()?);
    let (address, whole): (std::net::IpAddr, u8) = match length {
        4 => (<[u8; 4]>::try_from(raw)?.into(), 32),
        16 => (<[u8; 16]>::try_from(raw)?.into(), 128),
        _ => return Err("an address that is neither IPv4 nor IPv6".into()),
    };
    if always || prefix != whole {
        return Ok(format!("{address}/{prefix}"));
    }
    Ok(address.to_string())
}

fn number(raw: &mut &[u8]) -> Result<HashableFloat, Problem> {
    Ok(float::apart(raw.try_get_f64()?))
}

fn point(raw: &mut &[u8]) -> Result<Point, Problem> {
    Ok((number(raw)?, number(raw)?))
}

fn points(raw: &mut &[u8]) -> Result<Vec<Point>, Problem> {
    let count = raw.try_get_i32()?;
    (0..count).map(|_| point(raw)).collect()
}

/// Two points of the line on which `a * x + b * y + c` is 0.
fn line(raw: &mut &[u8]) -> Result<(Point, Point), Problem> {
    let (a, b, c) = (raw.try_get_f64()?, raw.try_get_f64()?, raw.try_get_f64()?);
    let point = |x: f64, y: f64| (float::apart(x), float::apart(y));
    if b == 0.0 {
        let x = -c / a;
        return Ok((point(x, 0.0), point(x, 1.0)));
    }
    Ok((point(0.0, -c / b), point(1.0, -(a + c) / b)))
}

/// Each word at each of its places.
fn words(mut raw: &[u8]) -> Result<Vec<Lexeme>, Problem> {
    let count = raw.try_get_i32()?;
    let mut words = Vec::new();
    for _ in 0..count {
        let end = raw.iter().position(|byte| *byte == 0);
        let (word, rest) = raw.split_at(end.ok_or("it ends too early")?);
        raw = &rest[1..];
        let data = string(word)?;
        let places = raw.try_get_u16()?;
        if places == 0 {
            words.push(Lexeme {
                position: None,
                weight: None,
                data: data.clone(),
            });
        }
        for _ in 0..places {
            let place = raw.try_get_u16()?;
            let weight = match place >> 14 {
                3 => Weight::A,
                2 => Weight::B,
                1 => Weight::C,
                _ => Weight::D,
            };
            words.push(Lexeme {
                position: Some(place & 0x3fff),
                weight: Some(weight),
                data: data.clone(),
            });
        }
    }
    Ok(words)
}

fn pairs(mut raw: &[u8]) -> Result<PgValue, Problem> {
    let count = raw.try_get_i32()?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let key = field(&mut raw)?.ok_or("a key that is NULL")?;
        let value = field(&mut raw)?.map(string).transpose()?;
        pairs.push((string(key)?, value));
    }
    Ok(PgValue::Hstore(pairs))
}

const EMPTY: u8 = 1;
const LOWER_INCLUSIVE: u8 = 2;
const UPPER_INCLUSIVE: u8 = 4;
const LOWER_UNBOUNDED: u8 = 8;
const UPPER_UNBOUNDED: u8 = 16;

/// Days from one to another have a case of their own; every other range is text.
fn range(member: &Type, mut raw: &[u8]) -> Result<PgValue, Problem> {
    let flags = raw.try_get_u8()?;
    if flags & EMPTY != 0 {
        return Ok(PgValue::Text("empty".to_owned()));
    }
    let mut bound = |unbounded: u8| -> Result<Option<PgValue>, Problem> {
        if flags & unbounded != 0 {
            return Ok(None);
        }
        let bound = field(&mut raw)?.ok_or("a bound that is NULL")?;
        value(member, bound).map(Some)
    };
    let (lower, upper) = (bound(LOWER_UNBOUNDED)?, bound(UPPER_UNBOUNDED)?);
    let inclusive = |side: u8| flags & side != 0;
    if let (Some(PgValue::Date(start)), Some(PgValue::Date(end))) = (&lower, &upper) {
        return Ok(PgValue::Interval(Interval {
            start: *start,
            start_inclusive: inclusive(LOWER_INCLUSIVE),
            end: *end,
            end_inclusive: inclusive(UPPER_INCLUSIVE),
        }));
    }
    let text = |bound: Option<PgValue>| -> Result<String, Problem> {
        let text = bound.map(literal::text).transpose()?.flatten();
        Ok(text.map_or_else(String::new, |text| format!("\"{text}\"")))
    };
    let opening = if inclusive(LOWER_INCLUSIVE) { '[' } else { '(' };
    let closing = if inclusive(UPPER_INCLUSIVE) { ']' } else { ')' };
    let (lower, upper) = (text(lower)?, text(upper)?);
    Ok(PgValue::Text(format!("{opening}{lower},{upper}{closing}")))
}
