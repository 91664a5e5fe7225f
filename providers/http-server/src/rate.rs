//! How often one client may ask: a token bucket for each, in a table that never grows.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How many sets of clients are told apart, and how many clients a set holds. In all 32,768, in less than a MiB.
const SETS: usize = 8192;
const CLIENTS_OF_A_SET: usize = 4;
const MAX_REQUESTS: u32 = 1_000_000;

/// A rate as configuration writes it: `100/s`, `600/m`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests ...
    pub requests: NonZeroU32,
    /// ... in how long.
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let shown: String = text.chars().take(80).collect();
            format!(
                "{shown:?} is not a rate such as 100/s, 600/m or 1000/h, of 1 to {MAX_REQUESTS} requests"
            )
        };
        let (requests, unit) = text.split_once('/').ok_or_else(wrong)?;
        let per = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        let requests: NonZeroU32 = requests.trim().parse().map_err(|_| wrong())?;
        match requests.get() <= MAX_REQUESTS {
            true => Ok(Self { requests, per }),
            false => Err(wrong()),
        }
    }
}

/// What each client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How often, in the long run.
    pub rate: Rate,
    /// How many requests at once, after a time of rest.
    pub burst: NonZeroU32,
}

/// The clients that asked lately. Bounded: where a set is full, the client goes that is nearest to its full bucket again.
pub struct Limiter {
    limit: Limit,
    begun: Instant,
    hasher: RandomState,
    sets: Box<[Mutex<[Client; CLIENTS_OF_A_SET]>]>,
}

/// A client, and when its bucket is full again, in nanoseconds since the limiter began. One whose bucket is full is as good
/// as none.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    network: u128,
    full_at: u64,
}

impl Limiter {
    /// A limiter that knows no client yet.
    pub fn new(limit: Limit) -> Self {
        Self {
            limit,
            begun: Instant::now(),
            hasher: RandomState::new(),
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Counts a request of a client.
    ///
    /// # Errors
    /// It is one too many: how long the client should wait.
    pub fn take(&self, client: IpAddr) -> Result<(), Duration> {
        let now = nanos(self.begun.elapsed());
        let each = (nanos(self.limit.rate.per) / u64::from(self.limit.rate.requests.get())).max(1);
        let room = each.saturating_mul(u64::from(self.limit.burst.get()));
        let network = network(client);
        let hash = self.hasher.hash_one(network);
        let at = usize::try_from(hash % (SETS as u64)).unwrap_or_default();
        let Some(set) = self.sets.get(at) else {
            return Ok(());
        };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let known = set.iter().position(|other| other.network == network);
        // Who has rested longest is forgotten; it matters only if none has rested.
        let place = known.or_else(|| {
            let places = set.iter().enumerate();
            places
                .min_by_key(|(_, other)| other.full_at)
                .map(|(at, _)| at)
        });
        let Some(place) = place.and_then(|place| set.get_mut(place)) else {
            return Ok(());
        };
        let full_at = match known {
            Some(_) => place.full_at.max(now),
            None => now,
        };
        let full_at = full_at.saturating_add(each);
        if full_at - now > room {
            return Err(Duration::from_nanos(full_at - now - room));
        }
        *place = Client { network, full_at };
        Ok(())
    }
}

/// What counts as one client: an address of version 4, and of version 6 the network that one customer has.
fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(rate: &str, burst: u32) -> Limiter {
        Limiter::new(Limit {
            rate: rate.parse().unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        })
    }

    #[test]
    fn rates_are_read() {
        let rate: Rate = " 600 / m".parse().unwrap();
        assert_eq!((rate.requests.get(), rate.per.as_secs()), (600, 60));
        for wrong in ["", "100", "0/s", "-1/s", "1/d", "10000000/s", "x/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_its_burst_and_then_its_rate() {
        let limiter = limiter("10/s", 3);
        let (one, two): (IpAddr, IpAddr) =
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..3 {
            assert_eq!(limiter.take(one), Ok(()));
        }
        assert_eq!(limiter.take(one), Err(Duration::from_millis(100)));
        assert_eq!(limiter.take(two), Ok(()), "another client is free");
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(limiter.take(one), Ok(()));
        assert!(limiter.take(one).is_err());
        tokio::time::advance(Duration::from_secs(100)).await;
        let mut taken = 0;
        while limiter.take(one).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 3, "a rest fills the bucket and no more");
    }

    #[test]
    fn a_network_of_version_6_is_one_client() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_million_clients_take_no_more_room_and_do_not_free_a_busy_one_of_another_set() {
        let limiter = limiter("1/h", 1);
        let mut refused = 0;
        for client in 0..1_000_000_u32 {
            let client = IpAddr::from(client.to_be_bytes());
            assert_eq!(limiter.take(client), Ok(()), "each for the first time");
            refused += usize::from(limiter.take(client).is_err());
        }
        assert_eq!(refused, 1_000_000, "and not for the second");
        assert_eq!(limiter.sets.len(), SETS);
    }
}
