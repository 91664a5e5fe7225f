//! Moments: seconds since 1970 as claims carry them, and how people read them.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The moment of a claim's number. Beyond year 9999 is as good as never: it stands still there.
pub fn from_seconds(seconds: u64) -> OffsetDateTime {
    let latest = OffsetDateTime::new_utc(time::Date::MAX, time::Time::MIDNIGHT);
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(latest)
}

/// A moment as claims carry it; before 1970 is 1970.
pub fn to_seconds(moment: OffsetDateTime) -> u64 {
    u64::try_from(moment.unix_timestamp()).unwrap_or(0)
}

/// A moment and its distance from now: `2026-11-21T07:00:00Z (2 hours ago)`.
pub fn both(moment: OffsetDateTime, now: OffsetDateTime) -> String {
    let exact = moment
        .format(&Rfc3339)
        .unwrap_or_else(|_| format!("second {}", moment.unix_timestamp()));
    format!("{exact} ({})", distance(moment, now))
}

/// The distance from now in one unit: `in 3 days`, `2 hours ago`, `now`.
pub fn distance(moment: OffsetDateTime, now: OffsetDateTime) -> String {
    const UNITS: [(u64, &str); 6] = [
        (365 * 86_400, "year"),
        (30 * 86_400, "month"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let seconds = (moment - now).whole_seconds();
    let Some((size, unit)) = UNITS
        .into_iter()
        .find(|(size, _)| seconds.unsigned_abs() >= *size)
    else {
        return "now".into();
    };
    let count = seconds.unsigned_abs() / size;
    let plural = if count == 1 { "" } else { "s" };
    if seconds > 0 {
        format!("in {count} {unit}{plural}")
    } else {
        format!("{count} {unit}{plural} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_read_well() {
        let now = from_seconds(1_800_000_000);
        for (seconds, text) in [
            (0, "now"),
            (1, "in 1 second"),
            (-59, "59 seconds ago"),
            (3_600, "in 1 hour"),
            (-3 * 86_400 - 5, "3 days ago"),
            (800 * 86_400, "in 2 years"),
        ] {
            assert_eq!(distance(now + time::Duration::seconds(seconds), now), text);
        }
    }

    #[test]
    fn any_number_is_some_moment() {
        assert_eq!(from_seconds(u64::MAX).year(), 9999);
        assert_eq!(
            both(from_seconds(1_795_222_985), from_seconds(1_795_222_986)),
            "2026-11-21T01:03:05Z (1 second ago)"
        );
    }
}
