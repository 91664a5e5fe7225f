//! Streams of bytes, read here or passed on.

use crate::bindings::{
    exports::trellis::test_streams::parcels::{Guest, InputStream, Parcel},
    trellis::test_streams::parcels as linked,
    wasi::io::streams::StreamError,
};

/// How much is read at once.
const READ_BYTES: u64 = 64 * 1024;

impl Guest for crate::Relay {
    fn weigh(parcel: Parcel) -> Result<(u64, u32), String> {
        let (mut count, mut sum) = (0, 0_u32);
        loop {
            match parcel.content.blocking_read(READ_BYTES) {
                Ok(bytes) => {
                    count += bytes.len() as u64;
                    sum = bytes
                        .iter()
                        .fold(sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
                }
                Err(StreamError::Closed) => return Ok((count, sum)),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(format!("after {count} bytes: {}", error.to_debug_string()));
                }
            }
        }
    }

    fn pass(parcel: Parcel) -> Result<Parcel, String> {
        match parcel.label.is_empty() {
            true => Err("a parcel without a label".into()),
            false => Ok(parcel),
        }
    }

    fn sample(content: InputStream, bytes: u64) -> Vec<u8> {
        let mut sample = Vec::new();
        while (sample.len() as u64) < bytes {
            match content.blocking_read(bytes - sample.len() as u64) {
                Ok(more) => sample.extend(more),
                Err(_) => break,
            }
        }
        sample
    }

    fn forward_weigh(parcel: Parcel) -> Result<(u64, u32), String> {
        linked::weigh(to_linked(parcel))
    }

    fn forward_pass(parcel: Parcel) -> Result<Parcel, String> {
        let linked::Parcel { label, content } = linked::pass(to_linked(parcel))?;
        Ok(Parcel { label, content })
    }

    fn forward_sample(content: InputStream, bytes: u64) -> Vec<u8> {
        linked::sample(content, bytes)
    }
}

fn to_linked(Parcel { label, content }: Parcel) -> linked::Parcel {
    linked::Parcel { label, content }
}
