//! Sharing instances out over hosts: as evenly as their room allows, and so that what runs stays where it can.

use std::cmp::Reverse;

/// Instances on hosts, in the hosts' order; never zero.
pub(super) type Counts = Vec<(u32, u32)>;

/// What is shared out.
#[derive(Clone, Copy)]
pub(super) struct Share<'a> {
    /// Over these hosts, in order.
    pub(super) hosts: &'a [u32],
    /// How many.
    pub(super) wanted: u32,
    /// What these hosts have now, in order.
    pub(super) now: &'a [(u32, u32)],
    /// Whether all that is there now stays, however uneven.
    pub(super) keeps_all: bool,
    /// Whether the hosts' room has any limit.
    pub(super) has_limits: bool,
}

/// Shares out; also says whether more room could have made it any different. What finds no room is left out. Where it
/// doesn't divide, those that have most now get one more, then those that come first by `rank`.
pub(super) fn even(
    share: Share<'_>,
    room: impl Fn(u32) -> u32,
    rank: impl Fn(u32) -> u64,
) -> (Counts, bool) {
    let Share { hosts, wanted, .. } = share;
    if wanted == 0 || hosts.is_empty() {
        return (Counts::new(), false);
    }
    if let Some(counts) = as_they_are(share, &room, &rank) {
        return (counts, false);
    }
    if !share.has_limits && !share.keeps_all {
        let among = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        let level = wanted / among;
        let at = |_: usize| level;
        return (one_more(share, level, at, |_| true, &rank), false);
    }
    let limits: Vec<u32> = hosts.iter().map(|host| room(*host).min(wanted)).collect();
    let mut floors = vec![0; hosts.len()];
    if share.keeps_all {
        for (host, count) in share.now {
            if let Ok(at) = hosts.binary_search(host) {
                floors[at] = *count;
            }
        }
    }
    let at_level = |at: usize, level: u32| limits[at].min(level).max(floors[at]);
    let sum = |level: u32| -> u64 {
        let counts = (0..hosts.len()).map(|at| at_level(at, level));
        counts.map(u64::from).sum()
    };
    // The highest level at which there is enough for all.
    let (mut level, mut above) = (0, wanted);
    while level < above {
        let middle = above - (above - level) / 2;
        match sum(middle) <= u64::from(wanted) {
            true => level = middle,
            false => above = middle - 1,
        }
    }
    let counts = one_more(
        share,
        level,
        |at| at_level(at, level),
        |at| limits[at] > level && floors[at] <= level,
        &rank,
    );
    let is_limited = share.keeps_all
        || limits
            .iter()
            .any(|limit| *limit <= level && *limit < wanted);
    (counts, is_limited)
}

/// The most common case, found without a look at all hosts: there are fewer instances than hosts, and enough of the
/// hosts have one.
fn as_they_are(
    share: Share<'_>,
    room: impl Fn(u32) -> u32,
    rank: impl Fn(u32) -> u64,
) -> Option<Counts> {
    let wanted = share.wanted as usize;
    if share.keeps_all || wanted > share.hosts.len() || wanted > share.now.len() {
        return None;
    }
    let mut holders: Vec<_> = share
        .now
        .iter()
        .filter(|(host, count)| *count > 0 && room(*host) > 0)
        .collect();
    if holders.len() < wanted {
        return None;
    }
    if holders.len() > wanted {
        holders.sort_by_key(|(host, count)| (Reverse(*count), rank(*host), *host));
        holders.truncate(wanted);
        holders.sort();
    }
    Some(holders.into_iter().map(|(host, _)| (*host, 1)).collect())
}

/// Gives each host what it has at the level, and what is left to some of them, one each.
fn one_more(
    share: Share<'_>,
    level: u32,
    at_level: impl Fn(usize) -> u32,
    may_have_more: impl Fn(usize) -> bool,
    rank: impl Fn(u32) -> u64,
) -> Counts {
    let hosts = share.hosts;
    let mut counts: Vec<u32> = (0..hosts.len()).map(&at_level).collect();
    let given: u64 = counts.iter().copied().map(u64::from).sum();
    let left = u64::from(share.wanted).saturating_sub(given);
    let mut left = usize::try_from(left).unwrap_or(usize::MAX);
    let mut holders: Vec<_> = share
        .now
        .iter()
        .filter(|(_, now)| *now > level)
        .filter_map(|(host, now)| {
            let at = hosts.binary_search(host).ok()?;
            may_have_more(at).then(|| (Reverse(*now), rank(*host), at))
        })
        .collect();
    holders.sort_unstable();
    let mut has_more = vec![false; hosts.len()];
    for (_, _, at) in holders.into_iter().take(left) {
        counts[at] += 1;
        has_more[at] = true;
        left -= 1;
    }
    if left > 0 {
        let mut others: Vec<_> = (0..hosts.len())
            .filter(|at| !has_more[*at] && may_have_more(*at))
            .map(|at| (rank(hosts[at]), at))
            .collect();
        if left < others.len() {
            others.select_nth_unstable(left);
            others.truncate(left);
        }
        for (_, at) in others {
            counts[at] += 1;
        }
    }
    let counts = hosts.iter().copied().zip(counts);
    counts.filter(|(_, count)| *count > 0).collect()
}
