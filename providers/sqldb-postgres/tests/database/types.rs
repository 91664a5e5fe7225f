//! Every type, as a parameter and in a row.

use anyhow::{Result, ensure};
use bytes::Bytes;
use trellis_sqldb_postgres::{
    float::{apart, apart_32},
    wire::{
        Date, Eui48, Eui64, Interval, Lexeme, Offset, PgValue as V, Point, Time, TimeTz, Timestamp,
        TimestampTz, Weight,
    },
};

use crate::kit::{Lattice, text};

fn point(x: f64, y: f64) -> Point {
    (apart(x), apart(y))
}

fn day(year: i32, month: u32, day: u32) -> Date {
    Date::Ymd((year, month, day))
}

fn at(hour: u32, min: u32, sec: u32, micro: u32) -> Time {
    Time {
        hour,
        min,
        sec,
        micro,
    }
}

fn moment(date: Date, time: Time) -> Timestamp {
    Timestamp { date, time }
}

fn utc(date: Date, time: Time) -> TimestampTz {
    TimestampTz {
        timestamp: moment(date, time),
        offset: Offset::Eastern(0),
    }
}

fn days(start: Date, end: Date) -> Interval {
    Interval {
        start,
        start_inclusive: true,
        end,
        end_inclusive: false,
    }
}

fn zoned(zone: &str) -> TimeTz {
    TimeTz {
        zone: zone.to_owned(),
        time: at(1, 2, 3, 4),
    }
}

fn bytes(bytes: &'static [u8]) -> Bytes {
    Bytes::from_static(bytes)
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

fn word(data: &str, position: Option<u16>, weight: Option<Weight>) -> Lexeme {
    Lexeme {
        position,
        weight,
        data: data.to_owned(),
    }
}

/// What comes back of each type as it was given.
fn same() -> Vec<(&'static str, V)> {
    let (mac, mac8) = (
        Eui48 {
            bytes: (8, 0, 43, 1, 2, 255),
        },
        Eui64 {
            bytes: (8, 0, 43, 1, 2, 3, 4, 255),
        },
    );
    let (low, high) = (point(-1.5, 0.0), point(2.0, 1e300));
    vec![
        ("int2", V::Int2(i16::MIN)),
        ("int4", V::Int4(i32::MIN)),
        ("int8", V::Int8(i64::MIN)),
        ("int2[]", V::Int2Array(vec![1, -1])),
        ("int4[]", V::Int4Array(vec![i32::MAX])),
        ("int8[]", V::Int8Array(vec![])),
        ("int2vector", V::Int2Vector(vec![3, 1, 2])),
        ("bool", V::Bool(true)),
        ("bool[]", V::BoolArray(vec![true, false])),
        ("float4", V::Float4(apart_32(0.1))),
        ("float8", V::Float8(apart(5e-324))),
        ("float8", V::Float8(apart(f64::NEG_INFINITY))),
        ("float4[]", V::Float4Array(vec![apart_32(-1e30)])),
        ("float8[]", V::Float8Array(vec![apart(0.1), apart(-0.0)])),
        ("numeric", V::Numeric("-12345678901234567890.000100".into())),
        ("numeric", V::Numeric("0.00000001".into())),
        ("numeric", V::Numeric("NaN".into())),
        (
            "numeric(12,2)[]",
            V::NumericArray(strings(&["1.10", "1000000.00"])),
        ),
        ("money", V::Money("-1234.56".into())),
        ("money[]", V::MoneyArray(strings(&["0.01"]))),
        ("text", text("häßlich '\"\\\n$1")),
        ("text", text("")),
        (
            "text[]",
            V::TextArray(strings(&["a,b", "\"", "\\", "", "NULL", "{}"])),
        ),
        ("name", V::Name("x".into())),
        ("name[]", V::NameArray(strings(&["x"]))),
        ("xml", V::Xml("<a>b</a>".into())),
        ("xml[]", V::XmlArray(strings(&["<a/>"]))),
        ("varchar(9)", V::Varchar((None, bytes(b"abc")))),
        (
            "varchar[]",
            V::VarcharArray(vec![(None, bytes(b"a")), (None, bytes(b""))]),
        ),
        ("char(3)", V::Char((3, bytes(b"ab ")))),
        ("char(1)[]", V::CharArray(vec![(1, bytes(b"a"))])),
        ("bytea", V::Bytea(bytes(b"\x00\xff\\'"))),
        ("bytea[]", V::ByteaArray(vec![bytes(b"\x00"), bytes(b"")])),
        ("bit(10)", V::Bit((10, bytes(&[0b1010_0000, 0b0100_0000])))),
        ("bit(1)[]", V::BitArray(vec![(1, bytes(&[0b1000_0000]))])),
        ("varbit", V::Varbit((Some(3), bytes(&[0b1010_0000])))),
        ("varbit[]", V::VarbitArray(vec![(Some(1), bytes(&[0]))])),
        (
            "uuid",
            V::Uuid("0b6f4a52-8c1e-4f6e-9d3a-0123456789ab".into()),
        ),
        (
            "uuid[]",
            V::UuidArray(strings(&["0b6f4a52-8c1e-4f6e-9d3a-0123456789ab"])),
        ),
        ("json", V::Json("{\"a\" : [1, null]}".into())),
        ("json[]", V::JsonArray(strings(&["{}", "\"x\""]))),
        ("jsonb", V::Jsonb("{\"a\": [1, null]}".into())),
        ("jsonb[]", V::JsonbArray(strings(&["1"]))),
        ("date", V::Date(day(2024, 2, 29))),
        ("date", V::Date(day(-43, 3, 15))),
        ("date", V::Date(Date::PositiveInfinity)),
        (
            "date[]",
            V::DateArray(vec![day(1, 1, 1), Date::NegativeInfinity]),
        ),
        (
            "daterange",
            V::Interval(days(day(2024, 1, 1), day(2024, 2, 1))),
        ),
        (
            "daterange[]",
            V::IntervalArray(vec![days(day(2024, 1, 1), day(2024, 2, 1))]),
        ),
        ("time", V::Time(at(24, 0, 0, 0))),
        ("time[]", V::TimeArray(vec![at(23, 59, 59, 999_999)])),
        ("timetz", V::TimeTz(zoned("+02:00"))),
        ("timetz[]", V::TimeTzArray(vec![zoned("-03:30")])),
        (
            "timestamp",
            V::Timestamp(moment(day(1999, 12, 31), at(23, 59, 59, 1))),
        ),
        (
            "timestamp",
            V::Timestamp(moment(Date::PositiveInfinity, at(0, 0, 0, 0))),
        ),
        (
            "timestamp[]",
            V::TimestampArray(vec![moment(day(-1, 1, 2), at(3, 4, 5, 6))]),
        ),
        (
            "timestamptz",
            V::TimestampTz(utc(day(2024, 2, 29), at(12, 0, 0, 0))),
        ),
        (
            "timestamptz[]",
            V::TimestampTzArray(vec![utc(day(-43, 3, 15), at(0, 0, 0, 0))]),
        ),
        ("inet", V::Inet("10.1.2.3".into())),
        ("inet", V::Inet("2001:db8::1/64".into())),
        ("inet[]", V::InetArray(strings(&["::1", "10.0.0.0/8"]))),
        ("cidr", V::Cidr("10.0.0.0/8".into())),
        (
            "cidr[]",
            V::CidrArray(strings(&["2001:db8::/32", "10.1.2.3/32"])),
        ),
        ("macaddr", V::Macaddr(mac)),
        ("macaddr[]", V::MacaddrArray(vec![mac])),
        ("macaddr8", V::Macaddr8(mac8)),
        ("macaddr8[]", V::Macaddr8Array(vec![mac8])),
        ("point", V::Point(low)),
        ("point[]", V::PointArray(vec![low, high])),
        ("box", V::Box((low, high))),
        ("box[]", V::BoxArray(vec![(low, high), (low, low)])),
        ("lseg", V::Lseg((high, low))),
        ("lseg[]", V::LsegArray(vec![(high, low)])),
        ("line", V::Line((point(0.0, 1.0), point(1.0, 3.0)))),
        (
            "line[]",
            V::LineArray(vec![(point(2.0, 0.0), point(2.0, 1.0))]),
        ),
        ("circle", V::Circle((low, apart(2.5)))),
        ("circle[]", V::CircleArray(vec![(low, apart(0.0))])),
        ("path", V::Path(vec![low, high, low])),
        ("path[]", V::PathArray(vec![vec![low, high]])),
        ("polygon", V::Polygon(vec![low, high, low])),
        ("polygon[]", V::PolygonArray(vec![vec![low]])),
        ("pg_lsn", V::PgLsn(0x16_b374_d848)),
        ("pg_lsn[]", V::PgLsnArray(vec![0, u64::MAX])),
        ("pg_snapshot", V::PgSnapshot((10, 20, vec![11, 14]))),
        (
            "tsvector",
            V::TsVector(vec![
                word("fat", Some(2), Some(Weight::B)),
                word("fat", Some(4), Some(Weight::D)),
                word("it's", None, None),
            ]),
        ),
        // Short keys come first.
        (
            "hstore",
            V::Hstore(vec![("b".into(), None), ("a\"".into(), Some("1=>".into()))]),
        ),
        ("mood", text("very happy")),
        ("mood[]", V::TextArray(strings(&["sad", "very happy"]))),
        ("positive", V::Int4(7)),
        ("citext", text("Any Case")),
    ]
}

#[tokio::test]
async fn every_type_comes_back_as_it_was_given() -> Result<()> {
    let lattice = Lattice::start().await?;
    lattice
        .done(
            "CREATE EXTENSION hstore; CREATE EXTENSION citext; \
            CREATE TYPE mood AS ENUM ('sad', 'very happy'); \
            CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        )
        .await?;
    for (ty, value) in same() {
        let back = lattice
            .value(&format!("SELECT $1::{ty}"), vec![value.clone()])
            .await?;
        ensure!(back == value, "{ty}: {value:?} came back as {back:?}");
        let null = lattice
            .value(&format!("SELECT $1::{ty}"), vec![V::Null])
            .await?;
        ensure!(null == V::Null, "{ty}: {null:?}");
    }
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_value_fits_every_type_that_its_text_fits() -> Result<()> {
    let lattice = Lattice::start().await?;
    let offset = TimestampTz {
        offset: Offset::Western(3600),
        ..utc(day(2024, 2, 29), at(12, 0, 0, 0))
    };
    for (ty, given, back) in [
        ("int8", V::Int4(5), V::Int8(5)),
        ("int2", V::BigInt(5), V::Int2(5)),
        ("numeric", V::Integer(5), V::Numeric("5".into())),
        ("float8", V::Int4(5), V::Float8(apart(5.0))),
        ("float4", V::Double(apart(0.1)), V::Float4(apart_32(0.1))),
        ("text", V::Serial(7), text("7")),
        ("text", V::Boolean(true), text("true")),
        ("varchar", text("x"), V::Varchar((None, bytes(b"x")))),
        ("text", V::Varchar((Some(3), bytes(b"abc"))), text("abc")),
        ("jsonb", text("{\"a\":1}"), V::Jsonb("{\"a\": 1}".into())),
        (
            "uuid",
            text("0b6f4a528c1e4f6e9d3a0123456789ab"),
            V::Uuid("0b6f4a52-8c1e-4f6e-9d3a-0123456789ab".into()),
        ),
        (
            "timestamptz",
            V::TimestampTz(offset),
            V::TimestampTz(utc(day(2024, 2, 29), at(13, 0, 0, 0))),
        ),
        ("date", text("2024-02-29"), V::Date(day(2024, 2, 29))),
        (
            "interval",
            text("1 year 3 days 04:05:06.7"),
            text("1 year 3 days 04:05:06.7"),
        ),
        ("interval", text("-90 minutes"), text("-01:30:00")),
        ("int4range", text("[1,5]"), text("[\"1\",\"6\")")),
        ("int4range", text("empty"), text("empty")),
        (
            "daterange",
            text("[2024-01-01,)"),
            text("[\"2024-01-01\",)"),
        ),
        (
            "daterange[]",
            V::TextArray(strings(&["[2024-01-01,)", "empty"])),
            V::TextArray(strings(&["[\"2024-01-01\",)", "empty"])),
        ),
        ("tsquery", V::TsQuery("fat & rat".into()), V::Null),
        ("oid", V::Int8(4_294_967_295), V::Int8(4_294_967_295)),
        ("\"char\"", text("x"), V::Char((1, bytes(b"x")))),
    ] {
        let sql = match ty {
            // Of which the interface has no case in a row.
            "tsquery" => "SELECT nullif($1::tsquery, 'fat & rat'::tsquery)".to_owned(),
            ty => format!("SELECT $1::{ty}"),
        };
        let came = lattice.value(&sql, vec![given.clone()]).await?;
        ensure!(came == back, "{ty}: {given:?} came back as {came:?}");
    }
    let nothing = lattice.value("SELECT pg_sleep(0)", vec![]).await?;
    ensure!(nothing == V::Null, "{nothing:?}");
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_value_is_refused_before_it_is_sent() -> Result<()> {
    let lattice = Lattice::start().await?;
    for value in [
        V::Bit((9, bytes(&[0]))),
        V::Char((1, bytes(b"ab"))),
        V::Varchar((None, bytes(b"\xff"))),
        text("a\0b"),
    ] {
        let answer = lattice
            .query("SELECT $1::text", vec![value.clone()])
            .await?;
        let told = format!("{:?}", answer.err());
        ensure!(
            told.starts_with("Some(InvalidParams(\"$1: "),
            "{value:?}: {told}"
        );
    }
    lattice.running.stop().await?;
    Ok(())
}
