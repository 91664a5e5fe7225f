//! Sharing a number of instances out over spreads, by their weights.

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
    }
}
