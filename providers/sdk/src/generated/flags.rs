//! `flags`: a bit each, eight in a byte, the first one lowest.

use bytes::{BufMut as _, BytesMut};
use trellis_rpc::codec::{Decoder, WireError};

/// Writes flags.
pub fn encode_flags(flags: &[bool], out: &mut BytesMut) {
    for byte in flags.chunks(8) {
        let bits = byte.iter().rev();
        out.put_u8(bits.fold(0, |bits, set| bits << 1 | u8::from(*set)));
    }
}

/// Reads flags. Bits beyond them mean nothing.
///
/// # Errors
/// [`WireError`] when the bytes end early.
pub fn decode_flags<const N: usize>(decoder: &mut Decoder) -> Result<[bool; N], WireError> {
    let bytes = decoder.take(N.div_ceil(8), "flags")?;
    Ok(std::array::from_fn(|index| {
        bytes[index / 8] >> (index % 8) & 1 == 1
    }))
}
