//! `wasmcloud:postgres@0.1.1-draft` and `trellis:postgres@0.1.0` as they travel: the types of `wit/wasmcloud-postgres` and
//! `wit/trellis-postgres`, whose cases and fields stand in the same order.

use bytes::Bytes;
use trellis_provider::rpc::{wire_functions, wire_record, wire_variant};

/// The instance of [`Query`] and [`QueryBatch`].
pub const QUERY: &str = "wasmcloud:postgres/query@0.1.1-draft";
/// The instance of [`Prepare`] and [`Exec`].
pub const PREPARED: &str = "wasmcloud:postgres/prepared@0.1.1-draft";
/// The instance of [`Transact`].
pub const TRANSACTION: &str = "trellis:postgres/transaction@0.1.0";

/// `hashable-f64`, `hashable-f32`: mantissa, exponent, sign.
pub type HashableFloat = (u64, i16, i8);
/// `point`: x and y.
pub type Point = (HashableFloat, HashableFloat);
/// `result-row`.
pub type Row = Vec<Entry>;

wire_variant! {
    /// `query-error`
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum QueryError {
        /// The parameters don't fit.
        InvalidParams(String),
        /// The query is none.
        InvalidQuery(String),
        /// Anything else.
        Unexpected(String),
    }
}

wire_variant! {
    /// `statement-prepare-error`
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum PrepareError {
        /// Anything.
        Unexpected(String),
    }
}

wire_variant! {
    /// `prepared-statement-exec-error`
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum ExecError {
        /// No token that was given out.
        UnknownPreparedQuery,
        /// The statement failed.
        Query(QueryError),
        /// Anything else.
        Unexpected(String),
    }
}

wire_variant! {
    /// `lexeme-weight`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Weight {
        /// The highest.
        A,
        /// The next.
        B,
        /// The next.
        C,
        /// The usual one.
        D,
    }
}

wire_record! {
    /// `lexeme`: a word at one place.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Lexeme {
        /// From 1 on.
        pub position: Option<u16>,
        /// Its weight.
        pub weight: Option<Weight>,
        /// The word.
        pub data: String,
    }
}

wire_variant! {
    /// `offset`: seconds from UTC.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Offset {
        /// To the east.
        Eastern(i32),
        /// To the west.
        Western(i32),
    }
}

wire_variant! {
    /// `date`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Date {
        /// After all others.
        PositiveInfinity,
        /// Before all others.
        NegativeInfinity,
        /// Year (0 is 1 BC), month and day.
        Ymd((i32, u32, u32)),
    }
}

wire_record! {
    /// `interval`: the days from one to another.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Interval {
        /// From here.
        pub start: Date,
        /// Whether that day is one of them.
        pub start_inclusive: bool,
        /// To here.
        pub end: Date,
        /// Whether that day is one of them.
        pub end_inclusive: bool,
    }
}

wire_record! {
    /// `time`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Time {
        /// 0 to 24.
        pub hour: u32,
        /// 0 to 59.
        pub min: u32,
        /// 0 to 59.
        pub sec: u32,
        /// Microseconds.
        pub micro: u32,
    }
}

wire_record! {
    /// `time-tz`
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct TimeTz {
        /// The zone, for example `+02:00`.
        pub zone: String,
        /// The time there.
        pub time: Time,
    }
}

wire_record! {
    /// `timestamp`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Timestamp {
        /// The day.
        pub date: Date,
        /// The time of day.
        pub time: Time,
    }
}

wire_record! {
    /// `timestamp-tz`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TimestampTz {
        /// The time there.
        pub timestamp: Timestamp,
        /// Where that is.
        pub offset: Offset,
    }
}

wire_record! {
    /// `mac-address-eui48`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Eui48 {
        /// Its bytes.
        pub bytes: (u8, u8, u8, u8, u8, u8),
    }
}

wire_record! {
    /// `mac-address-eui64`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Eui64 {
        /// Its bytes.
        pub bytes: (u8, u8, u8, u8, u8, u8, u8, u8),
    }
}

wire_variant! {
    /// `pg-value`
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum PgValue {
        /// `null`
        Null,
        /// `big-int`
        BigInt(i64),
        /// `int8`
        Int8(i64),
        /// `int8-array`
        Int8Array(Vec<i64>),
        /// `big-serial`
        BigSerial(i64),
        /// `serial8`
        Serial8(i64),
        /// `bool`
        Bool(bool),
        /// `boolean`
        Boolean(bool),
        /// `bool-array`
        BoolArray(Vec<bool>),
        /// `double`
        Double(HashableFloat),
        /// `float8`
        Float8(HashableFloat),
        /// `float8-array`
        Float8Array(Vec<HashableFloat>),
        /// `real`
        Real(HashableFloat),
        /// `float4`
        Float4(HashableFloat),
        /// `float4-array`
        Float4Array(Vec<HashableFloat>),
        /// `integer`
        Integer(i32),
        /// `int`
        Int(i32),
        /// `int4`
        Int4(i32),
        /// `int4-array`
        Int4Array(Vec<i32>),
        /// `numeric`
        Numeric(String),
        /// `decimal`
        Decimal(String),
        /// `numeric-array`
        NumericArray(Vec<String>),
        /// `serial`
        Serial(u32),
        /// `serial4`
        Serial4(u32),
        /// `small-int`
        SmallInt(i16),
        /// `int2`
        Int2(i16),
        /// `int2-array`
        Int2Array(Vec<i16>),
        /// `int2-vector`
        Int2Vector(Vec<i16>),
        /// `int2-vector-array`
        Int2VectorArray(Vec<Vec<i16>>),
        /// `small-serial`
        SmallSerial(i16),
        /// `serial2`
        Serial2(i16),
        /// `bit`
        Bit((u32, Bytes)),
        /// `bit-array`
        BitArray(Vec<(u32, Bytes)>),
        /// `bit-varying`
        BitVarying((Option<u32>, Bytes)),
        /// `varbit`
        Varbit((Option<u32>, Bytes)),
        /// `varbit-array`
        VarbitArray(Vec<(Option<u32>, Bytes)>),
        /// `bytea`
        Bytea(Bytes),
        /// `bytea-array`
        ByteaArray(Vec<Bytes>),
        /// `char`
        Char((u32, Bytes)),
        /// `char-array`
        CharArray(Vec<(u32, Bytes)>),
        /// `varchar`
        Varchar((Option<u32>, Bytes)),
        /// `varchar-array`
        VarcharArray(Vec<(Option<u32>, Bytes)>),
        /// `cidr`
        Cidr(String),
        /// `cidr-array`
        CidrArray(Vec<String>),
        /// `inet`
        Inet(String),
        /// `inet-array`
        InetArray(Vec<String>),
        /// `macaddr`
        Macaddr(Eui48),
        /// `macaddr-array`
        MacaddrArray(Vec<Eui48>),
        /// `macaddr8`
        Macaddr8(Eui64),
        /// `macaddr8-array`
        Macaddr8Array(Vec<Eui64>),
        /// `box`
        Box((Point, Point)),
        /// `box-array`
        BoxArray(Vec<(Point, Point)>),
        /// `circle`
        Circle((Point, HashableFloat)),
        /// `circle-array`
        CircleArray(Vec<(Point, HashableFloat)>),
        /// `line`
        Line((Point, Point)),
        /// `line-array`
        LineArray(Vec<(Point, Point)>),
        /// `lseg`
        Lseg((Point, Point)),
        /// `lseg-array`
        LsegArray(Vec<(Point, Point)>),
        /// `path`
        Path(Vec<Point>),
        /// `path-array`
        PathArray(Vec<Vec<Point>>),
        /// `point`
        Point(Point),
        /// `point-array`
        PointArray(Vec<Point>),
        /// `polygon`
        Polygon(Vec<Point>),
        /// `polygon-array`
        PolygonArray(Vec<Vec<Point>>),
        /// `date`
        Date(Date),
        /// `date-array`
        DateArray(Vec<Date>),
        /// `interval`
        Interval(Interval),
        /// `interval-array`
        IntervalArray(Vec<Interval>),
        /// `time`
        Time(Time),
        /// `time-array`
        TimeArray(Vec<Time>),
        /// `time-tz`
        TimeTz(TimeTz),
        /// `time-tz-array`
        TimeTzArray(Vec<TimeTz>),
        /// `timestamp`
        Timestamp(Timestamp),
        /// `timestamp-array`
        TimestampArray(Vec<Timestamp>),
        /// `timestamp-tz`
        TimestampTz(TimestampTz),
        /// `timestamp-tz-array`
        TimestampTzArray(Vec<TimestampTz>),
        /// `json`
        Json(String),
        /// `json-array`
        JsonArray(Vec<String>),
        /// `jsonb`
        Jsonb(String),
        /// `jsonb-array`
        JsonbArray(Vec<String>),
        /// `money`
        Money(String),
        /// `money-array`
        MoneyArray(Vec<String>),
        /// `pg-lsn`
        PgLsn(u64),
        /// `pg-lsn-array`
        PgLsnArray(Vec<u64>),
        /// `pg-snapshot`
        PgSnapshot((i64, i64, Vec<i64>)),
        /// `txid-snapshot`
        TxidSnapshot(i64),
        /// `name`
        Name(String),
        /// `name-array`
        NameArray(Vec<String>),
        /// `text`
        Text(String),
        /// `text-array`
        TextArray(Vec<String>),
        /// `xml`
        Xml(String),
        /// `xml-array`
        XmlArray(Vec<String>),
        /// `ts-query`
        TsQuery(String),
        /// `ts-vector`
        TsVector(Vec<Lexeme>),
        /// `uuid`
        Uuid(String),
        /// `uuid-array`
        UuidArray(Vec<String>),
        /// `hstore`
        Hstore(Vec<(String, Option<String>)>),
    }
}

wire_record! {
    /// `result-row-entry`
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Entry {
        /// The column's name.
        pub column: String,
        /// Its value in this row.
        pub value: PgValue,
    }
}

wire_variant! {
    /// `isolation`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Isolation {
        /// Each statement sees what was committed before it.
        ReadCommitted,
        /// All see what was committed before the first.
        RepeatableRead,
        /// As if one transaction ran after the other.
        Serializable,
    }
}

wire_record! {
    /// `statement`
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Statement {
        /// With parameters `$1`, `$2`, …
        pub query: String,
        /// The parameters.
        pub params: Vec<PgValue>,
        /// How many rows it must give or change.
        pub rows: Option<u64>,
    }
}

wire_record! {
    /// `outcome`
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Outcome {
        /// The rows that it gave.
        pub rows: Vec<Row>,
        /// How many rows it gave or changed.
        pub affected: u64,
    }
}

wire_variant! {
    /// `transaction-error`
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum TransactionError {
        /// The statement at this place failed.
        Statement((u32, QueryError)),
        /// The statement at this place gave or changed so many rows.
        Rows((u32, u64)),
        /// Another transaction came in between.
        Conflict(String),
        /// It may have been committed.
        Unknown(String),
        /// Anything else.
        Unexpected(String),
    }
}

wire_functions! {
    QUERY {
        /// Runs one statement and gives its rows.
        Query = "query"((String, Vec<PgValue>)) -> Result<Vec<Row>, QueryError>;
        /// Runs several statements.
        QueryBatch = "query-batch"((String,)) -> Result<(), QueryError>;
    }
}

wire_functions! {
    PREPARED {
        /// Prepares a statement.
        Prepare = "prepare"((String,)) -> Result<String, PrepareError>;
        /// Runs a prepared statement.
        Exec = "exec"((String, Vec<PgValue>)) -> Result<u64, ExecError>;
    }
}

wire_functions! {
    TRANSACTION {
        /// Runs statements in one transaction.
        Transact = "transact"((Vec<Statement>, Isolation)) -> Result<Vec<Outcome>, TransactionError>;
    }
}
