//! How often and how long something is measured, and by turns.

use std::time::Duration;

use anyhow::Result;

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long one measurement of a load lasts.
    pub lasting: Duration,
    /// How often each load is measured.
    pub rounds: usize,
    /// How often something is tried that takes its own time.
    pub trials: usize,
    /// How many different actors are on the host that is full of them.
    pub crowd: usize,
}

/// Measures each of them once a round, in another order each time: what the machine does besides hits all alike, and
/// none always comes after the same one. The outer list is by party.
///
/// # Errors
/// A measurement failed.
pub async fn by_turns<P, T>(
    plan: &Plan,
    parties: &[P],
    mut measure: impl AsyncFnMut(&P) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut all: Vec<Vec<T>> = parties.iter().map(|_| Vec::new()).collect();
    for round in 0..plan.rounds {
        for turn in 0..parties.len() {
            let at = order(round, turn, parties.len());
            all[at].push(measure(&parties[at]).await?);
        }
    }
    Ok(all)
}

/// Who has that turn: one later each round, and every other round backwards.
fn order(round: usize, turn: usize, parties: usize) -> usize {
    let turn = if round.is_multiple_of(2) {
        turn
    } else {
        parties - 1 - turn
    };
    (turn + round / 2) % parties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_each_round_and_goes_first_at_times() {
        for parties in 1..5 {
            let mut first = vec![false; parties];
            for round in 0..2 * parties {
                let mut turns: Vec<usize> = (0..parties)
                    .map(|turn| order(round, turn, parties))
                    .collect();
                first[turns[0]] = true;
                turns.sort_unstable();
                assert!(turns.into_iter().eq(0..parties));
            }
            assert!(first.into_iter().all(|first| first));
        }
    }

    #[tokio::test]
    async fn figures_come_by_party() {
        let plan = Plan {
            lasting: Duration::ZERO,
            rounds: 3,
            trials: 1,
            crowd: 1,
        };
        let all = by_turns(&plan, &["a", "b"], async |party| Ok((*party).to_owned()))
            .await
            .unwrap();
        assert_eq!(all, [vec!["a"; 3], vec!["b"; 3]]);
    }
}
