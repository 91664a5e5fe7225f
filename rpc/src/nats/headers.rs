//! What travels beside the values, as NATS headers.

use std::{str::FromStr as _, time::Instant};

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use trellis_lattice::{HostId, Place, Within, header};

use crate::{call::CallContext, deadline, error::CallError, trail::Who};

const SOURCE_ID: HeaderName = HeaderName::from_static(header::SOURCE_ID);
const TARGET_ID: HeaderName = HeaderName::from_static(header::TARGET_ID);
const LINK_NAME: HeaderName = HeaderName::from_static(header::LINK_NAME);
const TRACEPARENT: HeaderName = HeaderName::from_static(header::TRACEPARENT);
const DEADLINE_MS: HeaderName = HeaderName::from_static(header::DEADLINE_MS);
const ERROR_KIND: HeaderName = HeaderName::from_static(header::ERROR_KIND);
const FLOW: HeaderName = HeaderName::from_static(header::FLOW);
const SEQUENCE: HeaderName = HeaderName::from_static(header::SEQUENCE);
const TOTAL: HeaderName = HeaderName::from_static(header::TOTAL);

const WITHIN: HeaderName = HeaderName::from_static(header::WITHIN);
const WHO: HeaderName = HeaderName::from_static(header::WHO);
const HOST: HeaderName = HeaderName::from_static(header::HOST);
const POP: HeaderName = HeaderName::from_static(header::POP);
const LEAVING: HeaderName = HeaderName::from_static(header::LEAVING);

/// Follows the number of a channel's last message.
const LAST: &str = ";last";
/// Follows the window in the first message of results; their number follows it.
const CHANNELS: &str = ";channels=";

/// A call's headers. `total` is given when the parameters go on after the first message.
///
/// # Errors
/// [`CallError::Malformed`] for an id that cannot stand in a header.
pub(super) fn of_call(
    context: &CallContext,
    deadline: Instant,
    window: usize,
) -> Result<HeaderMap, CallError> {
    let mut headers = HeaderMap::new();
    for (name, text) in [
        (SOURCE_ID, &context.source_id),
        (TARGET_ID, &context.target_id),
        (LINK_NAME, &context.link_name),
    ] {
        if let Some(text) = text {
            let value = HeaderValue::from_str(text)
                .map_err(|_| CallError::Malformed(format!("{name} {text:?} holds a line break")))?;
            headers.insert(name, value);
        }
    }
    if let Some(trace) = &context.trace {
        headers.insert(TRACEPARENT, trace.to_string());
    }
    headers.insert(DEADLINE_MS, HeaderValue::from(deadline::ms_left(deadline)));
    headers.insert(FLOW, HeaderValue::from(window));
    Ok(headers)
}

/// The context of an arriving call; what cannot be read is as if it were not there.
pub(super) fn context(headers: Option<&HeaderMap>, received: Instant) -> CallContext {
    let Some(headers) = headers else {
        return CallContext::default();
    };
    let text = |name| headers.get(name).map(|value| value.as_str().into());
    CallContext {
        source_id: text(SOURCE_ID),
        target_id: text(TARGET_ID),
        link_name: text(LINK_NAME),
        deadline: number(headers, DEADLINE_MS).and_then(|ms| deadline::after(received, ms)),
        trace: headers
            .get(TRACEPARENT)
            .and_then(|value| value.as_str().parse().ok()),
        trail: None,
    }
}

/// Adds a call's residency bound.
pub(super) fn set_within(headers: &mut HeaderMap, within: &Within) {
    headers.insert(WITHIN, within.to_string());
}

/// Whether a callee there may take a call, by the call's residency bound.
pub(super) fn allows(headers: Option<&HeaderMap>, place: Option<&Place>) -> bool {
    let Some(within) = headers.and_then(|headers| headers.get(WITHIN)) else {
        return true;
    };
    // A bound that isn't understood holds nobody.
    let within = within.as_str().parse::<Within>();
    within.is_ok_and(|within| place.is_some_and(|place| within.holds(place)))
}

/// Asks the callee who it is.
pub(super) fn ask_who(headers: &mut HeaderMap) {
    headers.insert(WHO, HeaderValue::from(1_u64));
}

/// Whether the caller asks who answers.
pub(super) fn asks_who(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| headers.get(WHO).is_some())
}

/// Says who answers.
pub(super) fn set_who(headers: &mut HeaderMap, host: Option<&HostId>, place: Option<&Place>) {
    if let Some(host) = host {
        headers.insert(HOST, host.as_str());
    }
    if let Some(place) = place {
        headers.insert(POP, place.pop.as_str());
    }
}

/// Who answered, as far as the answer says so.
pub(super) fn who(headers: Option<&HeaderMap>) -> Who {
    let text = |name| headers?.get(name).map(HeaderValue::as_str);
    Who {
        host: text(HOST).map(Into::into),
        pop: text(POP).and_then(|pop| pop.parse().ok()),
    }
}

/// Says that whoever answers is about to leave.
pub(super) fn set_leaving(headers: &mut HeaderMap) {
    headers.insert(LEAVING, HeaderValue::from(1_u64));
}

/// Whether whoever answered is about to leave.
pub(super) fn is_leaving(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| headers.get(LEAVING).is_some())
}

/// The headers of the answer to a call that is refused for its residency bound.
pub(super) fn of_outside() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ERROR_KIND, header::OUTSIDE);
    headers
}

/// Whether a call was refused for its residency bound.
pub(super) fn is_outside(headers: Option<&HeaderMap>) -> bool {
    headers
        .and_then(|headers| headers.get(ERROR_KIND))
        .is_some_and(|kind| kind.as_str() == header::OUTSIDE)
}

/// The window that a Trellis peer announces; a 1.x peer has none.
pub(super) fn flow(headers: Option<&HeaderMap>) -> Option<u64> {
    number(headers?, FLOW)
}

/// How many channels the results have that the message begins, when it says so.
pub(super) fn channels(headers: Option<&HeaderMap>) -> Option<usize> {
    let (_, channels) = headers?.get(FLOW)?.as_str().split_once(CHANNELS)?;
    channels.parse().ok()
}

/// How many bytes the root values have in all, when the message says so.
pub(super) fn total(headers: Option<&HeaderMap>) -> Option<u64> {
    number(headers?, TOTAL)
}

/// Announces the root values' size.
pub(super) fn set_total(headers: &mut HeaderMap, bytes: usize) {
    headers.insert(TOTAL, HeaderValue::from(bytes));
}

/// What a callee of ours announces in its first answer when more is to follow either way.
pub(super) fn of_handshake(window: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(FLOW, HeaderValue::from(window));
    headers
}

/// What a callee of ours announces with the beginning of results that have so many channels.
pub(super) fn of_results(window: usize, channels: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(FLOW, format!("{window}{CHANNELS}{channels}"));
    headers
}

/// The number of a message among those that belong together.
pub(super) fn sequence(headers: Option<&HeaderMap>) -> Option<u64> {
    number(headers?, SEQUENCE)
}

/// Whether nothing follows the message on its channel.
pub(super) fn is_last(headers: Option<&HeaderMap>) -> bool {
    headers
        .and_then(|headers| headers.get(SEQUENCE))
        .is_some_and(|value| value.as_str().ends_with(LAST))
}

/// The headers of a channel's message.
pub(super) fn of_chunk(sequence: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(SEQUENCE, HeaderValue::from(sequence));
    headers
}

/// The headers of a channel's last message, when it has content.
pub(super) fn of_last_chunk(sequence: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(SEQUENCE, format!("{sequence}{LAST}"));
    headers
}

/// The headers of an error.
pub(super) fn of_error(error: &CallError) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ERROR_KIND, error.kind());
    headers
}

/// The error that a message is, if it is one.
pub(super) fn error(headers: Option<&HeaderMap>, payload: &[u8]) -> Option<CallError> {
    let kind = headers?.get(ERROR_KIND)?;
    let message = String::from_utf8_lossy(payload).into_owned();
    Some(CallError::from_wire(Some(kind.as_str()), message))
}

/// How many bytes headers have on the wire.
pub(super) fn wire_bytes(headers: &HeaderMap) -> usize {
    // The first line and the empty last one; a colon, a space and a line break in each between.
    let lines = headers.iter().flat_map(|(name, values)| {
        values
            .iter()
            .map(|value| AsRef::<str>::as_ref(name).len() + value.as_str().len() + 4)
    });
    12 + lines.sum::<usize>()
}

/// The number that a header's value is, or begins with.
fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    let value = headers.get(name)?.as_str();
    let number = value.split_once(';').map_or(value, |(number, _)| number);
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::trace::TraceContext;

    #[test]
    fn a_call_s_context_arrives() {
        let context = CallContext {
            source_id: Some("shop".into()),
            target_id: Some("kv".into()),
            link_name: Some("default".into()),
            deadline: None,
            trace: Some(TraceContext::root()),
            trail: None,
        };
        let now = Instant::now();
        let headers = of_call(&context, now + Duration::from_secs(2), 1000).unwrap();
        let arrived = super::context(Some(&headers), now);
        assert_eq!(arrived.source_id, context.source_id);
        assert_eq!(arrived.target_id, context.target_id);
        assert_eq!(arrived.link_name, context.link_name);
        assert_eq!(arrived.trace, context.trace);
        let left = arrived.deadline.unwrap() - now;
        assert!(
            left > Duration::from_millis(1900) && left < Duration::from_millis(2002),
            "{left:?}"
        );
        assert_eq!(flow(Some(&headers)), Some(1000));
    }

    #[test]
    fn what_follows_a_number_is_read_apart_from_it() {
        let last = of_last_chunk(7);
        assert_eq!(sequence(Some(&last)), Some(7));
        assert!(is_last(Some(&last)) && !is_last(Some(&of_chunk(7))));
        let results = of_results(1000, 2);
        assert_eq!(flow(Some(&results)), Some(1000));
        assert_eq!(channels(Some(&results)), Some(2));
        assert_eq!(channels(Some(&of_handshake(1000))), None);
    }

    #[test]
    fn a_bound_lets_in_who_is_within_and_nobody_else() {
        let eu = Place::new("fra".parse().unwrap(), Some("eu".parse().unwrap()));
        let us = Place::new("iad".parse().unwrap(), Some("us".parse().unwrap()));
        assert!(allows(None, None) && allows(Some(&HeaderMap::new()), None));
        let mut headers = HeaderMap::new();
        set_within(&mut headers, &Within::region("eu".parse().unwrap()));
        assert!(allows(Some(&headers), Some(&eu)));
        assert!(!allows(Some(&headers), Some(&us)) && !allows(Some(&headers), None));
        headers.insert(header::WITHIN, "continent=europe");
        assert!(!allows(Some(&headers), Some(&eu)));
    }

    #[test]
    fn who_answers_is_told() {
        let mut headers = HeaderMap::new();
        assert_eq!(who(Some(&headers)), Who::default());
        let place = Place::new("fra".parse().unwrap(), None);
        set_who(
            &mut headers,
            Some(&HostId::new("NHOST").unwrap()),
            Some(&place),
        );
        let told = who(Some(&headers));
        assert_eq!(told.host.as_deref(), Some("NHOST"));
        assert_eq!(told.pop, Some(place.pop));
        assert!(!is_leaving(Some(&headers)) && !is_outside(Some(&headers)));
        assert!(is_outside(Some(&of_outside())));
    }

    #[test]
    fn nonsense_in_headers_does_no_harm() {
        let mut headers = HeaderMap::new();
        headers.insert(header::DEADLINE_MS, u64::MAX.to_string());
        headers.insert(header::TRACEPARENT, "nonsense");
        headers.insert(header::FLOW, "-1");
        let context = context(Some(&headers), Instant::now());
        assert!(context.deadline.is_some() && context.trace.is_none());
        assert_eq!(flow(Some(&headers)), None);
    }

    #[test]
    fn an_id_with_a_line_break_is_an_error_and_no_panic() {
        let context = CallContext {
            source_id: Some("a\r\nb: c".into()),
            ..CallContext::default()
        };
        let error = of_call(&context, Instant::now(), 1).unwrap_err();
        assert!(matches!(error, CallError::Malformed(_)), "{error}");
    }
}
