use futures::StreamExt as _;

use super::*;
use crate::{Channels, codec::collect, value};

fn unhex(text: &str) -> Bytes {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn incoming(root: Bytes, channels: Vec<(&'static [u32], &str)>) -> Incoming {
    let channels = channels
        .into_iter()
        .map(|(path, hex)| {
            let bytes = unhex(hex);
            let stream: crate::ByteStream = Box::pin(futures::stream::once(async { Ok(bytes) }));
            (path.into(), stream)
        })
        .collect();
    Incoming {
        root,
        channels: Channels::ready(channels),
    }
}

/// The captured request of a 1.9.2 HTTP server: a POST with a body.
const REQUEST: &str = "00000201092f706174683f783d310100010f3132372e302e302e313a31383139300504686f7374010f3132372e302e302e313a31383139300a757365722d6167656e74010b6375726c2f372e38382e310661636365707401032a2f2a0e636f6e74656e742d6c656e677468010231300c636f6e74656e742d7479706501216170706c69636174696f6e2f782d7777772d666f726d2d75726c656e636f646564";

#[tokio::test]
async fn a_captured_request_is_read_and_written_again() {
    let params = incoming(
        unhex(REQUEST),
        vec![(&[0, 0], "0a626f64792d627974657300"), (&[0, 1], "00")],
    );
    let request = Request::from_params(params).unwrap();
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.path_with_query.as_deref(), Some("/path?x=1"));
    assert_eq!(request.scheme, Some(Scheme::Http));
    assert_eq!(request.authority.as_deref(), Some("127.0.0.1:18190"));
    assert_eq!(request.headers.len(), 5);
    assert_eq!(
        request.headers[1],
        (
            "user-agent".to_owned(),
            vec![Bytes::from_static(b"curl/7.88.1")]
        )
    );

    let again = request.into_params();
    assert_eq!(again.root, unhex(REQUEST));
    let mut channels = again.channels.into_iter();
    let (path, body) = channels.next().unwrap();
    assert_eq!(&path[..], [0, 0]);
    assert_eq!(
        collect(body, 100, "body").await.unwrap(),
        unhex("0a626f64792d627974657300")
    );
    let (path, trailers) = channels.next().unwrap();
    assert_eq!(&path[..], [0, 1]);
    assert_eq!(
        collect(trailers, 100, "trailers").await.unwrap(),
        unhex("00")
    );
}

#[tokio::test]
async fn a_captured_response_is_read() {
    let result = incoming(
        unhex("000000c80100"),
        vec![(&[0, 0], "0568656c6c6f00"), (&[0, 1], "00")],
    );
    let response = Response::from_result(result).unwrap().unwrap();
    assert_eq!((response.status, response.headers.len()), (200, 0));
    let Body::Stream { content, trailers } = response.body else {
        panic!("the body is a stream")
    };
    assert_eq!(collect(content, 100, "body").await.unwrap(), "hello");
    assert_eq!(trailers.unwrap().await.unwrap(), None);
}

#[tokio::test]
async fn a_whole_body_needs_no_channel() {
    let body = Body::Full(Bytes::from_static(b"hello"));
    let response = Response {
        status: 404,
        headers: Vec::new(),
        body,
    };
    let outgoing = Response::into_result(Ok(response));
    assert!(outgoing.channels.is_empty());
    assert_eq!(outgoing.root, unhex("00010568656c6c6f0100940300"));
    let read = Response::from_result(incoming(outgoing.root, vec![]))
        .unwrap()
        .unwrap();
    assert!(matches!(read.body, Body::Full(bytes) if bytes == "hello"));
}

#[tokio::test]
async fn a_large_whole_body_goes_through_a_channel() {
    let body = Bytes::from(vec![7; 1 << 20]);
    let request = Request {
        method: Method::Put,
        path_with_query: None,
        scheme: None,
        authority: None,
        headers: Vec::new(),
        body: Body::Full(body.clone()),
    };
    let Outgoing { root, channels } = request.into_params();
    assert!(root.len() < 100);
    let arrived = Incoming {
        root,
        channels: Channels::ready(channels),
    };
    let read = Request::from_params(arrived)
        .unwrap()
        .body
        .collect(2 << 20)
        .await
        .unwrap();
    assert!(read == body);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_not_a_short_body() {
    let content = futures::stream::iter([
        Ok(Bytes::from_static(b"part")),
        Err(CallError::Transport("gone".to_owned())),
    ]);
    let response = Response {
        status: 200,
        headers: Vec::new(),
        body: Body::stream(Box::pin(content)),
    };
    let Outgoing { root, channels } = Response::into_result(Ok(response));
    let arrived = Incoming {
        root,
        channels: Channels::ready(channels),
    };
    let Body::Stream { mut content, .. } = Response::from_result(arrived).unwrap().unwrap().body
    else {
        panic!("the body is a stream")
    };
    assert_eq!(content.next().await.unwrap().unwrap(), "part");
    assert!(matches!(
        content.next().await,
        Some(Err(CallError::Transport(_)))
    ));
}

#[test]
fn an_error_code_travels_by_its_number() {
    let error = ErrorCode::InternalError(Some("why".to_owned()));
    let outgoing = Response::into_result(Err(error.clone()));
    assert_eq!(outgoing.root, unhex("01260103776879"));
    let read = Response::from_result(incoming(outgoing.root, vec![])).unwrap();
    assert_eq!(read.unwrap_err(), error);
}

#[test]
fn outgoing_requests_have_options() {
    let request = Request {
        method: Method::of("QUERY"),
        path_with_query: Some("/".to_owned()),
        scheme: Some(Scheme::Https),
        authority: Some("example.com".to_owned()),
        headers: vec![(
            "accept".to_owned(),
            vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")],
        )],
        body: Body::empty(),
    };
    let options = RequestOptions {
        connect_timeout: Some(5),
        ..RequestOptions::default()
    };
    let outgoing = request.into_outgoing_params(Some(options.clone()));
    let (read, read_options) =
        Request::from_outgoing_params(incoming(outgoing.root, vec![])).unwrap();
    assert_eq!(read.method.as_str(), "QUERY");
    assert_eq!(read.headers[0].1.len(), 2);
    assert_eq!(read_options, Some(options));
}

#[test]
fn garbage_is_an_error() {
    for bytes in [
        &b"\x02"[..],
        b"\0\0\x0a",
        b"\0\0\0\x01\xff\xff\xff\xff\x0f",
        b"\0\0\0\0\0\0\0trailing",
    ] {
        let result = Request::from_params(incoming(Bytes::copy_from_slice(bytes), vec![]));
        assert!(matches!(result, Err(CallError::Malformed(_))), "{bytes:x?}");
    }
    assert!(matches!(
        Response::from_result(incoming(Bytes::new(), vec![])),
        Err(CallError::Failed(_))
    ));
}

#[test]
fn fields_and_header_maps_hold_the_same() {
    let fields: Fields = vec![
        (
            "set-cookie".to_owned(),
            vec![Bytes::from_static(b"a=1"), Bytes::from_static(b"b=2")],
        ),
        ("host".to_owned(), vec![Bytes::from_static(b"example.com")]),
    ];
    let map = header_map(fields.clone()).unwrap();
    assert_eq!(map.get_all("set-cookie").iter().count(), 2);
    let mut again = fields_of(&map);
    again.sort_by(|a, b| b.0.cmp(&a.0));
    assert_eq!(again, fields);
    let bad = vec![("x".to_owned(), vec![Bytes::from_static(b"a\r\nb: c")])];
    assert_eq!(header_map(bad).unwrap_err().part, "value");
}

/// The typed and the dynamic encoding agree.
#[test]
fn the_dynamic_encoding_reads_what_the_typed_one_writes() {
    use value::Ty;
    let fields = Ty::list(Ty::Tuple(vec![Ty::String, Ty::list(Ty::list(Ty::U8))]));
    let response = Ty::Record {
        fields: vec![
            ("body".to_owned(), Ty::stream(Ty::U8)),
            (
                "trailers".to_owned(),
                Ty::future(Ty::option(fields.clone())),
            ),
            ("status".to_owned(), Ty::U16),
            ("headers".to_owned(), fields),
        ],
    };
    let function = value::FunctionType {
        params: Vec::new(),
        result: Some(Ty::result(Some(response), Some(Ty::String))),
    };
    let decoded = function
        .decode_result(unhex("000000c80100"), crate::codec::Limits::default())
        .unwrap();
    let paths: Vec<_> = decoded
        .pending
        .iter()
        .map(|pending| pending.path.to_vec())
        .collect();
    assert_eq!(paths, [[0, 0], [0, 1]]);
}
