//! A weekly window in UTC.

use std::fmt;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A weekly window in UTC, as in `Mon:10:00-Mon:16:00`. It may pass midnight and the end of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["Mon:10:00-Mon:16:00", "Fri:22:00-Sat:04:00"]))]
pub struct DrillWindow {
    /// The begin, in minutes since Monday 00:00.
    from: i64,
    /// The end, in minutes since Monday 00:00.
    until: i64,
}

/// One occurrence of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenWindow {
    /// The begin.
    pub since: Timestamp,
    /// The end.
    pub until: Timestamp,
}

/// The reason why a text is not a window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid window `{given}`: expected weekdays and times in UTC, as in Mon:10:00-Mon:16:00")]
pub struct DrillWindowError {
    given: String,
}

const WEEK: i64 = 7 * DAY;
const DAY: i64 = 24 * 60;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl DrillWindow {
    /// Parses a window.
    pub fn parse(text: &str) -> Result<Self, DrillWindowError> {
        let read = || {
            let (from, until) = text.split_once('-')?;
            let (from, until) = (minute_of_week(from.trim())?, minute_of_week(until.trim())?);
            (from != until).then_some(Self { from, until })
        };
        read().ok_or_else(|| DrillWindowError { given: text.to_owned() })
    }

    /// The occurrence that contains `now`.
    #[must_use]
    pub fn open_at(&self, now: Timestamp) -> Option<OpenWindow> {
        let newest = self.newest(now)?;
        (now < newest.until).then_some(newest)
    }

    /// The newest occurrence that has ended at `now`.
    #[must_use]
    pub fn closed_before(&self, now: Timestamp) -> Option<OpenWindow> {
        let newest = self.newest(now)?;
        if newest.until <= now {
            return Some(newest);
        }
        let week = SignedDuration::from_mins(WEEK);
        Some(OpenWindow { since: newest.since.checked_sub(week).ok()?, until: newest.until.checked_sub(week).ok()? })
    }

    /// The newest occurrence that has begun at `now`.
    fn newest(&self, now: Timestamp) -> Option<OpenWindow> {
        let date = now.to_zoned(TimeZone::UTC);
        let day = i64::from(date.weekday().to_monday_zero_offset());
        let minute = day * DAY + i64::from(date.hour()) * 60 + i64::from(date.minute());
        let ago = (minute - self.from).rem_euclid(WEEK);
        let whole_minute = now.as_second() - now.as_second().rem_euclid(60);
        let since = Timestamp::from_second(whole_minute - ago * 60).ok()?;
        let length = (self.until - self.from).rem_euclid(WEEK);
        Some(OpenWindow { since, until: since.checked_add(SignedDuration::from_mins(length)).ok()? })
    }
}

fn minute_of_week(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (Some(day), Some(hour), Some(minute), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let is_number = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hour) || !is_number(minute) {
        return None;
    }
    let day = DAYS.iter().position(|name| name.eq_ignore_ascii_case(day))?;
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    let is_valid = (0..24).contains(&hour) && (0..60).contains(&minute);
    is_valid.then_some(i64::try_from(day).ok()? * DAY + hour * 60 + minute)
}

/// The weekday and the time of a minute of the week.
fn text_of(minute: i64) -> String {
    let weekday = i8::try_from(minute / DAY).ok().and_then(|day| Weekday::from_monday_zero_offset(day).ok());
    let index = weekday.map_or(0, |day| usize::from(day.to_monday_zero_offset().unsigned_abs()));
    let day = DAYS.get(index).copied().unwrap_or_default();
    format!("{day}:{:02}:{:02}", minute % DAY / 60, minute % 60)
}

impl fmt::Display for DrillWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", text_of(self.from), text_of(self.until))
    }
}

impl TryFrom<String> for DrillWindow {
    type Error = DrillWindowError;

    fn try_from(text: String) -> Result<Self, DrillWindowError> {
        Self::parse(&text)
    }
}

impl From<DrillWindow> for String {
    fn from(window: DrillWindow) -> Self {
        window.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn window_is_open_between_its_ends() {
        // 2026-11-30 is a Monday.
        for (window, now, since, until) in [
            ("Mon:10:00-Mon:16:00", "2026-11-30T10:00:00Z", "2026-11-30T10:00:00Z", "2026-11-30T16:00:00Z"),
            ("Mon:10:00-Mon:16:00", "2026-11-30T15:59:59Z", "2026-11-30T10:00:00Z", "2026-11-30T16:00:00Z"),
            ("mon:10:00-mon:16:00", "2026-11-30T12:00:30Z", "2026-11-30T10:00:00Z", "2026-11-30T16:00:00Z"),
            ("Fri:22:00-Sat:04:00", "2026-12-05T01:00:00Z", "2026-12-04T22:00:00Z", "2026-12-05T04:00:00Z"),
            ("Sun:23:00-Mon:01:00", "2026-11-30T00:30:00Z", "2026-11-29T23:00:00Z", "2026-11-30T01:00:00Z"),
        ] {
            let open = DrillWindow::parse(window).unwrap().open_at(at(now));
            assert_eq!(open, Some(OpenWindow { since: at(since), until: at(until) }), "{window} at {now}");
        }
        for (window, now) in [
            ("Mon:10:00-Mon:16:00", "2026-11-30T09:59:59Z"),
            ("Mon:10:00-Mon:16:00", "2026-11-30T16:00:00Z"),
            ("Sun:23:00-Mon:01:00", "2026-11-30T01:00:00Z"),
        ] {
            assert_eq!(DrillWindow::parse(window).unwrap().open_at(at(now)), None, "{window} at {now}");
        }
    }

    #[test]
    fn newest_closed_occurrence_is_found_inside_and_outside_the_window() {
        let window = DrillWindow::parse("Mon:10:00-Mon:16:00").unwrap();
        for (now, until) in [
            ("2026-11-30T12:00:00Z", "2026-11-23T16:00:00Z"),
            ("2026-11-30T16:00:00Z", "2026-11-30T16:00:00Z"),
            ("2026-12-07T09:00:00Z", "2026-11-30T16:00:00Z"),
        ] {
            assert_eq!(window.closed_before(at(now)).unwrap().until, at(until), "{now}");
        }
    }

    #[test]
    fn text_of_a_window_is_read_and_written() {
        for text in ["Mon:10:00-Mon:16:00", "Fri:22:00-Sat:04:00", "Sun:00:05-Mon:00:00"] {
            assert_eq!(DrillWindow::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "Mon:10:00",
            "Mon:10:00-Mon:10:00",
            "Mo:10:00-Mon:16:00",
            "Mon:24:00-Tue:01:00",
            "Mon:1:00-Mon:2:00",
            "Mon:10:60-Mon:16:00",
            "Mon:10:00-Mon:16:00:00",
        ] {
            assert!(DrillWindow::parse(text).is_err(), "{text}");
        }
    }
}
