//! Who may command: the application manager that leads, and nobody who led before it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_nats::HeaderMap;
use trellis_lattice::header::FENCE;

/// The highest number of a leadership that the host has seen. It is kept in memory only: a host that starts anew has
/// nothing running that a former leader could harm, and the leader's next request tells it.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    highest: AtomicU64,
}

/// A command that is not carried out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fenced {
    #[error(
        "fenced: another application manager leads now (leadership {highest}; the request is of {number}), and only it commands"
    )]
    Superseded { number: u64, highest: u64 },
    #[error("header {FENCE:?} is {0:?}, which is not a number from 0 to 2^64 - 1")]
    NoNumber(String),
}

impl Fence {
    /// Takes note of a request's number, whatever it asks for. A request without one is always let pass.
    ///
    /// # Errors
    /// [`Fenced`]: the request must not be carried out if it is a command.
    pub(crate) fn pass(&self, headers: Option<&HeaderMap>) -> Result<(), Fenced> {
        let Some(value) = headers.and_then(|headers| headers.get(FENCE)) else {
            return Ok(());
        };
        let number: u64 = value
            .as_str()
            .parse()
            .map_err(|_| Fenced::NoNumber(value.as_str().chars().take(40).collect()))?;
        let highest = self.highest.fetch_max(number, Relaxed);
        if number > highest {
            tracing::info!(leadership = number, "an application manager leads");
        }
        if number < highest {
            return Err(Fenced::Superseded { number, highest });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(number: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(FENCE, number);
        headers
    }

    #[test]
    fn only_the_highest_number_passes_and_none_always_does() {
        let fence = Fence::default();
        let pass = |number| fence.pass(Some(&headers(number)));
        assert_eq!(pass("7"), Ok(()));
        assert_eq!(pass("7"), Ok(()));
        assert_eq!(pass("18446744073709551615"), Ok(()));
        let Err(error) = pass("8") else {
            panic!("passed")
        };
        let told = error.to_string();
        assert!(
            told.starts_with("fenced: another application manager leads now"),
            "{told}"
        );
        assert_eq!(fence.pass(None), Ok(()));
        assert_eq!(fence.pass(Some(&HeaderMap::new())), Ok(()));
    }

    #[test]
    fn what_is_no_number_does_not_pass() {
        let fence = Fence::default();
        for text in ["", "-1", "x", "18446744073709551616"] {
            let refused = fence.pass(Some(&headers(text)));
            assert_eq!(refused, Err(Fenced::NoNumber(text.into())));
        }
    }
}
