//! What a link is like.

use std::time::Duration;

use rand::Rng as _;

/// The shortest wait until something lost is sent again, as TCP has it.
const RESEND_AFTER: Duration = Duration::from_millis(200);
/// Something is not lost more often than this in a row.
const MAX_LOSSES: u32 = 3;

/// What a link is like, each way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// From who connects to who is connected to.
    pub there: Way,
    /// From who is connected to back to who connects.
    pub back: Way,
}

/// What one way of a link is like. By default it is as if it weren't there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Way {
    /// How long everything takes.
    pub delay: Duration,
    /// How much longer it takes at most, by chance; never so that something overtakes.
    pub jitter: Duration,
    /// How probably something of up to 16 KiB is lost, from 0 to 1: it comes when it was sent again, and so does what is
    /// behind it.
    pub loss: f64,
    /// Whether anything passes at all.
    pub flow: Flow,
}

/// Whether anything passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    #[default]
    Open,
    /// Nothing does, and nobody is told: as when a cable is cut. Connections stay, and what was sent comes when the flow
    /// is open again, as far as the ends still want it.
    Held,
    /// Connections are closed, and new ones at once.
    Closed,
}

impl Weather {
    /// The same both ways: everything takes half of `round_trip`.
    pub fn round_trip(round_trip: Duration) -> Self {
        Self::both(Way {
            delay: round_trip / 2,
            ..Way::default()
        })
    }

    /// The same both ways.
    pub fn both(way: Way) -> Self {
        Self {
            there: way,
            back: way,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.there.flow == Flow::Closed || self.back.flow == Flow::Closed
    }
}

impl Way {
    /// How long something takes that is sent now.
    pub(crate) fn takes(&self) -> Duration {
        let mut rng = rand::rng();
        let mut takes = self.delay;
        if !self.jitter.is_zero() {
            takes += self.jitter.mul_f64(rng.random_range(0.0..=1.0));
        }
        if self.loss > 0.0 {
            let mut wait = RESEND_AFTER.max(self.delay * 2);
            for _ in 0..MAX_LOSSES {
                if rng.random_range(0.0..1.0) >= self.loss {
                    break;
                }
                takes += wait;
                wait *= 2;
            }
        }
        takes
    }
}
