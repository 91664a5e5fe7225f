//! The provider and the shop, in a lattice of real processes.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::json;
use trellis_provider_testkit::LatticeHarness;

/// The shop's component: `SHOP_WASM`, or where `cargo xtask guests` puts it.
fn shop_wasm() -> PathBuf {
    let built = || {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.join("../../../target/actors/currency.wasm")
    };
    std::env::var_os("SHOP_WASM").map_or_else(built, PathBuf::from)
}

async fn market() -> Result<LatticeHarness> {
    let mut lattice = LatticeHarness::start().await?;
    let executable = env!("CARGO_BIN_EXE_currency-provider");
    let config = [("base", "EUR"), ("rates", "USD=1.25, JPY=160")];
    lattice.provider("currency", executable, &config).await?;
    lattice.actor("shop", shop_wasm()).await?;
    Ok(lattice)
}

async fn shop() -> Result<LatticeHarness> {
    let mut lattice = market().await?;
    let desk = [("rounding", "half-even"), ("may_set_rates", "true")];
    let converter = "acme:currency/converter";
    lattice.link("shop", "currency", converter, &desk).await?;
    let watch = [("currencies", "USD, JPY")];
    let watcher = "acme:currency/rate-watcher";
    lattice.link("currency", "shop", watcher, &watch).await?;
    Ok(lattice)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_adds_up_prices_in_any_currency() -> Result<()> {
    let lattice = shop().await?;
    let prices = r#"[{amount: "10.00", currency: "EUR"}, {amount: "2.50", currency: "USD"}, {amount: "400", currency: "JPY"}]"#;
    // Through a quote, a resource that lives in the provider.
    let total = lattice
        .call("shop", "checkout.total", &[prices, r#""USD""#])
        .await?;
    let wanted = json!({"ok": {"amount": "18.12", "currency": "USD"}});
    assert_eq!(total, wanted, "12.50 and 2.50, and 3.125 by half-even");
    let ten = r#"{amount: "10", currency: "EUR"}"#;
    let parts = lattice.call("shop", "checkout.split", &[ten, "3"]).await?;
    let parts: Vec<_> = parts["ok"].as_array().into_iter().flatten().collect();
    ensure!(
        parts.len() == 3 && parts[0]["amount"] == "3.34",
        "{parts:?}"
    );
    // The interface's own error comes through.
    let unknown = r#"[{amount: "1", currency: "EURO"}]"#;
    let refused = lattice
        .call("shop", "checkout.total", &[unknown, r#""EUR""#])
        .await?;
    let wanted = json!({"err": {"unknown-currency": "EURO"}});
    assert_eq!(refused, wanted);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_rate_is_agreed_on_and_streamed() -> Result<()> {
    let lattice = shop().await?;
    // Before anything changed: the rates as they are.
    let lines = lattice.call("shop", "checkout.watch", &["2"]).await?;
    assert_eq!(lines, json!(["EUR/JPY 160", "EUR/USD 1.25"]));
    // The watcher is asked, and agrees or refuses.
    let jump = lattice.call("shop", "checkout.set-rate", &[r#""USD""#, r#""125""#]);
    let jump = jump.await?;
    ensure!(
        jump["err"]["refused"] == "USD would be 100 times what it was",
        "{jump}"
    );
    // A third line comes when a rate changes while the stream is read.
    let watching = lattice.call("shop", "checkout.watch", &["3"]);
    let changing = async {
        loop {
            let set = lattice.call("shop", "checkout.set-rate", &[r#""USD""#, r#""1.5""#]);
            let set = set.await?;
            ensure!(set == json!({"ok": 1}), "one watcher agreed: {set}");
        }
    };
    let lines = tokio::select! {
        lines = watching => lines?,
        failed = changing => return failed,
    };
    assert_eq!(lines[2], "EUR/USD 1.5");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_with_a_wrong_configuration_is_refused_by_its_key() -> Result<()> {
    let mut lattice = market().await?;
    let converter = "acme:currency/converter";
    for (config, said) in [
        (&[][..], "field `rounding` is missing"),
        (
            &[("rounding", "upwards")],
            "field `rounding`: unknown variant `upwards`",
        ),
        (
            &[("rounding", "down"), ("may_set_rate", "true")],
            "there is no field `may_set_rate`; did you mean `may_set_rates`?",
        ),
    ] {
        lattice.link("shop", "currency", converter, config).await?;
        trellis_provider_testkit::wait::until(said, || async {
            let refused = lattice.refused("currency").await?;
            ensure!(refused.contains(said), "{refused}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
