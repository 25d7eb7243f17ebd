//! Flags that choose sagas, and what they mean.

use crate::cli::config::Timeout;
use crate::cli::failure::Failure;
use crate::observe::sagas::filter::{Filter, Glob};
use crate::wire::ids::SecId;
use crate::wire::sagas::{CachedState, Outcome};
use crate::wire::time::Time;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use std::str::FromStr;
use std::time::Duration;

/// Which sagas; all that is given must hold.
#[derive(Debug, Default, clap::Args)]
pub(super) struct FilterArgs {
    /// In one of these states: running, unwinding, done, abandoned
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    pub(super) state: Vec<CachedState>,

    /// That ended so: succeeded, failed (unwound), stuck, unknown. From the log, for all of them rest in state done
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',')]
    pub(super) outcome: Vec<Outcome>,

    /// Neither done nor abandoned
    #[arg(long)]
    pub(super) unfinished: bool,

    /// Unfinished, and the owner is gone for good
    #[arg(long)]
    pub(super) orphaned: bool,

    /// Of this name; * stands for anything, ? for one character
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub(super) name: Vec<String>,

    /// Owned by this SEC
    #[arg(long, value_name = "UUID", value_delimiter = ',')]
    pub(super) sec: Vec<SecId>,

    /// Created at this time or later: 2h (ago), 2026-11-02, 2026-11-02T09:15:00Z
    #[arg(long, value_name = "WHEN")]
    pub(super) since: Option<When>,

    /// Created before this time
    #[arg(long, value_name = "WHEN")]
    pub(super) until: Option<When>,

    /// Unfinished, and without an event for so long
    #[arg(long, value_name = "DURATION")]
    pub(super) idle: Option<Timeout>,

    /// Created longer ago than this
    #[arg(long, value_name = "DURATION")]
    pub(super) older_than: Option<Timeout>,

    /// Something in it failed, whether it could be undone or not; the latest failure comes first
    #[arg(long)]
    pub(super) failing: bool,

    /// Something in it failed with this text in the error; the latest failure comes first
    #[arg(long, value_name = "TEXT")]
    pub(super) error_contains: Option<String>,
}

impl FilterArgs {
    /// What these flags ask for, seen from `now`.
    pub(super) fn filter(&self, now: Time) -> Result<Filter, Failure> {
        let since = self.since.map(|when| past(when, "--since", now)).transpose()?;
        let until = self.until.map(|when| when.at(now));
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(Failure::unusable(format!(
                "nothing is since {} and until {}",
                rfc3339(since),
                rfc3339(until)
            )));
        }
        Ok(Filter {
            states: self.state.clone(),
            outcomes: self.outcome.clone(),
            unfinished: self.unfinished,
            orphaned: self.orphaned,
            names: self.name.iter().cloned().map(Glob).collect(),
            secs: self.sec.clone(),
            since,
            until,
            idle: self.idle.map(|Timeout(idle)| idle),
            older_than: self.older_than.map(|Timeout(age)| age),
            failing: self.failing,
            error_contains: self.error_contains.clone(),
        })
    }
}

/// A moment that must not lie ahead: nothing is there yet, so whoever asks means something else.
pub(super) fn past(when: When, flag: &str, now: Time) -> Result<Time, Failure> {
    let time = when.at(now);
    if time > now {
        return Err(Failure::unusable(format!("{flag} {} is in the future", rfc3339(time)))
            .hint(format!("it is {} now, by the clock of this machine", rfc3339(now))));
    }
    Ok(time)
}

fn rfc3339(time: Time) -> String {
    crate::render::time::rfc3339_secs(time)
}

/// A moment, as people write one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(Time),
}

impl When {
    /// The moment itself.
    pub(super) fn at(self, now: Time) -> Time {
        match self {
            Self::At(time) => time,
            Self::Ago(age) => chrono::Duration::from_std(age)
                .ok()
                .and_then(|age| now.checked_sub_signed(age))
                .filter(|time| *time >= Time::UNIX_EPOCH)
                .unwrap_or(Time::UNIX_EPOCH),
        }
    }
}

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().trim_end_matches(" ago");
        if let Ok(age) = humantime::parse_duration(text) {
            return Ok(Self::Ago(age));
        }
        if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(time.to_utc()));
        }
        for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"] {
            if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
                return Ok(Self::At(time.and_utc()));
            }
        }
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .map(|day| Self::At(day.and_time(NaiveTime::MIN).and_utc()))
            .map_err(|_| "times look like 2h (ago), 2026-11-02, or 2026-11-02T09:15:00Z; without a zone they are UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now: Time = "2026-11-02T12:00:00Z".parse().expect("a time");
        for (text, expected) in [
            ("2h", "2026-11-02T10:00:00Z"),
            ("90s ago", "2026-11-02T11:58:30Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T08:30", "2026-11-01T08:30:00Z"),
            ("2026-11-01 08:30:05.5", "2026-11-01T08:30:05.500Z"),
            ("2026-11-01T08:30:00+02:00", "2026-11-01T06:30:00Z"),
            ("1000000years", "1970-01-01T00:00:00Z"),
        ] {
            let when: When = text.parse().expect(text);
            assert_eq!(when.at(now), expected.parse::<Time>().expect("a time"), "{text}");
        }
        for wrong in ["", "yesterday", "2026-13-01", "12"] {
            wrong.parse::<When>().expect_err(wrong);
        }
    }

    #[test]
    fn fuzzed_moments_are_read_or_refused() {
        let seeds = ["2h 5m ago", "90s", "2026-11-01T08:30:00+02:00", "2026-11-01 08:30:05.5", "2026-11-01"];
        let now: Time = "2026-11-02T12:00:00Z".parse().expect("a time");
        crate::fuzz::fuzz_text(&seeds, move |text, _| {
            if let Ok(when) = text.parse::<When>() {
                let _ = rfc3339(when.at(now));
                let _ = crate::render::time::age(now, when.at(now));
            }
        });
    }
}
