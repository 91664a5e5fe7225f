//! How long calls took, and how many there were.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

/// The longest that is told apart.
const LONGEST: Duration = Duration::from_secs(60);

/// What a load measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Calls a second, all callers together.
    pub per_second: f64,
    /// The median, in microseconds.
    pub p50_us: f64,
    /// The 99th percentile, in microseconds.
    pub p99_us: f64,
}

/// The times of calls.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Errors
    /// Never with these bounds.
    pub fn new() -> Result<Self> {
        let longest = u64::try_from(LONGEST.as_nanos())?;
        Ok(Self(Histogram::new_with_bounds(1, longest, 3)?))
    }

    /// One more, which began then and ends now.
    pub fn since(&mut self, begun: Instant) {
        self.add(begun.elapsed());
    }

    /// One more.
    pub fn add(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos.max(1));
    }

    /// Those of another caller too.
    ///
    /// # Errors
    /// Never with these bounds.
    pub fn join(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// What they come to in that time.
    pub fn over(&self, time: Duration) -> Measured {
        let micros = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        Measured {
            per_second: self.0.len() as f64 / time.as_secs_f64(),
            p50_us: micros(0.5),
            p99_us: micros(0.99),
        }
    }
}

/// Calls from some callers at once, each the next one when its last has been answered.
///
/// # Errors
/// A call failed: its cost would mean nothing.
pub async fn measure<F, Fut>(callers: usize, lasting: Duration, call: F) -> Result<Measured>
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let begun = Instant::now();
    let until = begun + lasting;
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let call = call.clone();
        tasks.spawn(async move {
            let mut latencies = Latencies::new()?;
            while Instant::now() < until {
                let begun = Instant::now();
                call().await?;
                latencies.since(begun);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = Latencies::new()?;
    while let Some(latencies) = tasks.join_next().await {
        all.join(&latencies??)?;
    }
    Ok(all.over(begun.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_to_quantiles_and_a_rate() {
        let mut latencies = Latencies::new().unwrap();
        for micros in 1..=1000 {
            latencies.add(Duration::from_micros(micros));
        }
        let measured = latencies.over(Duration::from_secs(2));
        assert!((measured.per_second - 500.0).abs() < 1e-9);
        assert!((measured.p50_us - 500.0).abs() < 1.0, "{measured:?}");
        assert!((measured.p99_us - 990.0).abs() < 2.0, "{measured:?}");
    }

    #[tokio::test]
    async fn a_failed_call_fails_the_measurement() {
        let failed = measure(2, Duration::from_secs(5), || async {
            anyhow::bail!("refused")
        });
        assert_eq!(failed.await.unwrap_err().to_string(), "refused");
        let fine = measure(2, Duration::from_millis(20), || async {
            tokio::task::yield_now().await;
            Ok(())
        });
        assert!(fine.await.unwrap().per_second > 100.0);
    }
}
