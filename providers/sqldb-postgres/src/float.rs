//! Floating point numbers as the interface has them: mantissa, exponent and sign.

use crate::wire::HashableFloat;

/// The exponent of a 64-bit number that is infinite or none.
const BEYOND: i16 = 972;
/// The mantissa of an infinite one.
const INFINITE: u64 = 1 << 52;

/// A number taken apart.
pub fn apart(number: f64) -> HashableFloat {
    let bits = number.to_bits();
    let sign = if number.is_sign_negative() { -1 } else { 1 };
    let fraction = bits & ((1 << 52) - 1);
    // Eleven bits.
    let exponent = ((bits >> 52) & 0x7ff) as i16;
    let mantissa = match exponent {
        0 => fraction << 1,
        _ => fraction | 1 << 52,
    };
    (mantissa, exponent - 1075, sign)
}

/// A 32-bit number taken apart.
pub fn apart_32(number: f32) -> HashableFloat {
    let bits = number.to_bits();
    let sign = if number.is_sign_negative() { -1 } else { 1 };
    let fraction = u64::from(bits & ((1 << 23) - 1));
    // Eight bits.
    let exponent = ((bits >> 23) & 0xff) as i16;
    match exponent {
        // As for 64 bits, so that whoever puts it together needs not know which it was.
        0xff if fraction == 0 => (INFINITE, BEYOND, sign),
        0xff => (INFINITE | 1 << 51, BEYOND, sign),
        0 => (fraction << 1, -150, sign),
        _ => (fraction | 1 << 23, exponent - 150, sign),
    }
}

/// The number that was taken apart.
pub fn together((mantissa, exponent, sign): HashableFloat) -> f64 {
    let sign = if sign < 0 { -1.0 } else { 1.0 };
    if exponent == BEYOND && mantissa != INFINITE {
        return f64::NAN;
    }
    // In two steps: a power of two that is too small by itself may be right for what it is multiplied with.
    let half = i32::from(exponent) / 2;
    let rest = i32::from(exponent) - half;
    sign * (mantissa as f64) * 2f64.powi(half) * 2f64.powi(rest)
}

/// As PostgreSQL reads it.
pub fn text(number: HashableFloat) -> String {
    let number = together(number);
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    format!("{number:e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_apart_can_be_put_together() {
        for number in [
            0.0,
            -0.0,
            1.0,
            -1.5,
            0.1,
            1e300,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            1.234_567e-310,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            assert_eq!(
                together(apart(number)).to_bits(),
                number.to_bits(),
                "{number}"
            );
        }
        assert!(together(apart(f64::NAN)).is_nan());
        for number in [0.0_f32, 0.1, -3.5, f32::MAX, 1e-45, f32::INFINITY] {
            assert_eq!(together(apart_32(number)), f64::from(number), "{number}");
        }
        assert!(together(apart_32(f32::NAN)).is_nan());
    }

    #[test]
    fn the_parts_are_1x_s() {
        assert_eq!(apart(1.0), (1 << 52, -52, 1));
        assert_eq!(apart(-0.5), (1 << 52, -53, -1));
        assert_eq!(apart_32(1.0), (1 << 23, -23, 1));
        // Whatever else comes to the same.
        assert_eq!(together((3, -1, 1)), 1.5);
    }

    #[test]
    fn a_number_s_text_is_short_and_exact() {
        assert_eq!(text(apart(0.1)), "1e-1");
        assert_eq!(text(apart(-1e300)), "-1e300");
        assert_eq!(text(apart(f64::NEG_INFINITY)), "-Infinity");
        assert_eq!(text(apart(f64::NAN)), "NaN");
    }
}
