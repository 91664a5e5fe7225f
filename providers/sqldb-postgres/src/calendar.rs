//! Dates and times, from PostgreSQL's counts and to its texts.

use crate::wire::{Date, Interval, Offset, Time, Timestamp, TimestampTz};

const MICROS_OF_SECOND: i64 = 1_000_000;
const MICROS_OF_DAY: i64 = 24 * 60 * 60 * MICROS_OF_SECOND;
/// From 0000-03-01 to 2000-01-01, where PostgreSQL counts from.
const DAYS_BEFORE: i64 = 730_425;
/// The days of four hundred years.
const DAYS_OF_ERA: i64 = 146_097;

/// The date so many days after 2000-01-01.
pub fn date(days: i32) -> Date {
    match days {
        i32::MAX => Date::PositiveInfinity,
        i32::MIN => Date::NegativeInfinity,
        days => ymd(i64::from(days)),
    }
}

/// The Gregorian calendar, also for the time before it, with years that begin in March: the leap day is their last.
fn ymd(days: i64) -> Date {
    let days = days + DAYS_BEFORE;
    let era = days.div_euclid(DAYS_OF_ERA);
    let of_era = days.rem_euclid(DAYS_OF_ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    // 32 bits of days are some six million years.
    let year = (year + 400 * era + next) as i32;
    Date::Ymd((year, month as u32, day as u32))
}

/// The time so many microseconds after midnight.
pub fn time(micros: i64) -> Time {
    let seconds = micros / MICROS_OF_SECOND;
    let part = |count: i64| u32::try_from(count).unwrap_or_default();
    Time {
        hour: part(seconds / 3600),
        min: part(seconds / 60 % 60),
        sec: part(seconds % 60),
        micro: part(micros % MICROS_OF_SECOND),
    }
}

/// The moment so many microseconds after 2000-01-01.
pub fn timestamp(micros: i64) -> Timestamp {
    let date = match micros {
        i64::MAX => Date::PositiveInfinity,
        i64::MIN => Date::NegativeInfinity,
        micros => ymd(micros.div_euclid(MICROS_OF_DAY)),
    };
    let finite = matches!(date, Date::Ymd(_));
    Timestamp {
        date,
        time: time(if finite {
            micros.rem_euclid(MICROS_OF_DAY)
        } else {
            0
        }),
    }
}

/// The moment so many microseconds after 2000-01-01 in UTC.
pub fn timestamp_tz(micros: i64) -> TimestampTz {
    TimestampTz {
        timestamp: timestamp(micros),
        offset: Offset::Eastern(0),
    }
}

/// An offset as text, from its seconds to the east: `+02:00`.
pub fn offset_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if seconds == 0 {
        return format!("{sign}{hours:02}:{minutes:02}");
    }
    format!("{sign}{hours:02}:{minutes:02}:{seconds:02}")
}

/// A date as PostgreSQL reads it.
pub fn date_text(date: Date) -> String {
    let (date, era) = date_and_era(date);
    date + era
}

/// PostgreSQL has no year 0, and says BC at the very end.
fn date_and_era(date: Date) -> (String, &'static str) {
    match date {
        Date::PositiveInfinity => ("infinity".to_owned(), ""),
        Date::NegativeInfinity => ("-infinity".to_owned(), ""),
        Date::Ymd((year, month, day)) => {
            let (year, era) = match i64::from(year) {
                year if year > 0 => (year, ""),
                year => (1 - year, " BC"),
            };
            (format!("{year:04}-{month:02}-{day:02}"), era)
        }
    }
}

/// A time as PostgreSQL reads it.
pub fn time_text(time: Time) -> String {
    let Time {
        hour,
        min,
        sec,
        micro,
    } = time;
    format!("{hour:02}:{min:02}:{sec:02}.{micro:06}")
}

/// A moment as PostgreSQL reads it.
pub fn timestamp_text(timestamp: Timestamp) -> String {
    moment_text(timestamp, "")
}

/// A moment somewhere as PostgreSQL reads it.
pub fn timestamp_tz_text(moment: TimestampTz) -> String {
    let east = match moment.offset {
        Offset::Eastern(seconds) => seconds,
        Offset::Western(seconds) => seconds.saturating_neg(),
    };
    moment_text(moment.timestamp, &offset_text(east))
}

fn moment_text(Timestamp { date, time }: Timestamp, offset: &str) -> String {
    let (text, era) = date_and_era(date);
    match date {
        Date::Ymd(_) => format!("{text} {}{offset}{era}", time_text(time)),
        _ => text,
    }
}

/// Days from one to another as PostgreSQL reads them for a `daterange`.
pub fn days_text(days: Interval) -> String {
    let Interval {
        start,
        start_inclusive,
        end,
        end_inclusive,
    } = days;
    let opening = if start_inclusive { '[' } else { '(' };
    let closing = if end_inclusive { ']' } else { ')' };
    format!("{opening}{},{}{closing}", date_text(start), date_text(end))
}

/// A span of time as PostgreSQL shows it: `1 year 2 mons 3 days 04:05:06`.
pub fn span_text(months: i32, days: i32, micros: i64) -> String {
    let mut parts = Vec::new();
    let mut part = |count: i32, one: &str, many: &str| {
        if count != 0 {
            parts.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    };
    part(months / 12, "year", "years");
    part(months % 12, "mon", "mons");
    part(days, "day", "days");
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 { "-" } else { "" };
        let micros = micros.unsigned_abs();
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let mut text = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}");
        if micros != 0 {
            text.push_str(format!(".{micros:06}").trim_end_matches('0'));
        }
        parts.push(text);
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(days: i32) -> String {
        date_text(date(days))
    }

    #[test]
    fn days_are_counted_from_2000() {
        assert_eq!(date(0), Date::Ymd((2000, 1, 1)));
        for (days, text) in [
            (-1, "1999-12-31"),
            (59, "2000-02-29"),
            (60, "2000-03-01"),
            (366, "2001-01-01"),
            (36_525, "2100-01-01"),
            (-10_957, "1970-01-01"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (2_145_031_948, "5874897-12-31"),
            (-2_451_545, "4714-11-24 BC"),
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
        ] {
            assert_eq!(shown(days), text, "{days}");
        }
    }

    #[test]
    fn moments_are_days_and_microseconds() {
        let text = |micros| timestamp_text(timestamp(micros));
        assert_eq!(text(0), "2000-01-01 00:00:00.000000");
        assert_eq!(text(-1), "1999-12-31 23:59:59.999999");
        assert_eq!(text(i64::MAX), "infinity");
        assert_eq!(
            timestamp_tz_text(timestamp_tz(1)),
            "2000-01-01 00:00:00.000001+00:00"
        );
        let ides = Timestamp {
            date: Date::Ymd((-43, 3, 15)),
            time: time(0),
        };
        let somewhere = TimestampTz {
            timestamp: ides,
            offset: Offset::Western(12_600),
        };
        assert_eq!(
            timestamp_tz_text(somewhere),
            "0044-03-15 00:00:00.000000-03:30 BC"
        );
    }

    #[test]
    fn spans_are_shown_as_postgres_does() {
        assert_eq!(span_text(0, 0, 0), "00:00:00");
        assert_eq!(
            span_text(14, 1, 3_723_500_000),
            "1 year 2 mons 1 day 01:02:03.5"
        );
        assert_eq!(span_text(0, -2, -1_000_000), "-2 days -00:00:01");
        assert_eq!(offset_text(-12_600), "-03:30");
        assert_eq!(offset_text(3_661), "+01:01:01");
    }
}
