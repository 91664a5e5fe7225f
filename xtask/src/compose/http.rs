//! One HTTP request over a connection of its own, as `curl` makes it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The most of an answer that is read.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The header in which an HTTP server of ours says who served the request, where it is told to.
    pub served_by: Option<String>,
    pub body: String,
}

/// Asks for a path on a port of this machine.
pub fn get(port: u16, path: &str) -> Result<Answer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut connection = TcpStream::connect_timeout(&address, LIMIT)
        .with_context(|| format!("cannot connect to {address}"))?;
    connection.set_read_timeout(Some(LIMIT))?;
    connection.set_write_timeout(Some(LIMIT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut text = String::new();
    connection
        .take(MAX_ANSWER_BYTES)
        .read_to_string(&mut text)
        .with_context(|| format!("no whole answer from {address}"))?;
    parse(&text).with_context(|| format!("{address} answered {text:?}"))
}

fn parse(text: &str) -> Result<Answer> {
    let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let header = |name: &str| {
        let mut fields = lines.clone().filter_map(|line| line.split_once(':'));
        let value = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        value.map(|(_, value)| value.trim().to_owned())
    };
    let coding = header("transfer-encoding").unwrap_or_default();
    Ok(Answer {
        status: status.context("no status")?.parse()?,
        served_by: header("trellis-served-by"),
        body: if coding.eq_ignore_ascii_case("chunked") {
            joined(body)?
        } else {
            body.to_owned()
        },
    })
}

/// The chunks of a body as one text.
fn joined(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").context("a chunk without a size")?;
        let size = usize::from_str_radix(size, 16)?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..size).context("a chunk that is cut off")?);
        rest = after[size..].strip_prefix("\r\n").context("no end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_whole_or_in_chunks() {
        let said = |text: &str| parse(text).map(|answer| (answer.status, answer.body)).ok();
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nfra";
        assert_eq!(said(whole), Some((200, "fra".into())));
        let chunks =
            "HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfr\r\n1\r\na\r\n0\r\n\r\n";
        assert_eq!(said(chunks), Some((503, "fra".into())));
        assert_eq!(
            said("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nfr"),
            None
        );
        assert_eq!(said("hello"), None);
        let served = parse("HTTP/1.1 200 OK\r\nTrellis-Served-By: fra/a\r\n\r\n").unwrap();
        assert_eq!(served.served_by.as_deref(), Some("fra/a"));
    }
}
