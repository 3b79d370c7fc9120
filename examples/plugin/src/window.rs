//! A window in the week: days, hours, time zone.

use std::fmt;

use ephemeral_access_plugin::PluginError;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan, Zoned};

/// Days to look ahead for an opening: time zones have been known to skip a day.
const LOOK_AHEAD: i64 = 366;

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// Open from `start` until just before `end`, by the clocks on the wall in `time_zone`, on each of
/// `days`. With an `end` before its `start` it closes on the day after; with both the same it is
/// open all day.
#[derive(Debug)]
pub(crate) struct Window {
    text: String,
    days: Vec<Weekday>,
    start: Time,
    end: Time,
    time_zone: TimeZone,
}

/// When a window is open next.
#[derive(Debug, PartialEq)]
pub(crate) enum Opening {
    Now,
    At(Moment),
    Never,
}

/// A moment as people write it: `Mon 2026-03-30 09:00 CEST`.
#[derive(Debug, PartialEq)]
pub(crate) struct Moment(Zoned);

impl Window {
    pub(crate) fn parse(days: &str, hours: &str, time_zone: &str) -> Result<Self, PluginError> {
        let (start, end) = parse_hours(hours.trim())?;
        let zone = TimeZone::get(time_zone.trim()).map_err(|_| {
            PluginError::new(format!(
                "`CHANGE_WINDOW_TIME_ZONE` must be a name such as \"Europe/Berlin\", got \
                 \"{time_zone}\""
            ))
        })?;
        let text = format!("{} {} {}", days.trim(), hours.trim(), time_zone.trim());
        Ok(Self { text, days: parse_days(days)?, start, end, time_zone: zone })
    }

    pub(crate) fn opening(&self, now: Timestamp) -> Opening {
        let now = now.to_zoned(self.time_zone.clone());
        if self.is_open(&now) {
            return Opening::Now;
        }
        let dates = (0..LOOK_AHEAD).map_while(|days| now.date().checked_add(days.days()).ok());
        let mut openings = dates.flat_map(|date| self.starts_on(date));
        openings
            .find(|opening| *opening > now && self.is_open(opening))
            .map_or(Opening::Never, |opening| Opening::At(Moment(opening)))
    }

    fn is_open(&self, now: &Zoned) -> bool {
        let today = self.days.contains(&now.weekday());
        let yesterday = self.days.contains(&now.weekday().previous());
        let time = now.time();
        if self.start < self.end {
            today && self.start <= time && time < self.end
        } else {
            (today && self.start <= time) || (yesterday && time < self.end)
        }
    }

    /// The moments of a day from which the clocks show the start or more. Where they go forward
    /// over the start, that is the moment when they do; where they go back to it, there are two.
    fn starts_on(&self, date: Date) -> Vec<Zoned> {
        let start = self.time_zone.to_ambiguous_zoned(date.to_datetime(self.start));
        let (earlier, later) = (start.clone().earlier().ok(), start.clone().later().ok());
        if !matches!(start.offset(), AmbiguousOffset::Gap { .. }) {
            return earlier.into_iter().chain(later).collect();
        }
        let transition = |after: Zoned| self.time_zone.preceding(after.timestamp()).next();
        let transition = later.and_then(transition).map(|transition| transition.timestamp());
        transition.map(|moment| moment.to_zoned(self.time_zone.clone())).into_iter().collect()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Moment {
    // By hand: the code for all formats would be a thirtieth of the program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(moment) = self;
        let day = DAYS.iter().find(|(_, day)| *day == moment.weekday());
        let day = day.map_or("", |(name, _)| *name);
        let (year, month, date) = (moment.year(), moment.month(), moment.day());
        let (hour, minute) = (moment.hour(), moment.minute());
        let zone = moment.time_zone().to_offset_info(moment.timestamp());
        let zone = zone.abbreviation();
        write!(f, "{day} {year:04}-{month:02}-{date:02} {hour:02}:{minute:02} {zone}")
    }
}

fn parse_days(text: &str) -> Result<Vec<Weekday>, PluginError> {
    let wrong = || {
        PluginError::new(format!(
            "`CHANGE_WINDOW_DAYS` must be days such as \"Mon-Fri\" or \"Mon,Wed,Sat-Sun\", got \
             \"{text}\""
        ))
    };
    let day = |name: &str| {
        let found = DAYS.iter().find(|(day, _)| day.eq_ignore_ascii_case(name.trim()));
        found.map(|(_, day)| *day).ok_or_else(wrong)
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut next, last) = (day(first)?, day(last)?);
        days.push(next);
        while next != last {
            next = next.next();
            days.push(next);
        }
    }
    Ok(days)
}

fn parse_hours(text: &str) -> Result<(Time, Time), PluginError> {
    let wrong = || {
        PluginError::new(format!(
            "`CHANGE_WINDOW_HOURS` must be like \"09:00-17:00\", got \"{text}\""
        ))
    };
    let (start, end) = text.split_once('-').ok_or_else(wrong)?;
    let start = parse_time(start.trim()).ok_or_else(wrong)?;
    Ok((start, parse_time(end.trim()).ok_or_else(wrong)?))
}

fn parse_time(text: &str) -> Option<Time> {
    // The end of a day is the start of the next.
    let text = if text == "24:00" { "00:00" } else { text };
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().ok() } else { None }
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(window: [&str; 3], now: &str) -> String {
        let [days, hours, time_zone] = window;
        let window = Window::parse(days, hours, time_zone).unwrap();
        match window.opening(now.parse().unwrap()) {
            Opening::Now => "now".to_owned(),
            Opening::At(opening) => opening.to_string(),
            Opening::Never => "never".to_owned(),
        }
    }

    const OFFICE: [&str; 3] = ["Mon-Fri", "09:00-17:00", "Europe/Berlin"];
    const NIGHT: [&str; 3] = ["Fri", "22:00-04:00", "America/New_York"];

    #[test]
    fn is_open_from_its_start_until_its_end() {
        assert_eq!(opening(OFFICE, "2026-03-16T07:59:59Z"), "Mon 2026-03-16 09:00 CET");
        assert_eq!(opening(OFFICE, "2026-03-16T08:00:00Z"), "now");
        assert_eq!(opening(OFFICE, "2026-03-16T15:59:59Z"), "now");
        assert_eq!(opening(OFFICE, "2026-03-16T16:00:00Z"), "Tue 2026-03-17 09:00 CET");
    }

    #[test]
    fn follows_the_clocks_in_summer() {
        assert_eq!(opening(OFFICE, "2026-07-06T07:00:00Z"), "now");
        assert_eq!(opening(OFFICE, "2026-07-06T06:59:59Z"), "Mon 2026-07-06 09:00 CEST");
        assert_eq!(opening(OFFICE, "2026-03-27T16:00:00Z"), "Mon 2026-03-30 09:00 CEST");
    }

    #[test]
    fn goes_on_after_midnight() {
        assert_eq!(opening(NIGHT, "2026-01-10T02:59:59Z"), "Fri 2026-01-09 22:00 EST");
        assert_eq!(opening(NIGHT, "2026-01-10T03:00:00Z"), "now");
        assert_eq!(opening(NIGHT, "2026-01-10T08:59:59Z"), "now");
        assert_eq!(opening(NIGHT, "2026-01-10T09:00:00Z"), "Fri 2026-01-16 22:00 EST");
    }

    #[test]
    fn opens_late_where_the_clocks_skip_its_start() {
        // Berlin's clocks went from 02:00 to 03:00 at 01:00 UTC.
        let window = ["Sun", "02:30-04:00", "Europe/Berlin"];
        assert_eq!(opening(window, "2026-03-29T00:59:59Z"), "Sun 2026-03-29 03:00 CEST");
        assert_eq!(opening(window, "2026-03-29T01:00:00Z"), "now");
    }

    #[test]
    fn does_not_open_where_the_clocks_skip_it() {
        let window = ["Sun", "02:00-02:30", "Europe/Berlin"];
        assert_eq!(opening(window, "2026-03-29T00:59:59Z"), "Sun 2026-04-05 02:00 CEST");
    }

    #[test]
    fn opens_twice_where_the_clocks_go_back() {
        // Berlin's clocks went from 03:00 to 02:00 at 01:00 UTC.
        let window = ["Sun", "02:00-02:30", "Europe/Berlin"];
        assert_eq!(opening(window, "2026-10-24T23:59:59Z"), "Sun 2026-10-25 02:00 CEST");
        assert_eq!(opening(window, "2026-10-25T00:00:00Z"), "now");
        assert_eq!(opening(window, "2026-10-25T00:45:00Z"), "Sun 2026-10-25 02:00 CET");
        assert_eq!(opening(window, "2026-10-25T01:00:00Z"), "now");
        assert_eq!(opening(window, "2026-10-25T01:30:00Z"), "Sun 2026-11-01 02:00 CET");
    }

    #[test]
    fn the_same_start_and_end_is_a_whole_day() {
        let window = ["Sat-Sun", "00:00-24:00", "UTC"];
        assert_eq!(opening(window, "2026-03-29T23:59:59Z"), "now");
        assert_eq!(opening(window, "2026-03-30T00:00:00Z"), "Sat 2026-04-04 00:00 UTC");
    }

    #[test]
    fn days_go_around_the_week() {
        assert_eq!(
            parse_days("Sat - mon,Wed").unwrap(),
            [Weekday::Saturday, Weekday::Sunday, Weekday::Monday, Weekday::Wednesday]
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let reason = |window: [&str; 3]| {
            let [days, hours, time_zone] = window;
            Window::parse(days, hours, time_zone).unwrap_err().to_string()
        };
        assert!(reason(["Monday", "09:00-17:00", "UTC"]).contains("got \"Monday\""));
        assert!(reason(["Mon", "9-17", "UTC"]).contains("got \"9-17\""));
        assert!(reason(["Mon", "+9:00-17:00", "UTC"]).contains("CHANGE_WINDOW_HOURS"));
        assert!(reason(["Mon", "09:00-25:00", "UTC"]).contains("CHANGE_WINDOW_HOURS"));
        assert!(reason(["Mon", "09:00-17:00", "Berlin"]).contains("got \"Berlin\""));
    }
}
