//! The provider as a process: a host starts it and writes the host data to its standard input.

use std::process::ExitCode;

use currency_provider::CurrencyProvider;

#[tokio::main]
async fn main() -> ExitCode {
    match trellis_provider::run::<CurrencyProvider>().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
