//! Which sagas are wanted, decided from what is known of each. Pure.
//!
//! A value that cannot be read decides nothing: the answer is then neither yes nor no, and whoever lists says how many sagas were
//! left out for that reason.

use crate::saga_log::action_error;
use crate::saga_log::record::SagaRecord;
use crate::saga_log::summary::{self, LogTotals};
use crate::wire::field::Field;
use crate::wire::ids::SecId;
use crate::wire::sagas::{CachedState, Outcome};
use crate::wire::time::Time;
use std::time::Duration;

/// What is asked of a saga. Everything that is set must hold; the default asks nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// It is in one of these states.
    pub states: Vec<CachedState>,
    /// It had one of these outcomes.
    pub outcomes: Vec<Outcome>,
    /// It is neither done nor abandoned.
    pub unfinished: bool,
    /// It is unfinished, and its owner is gone for good, or it has none.
    pub orphaned: bool,
    /// Its name is like one of these.
    pub names: Vec<Glob>,
    /// One of these owns it.
    pub secs: Vec<SecId>,
    /// It was created at this time or later.
    pub since: Option<Time>,
    /// It was created before this time.
    pub until: Option<Time>,
    /// It is unfinished, and its log has not grown for so long.
    pub idle: Option<Duration>,
    /// It was created longer ago than this.
    pub older_than: Option<Duration>,
    /// Something in it failed.
    pub failing: bool,
    /// Something in it failed with this text in the error.
    pub error_contains: Option<String>,
}

/// Whether something holds, as far as one can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// What it depends on cannot be read.
    CannotTell,
}

impl Verdict {
    fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    /// Whether both hold.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::CannotTell, _) | (_, Self::CannotTell) => Self::CannotTell,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    /// What a field's value says; a missing value says no.
    fn of_field<T>(field: &Field<T>, holds: impl FnOnce(&T) -> bool) -> Self {
        match field {
            Field::Value(value) => Self::of(holds(value)),
            Field::Null => Self::No,
            Field::NoColumn | Field::Unreadable { .. } => Self::CannotTell,
        }
    }
}

impl Filter {
    /// Whether only sagas that are not done can pass, so that the index of these serves.
    pub fn wants_unfinished_only(&self) -> bool {
        let states = !self.states.is_empty() && !self.states.contains(&CachedState::Done);
        self.unfinished || self.orphaned || self.idle.is_some() || states
    }

    /// Whether only sagas in which something failed can pass, so that the index of failures serves.
    pub fn wants_failures_only(&self) -> bool {
        let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed | Outcome::Stuck);
        self.failing
            || self.error_contains.is_some()
            || (!self.outcomes.is_empty() && self.outcomes.iter().all(failed))
    }

    /// Whether logs must be looked at to decide.
    pub fn needs_logs(&self) -> bool {
        self.idle.is_some() || self.failing || !self.outcomes.is_empty()
    }

    /// The span of creation that is asked for, both ends together.
    pub fn created_before(&self, now: Time) -> Option<Time> {
        let older = self.older_than.map(|age| before(now, age).unwrap_or(DAWN));
        match (self.until, older) {
            (Some(until), Some(older)) => Some(until.min(older)),
            (until, older) => until.or(older),
        }
    }

    /// Whether the saga has one of the names that are asked for.
    pub fn is_named_so(&self, saga: &SagaRecord) -> bool {
        saga.name.value().is_some_and(|name| self.names.iter().any(|glob| glob.matches(name)))
    }

    /// What the saga's row says.
    pub fn admits_row(&self, saga: &SagaRecord, now: Time) -> Verdict {
        let mut verdict = Verdict::Yes;
        if !self.states.is_empty() {
            let wanted = |state: &String| self.states.iter().any(|wanted| wanted.as_str() == state);
            verdict = verdict.and(Verdict::of_field(&saga.state, wanted));
        }
        if self.unfinished || self.orphaned || self.idle.is_some() {
            verdict = verdict.and(is_unfinished(saga));
        }
        if !self.names.is_empty() {
            let wanted = |name: &String| self.names.iter().any(|glob| glob.matches(name));
            verdict = verdict.and(Verdict::of_field(&saga.name, wanted));
        }
        if !self.secs.is_empty() {
            verdict = verdict.and(Verdict::of_field(&saga.current_sec, |sec| self.secs.contains(sec)));
        }
        if let Some(since) = self.since {
            verdict = verdict.and(Verdict::of_field(&saga.time_created, |created| *created >= since));
        }
        if let Some(until) = self.created_before(now) {
            verdict = verdict.and(Verdict::of_field(&saga.time_created, |created| *created < until));
        }
        verdict
    }

    /// What the saga's log says, given that its row is wanted.
    pub fn admits_log(&self, saga: &SagaRecord, totals: &LogTotals, now: Time) -> Verdict {
        let mut verdict = Verdict::Yes;
        if !self.outcomes.is_empty() {
            let outcome = summary::outcome(&saga.state, totals.worst());
            verdict =
                verdict.and(Verdict::of(outcome.is_some_and(|outcome| self.outcomes.contains(&outcome))));
        }
        if self.failing {
            verdict = verdict.and(Verdict::of(totals.worst().is_failure()));
        }
        if let Some(idle) = self.idle {
            // A saga whose log is empty has been idle from its creation on.
            let last = match &totals.last_event {
                Field::Null => &saga.time_created,
                last => last,
            };
            let idle_since = before(now, idle);
            verdict =
                verdict.and(Verdict::of_field(last, |last| idle_since.is_some_and(|limit| *last <= limit)));
        }
        verdict
    }

    /// What the errors of a saga say, as they are stored.
    pub fn admits_errors<'e>(&self, errors: impl IntoIterator<Item = &'e Field<String>>) -> Verdict {
        let Some(wanted) = &self.error_contains else { return Verdict::Yes };
        let wanted = wanted.to_lowercase();
        // As it is shown and as it is stored, for people look for what they saw in either.
        let has = |error: &Field<String>| {
            error.value().is_some_and(|error| {
                error.to_lowercase().contains(&wanted)
                    || action_error::in_words(error).to_lowercase().contains(&wanted)
            })
        };
        Verdict::of(errors.into_iter().any(has))
    }
}

/// Whether a saga is neither done nor abandoned; a state that only a newer program knows counts as unfinished.
pub fn is_unfinished(saga: &SagaRecord) -> Verdict {
    Verdict::of_field(&saga.state, |state| !matches!(state.as_str(), "done" | "abandoned"))
}

/// Earlier than any saga, and late enough for every database.
const DAWN: Time = Time::UNIX_EPOCH;

/// The moment so long before another; `None` if that is before [`DAWN`].
fn before(now: Time, age: Duration) -> Option<Time> {
    now.checked_sub_signed(chrono::Duration::from_std(age).ok()?).filter(|time| *time >= DAWN)
}

/// A pattern of names: `*` stands for anything, `?` for one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(pub String);

impl Glob {
    /// Whether a name is like this.
    pub fn matches(&self, name: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut in_name) = (0, 0);
        // Where to go on if what follows the last star turns out not to match: the star takes one character more.
        let mut retry: Option<(usize, usize)> = None;
        while in_name < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    retry = Some((at + 1, in_name));
                    at += 1;
                }
                Some(&wanted) if wanted == '?' || wanted == name[in_name] => {
                    at += 1;
                    in_name += 1;
                }
                _ => match retry {
                    Some((after_star, taken)) => {
                        at = after_star;
                        in_name = taken + 1;
                        retry = Some((after_star, taken + 1));
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|&rest| rest == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ids::SagaId;

    fn at(text: &str) -> Time {
        text.parse().expect("a time")
    }

    fn saga(state: &str, created: &str) -> SagaRecord {
        SagaRecord {
            id: SagaId::random(),
            creator: Field::NoColumn,
            time_created: Field::Value(at(created)),
            name: Field::Value("project-create".to_owned()),
            state: Field::Value(state.to_owned()),
            current_sec: Field::Null,
            adopt_generation: Field::NoColumn,
            adopt_time: Field::NoColumn,
            abandon_time: Field::NoColumn,
            abandon_reason: Field::NoColumn,
            abandon_comment: Field::NoColumn,
        }
    }

    const NOW: &str = "2026-11-02T12:00:00Z";

    #[test]
    fn globs_match_whole_names() {
        for (glob, name, expected) in [
            ("demo", "demo", true),
            ("demo", "demos", false),
            ("*-create", "vpc-create", true),
            ("*-create", "vpc-create-x", false),
            ("v?c-*", "vpc-create", true),
            ("v?c-*", "vc-create", false),
            ("*a*a*b", "aaab", true),
            ("*a*a*b", "ab", false),
            ("**", "", true),
            ("", "", true),
            ("", "x", false),
            ("日?語", "日本語", true),
        ] {
            assert_eq!(Glob(glob.to_owned()).matches(name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn rows_are_judged_by_what_they_say() {
        let now = at(NOW);
        let old = saga("running", "2026-11-02T11:00:00Z");
        let with = |change: fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            filter.admits_row(&old, now)
        };
        use Verdict::{No, Yes};
        assert_eq!(with(|_| {}), Yes);
        assert_eq!(with(|f| f.states = vec![CachedState::Done]), No);
        assert_eq!(with(|f| f.states = vec![CachedState::Done, CachedState::Running]), Yes);
        assert_eq!(with(|f| f.unfinished = true), Yes);
        assert_eq!(with(|f| f.names = vec![Glob("vpc-*".into()), Glob("*create".into())]), Yes);
        assert_eq!(with(|f| f.names = vec![Glob("vpc-*".into())]), No);
        assert_eq!(with(|f| f.secs = vec![SecId::random()]), No, "nobody owns it");
        assert_eq!(with(|f| f.since = Some(at("2026-11-02T11:00:00Z"))), Yes);
        assert_eq!(with(|f| f.since = Some(at("2026-11-02T11:00:01Z"))), No);
        assert_eq!(with(|f| f.until = Some(at("2026-11-02T11:00:00Z"))), No);
        assert_eq!(with(|f| f.older_than = Some(Duration::from_secs(3599))), Yes);
        assert_eq!(with(|f| f.older_than = Some(Duration::from_secs(3601))), No);
        assert_eq!(with(|f| f.older_than = Some(Duration::MAX)), No, "no saga is older than time");
    }

    #[test]
    fn what_cannot_be_read_decides_nothing() {
        let now = at(NOW);
        let mut broken = saga("running", NOW);
        broken.time_created = Field::Unreadable { raw: "soon".into(), reason: "not a time".into() };
        let filter = Filter { since: Some(now), ..Filter::default() };
        assert_eq!(filter.admits_row(&broken, now), Verdict::CannotTell);
        let filter = Filter { states: vec![CachedState::Done], ..filter };
        assert_eq!(filter.admits_row(&broken, now), Verdict::No, "the state alone decides");
    }

    #[test]
    fn idle_counts_from_the_last_event_and_not_from_creation() {
        let now = at(NOW);
        let filter = Filter { idle: Some(Duration::from_secs(600)), ..Filter::default() };
        let saga = saga("running", "2026-11-01T12:00:00Z");
        let mut totals = LogTotals::default();
        assert_eq!(
            filter.admits_log(&saga, &totals, now),
            Verdict::Yes,
            "it has done nothing since yesterday"
        );
        totals.add("started", 1, Field::Value(at("2026-11-02T11:55:00Z")));
        assert_eq!(filter.admits_log(&saga, &totals, now), Verdict::No);
        assert_eq!(filter.admits_log(&saga, &totals, at("2026-11-02T12:05:00Z")), Verdict::Yes);
    }

    #[test]
    fn errors_are_searched_without_regard_to_case() {
        let filter = Filter { error_contains: Some("No Room".into()), ..Filter::default() };
        let errors =
            [Field::Null, Field::Value(r#"{"ActionFailed":{"source_error":"no room left"}}"#.to_owned())];
        assert_eq!(filter.admits_errors(&errors), Verdict::Yes);
        assert_eq!(filter.admits_errors(&errors[..1]), Verdict::No);
    }
}
