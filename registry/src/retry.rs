//! Trying again what may succeed the next time.

use std::time::Duration;

use rand::Rng as _;

use crate::{Progress, RegistryError};

/// How often a request is tried again, and how long is waited in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often it is tried again while nothing at all was transferred in between.
    pub times: u32,
    /// How long is waited before the first time; the double each time after.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            times: 5,
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(10),
        }
    }
}

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Tries {
    retry: Retry,
    made: u32,
}

impl Retry {
    pub(crate) fn begin(self) -> Tries {
        Tries {
            retry: self,
            made: 0,
        }
    }

    /// How long is waited before a try: between half of its time and all of it, so that many that lost the same registry
    /// don't come back to it at once.
    fn wait(&self, made: u32) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << made.min(16));
        doubled
            .min(self.longest_wait)
            .mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

impl Tries {
    /// Something was transferred: what fails from now on fails for the first time.
    pub(crate) fn progressed(&mut self) {
        self.made = 0;
    }

    /// Waits until it is time to try again.
    ///
    /// # Errors
    /// The error itself, when it would be the same the next time or was seen often enough.
    pub(crate) async fn again(
        &mut self,
        error: RegistryError,
        progress: &dyn Progress,
    ) -> Result<(), RegistryError> {
        if !error.may_pass() || self.made >= self.retry.times {
            return Err(error);
        }
        tracing::debug!(%error, tries = self.made + 1, "trying again");
        progress.again(&error);
        tokio::time::sleep(self.retry.wait(self.made)).await;
        self.made += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    fn lost() -> RegistryError {
        RegistryError::Lost {
            reference: "r".into(),
            cause: "gone".into(),
        }
    }

    #[tokio::test]
    async fn it_is_tried_a_number_of_times() {
        let retry = Retry {
            times: 2,
            first_wait: Duration::ZERO,
            longest_wait: Duration::ZERO,
        };
        let mut tries = retry.begin();
        tries.again(lost(), &Silent).await.unwrap();
        tries.again(lost(), &Silent).await.unwrap();
        assert!(tries.again(lost(), &Silent).await.is_err());
        tries.progressed();
        tries.again(lost(), &Silent).await.unwrap();
    }

    #[tokio::test]
    async fn what_stays_as_it_is_is_not_tried_again() {
        let missing = RegistryError::NotFound {
            reference: "r".into(),
        };
        assert!(
            Retry::default()
                .begin()
                .again(missing, &Silent)
                .await
                .is_err()
        );
    }

    #[test]
    fn waits_grow_to_a_bound() {
        let retry = Retry::default();
        assert!(retry.wait(0) <= retry.first_wait);
        assert!(retry.wait(1) >= retry.first_wait);
        assert!(retry.wait(100) <= retry.longest_wait && retry.wait(100) >= retry.longest_wait / 2);
    }
}
