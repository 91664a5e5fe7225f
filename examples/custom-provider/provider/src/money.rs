//! Amounts and their currencies, to the last digit.

use iso_currency::Currency;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::bindings::acme::currency::types::{Error, Money};

/// The longest amount that is read.
const MAX_DIGITS: usize = 40;

/// How many digits stand behind a currency's point. Those without any by ISO 4217 (gold, testing) have none.
pub fn minor_units(currency: Currency) -> u32 {
    currency.exponent().unwrap_or_default().into()
}

/// A currency by its code.
///
/// # Errors
/// There is none of that code.
pub fn currency(code: &str) -> Result<Currency, Error> {
    Currency::from_code(code).ok_or_else(|| Error::UnknownCurrency(code.chars().take(40).collect()))
}

/// An amount and its currency.
///
/// # Errors
/// There is no such currency, or it has no such amounts.
pub fn read(money: &Money) -> Result<(Decimal, Currency), Error> {
    let currency = currency(&money.currency)?;
    let text = money.amount.trim();
    let shown: String = text.chars().take(MAX_DIGITS).collect();
    let wrong = |what: String| Error::BadNumber(format!("{shown:?} {what}"));
    if text.len() > MAX_DIGITS {
        return Err(wrong(format!("has more than {MAX_DIGITS} digits")));
    }
    let amount = Decimal::from_str_exact(text)
        .map_err(|_| wrong("is no amount, such as 12.50".to_owned()))?;
    let digits = minor_units(currency);
    if amount.normalize().scale() > digits {
        let code = currency.code();
        return Err(wrong(format!(
            "has more digits behind the point than {code}: {digits}"
        )));
    }
    Ok((amount, currency))
}

/// An amount as it is told: with all digits that its currency has.
///
/// # Errors
/// It is too large for them.
pub fn write(
    amount: Decimal,
    currency: Currency,
    rounding: RoundingStrategy,
) -> Result<Money, Error> {
    let digits = minor_units(currency);
    let mut amount = amount.round_dp_with_strategy(digits, rounding);
    amount.rescale(digits);
    // A number that has no room for all its digits keeps fewer.
    if amount.scale() != digits {
        return Err(Error::TooLarge);
    }
    Ok(Money {
        amount: amount.to_string(),
        currency: currency.code().to_owned(),
    })
}

/// Shares an amount out by weights, in whole minor units; what is left over goes to the first ones, a unit each.
///
/// # Errors
/// There is nobody to share with.
pub fn split(amount: Decimal, currency: Currency, shares: &[u32]) -> Result<Vec<Decimal>, Error> {
    let all: i128 = shares.iter().map(|share| i128::from(*share)).sum();
    if all == 0 {
        return Err(Error::BadNumber("there is nobody to share with".to_owned()));
    }
    let digits = minor_units(currency);
    let mut amount = amount;
    amount.rescale(digits);
    if amount.scale() != digits {
        return Err(Error::TooLarge);
    }
    let (units, sign) = (amount.mantissa().abs(), amount.mantissa().signum());
    // A mantissa has 96 bits and a share 32, so that their product has room in 127 but for the largest ones.
    let part = |share: &u32| {
        let share = i128::from(*share);
        Some(units.checked_mul(share)? / all)
    };
    let mut parts: Vec<i128> = shares
        .iter()
        .map(part)
        .collect::<Option<_>>()
        .ok_or(Error::TooLarge)?;
    let mut left = units - parts.iter().sum::<i128>();
    let takers = parts
        .iter_mut()
        .zip(shares)
        .filter(|(_, share)| **share > 0);
    for (part, _) in takers {
        if left == 0 {
            break;
        }
        *part += 1;
        left -= 1;
    }
    let decimal = |part: i128| Decimal::try_from_i128_with_scale(part * sign, digits);
    parts
        .into_iter()
        .map(|part| decimal(part).map_err(|_| Error::TooLarge))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount: &str, currency: &str) -> Money {
        Money {
            amount: amount.to_owned(),
            currency: currency.to_owned(),
        }
    }

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        for (amount, currency, told) in [
            ("12.5", "EUR", "12.50"),
            ("-7", "JPY", "-7"),
            ("1.234", "BHD", "1.234"),
            ("1.50000", "USD", "1.50"),
            ("1.000", "JPY", "1"),
        ] {
            let (amount, currency) = read(&money(amount, currency)).unwrap();
            let written = write(amount, currency, RoundingStrategy::ToZero).unwrap();
            assert_eq!(written.amount, told);
        }
        for (amount, currency) in [
            ("1.5", "JPY"),
            ("1e3", "EUR"),
            ("", "EUR"),
            ("1.2345", "BHD"),
        ] {
            let refused = read(&money(amount, currency));
            assert!(
                matches!(refused, Err(Error::BadNumber(_))),
                "{amount} {currency}"
            );
        }
        let long = read(&money(&"9".repeat(41), "EUR")).unwrap_err();
        assert!(matches!(long, Error::BadNumber(_)));
        let unknown = read(&money("1", "EURO")).unwrap_err();
        assert_eq!(unknown, Error::UnknownCurrency("EURO".to_owned()));
    }

    #[test]
    fn not_a_cent_is_lost() {
        let parts = |amount: &str, shares: &[u32]| -> Vec<String> {
            let (amount, currency) = read(&money(amount, "EUR")).unwrap();
            let parts = split(amount, currency, shares).unwrap();
            assert_eq!(parts.iter().sum::<Decimal>(), amount);
            parts.iter().map(ToString::to_string).collect()
        };
        assert_eq!(parts("100", &[1, 1, 1]), ["33.34", "33.33", "33.33"]);
        assert_eq!(parts("-0.05", &[1, 0, 1]), ["-0.03", "0.00", "-0.02"]);
        assert_eq!(parts("10", &[7, 3]), ["7.00", "3.00"]);
        assert!(split(Decimal::ONE, Currency::EUR, &[0]).is_err());
        assert!(split(Decimal::ONE, Currency::EUR, &[]).is_err());
    }
}
