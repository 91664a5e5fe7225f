//! LEB128, the one implementation: integers from 16 bits up, lengths, case indices.

use bytes::{BufMut as _, BytesMut};

use super::{Decoder, WireError};

/// Appends an unsigned integer of any width.
pub fn put_unsigned(mut value: u64, out: &mut BytesMut) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Appends a signed integer of any width.
pub fn put_signed(mut value: i64, out: &mut BytesMut) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        // The last byte's bit 6 is the sign that the reader extends.
        let sign = byte & 0x40 != 0;
        if (value == 0 && !sign) || (value == -1 && sign) {
            out.put_u8(byte);
            return;
        }
        out.put_u8(byte | 0x80);
    }
}

/// Appends a length. One past `u32::MAX` is written as it is, and every reader refuses it.
pub fn put_length(length: usize, out: &mut BytesMut) {
    put_unsigned(length as u64, out);
}

/// Reads an unsigned integer of `bits` bits.
///
/// # Errors
/// When the bytes end, or the integer is longer or larger than the type allows.
pub fn read_unsigned(
    decoder: &mut Decoder,
    bits: u32,
    what: &'static str,
) -> Result<u64, WireError> {
    let mut value = 0_u64;
    let mut shift = 0;
    loop {
        let byte = decoder.byte(what)?;
        let payload = u64::from(byte & 0x7f);
        if shift + 7 > bits && payload >> (bits - shift) != 0 {
            return Err(decoder.invalid(what, "an integer too large for its type"));
        }
        value |= payload << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        shift += 7;
        if shift >= bits {
            return Err(decoder.invalid(what, "an integer longer than its type"));
        }
    }
}

/// Reads a signed integer of `bits` bits.
///
/// # Errors
/// When the bytes end, or the integer is longer or larger than the type allows.
pub fn read_signed(decoder: &mut Decoder, bits: u32, what: &'static str) -> Result<i64, WireError> {
    let mut value = 0_i64;
    let mut shift = 0;
    loop {
        let byte = decoder.byte(what)?;
        let payload = byte & 0x7f;
        // The tenth byte has room for the sign only; its other bits must repeat it.
        if shift == 63 && payload != 0 && payload != 0x7f {
            return Err(decoder.invalid(what, "an integer too large for its type"));
        }
        value |= i64::from(payload) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            if shift < 64 && byte & 0x40 != 0 {
                value |= -1_i64 << shift;
            }
            break;
        }
        if shift >= bits {
            return Err(decoder.invalid(what, "an integer longer than its type"));
        }
    }
    let unused = 64 - bits;
    if (value << unused) >> unused != value {
        return Err(decoder.invalid(what, "an integer too large for its type"));
    }
    Ok(value)
}

/// Reads a 32-bit count or case index.
///
/// # Errors
/// As [`read_unsigned`].
pub fn read_u32(decoder: &mut Decoder, what: &'static str) -> Result<u32, WireError> {
    // 32 bits were asked for, so the value fits.
    read_unsigned(decoder, 32, what).map(|value| value as u32)
}
