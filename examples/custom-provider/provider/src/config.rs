//! The configuration of the provider and of its links: a key that is missing, wrong or unknown is refused by its name.

use iso_currency::Currency;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;

/// The provider's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The currency that rates are told in.
    pub base: Code,
    /// What one unit of it is worth in others: `USD=1.25, JPY=160`.
    pub rates: Vec<Rate>,
}

/// Of a link whose component converts money.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeskConfig {
    /// What becomes of digits that a currency doesn't have.
    pub rounding: Rounding,
    /// Whether the component may change rates.
    #[serde(default)]
    pub may_set_rates: bool,
}

/// Of a link whose component hears of rates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchConfig {
    /// Of which.
    pub currencies: Vec<Code>,
}

/// How amounts are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// A half goes to the even neighbour, as banks do.
    HalfEven,
    /// A half goes away from zero, as people do.
    HalfUp,
    /// Towards zero.
    Down,
}

impl From<Rounding> for RoundingStrategy {
    fn from(rounding: Rounding) -> Self {
        match rounding {
            Rounding::HalfEven => Self::MidpointNearestEven,
            Rounding::HalfUp => Self::MidpointAwayFromZero,
            Rounding::Down => Self::ToZero,
        }
    }
}

/// A currency by its code, for example `EUR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Code(pub Currency);

impl TryFrom<String> for Code {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        let currency = Currency::from_code(&code).map(Self);
        currency.ok_or_else(|| format!("{code:?} is no currency of ISO 4217, such as EUR"))
    }
}

/// A rate, for example `USD=1.25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate {
    /// Of which currency.
    pub currency: Currency,
    /// What one unit of the base is worth in it.
    pub rate: Decimal,
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (code, rate) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is no rate, such as USD=1.25"))?;
        let Code(currency) = code.trim().to_owned().try_into()?;
        Ok(Self {
            currency,
            rate: read_rate(rate.trim())?,
        })
    }
}

/// A rate: a number above zero.
///
/// # Errors
/// What is wrong with it.
pub fn read_rate(text: &str) -> Result<Decimal, String> {
    match Decimal::from_str_exact(text) {
        Ok(rate) if rate > Decimal::ZERO => Ok(rate.normalize()),
        _ => Err(format!(
            "{text:?} is no rate: a number above zero, such as 1.25"
        )),
    }
}
