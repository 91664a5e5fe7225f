//! Decimal numbers of any size: PostgreSQL's digits, four at a time, as text.

use std::{error::Error, fmt::Write as _};

use bytes::Buf as _;

type Problem = Box<dyn Error + Sync + Send>;

const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xc000;
const INFINITE: u16 = 0xd000;
const NEGATIVE_INFINITE: u16 = 0xf000;

/// A `numeric`'s text.
///
/// # Errors
/// The bytes are not those of one.
pub fn text(mut raw: &[u8]) -> Result<String, Problem> {
    let count = i32::from(raw.try_get_u16()?);
    // How many groups of four digits stand before the point, less one.
    let weight = i32::from(raw.try_get_i16()?);
    let sign = raw.try_get_u16()?;
    let after_point = usize::from(raw.try_get_u16()?);
    match sign {
        NOT_A_NUMBER => return Ok("NaN".to_owned()),
        INFINITE => return Ok("Infinity".to_owned()),
        NEGATIVE_INFINITE => return Ok("-Infinity".to_owned()),
        _ => {}
    }
    let groups: Vec<u16> = (0..count)
        .map(|_| raw.try_get_u16())
        .collect::<Result<_, _>>()?;
    let group = |index: i32| {
        let index = usize::try_from(index).ok();
        index
            .and_then(|index| groups.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = if sign == NEGATIVE { "-" } else { "" }.to_owned();
    let _ = write!(text, "{}", if weight < 0 { 0 } else { group(0) });
    for index in 1..=weight {
        let _ = write!(text, "{:04}", group(index));
    }
    if after_point > 0 {
        let mut fraction = String::new();
        let mut index = weight + 1;
        while fraction.len() < after_point {
            let _ = write!(fraction, "{:04}", if index < 0 { 0 } else { group(index) });
            index += 1;
        }
        text.push('.');
        text.push_str(&fraction[..after_point]);
    }
    Ok(text)
}

/// An amount of money's text. How many digits stand after the point is the database's setting (`lc_monetary`), and in
/// nearly all of them two.
pub fn cents(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(weight: i16, sign: u16, after_point: u16, groups: &[u16]) -> String {
        let mut raw = Vec::new();
        raw.extend((groups.len() as u16).to_be_bytes());
        raw.extend(weight.to_be_bytes());
        raw.extend(sign.to_be_bytes());
        raw.extend(after_point.to_be_bytes());
        raw.extend(groups.iter().flat_map(|group| group.to_be_bytes()));
        text(&raw).unwrap()
    }

    #[test]
    fn groups_of_four_digits_become_a_number() {
        assert_eq!(number(0, 0, 0, &[]), "0");
        assert_eq!(number(0, 0, 2, &[]), "0.00");
        assert_eq!(number(0, NEGATIVE, 1, &[12, 5000]), "-12.5");
        assert_eq!(number(1, 0, 0, &[1]), "10000");
        assert_eq!(number(2, 0, 3, &[1, 2, 3, 4000]), "100020003.400");
        assert_eq!(number(-1, 0, 4, &[1]), "0.0001");
        assert_eq!(number(-3, 0, 12, &[7]), "0.000000000007");
        assert_eq!(number(0, NOT_A_NUMBER, 0, &[]), "NaN");
    }

    #[test]
    fn money_is_cents() {
        assert_eq!(cents(-5), "-0.05");
        assert_eq!(cents(123_456), "1234.56");
        assert_eq!(cents(i64::MIN), "-92233720368547758.08");
    }
}
