//! A shop's checkout: prices in any currencies, added up in one. It knows nothing of rates: a provider that is linked to it does.

use crate::bindings::{
    acme::currency::{
        converter::{self, Quote},
        types::{Error, Money, RateChange},
    },
    exports::acme::currency::{checkout, rate_watcher},
    wasi::io::streams::StreamError,
};

mod bindings {
    wit_bindgen::generate!({
        path: "../../examples/custom-provider/provider/wit",
        world: "shop",
        generate_all,
    });
}

/// How much is read at once of the stream of rates.
const READ_BYTES: u64 = 4096;

/// More people than the converter shares money among: it refuses them.
const MOST: u32 = 1_001;

struct Shop;

impl checkout::Guest for Shop {
    fn total(prices: Vec<Money>, currency: String) -> Result<Money, Error> {
        // One quote for all: a rate that changes meanwhile changes no sum.
        let quote = Quote::new();
        let mut total = Cents::nothing(&currency)?;
        for price in &prices {
            total.add(&quote.convert(price, &currency)?)?;
        }
        Ok(total.money())
    }

    fn split(money: Money, people: u32) -> Result<Vec<Money>, Error> {
        converter::split(&money, &vec![1; people.min(MOST) as usize])
    }

    fn set_rate(currency: String, rate: String) -> Result<u32, Error> {
        converter::set_rate(&currency, &rate)
    }

    fn watch(lines: u32) -> Vec<String> {
        let stream = converter::updates(lines);
        let mut read = Vec::new();
        loop {
            match stream.blocking_read(READ_BYTES) {
                Ok(bytes) => read.extend(bytes),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(error)) => {
                    panic!("the rates broke off: {}", error.to_debug_string())
                }
            }
        }
        String::from_utf8_lossy(&read)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl rate_watcher::Guest for Shop {
    /// A rate that jumps is a typing error until somebody looks at it.
    fn on_rate_change(change: RateChange) -> Result<(), String> {
        let number = |rate: &str| rate.parse::<f64>().unwrap_or_default();
        let Some(before) = change.before.as_deref().map(number) else {
            return Ok(());
        };
        let times = number(&change.rate) / before;
        if (0.1..=10.0).contains(&times) {
            Ok(())
        } else {
            Err(format!(
                "{} would be {times} times what it was",
                change.currency
            ))
        }
    }
}

/// A sum in a currency's smallest units: whole numbers, so that nothing is lost in adding.
struct Cents {
    units: i128,
    /// How many digits stand behind the point.
    digits: usize,
    currency: String,
}

impl Cents {
    fn nothing(currency: &str) -> Result<Self, Error> {
        let known = converter::currencies();
        let info = known.iter().find(|info| info.code == currency);
        let info = info.ok_or_else(|| Error::NoRate(currency.to_owned()))?;
        Ok(Self {
            units: 0,
            digits: info.minor_units.into(),
            currency: currency.to_owned(),
        })
    }

    /// Adds an amount that has all digits of its currency, as the provider tells them.
    fn add(&mut self, money: &Money) -> Result<(), Error> {
        let units: i128 = money
            .amount
            .replace('.', "")
            .parse()
            .map_err(|_| Error::TooLarge)?;
        self.units = self.units.checked_add(units).ok_or(Error::TooLarge)?;
        Ok(())
    }

    fn money(self) -> Money {
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = format!(
            "{:0>width$}",
            self.units.unsigned_abs(),
            width = self.digits + 1
        );
        let (whole, fraction) = digits.split_at(digits.len() - self.digits);
        let point = if fraction.is_empty() { "" } else { "." };
        Money {
            amount: format!("{sign}{whole}{point}{fraction}"),
            currency: self.currency,
        }
    }
}

bindings::export!(Shop with_types_in bindings);
