//! Compressed responses: which are worth it, and by what the client reads.

mod body;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;

pub use self::body::Compressed;
use self::body::Encoder;
use crate::reply::ReplyBody;

/// A way to compress that clients know. The order is that of preference where a client has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `zstd` (RFC 8878)
    Zstd,
    /// `br` (RFC 7932)
    Brotli,
    /// `gzip` (RFC 1952)
    Gzip,
}

impl Encoding {
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What a client likes best of what its `Accept-Encoding` allows (RFC 9110, section 12.5.3).
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut named = [None; Self::ALL.len()];
        let mut others = None;
        let values = headers.get_all(header::ACCEPT_ENCODING).iter();
        let elements = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        for element in elements {
            let (name, quality) = quality(element);
            if name == "*" {
                others = Some(quality);
            }
            for (encoding, place) in Self::ALL.iter().zip(&mut named) {
                let old_name = *encoding == Self::Gzip && name.eq_ignore_ascii_case("x-gzip");
                if old_name || name.eq_ignore_ascii_case(encoding.name()) {
                    *place = Some(quality);
                }
            }
        }
        let liked = Self::ALL.into_iter().zip(named);
        let liked = liked.map(|(encoding, named)| (encoding, named.or(others).unwrap_or(0)));
        // Of equals the last: from behind it is the first.
        let best = liked.rev().max_by_key(|(_, quality)| *quality);
        best.filter(|(_, quality)| *quality > 0)
            .map(|(encoding, _)| encoding)
    }
}

/// A name and its weight in thousandths; what is no weight is none.
fn quality(element: &str) -> (&str, u16) {
    let mut parts = element.split(';');
    let name = parts.next().unwrap_or_default().trim();
    let weight = parts.find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let quality = match weight.map(str::parse::<f32>) {
        None => 1000,
        Some(Ok(weight)) if (0.0..=1.0).contains(&weight) => (weight * 1000.0) as u16,
        Some(_) => 0,
    };
    (name, quality)
}

/// Compresses a response where that is worth it: a type that gets smaller, not compressed yet, and not known to be smaller
/// than `min_bytes`. Whatever the client accepts, it says that the answer depends on it.
pub fn apply(
    mut response: Response<ReplyBody>,
    method: &Method,
    accepted: Option<Encoding>,
    min_bytes: u64,
) -> Response<ReplyBody> {
    if !is_worth_it(&response, min_bytes) {
        return response;
    }
    let headers = response.headers_mut();
    add_vary(headers);
    let Some(encoding) = accepted.filter(|_| *method != Method::HEAD) else {
        return response;
    };
    let encoder = match Encoder::new(encoding) {
        Ok(encoder) => encoder,
        Err(error) => {
            tracing::warn!(%error, "a response is not compressed");
            return response;
        }
    };
    headers.insert(
        header::CONTENT_ENCODING,
        HeaderValue::from_static(encoding.name()),
    );
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    weaken_etag(headers);
    response.map(|body| Compressed::new(body, encoder).into())
}

fn is_worth_it(response: &Response<ReplyBody>, min_bytes: u64) -> bool {
    let (status, headers) = (response.status(), response.headers());
    let has_body = !matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    // A part is a part of what is not compressed.
    let whole =
        status != StatusCode::PARTIAL_CONTENT && !headers.contains_key(header::CONTENT_RANGE);
    let known = response.body().size_hint().exact();
    let said = || {
        headers
            .get(header::CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    };
    let large = known.or_else(said).is_none_or(|length| length >= min_bytes);
    let as_it_is = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-transform"));
    has_body
        && whole
        && large
        && !as_it_is
        && !headers.contains_key(header::CONTENT_ENCODING)
        && headers
            .get(header::CONTENT_TYPE)
            .is_some_and(is_compressible)
}

/// Whether content of a type gets smaller: text of any kind, and the few other types of which that is known.
fn is_compressible(content_type: &HeaderValue) -> bool {
    const KNOWN: [&str; 12] = [
        "application/javascript",
        "application/json",
        "application/ld+json",
        "application/manifest+json",
        "application/wasm",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/yaml",
        "image/bmp",
        "image/x-icon",
    ];
    let Ok(text) = content_type.to_str() else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || KNOWN.contains(&essence.as_str())
}

fn add_vary(headers: &mut HeaderMap) {
    let said = headers
        .get_all(header::VARY)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|name| name == "*" || name.eq_ignore_ascii_case("accept-encoding"));
    if !said {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Another encoding is another sequence of bytes, which a strong tag would deny (RFC 9110, section 8.8.1).
fn weaken_etag(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(header::ETAG) else {
        return;
    };
    if tag.as_bytes().starts_with(b"W/") {
        return;
    }
    let weak = [b"W/", tag.as_bytes()].concat();
    match HeaderValue::from_bytes(&weak) {
        Ok(weak) => drop(headers.insert(header::ETAG, weak)),
        Err(_) => drop(headers.remove(header::ETAG)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_and_then_the_order() {
        for (accept, encoding) in [
            ("gzip, deflate, br, zstd", Some(Encoding::Zstd)),
            ("gzip, br", Some(Encoding::Brotli)),
            ("gzip;q=1.0, br;q=0.5", Some(Encoding::Gzip)),
            ("X-GZIP", Some(Encoding::Gzip)),
            ("*", Some(Encoding::Zstd)),
            ("zstd;q=0, *;q=0.1", Some(Encoding::Brotli)),
            ("gzip;q=0", None),
            ("gzip;q=nan", None),
            ("identity", None),
            ("", None),
        ] {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().unwrap())]);
            assert_eq!(Encoding::accepted(&headers), encoding, "{accept}");
        }
        assert_eq!(Encoding::accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn only_what_gets_smaller_is_compressed() {
        let response = |headers: &[(&str, &str)], length: usize| {
            let mut response = Response::builder();
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            let response = response.body(ReplyBody::full(vec![b'a'; length].into()));
            apply(response.unwrap(), &Method::GET, Some(Encoding::Gzip), 1000)
        };
        let compressed = |headers: &[(&str, &str)], length| {
            let response = response(headers, length);
            response
                .headers()
                .get("content-encoding")
                .is_some_and(|encoding| encoding == "gzip")
        };
        assert!(compressed(
            &[("content-type", "text/html; charset=utf-8")],
            1000
        ));
        assert!(compressed(
            &[("content-type", "Application/Problem+JSON")],
            1000
        ));
        for (headers, length) in [
            (&[("content-type", "text/html")][..], 999),
            (&[("content-type", "image/png")], 5000),
            (&[], 5000),
            (
                &[("content-type", "text/html"), ("content-encoding", "br")],
                5000,
            ),
            (
                &[
                    ("content-type", "text/html"),
                    ("content-range", "bytes 0-1/2"),
                ],
                5000,
            ),
            (
                &[
                    ("content-type", "text/html"),
                    ("cache-control", "a, No-Transform"),
                ],
                5000,
            ),
        ] {
            assert!(!compressed(headers, length), "{headers:?}");
        }
        let tagged = response(
            &[
                ("content-type", "text/html"),
                ("etag", "\"x\""),
                ("vary", "origin"),
                ("content-length", "5000"),
            ],
            5000,
        );
        let headers = tagged.headers();
        assert_eq!(headers["etag"], "W/\"x\"");
        assert!(!headers.contains_key("content-length"));
        let vary: Vec<_> = headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["origin", "accept-encoding"]);
    }
}
