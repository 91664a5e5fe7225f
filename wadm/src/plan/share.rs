//! Sharing a number of instances out: over spreads by weight, over hosts evenly and with little movement.

use sha2::{Digest as _, Sha256};

/// Shares a number out by weights: the shares' sum is the number, and each is its exact part rounded up or down.
/// All weights zero: all shares zero.
pub(super) fn by_weight(total: u32, weights: &[u32]) -> Vec<u32> {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: u32| u64::from(total) * u64::from(weight);
    let mut shares: Vec<u64> = weights.iter().map(|weight| exact(*weight) / sum).collect();
    let given: u64 = shares.iter().sum();
    // What rounding left goes to the largest remainders; the first of equals wins.
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|index| (std::cmp::Reverse(exact(weights[*index]) % sum), *index));
    let left = usize::try_from(u64::from(total) - given).unwrap_or(usize::MAX);
    for index in order.into_iter().take(left) {
        shares[index] += 1;
    }
    shares
        .into_iter()
        .map(|share| u32::try_from(share).unwrap_or(u32::MAX))
        .collect()
}

/// Shares a number out evenly. Where it doesn't divide, who has most now gets one more, so that nothing moves without
/// need. `now` must be in the order of [`rank`]; the result is in the same order.
pub(super) fn evenly(total: u32, now: &[u32]) -> Vec<u32> {
    let Ok(hosts) = u32::try_from(now.len()) else {
        return vec![0; now.len()];
    };
    if hosts == 0 {
        return Vec::new();
    }
    let (base, extra) = (total / hosts, total % hosts);
    let mut order: Vec<usize> = (0..now.len()).collect();
    order.sort_by_key(|index| (std::cmp::Reverse(now[*index]), *index));
    let mut shares = vec![base; now.len()];
    for index in order.into_iter().take(extra as usize) {
        shares[index] += 1;
    }
    shares
}

/// A host's place in the order of one thing's hosts: different for each thing, the same at any time, and not changed
/// for the others by a host that comes or goes.
pub(super) fn rank(thing: &str, spread: &str, host: &str) -> [u8; 8] {
    let mut hash = Sha256::new();
    for part in [thing, spread, host] {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut rank = [0; 8];
    rank.copy_from_slice(&hash.finalize()[..8]);
    rank
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_follow_the_weights() {
        assert_eq!(by_weight(10, &[1, 1]), [5, 5]);
        assert_eq!(by_weight(5, &[80, 20]), [4, 1]);
        assert_eq!(by_weight(1, &[100, 100, 100]), [1, 0, 0]);
        assert_eq!(by_weight(7, &[0, 0]), [0, 0]);
    }

    #[test]
    fn what_runs_stays_where_it_can() {
        assert_eq!(evenly(1, &[0, 1]), [0, 1]);
        assert_eq!(evenly(4, &[0, 4, 0]), [1, 2, 1]);
        assert_eq!(evenly(100, &[100]), [100]);
        assert_eq!(evenly(5, &[]), [0; 0]);
    }

    proptest! {
        #[test]
        fn shares_sum_up(total in 0..=u32::MAX, weights in prop::collection::vec(0..=u32::MAX, 1..12)) {
            let shares = by_weight(total, &weights);
            let sum: u64 = shares.iter().map(|share| u64::from(*share)).sum();
            let all_zero = weights.iter().all(|weight| *weight == 0);
            prop_assert_eq!(sum, if all_zero { 0 } else { u64::from(total) });
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert!(*weight > 0 || *share == 0);
            }
        }

        #[test]
        fn even_shares_sum_up_and_stay(total in 0..10_000_u32, now in prop::collection::vec(0..500_u32, 1..40)) {
            let shares = evenly(total, &now);
            prop_assert_eq!(shares.iter().sum::<u32>(), total);
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(most - least <= 1);
            prop_assert_eq!(evenly(total, &shares), shares);
        }
    }
}
