//! Quiet hours: `22:00-07:00`, in the operator's own time of day.

use crate::Millis;

const DAY_MINUTES: u64 = 24 * 60;

/// A span of the day; may go over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    from: u64,
    until: u64,
    /// Minutes east of UTC.
    offset: i64,
}

impl Quiet {
    /// `None`: no quiet hours (an empty text).
    pub(crate) fn read(hours: &str, utc_offset: &str) -> Result<Option<Quiet>, &'static str> {
        if hours.trim().is_empty() {
            return Ok(None);
        }
        let wrong = "must be as \"22:00-07:00\", or empty";
        let (from, until) = hours.split_once('-').ok_or(wrong)?;
        let (from, until) = (minutes(from).ok_or(wrong)?, minutes(until).ok_or(wrong)?);
        if from == until {
            return Err("begins and ends at the same time; leave it empty for none");
        }
        Ok(Some(Quiet { from, until, offset: offset(utc_offset).ok_or("needs alerts.utc_offset as \"-03:00\"")? }))
    }

    pub(crate) fn holds(&self, now: Millis) -> bool {
        let minute = (now / 60_000) as i64 + self.offset;
        let minute = minute.rem_euclid(DAY_MINUTES as i64) as u64;
        match self.from < self.until {
            true => (self.from..self.until).contains(&minute),
            false => minute >= self.from || minute < self.until,
        }
    }
}

fn minutes(text: &str) -> Option<u64> {
    let (hour, minute) = text.trim().split_once(':').unwrap_or((text.trim(), "0"));
    let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

fn offset(text: &str) -> Option<i64> {
    let text = text.trim();
    if matches!(text, "" | "Z" | "UTC") {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    minutes(rest).map(|minutes| sign * minutes as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_over_midnight_and_elsewhere() {
        let at = |hour: u64, minute: u64| 20_000 * 86_400_000 + (hour * 60 + minute) * 60_000;
        for (hours, offset, now, quiet) in [
            ("22:00-07:00", "+00:00", at(23, 0), true),
            ("22:00-07:00", "+00:00", at(6, 59), true),
            ("22:00-07:00", "+00:00", at(7, 0), false),
            ("22:00-07:00", "-03:00", at(0, 30), false),
            ("22:00-07:00", "-03:00", at(1, 0), true),
            ("22-7", "", at(23, 0), true),
            ("12:30-13:00", "+05:30", at(7, 10), true),
            ("12:30-13:00", "+05:30", at(7, 30), false),
        ] {
            let read = Quiet::read(hours, offset).unwrap().unwrap();
            assert_eq!(read.holds(now), quiet, "{hours} {offset} {now}");
        }
        assert_eq!(Quiet::read("", "nonsense"), Ok(None));
        for wrong in ["22:00", "25:00-07:00", "22:00-22:00", "a-b", "22:60-01:00", "-"] {
            assert!(Quiet::read(wrong, "+00:00").is_err(), "{wrong}");
        }
        assert!(Quiet::read("22-7", "3").is_err());
    }
}
