//! The rates, and who hears of a change.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt as _, stream};
use iso_currency::Currency;
use rust_decimal::{Decimal, RoundingStrategy};
use tokio::sync::broadcast::{self, error::RecvError};
use trellis_provider::{generated::Bytes, rpc::CallError};

use crate::{
    bindings::acme::currency::types::{Error, Money},
    config::Config,
    money,
};

/// How many changes a slow reader may be behind.
const MAX_BEHIND: usize = 256;

/// The rates of one moment, by the currencies' codes: what one unit of the base is worth.
#[derive(Clone, Debug)]
pub struct Rates {
    base: Currency,
    rates: BTreeMap<&'static str, (Currency, Decimal)>,
}

impl Rates {
    /// What one unit of the base is worth in a currency.
    ///
    /// # Errors
    /// Nobody said.
    pub fn of(&self, currency: Currency) -> Result<Decimal, Error> {
        let rate = self.rates.get(currency.code());
        rate.map(|(_, rate)| *rate)
            .ok_or_else(|| Error::NoRate(currency.code().to_owned()))
    }

    /// All of them, by the currencies' codes.
    pub fn all(&self) -> impl Iterator<Item = (Currency, Decimal)> {
        self.rates.values().copied()
    }

    /// What one unit of a currency is worth in another.
    ///
    /// # Errors
    /// There is no rate for one of them.
    pub fn between(&self, from: Currency, to: Currency) -> Result<Decimal, Error> {
        let rate = self.of(to)?.checked_div(self.of(from)?);
        Ok(rate.ok_or(Error::TooLarge)?.normalize())
    }

    /// The same money in another currency. It is multiplied first, so that only the division and the rounding can lose
    /// anything, and it is rounded once.
    ///
    /// # Errors
    /// There is no rate, or it is too much.
    pub fn convert(
        &self,
        money: &Money,
        to: &str,
        rounding: RoundingStrategy,
    ) -> Result<Money, Error> {
        let (amount, from) = money::read(money)?;
        let to = money::currency(to)?;
        let (rate_of_from, rate_of_to) = (self.of(from)?, self.of(to)?);
        let converted = amount
            .checked_mul(rate_of_to)
            .and_then(|product| product.checked_div(rate_of_from));
        money::write(converted.ok_or(Error::TooLarge)?, to, rounding)
    }

    fn line(&self, currency: Currency, rate: Decimal) -> Bytes {
        Bytes::from(format!("{}/{} {rate}\n", self.base.code(), currency.code()))
    }
}

/// The rates as they are now.
#[derive(Debug)]
pub struct Market {
    rates: Mutex<Rates>,
    /// A line for each change.
    changes: broadcast::Sender<Bytes>,
}

impl Market {
    /// The rates to begin with.
    pub fn new(config: Config) -> Self {
        let base = config.base.0;
        let given = config
            .rates
            .into_iter()
            .map(|rate| (rate.currency, rate.rate));
        let rates = given
            .chain([(base, Decimal::ONE)])
            .map(|(currency, rate)| (currency.code(), (currency, rate)));
        Self {
            rates: Mutex::new(Rates {
                base,
                rates: rates.collect(),
            }),
            changes: broadcast::Sender::new(MAX_BEHIND),
        }
    }

    /// The rates of this moment.
    pub fn rates(&self) -> Rates {
        self.lock().clone()
    }

    /// Changes a rate.
    ///
    /// # Errors
    /// It is the base's own, which is 1.
    pub fn set(&self, currency: Currency, rate: Decimal) -> Result<(), Error> {
        let mut rates = self.lock();
        if currency == rates.base {
            let base = rates.base.code();
            return Err(Error::BadNumber(format!(
                "{base} is the base: its rate is 1"
            )));
        }
        rates.rates.insert(currency.code(), (currency, rate));
        // Within the lock, so that who begins to read misses none and gets none twice. Nobody may be reading.
        let _ = self.changes.send(rates.line(currency, rate));
        Ok(())
    }

    /// A line for each rate, and one for each change as it comes.
    pub fn lines(&self) -> impl Stream<Item = Result<Bytes, CallError>> + Send + use<> {
        let (lines, changes) = {
            let rates = self.lock();
            let others = rates.all().filter(|(currency, _)| *currency != rates.base);
            let lines: Vec<_> = others
                .map(|(currency, rate)| Ok(rates.line(currency, rate)))
                .collect();
            (lines, self.changes.subscribe())
        };
        let changes = stream::unfold(changes, |mut changes| async move {
            let line = match changes.recv().await {
                Ok(line) => Ok(line),
                Err(RecvError::Lagged(lost)) => Err(CallError::Failed(format!(
                    "the reader was too slow for {lost} changes"
                ))),
                Err(RecvError::Closed) => return None,
            };
            Some((line, changes))
        });
        stream::iter(lines).chain(changes)
    }

    fn lock(&self) -> MutexGuard<'_, Rates> {
        // Nothing panics while holding it.
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Code, Rate};

    fn market(rates: &[&str]) -> Market {
        let rates = rates.iter().map(|rate| Rate::try_from((*rate).to_owned()));
        Market::new(Config {
            base: Code(Currency::EUR),
            rates: rates.collect::<Result<_, _>>().unwrap(),
        })
    }

    fn money(amount: &str, currency: &str) -> Money {
        Money {
            amount: amount.to_owned(),
            currency: currency.to_owned(),
        }
    }

    #[test]
    fn money_is_converted_exactly_and_rounded_once() {
        let market = market(&["USD=1.25", "JPY=160", "CHF=0.9375"]);
        let rates = market.rates();
        let convert = |amount, from, to, rounding| {
            rates
                .convert(&money(amount, from), to, rounding)
                .map(|money| money.amount)
        };
        let even = RoundingStrategy::MidpointNearestEven;
        assert_eq!(convert("10", "EUR", "USD", even), Ok("12.50".to_owned()));
        assert_eq!(convert("12.50", "USD", "EUR", even), Ok("10.00".to_owned()));
        assert_eq!(convert("1", "JPY", "USD", even), Ok("0.01".to_owned()));
        // 0.02 / 1.25 * 0.9375 = 0.015: half a cent.
        assert_eq!(convert("0.02", "USD", "CHF", even), Ok("0.02".to_owned()));
        assert_eq!(
            convert("0.02", "USD", "CHF", RoundingStrategy::ToZero),
            Ok("0.01".to_owned())
        );
        assert_eq!(
            convert("1", "EUR", "SEK", even),
            Err(Error::NoRate("SEK".to_owned()))
        );
        assert_eq!(
            convert("1", "SEK", "EUR", even),
            Err(Error::NoRate("SEK".to_owned()))
        );
        let most = "9".repeat(28);
        assert_eq!(convert(&most, "EUR", "JPY", even), Err(Error::TooLarge));
        assert_eq!(
            rates.between(Currency::JPY, Currency::USD),
            Ok("0.0078125".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn who_reads_gets_every_rate_and_every_change_once() {
        let market = market(&["USD=1.25", "CHF=0.9375"]);
        let lines = market.lines();
        market.set(Currency::USD, Decimal::TWO).unwrap();
        assert!(market.set(Currency::EUR, Decimal::TWO).is_err());
        let lines: Vec<_> = lines.take(3).map(Result::unwrap).collect().await;
        assert_eq!(lines, ["EUR/CHF 0.9375\n", "EUR/USD 1.25\n", "EUR/USD 2\n"]);
    }
}
