//! What components call.

use std::sync::Arc;

use futures::{StreamExt as _, future::join_all};
use trellis_provider::{
    generated::Content,
    rpc::{CallContext, CallError},
};

use crate::{
    bindings::acme::currency::{
        converter::Answers,
        types::{CurrencyInfo, Error, Money, RateChange},
    },
    config::{DeskConfig, read_rate},
    market::Rates,
    money,
    provider::CurrencyProvider,
};

/// Among how many an amount may be shared out.
const MAX_SHARES: usize = 1_000;

/// The rates of one moment, for the component whose link says how to round.
#[derive(Debug)]
pub struct Quote {
    rates: Rates,
    desk: Arc<DeskConfig>,
}

impl CurrencyProvider {
    /// How the caller's link has it.
    async fn desk(&self, context: &CallContext) -> Result<Arc<DeskConfig>, CallError> {
        let desk = self.desks.get(context).await;
        desk.map_err(|none| CallError::Failed(none.to_string()))
    }

    async fn change(&self, desk: &DeskConfig, currency: &str, rate: &str) -> Result<u32, Error> {
        if !desk.may_set_rates {
            return Err(Error::NotAllowed);
        }
        let currency = money::currency(currency)?;
        let rate = read_rate(rate).map_err(Error::BadNumber)?;
        let before = self.market.rates().of(currency).ok();
        let change = RateChange {
            currency: currency.code().to_owned(),
            rate: rate.to_string(),
            before: before.map(|before| before.to_string()),
        };
        let watchers = self.watchers(currency);
        let asked = watchers
            .iter()
            .map(|watcher| watcher.calls.on_rate_change(change.clone()));
        let mut agreed = 0;
        for (answer, watcher) in join_all(asked).await.into_iter().zip(&watchers) {
            match answer {
                Ok(Ok(())) => agreed += 1,
                Ok(Err(why)) => return Err(Error::Refused(why)),
                // Who can't be asked has no say: rates don't wait for it.
                Err(error) => {
                    let watcher = watcher.calls.component().id();
                    tracing::warn!(%watcher, %error, "a watcher was not told of a rate");
                }
            }
        }
        self.market.set(currency, rate)?;
        Ok(agreed)
    }
}

impl Answers for CurrencyProvider {
    type Quote = Quote;

    async fn currencies(&self, _: CallContext) -> Result<Vec<CurrencyInfo>, CallError> {
        let rates = self.market.rates();
        let info = rates.all().map(|(currency, rate)| CurrencyInfo {
            code: currency.code().to_owned(),
            name: currency.name().to_owned(),
            number: currency.numeric(),
            minor_units: u8::try_from(money::minor_units(currency)).unwrap_or(u8::MAX),
            rate: rate.to_string(),
        });
        Ok(info.collect())
    }

    async fn convert(
        &self,
        context: CallContext,
        money: Money,
        to: String,
    ) -> Result<Result<Money, Error>, CallError> {
        let desk = self.desk(&context).await?;
        let rates = self.market.rates();
        Ok(rates.convert(&money, &to, desk.rounding.into()))
    }

    async fn split(
        &self,
        context: CallContext,
        money: Money,
        shares: Vec<u32>,
    ) -> Result<Result<Vec<Money>, Error>, CallError> {
        let desk = self.desk(&context).await?;
        if shares.len() > MAX_SHARES {
            let why = format!("{} shares are more than {MAX_SHARES}", shares.len());
            return Ok(Err(Error::BadNumber(why)));
        }
        Ok(money::read(&money).and_then(|(amount, currency)| {
            let parts = money::split(amount, currency, &shares)?;
            let written = parts
                .into_iter()
                .map(|part| money::write(part, currency, desk.rounding.into()));
            written.collect()
        }))
    }

    async fn set_rate(
        &self,
        context: CallContext,
        currency: String,
        rate: String,
    ) -> Result<Result<u32, Error>, CallError> {
        let desk = self.desk(&context).await?;
        Ok(self.change(&desk, &currency, &rate).await)
    }

    async fn updates(&self, context: CallContext, lines: u32) -> Result<Content, CallError> {
        // Only who is linked.
        self.desk(&context).await?;
        let lines = usize::try_from(lines).unwrap_or(usize::MAX);
        Ok(Content::new(self.market.lines().take(lines)))
    }

    async fn quote_new(&self, context: CallContext) -> Result<Quote, CallError> {
        Ok(Quote {
            desk: self.desk(&context).await?,
            rates: self.market.rates(),
        })
    }

    async fn quote_rate(
        &self,
        _: CallContext,
        quote: Arc<Quote>,
        from: String,
        to: String,
    ) -> Result<Result<String, Error>, CallError> {
        let between = || -> Result<String, Error> {
            let (from, to) = (money::currency(&from)?, money::currency(&to)?);
            Ok(quote.rates.between(from, to)?.to_string())
        };
        Ok(between())
    }

    async fn quote_convert(
        &self,
        _: CallContext,
        quote: Arc<Quote>,
        money: Money,
        to: String,
    ) -> Result<Result<Money, Error>, CallError> {
        let rounding = quote.desk.rounding.into();
        Ok(quote.rates.convert(&money, &to, rounding))
    }
}
