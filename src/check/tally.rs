//! Counts what was found of each invariant, with an end to what is kept of it. Pure.

use super::invariant::Invariant;
use super::{Judged, Problem, Verdict};
use std::collections::BTreeMap;

/// Problems of one invariant that are kept and looked at again. More than that is a disaster with one cause; the rest are
/// counted.
pub const MOST_PROBLEMS: usize = 100;

/// How one thing fares by one invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The invariant is not about it.
    Beside,
    /// It holds.
    Holds,
    /// It does not.
    Broken(Problem),
    /// What would tell is missing, for this reason.
    CannotTell(String),
}

/// What was found of one invariant.
#[derive(Clone, Debug, Default)]
struct Tally {
    checked: u64,
    problems: Vec<Problem>,
    more: u64,
    untold: u64,
    reason: Option<String>,
    is_missing: bool,
}

/// What was found of all of them that are asked for.
#[derive(Clone, Debug)]
pub struct Tallies(BTreeMap<Invariant, Tally>);

impl Tallies {
    /// Nothing yet.
    pub fn new(wanted: &[Invariant]) -> Self {
        Self(wanted.iter().map(|&invariant| (invariant, Tally::default())).collect())
    }

    /// Whether an invariant is asked for.
    pub fn wants(&self, invariant: Invariant) -> bool {
        self.0.contains_key(&invariant)
    }

    /// Adds one finding.
    pub fn add(&mut self, invariant: Invariant, finding: Finding) {
        let Some(tally) = self.0.get_mut(&invariant) else { return };
        match finding {
            Finding::Beside => {}
            Finding::Holds => tally.checked += 1,
            Finding::Broken(problem) => {
                tally.checked += 1;
                match tally.problems.len() < MOST_PROBLEMS {
                    true => tally.problems.push(problem),
                    false => tally.more += 1,
                }
            }
            Finding::CannotTell(reason) => {
                tally.untold += 1;
                tally.reason.get_or_insert(reason);
            }
        }
    }

    /// Says that the source of an invariant is missing as a whole.
    pub fn missing(&mut self, invariant: Invariant, reason: &str) {
        let Some(tally) = self.0.get_mut(&invariant) else { return };
        tally.is_missing = true;
        tally.reason.get_or_insert_with(|| reason.to_owned());
    }

    /// Everything that seems to be wrong.
    pub fn problems(&self) -> Vec<(Invariant, Problem)> {
        let of = |(&invariant, tally): (&Invariant, &Tally)| {
            tally.problems.iter().map(move |problem| (invariant, problem.clone())).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Puts what a later look found in the place of the problems: those that it did not find again were things in motion.
    pub fn keep_only(&mut self, confirmed: &[(Invariant, Problem)]) {
        for (invariant, tally) in &mut self.0 {
            let was_any = !tally.problems.is_empty();
            tally.problems.retain_mut(|problem| {
                let again = confirmed
                    .iter()
                    .find(|(of, found)| of == invariant && found.is_about_the_same_as(problem));
                if let Some((_, found)) = again {
                    problem.clone_from(found);
                }
                again.is_some()
            });
            // Nobody has looked again at what was only counted, so it is told beside what was confirmed, never alone.
            if was_any && tally.problems.is_empty() && tally.more > 0 {
                tally.untold += tally.more;
                tally.more = 0;
                tally
                    .reason
                    .get_or_insert_with(|| "too much was moving to look at all of it again".to_owned());
            }
        }
    }

    /// The verdicts.
    pub fn judged(self) -> Vec<Judged> {
        self.0.into_iter().map(|(invariant, tally)| tally.judged(invariant)).collect()
    }
}

impl Tally {
    fn judged(self, id: Invariant) -> Judged {
        let Self { checked, mut problems, more, untold, reason, is_missing } = self;
        let verdict = match (problems.is_empty(), checked, untold) {
            (false, ..) => Verdict::Fail,
            (true, 0, _) if is_missing => Verdict::Na,
            (true, 0, 1..) => Verdict::Na,
            (true, ..) => Verdict::Ok,
        };
        problems.sort_by(|a, b| (a.saga_id, a.sec_id, &a.text).cmp(&(b.saga_id, b.sec_id, &b.text)));
        Judged {
            id,
            title: id.title(),
            section: id.section(),
            verdict,
            checked: (verdict != Verdict::Na).then_some(checked),
            not_checked: untold,
            reason,
            evidence: problems,
            more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ids::SagaId;
    use uuid::Uuid;

    fn problem(number: u128, text: &str) -> Problem {
        Problem::of_saga(SagaId::from_uuid(Uuid::from_u128(number)), text, "look")
    }

    fn judged(findings: Vec<Finding>, missing: Option<&str>) -> Judged {
        let mut tallies = Tallies::new(&[Invariant::I3]);
        for finding in findings {
            tallies.add(Invariant::I3, finding.clone());
            tallies.add(Invariant::I4, finding);
        }
        if let Some(reason) = missing {
            tallies.missing(Invariant::I3, reason);
        }
        let mut judged = tallies.judged();
        assert_eq!(judged.len(), 1, "only what is asked for is told");
        judged.remove(0)
    }

    #[test]
    fn nothing_that_could_not_be_told_is_ever_called_ok_or_wrong() {
        let untold = || Finding::CannotTell("no DAG".to_owned());
        assert_eq!(judged(vec![], None).verdict, Verdict::Ok, "there is nothing that could be wrong");
        assert_eq!(judged(vec![], Some("no database")).verdict, Verdict::Na);
        let na = judged(vec![untold()], None);
        assert_eq!((na.verdict, na.reason.as_deref(), na.checked), (Verdict::Na, Some("no DAG"), None));
        let partly = judged(vec![untold(), Finding::Holds], None);
        assert_eq!((partly.verdict, partly.checked, partly.not_checked), (Verdict::Ok, Some(1), 1));
        let broken = judged(vec![untold(), Finding::Broken(problem(1, "x")), Finding::Beside], Some("no"));
        assert_eq!((broken.verdict, broken.checked), (Verdict::Fail, Some(1)));
    }

    #[test]
    fn what_a_second_look_does_not_find_is_forgotten() {
        let mut tallies = Tallies::new(&[Invariant::I3]);
        for number in 1..=3 {
            tallies.add(Invariant::I3, Finding::Broken(problem(number, "first")));
        }
        tallies.keep_only(&[(Invariant::I3, problem(2, "second")), (Invariant::I4, problem(3, "another's"))]);
        let judged = tallies.judged().remove(0);
        assert_eq!(judged.evidence, [problem(2, "second")]);
        assert_eq!((judged.verdict, judged.checked), (Verdict::Fail, Some(3)));
    }

    #[test]
    fn a_disaster_is_counted_and_not_kept() {
        let mut tallies = Tallies::new(&[Invariant::I3]);
        for number in 0..500 {
            tallies.add(Invariant::I3, Finding::Broken(problem(number, "x")));
        }
        let mut moved_on = tallies.clone();
        let all = tallies.problems();
        tallies.keep_only(&all);
        let told = tallies.judged().remove(0);
        assert_eq!((told.evidence.len(), told.more), (MOST_PROBLEMS, 400));
        moved_on.keep_only(&[]);
        let told = moved_on.judged().remove(0);
        assert_eq!((told.verdict, told.more, told.not_checked), (Verdict::Ok, 0, 400));
    }
}
