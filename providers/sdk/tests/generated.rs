//! What `generate!` writes: its types have the encoding that the host has for the same WIT, and its handlers answer.

#![allow(clippy::unwrap_used, reason = "a test that is wrong should fail")]

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Result, ensure};
use trellis_provider::{
    generated::{Bytes, Content},
    rpc::{
        CallContext, CallError, Channels, Handler, Incoming, IncomingCall, Operation, Outgoing,
        codec::{
            Decode, Encode, Limits, collect, decode_chunks, encode_chunks, from_bytes, to_bytes,
        },
        interface::Function as _,
        value::{FunctionType, Ty, Value},
    },
};

mod everything {
    trellis_provider::generate!({
        path: "../../wit/trellis-test",
        inline: "
            package tests:everything;
            world provider {
                export trellis:test/types@0.1.0;
                import trellis:test/resources@0.1.0;
            }
        ",
    });
}

mod living {
    trellis_provider::generate!({
        path: "../../wit/wasi-io",
        inline: "
            package tests:living@1.0.0;

            interface shelf {
                use wasi:io/streams@0.2.12.{input-stream};

                record page { title: string, content: stream<u8> }
                variant found { nothing, page(page) }

                resource book {
                    constructor(text: string);
                    length: func() -> u64;
                    join: static func(a: borrow<book>, b: book) -> option<book>;
                }

                /// Gives the bytes back in capitals.
                shout: func(text: input-stream, times: u32) -> result<input-stream, string>;
                open: func(page: page) -> tuple<string, found>;
                later: func() -> future<string>;
            }

            world provider {
                export shelf;
            }
        ",
    });
}

use everything::trellis::test::types::{
    Color, Event, Permissions, Point, Scalars, Shape, Wide, functions,
};

/// A value has the dynamic encoding of its type, and comes back from it.
fn same<T: Encode + Decode + PartialEq + Debug>(value: &T, ty: &Ty, dynamic: Value) {
    let bytes = to_bytes(value);
    let function = FunctionType {
        params: vec![("value".to_owned(), ty.clone())],
        result: None,
    };
    let decoded = function.decode_params(bytes.clone(), Limits::default());
    assert_eq!(
        decoded.unwrap().values,
        std::slice::from_ref(&dynamic),
        "{value:?}"
    );
    let encoded = function.encode_params(&[dynamic]).unwrap();
    assert_eq!(encoded.root, bytes, "{value:?}");
    assert_eq!(&from_bytes::<T>(bytes).unwrap(), value);
}

fn named(fields: &[(&str, Ty)]) -> Vec<(String, Ty)> {
    let owned = |(name, ty): &(&str, Ty)| ((*name).to_owned(), ty.clone());
    fields.iter().map(owned).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn point_ty() -> Ty {
    Ty::Record {
        fields: named(&[("x", Ty::S32), ("y", Ty::S32)]),
    }
}

fn color_ty() -> Ty {
    Ty::Enum {
        cases: names(&["red", "green", "blue"]),
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn some(value: Value) -> Value {
    Value::Option(Some(Box::new(value)))
}

#[test]
fn records_lists_and_options_are_as_the_host_has_them() {
    let ty = Ty::Record {
        fields: named(&[
            ("name", Ty::String),
            ("points", Ty::list(point_ty())),
            ("fill", Ty::option(color_ty())),
            ("note", Ty::option(Ty::option(Ty::String))),
        ]),
    };
    let shape = Shape {
        name: "é".to_owned(),
        points: vec![
            Point {
                x: -129,
                y: 1 << 30,
            },
            Point { x: 0, y: 64 },
        ],
        fill: Some(Color::Blue),
        note: Some(None),
    };
    let point = |x, y| Value::Record(vec![Value::S32(x), Value::S32(y)]);
    let dynamic = Value::Record(vec![
        text("é"),
        Value::List(vec![point(-129, 1 << 30), point(0, 64)]),
        some(Value::Enum(2)),
        some(Value::Option(None)),
    ]);
    same(&shape, &ty, dynamic);
}

#[test]
fn variants_flags_and_scalars_are_as_the_host_has_them() {
    let many = Ty::list(Ty::Tuple(vec![Ty::String, color_ty()]));
    let ty = Ty::Variant {
        cases: vec![
            ("started".to_owned(), None),
            ("moved".to_owned(), Some(point_ty())),
            ("renamed".to_owned(), Some(Ty::String)),
            (
                "failed".to_owned(),
                Some(Ty::result(Some(Ty::U32), Some(Ty::String))),
            ),
            ("many".to_owned(), Some(many)),
        ],
    };
    same(&Event::Started, &ty, Value::Variant(0, None));
    same(
        &Event::Renamed("b".to_owned()),
        &ty,
        Value::Variant(2, Some(Box::new(text("b")))),
    );
    same(
        &Event::Failed(Err("no".to_owned())),
        &ty,
        Value::Variant(
            3,
            Some(Box::new(Value::Result(Err(Some(Box::new(text("no"))))))),
        ),
    );
    let pair = Value::Tuple(vec![text("g"), Value::Enum(1)]);
    same(
        &Event::Many(vec![("g".to_owned(), Color::Green)]),
        &ty,
        Value::Variant(4, Some(Box::new(Value::List(vec![pair])))),
    );

    let permissions = Permissions {
        read: true,
        write: false,
        execute: true,
    };
    let ty = Ty::Flags {
        names: names(&["read", "write", "execute"]),
    };
    same(&permissions, &ty, Value::Flags(vec![true, false, true]));
    let wide = Wide {
        f0: true,
        f9: true,
        ..Wide::default()
    };
    let flag_names: Vec<String> = (0..12).map(|index| format!("f{index}")).collect();
    let set = (0..12).map(|index| index == 0 || index == 9).collect();
    same(&wide, &Ty::Flags { names: flag_names }, Value::Flags(set));
    assert_eq!(to_bytes(&wide)[..], [0x01, 0x02], "as in wRPC's table");

    let scalars = Scalars {
        yes: true,
        u_eight: 200,
        u_sixteen: 300,
        u_thirty_two: u32::MAX,
        u_sixty_four: u64::MAX,
        s_eight: -1,
        s_sixteen: i16::MIN,
        s_thirty_two: i32::MIN,
        s_sixty_four: i64::MIN,
        f_thirty_two: 1.5,
        f_sixty_four: -0.25,
        letter: '😀',
        text: "x".to_owned(),
    };
    let ty = Ty::Record {
        fields: named(&[
            ("yes", Ty::Bool),
            ("u-eight", Ty::U8),
            ("u-sixteen", Ty::U16),
            ("u-thirty-two", Ty::U32),
            ("u-sixty-four", Ty::U64),
            ("s-eight", Ty::S8),
            ("s-sixteen", Ty::S16),
            ("s-thirty-two", Ty::S32),
            ("s-sixty-four", Ty::S64),
            ("f-thirty-two", Ty::F32),
            ("f-sixty-four", Ty::F64),
            ("letter", Ty::Char),
            ("text", Ty::String),
        ]),
    };
    let dynamic = Value::Record(vec![
        Value::Bool(true),
        Value::U8(200),
        Value::U16(300),
        Value::U32(u32::MAX),
        Value::U64(u64::MAX),
        Value::S8(-1),
        Value::S16(i16::MIN),
        Value::S32(i32::MIN),
        Value::S64(i64::MIN),
        Value::F32(1.5),
        Value::F64(-0.25),
        Value::Char('😀'),
        text("x"),
    ]);
    same(&scalars, &ty, dynamic);
}

#[test]
fn functions_have_types_of_their_own() {
    assert_eq!(
        functions::Join::operation().to_string(),
        "trellis:test/types@0.1.0.join"
    );
    let params: <functions::Join as trellis_provider::rpc::interface::Function>::Params =
        ("a".to_owned(), 7, true);
    assert_eq!(to_bytes(&params)[..], [1, b'a', 7, 1]);
    // Resources of others are handles, and plain.
    use everything::trellis::test::resources::{Tally, functions::Close};
    let handle: Tally = from_bytes(Bytes::from_static(b"\x02hi")).unwrap();
    assert_eq!(to_bytes(&handle)[..], *b"\x02hi");
    assert_eq!(Close::operation().function.as_ref(), "close");
}

/// A shelf of books.
#[derive(Default)]
struct Shelf {
    dropped: Arc<AtomicU64>,
}

struct Book {
    text: String,
    dropped: Arc<AtomicU64>,
}

impl Drop for Book {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Shelf {
    fn book(&self, text: String) -> Book {
        Book {
            text,
            dropped: self.dropped.clone(),
        }
    }
}

use living::tests::living::shelf::{Answers, Found, INSTANCE, Page};

impl Answers for Shelf {
    type Book = Book;

    async fn book_new(&self, _: CallContext, text: String) -> Result<Book, CallError> {
        Ok(self.book(text))
    }

    async fn book_length(&self, _: CallContext, book: Arc<Book>) -> Result<u64, CallError> {
        Ok(book.text.len() as u64)
    }

    async fn book_join(
        &self,
        _: CallContext,
        a: Arc<Book>,
        b: Arc<Book>,
    ) -> Result<Option<Book>, CallError> {
        let joined = format!("{}{}", a.text, b.text);
        Ok((!joined.is_empty()).then(|| self.book(joined)))
    }

    async fn shout(
        &self,
        _: CallContext,
        text: Content,
        times: u32,
    ) -> Result<Result<Content, String>, CallError> {
        let text = text.collect(100).await?.to_ascii_uppercase();
        if times == 0 {
            return Ok(Err("not at all".to_owned()));
        }
        let parts = (0..times).map(move |_| Ok(Bytes::from(text.clone())));
        Ok(Ok(Content::new(futures::stream::iter(
            parts.collect::<Vec<_>>(),
        ))))
    }

    async fn open(&self, _: CallContext, page: Page) -> Result<(String, Found), CallError> {
        Ok((page.title.clone(), Found::Page(page)))
    }

    async fn later(
        &self,
        _: CallContext,
    ) -> Result<trellis_provider::generated::Later<String>, CallError> {
        Ok(trellis_provider::generated::Later::new(async {
            Ok("soon".to_owned())
        }))
    }
}

/// Hands a call to a handler as a route does.
async fn ask(
    handler: &Arc<dyn Handler>,
    function: &str,
    params: Outgoing,
) -> Result<Outgoing, CallError> {
    let call = IncomingCall {
        operation: Operation::new(INSTANCE, function),
        context: CallContext {
            source_id: Some("shop".into()),
            ..CallContext::default()
        },
        params: Incoming {
            root: params.root,
            channels: Channels::ready(params.channels),
        },
        cancelled: Default::default(),
    };
    handler.clone().handle(call).await
}

#[tokio::test]
async fn resources_live_in_the_provider_until_they_are_dropped() -> Result<()> {
    let shelf = Shelf::default();
    let dropped = shelf.dropped.clone();
    let handler = living::handler(Arc::new(shelf));
    let unary = |bytes: Bytes| Outgoing::unary(bytes);
    let mut handles = Vec::new();
    for text in ["one", "three"] {
        let made = ask(&handler, "book", unary(to_bytes(&text))).await?;
        handles.push(from_bytes::<Bytes>(made.root)?);
    }
    let length = ask(&handler, "book.length", unary(to_bytes(&handles[1]))).await?;
    assert_eq!(from_bytes::<u64>(length.root)?, 5);

    // The first is lent, the second given away.
    let pair = (handles[0].clone(), handles[1].clone());
    let joined = ask(&handler, "book.join", unary(to_bytes(&pair))).await?;
    let joined = from_bytes::<Option<Bytes>>(joined.root)?.expect("a book");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    let gone = ask(&handler, "book.length", unary(to_bytes(&handles[1]))).await;
    let gone = gone.unwrap_err().to_string();
    ensure!(gone.contains("no such book"), "{gone}");

    for handle in [&handles[0], &joined, &joined] {
        ask(&handler, "[resource-drop]book", unary(to_bytes(handle))).await?;
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
    Ok(())
}

#[tokio::test]
async fn streams_and_futures_have_their_channels() -> Result<()> {
    let handler = living::handler(Arc::new(Shelf::default()));
    let content = || {
        let parts = [Ok(Bytes::from_static(b"he")), Ok(Bytes::from_static(b"y"))];
        encode_chunks(futures::stream::iter(parts))
    };
    // A pending stream in the first parameter: its path is 0.
    let params = |times: u8| Outgoing {
        root: Bytes::from(vec![0, times]),
        channels: vec![(Arc::new([0]), content())],
    };
    let mut shouted = ask(&handler, "shout", params(2)).await?;
    assert_eq!(shouted.root[..], [0, 0], "ok, and pending");
    let (path, channel) = shouted.channels.pop().expect("a channel");
    assert_eq!(path[..], [0], "a result adds no level");
    let text = collect(decode_chunks(channel), 100, "the text").await?;
    assert_eq!(text[..], *b"HEYHEY");
    let refused = ask(&handler, "shout", params(0)).await?;
    assert_eq!(refused.root[..], *b"\x01\x0anot at all");

    // In a record's second field, and back in a variant of a tuple's second item.
    let page = Outgoing {
        root: Bytes::from_static(b"\x01t\x00"),
        channels: vec![(Arc::new([0, 1]), content())],
    };
    let mut opened = ask(&handler, "open", page).await?;
    assert_eq!(opened.root[..], *b"\x01t\x01\x01t\x00");
    let (path, channel) = opened.channels.pop().expect("a channel");
    assert_eq!(path[..], [0, 1, 1], "a variant adds no level");
    let text = collect(decode_chunks(channel), 100, "the text").await?;
    assert_eq!(text[..], *b"hey");
    // The same, ready in its place.
    let page = Outgoing::unary(Bytes::from_static(b"\x01t\x01\x03hey"));
    let opened = ask(&handler, "open", page).await?;
    assert_eq!(opened.root[..], *b"\x01t\x01\x01t\x01\x03hey");

    let mut later = ask(&handler, "later", Outgoing::unary(Bytes::new())).await?;
    assert_eq!(later.root[..], [0]);
    let (_, channel) = later.channels.pop().expect("a channel");
    assert_eq!(collect(channel, 100, "the value").await?[..], *b"\x04soon");
    Ok(())
}

#[tokio::test]
async fn wrong_calls_are_errors_that_say_so() {
    let handler = living::handler(Arc::new(Shelf::default()));
    let error = ask(&handler, "burn", Outgoing::unary(Bytes::new())).await;
    assert!(matches!(error, Err(CallError::UnknownFunction { .. })));
    // A channel that was announced and isn't there; bytes that are too few, and too many.
    for (function, bytes) in [
        ("shout", &b"\x00\x01"[..]),
        ("book", b"\x05one"),
        ("later", b"\x00"),
    ] {
        let params = Outgoing::unary(Bytes::from_static(bytes));
        let error = ask(&handler, function, params).await;
        assert!(matches!(error, Err(CallError::Malformed(_))), "{function}");
    }
}
