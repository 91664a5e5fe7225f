//! What frames are made of, beside numbers.

use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, BytesMut};

use super::{Head, MAX_NAME, Violation};
use crate::{
    channel::{MAX_CHANNELS, MAX_PATH, Path},
    trace::TraceContext,
};

pub(super) fn put_head(head: &Head, out: &mut BytesMut) {
    put_text(&head.instance, out);
    put_text(&head.function, out);
    put_text(&head.target, out);
    for text in [&head.source_id, &head.target_id, &head.link_name] {
        out.put_u8(u8::from(text.is_some()));
        if let Some(text) = text {
            put_text(text, out);
        }
    }
}

pub(super) fn take_head(bytes: &mut &[u8]) -> Result<Head, Violation> {
    Ok(Head {
        instance: take_text(bytes)?.into(),
        function: take_text(bytes)?.into(),
        target: take_text(bytes)?.into(),
        source_id: take_option(bytes)?,
        target_id: take_option(bytes)?,
        link_name: take_option(bytes)?,
    })
}

fn take_option(bytes: &mut &[u8]) -> Result<Option<Arc<str>>, Violation> {
    match bytes.try_get_u8()? {
        0 => Ok(None),
        1 => Ok(Some(take_text(bytes)?.into())),
        _ => Err(Violation::of("a text is neither there nor not there")),
    }
}

/// Callers see to it that no text is longer than [`MAX_NAME`].
pub(super) fn put_text(text: &str, out: &mut BytesMut) {
    out.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text.as_bytes());
}

pub(super) fn take_text<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, Violation> {
    let length = usize::from(bytes.try_get_u16_le()?);
    if length > MAX_NAME {
        return Err(Violation::of("a name is too long"));
    }
    let (text, rest) = bytes
        .split_at_checked(length)
        .ok_or(Violation::of("a name is cut off"))?;
    *bytes = rest;
    std::str::from_utf8(text).map_err(|_| Violation::of("a name is not UTF-8"))
}

/// Callers see to it that there are no more than [`MAX_CHANNELS`] of at most [`MAX_PATH`] steps.
pub(super) fn put_paths(paths: &[Path], out: &mut BytesMut) {
    out.put_u8(u8::try_from(paths.len()).unwrap_or(u8::MAX));
    for path in paths {
        out.put_u8(u8::try_from(path.len()).unwrap_or(u8::MAX));
        path.iter().for_each(|step| out.put_u32_le(*step));
    }
}

pub(super) fn take_paths(bytes: &mut &[u8]) -> Result<Vec<Path>, Violation> {
    let count = usize::from(bytes.try_get_u8()?);
    if count > MAX_CHANNELS {
        return Err(Violation::of("a call has too many channels"));
    }
    let mut paths: Vec<Path> = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(bytes.try_get_u8()?);
        if length > MAX_PATH {
            return Err(Violation::of("a channel's path is too long"));
        }
        let mut path = [0; MAX_PATH];
        for step in &mut path[..length] {
            *step = bytes.try_get_u32_le()?;
        }
        let path = &path[..length];
        if paths.iter().any(|other| **other == *path) {
            return Err(Violation::of("two channels have one path"));
        }
        paths.push(path.into());
    }
    Ok(paths)
}

pub(super) fn put_trace(trace: Option<&TraceContext>, out: &mut BytesMut) {
    out.put_u8(u8::from(trace.is_some()));
    if let Some(trace) = trace {
        let (trace_id, parent_id, flags) = trace.to_parts();
        out.put_u128_le(trace_id);
        out.put_u64_le(parent_id);
        out.put_u8(flags);
    }
}

pub(super) fn take_trace(bytes: &mut &[u8]) -> Result<Option<TraceContext>, Violation> {
    match bytes.try_get_u8()? {
        0 => Ok(None),
        1 => {
            let trace_id = bytes.try_get_u128_le()?;
            let parent_id = bytes.try_get_u64_le()?;
            let flags = bytes.try_get_u8()?;
            TraceContext::from_parts(trace_id, parent_id, flags)
                .map(Some)
                .ok_or(Violation::of("a trace has an id of zero"))
        }
        _ => Err(Violation::of("a trace is neither there nor not there")),
    }
}
