//! Where a message goes that could not be handled.

use async_nats::{
    HeaderMap, HeaderValue,
    jetstream::{Context, context::PublishErrorKind},
};
use bytes::Bytes;

use super::handling::Arrival;

/// Why it is there, and where it came from.
const SUBJECT: &str = "Trellis-Dead-Letter-Subject";
const STREAM: &str = "Trellis-Dead-Letter-Stream";
const SEQUENCE: &str = "Trellis-Dead-Letter-Sequence";
const CONSUMER: &str = "Trellis-Dead-Letter-Consumer";
const COMPONENT: &str = "Trellis-Dead-Letter-Component";
const DELIVERIES: &str = "Trellis-Dead-Letter-Deliveries";
const ERROR: &str = "Trellis-Dead-Letter-Error";
/// Only on one whose body did not fit beside these headers.
const OMITTED: &str = "Trellis-Dead-Letter-Omitted-Bytes";
/// JetStream drops a second message of the same id.
const MESSAGE_ID: &str = "Nats-Msg-Id";

const MAX_ERROR_CHARS: usize = 1000;

/// A message that is given up.
pub(super) struct DeadLetter<'a> {
    pub(super) arrival: &'a Arrival,
    pub(super) stream: &'a str,
    pub(super) consumer: &'a str,
    pub(super) component: &'a str,
    pub(super) error: &'a str,
}

impl DeadLetter<'_> {
    /// Publishes it, and waits until a stream has it.
    pub(super) async fn publish(&self, js: &Context, subject: &str) -> Result<(), String> {
        let (headers, body) = self.within(js.client().server_info().max_payload);
        let published = js.publish_with_headers(subject.to_owned(), headers, body);
        let kept = match published.await {
            Ok(kept) => kept.await,
            Err(error) => Err(error),
        };
        kept.map(drop).map_err(|error| match error.kind() {
            PublishErrorKind::StreamNotFound => {
                format!("no stream takes {subject:?}: make one (`nats stream add DEAD --subjects {subject}`)")
            }
            PublishErrorKind::TimedOut => format!(
                "no answer at {subject:?}: NATS is away, or its user may not publish to that subject"
            ),
            _ => format!("{subject:?}: {error}"),
        })
    }

    /// The headers and the body, within what NATS takes. A body that no longer fits is left out: the stream that the message came
    /// from has it.
    fn within(&self, max_bytes: usize) -> (HeaderMap, Bytes) {
        let body = self.arrival.body.clone();
        let mut headers = self.headers(true);
        if length(&headers) + body.len() <= max_bytes {
            return (headers, body);
        }
        headers = self.headers(false);
        if length(&headers) + body.len() <= max_bytes {
            return (headers, body);
        }
        headers.insert(OMITTED, body.len().to_string());
        (headers, Bytes::new())
    }

    fn headers(&self, with_its_own: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let own = self.arrival.headers.as_ref().filter(|_| with_its_own);
        for (name, values) in own.into_iter().flat_map(HeaderMap::iter) {
            // Those are for the server: an id or an expectation would be taken for this message's.
            let name = name.to_string();
            if name.to_ascii_lowercase().starts_with("nats-") {
                continue;
            }
            for value in values {
                headers.append(&*name, value.clone());
            }
        }
        let Arrival {
            subject,
            sequence,
            deliveries,
            ..
        } = self.arrival;
        let id = format!("{}.{}.{sequence}", self.stream, self.consumer);
        for (name, value) in [
            (MESSAGE_ID, &*id),
            (SUBJECT, subject.as_str()),
            (STREAM, self.stream),
            (SEQUENCE, &sequence.to_string()),
            (CONSUMER, self.consumer),
            (COMPONENT, self.component),
            (DELIVERIES, &deliveries.to_string()),
            (ERROR, &one_line(self.error)),
        ] {
            headers.insert(name, HeaderValue::from(value));
        }
        headers
    }
}

/// A header's value has one line.
fn one_line(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MAX_ERROR_CHARS).collect()
}

/// What headers take on the wire, or a little more.
fn length(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| {
        let name = name.to_string().len();
        values
            .iter()
            .map(move |value| name + value.as_str().len() + 4)
    });
    lines.sum::<usize>() + 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(body: usize) -> Arrival {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", "theirs");
        headers.insert("Tenant", "a");
        Arrival {
            subject: "orders.new".into(),
            body: vec![b'x'; body].into(),
            headers: Some(headers),
            ack: "$JS.ACK".into(),
            sequence: 7,
            deliveries: 3,
        }
    }

    fn letter(arrival: &Arrival) -> DeadLetter<'_> {
        DeadLetter {
            arrival,
            stream: "ORDERS",
            consumer: "c",
            component: "shop",
            error: "no\nmoney",
        }
    }

    #[test]
    fn it_says_where_it_came_from_and_why_it_is_there() {
        let arrival = arrival(10);
        let (headers, body) = letter(&arrival).within(1 << 20);
        let text = |name| headers.get(name).map(|value| value.as_str().to_owned());
        assert_eq!(text("Tenant").as_deref(), Some("a"));
        assert_eq!(text(MESSAGE_ID).as_deref(), Some("ORDERS.c.7"));
        assert_eq!(text(SUBJECT).as_deref(), Some("orders.new"));
        assert_eq!(text(DELIVERIES).as_deref(), Some("3"));
        assert_eq!(text(ERROR).as_deref(), Some("no money"));
        assert_eq!((text(OMITTED), body.len()), (None, 10));
    }

    #[test]
    fn it_fits_whatever_the_message_was() {
        let arrival = arrival(1000);
        let (headers, body) = letter(&arrival).within(1001);
        assert_eq!(body.len(), 0);
        assert_eq!(
            headers.get(OMITTED).map(|value| value.as_str()),
            Some("1000")
        );
        assert!(length(&headers) <= 1001, "{}", length(&headers));
    }
}
